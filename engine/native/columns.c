/* Columns of text as Arrow holds them -> rows of cells, and each row's text as `csv.writer` writes it. */

#include <stdint.h>

#include "known_texts.h"
#include "loops.h"

typedef struct {
    Py_buffer offsets; /* int32, one more than there are values */
    Py_buffer bytes;
    const int32_t *at; /* of the first value */
    int has_bytes;
} Column;

static void
close_columns(Column *columns, Py_ssize_t count)
{
    for (Py_ssize_t index = 0; index < count; index++) {
        PyBuffer_Release(&columns[index].offsets);
        if (columns[index].has_bytes) {
            PyBuffer_Release(&columns[index].bytes);
        }
    }
    PyMem_Free(columns);
}

/* Open one `(offsets, bytes or None, first)`; -1 with an exception set, and nothing left open. */
static int
open_column(Column *column, PyObject *item, Py_ssize_t row_count)
{
    PyObject *offsets, *bytes;
    Py_ssize_t first;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "OOn", &offsets, &bytes, &first)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "a column is (offsets, bytes, first)");
        }
        return -1;
    }
    memset(column, 0, sizeof(*column));
    if (PyObject_GetBuffer(offsets, &column->offsets, PyBUF_SIMPLE) < 0) {
        return -1;
    }
    column->has_bytes = bytes != Py_None;
    if (column->has_bytes && PyObject_GetBuffer(bytes, &column->bytes, PyBUF_SIMPLE) < 0) {
        PyBuffer_Release(&column->offsets);
        return -1;
    }
    Py_ssize_t known = column->offsets.len / (Py_ssize_t)sizeof(int32_t);
    int is_good = first >= 0 && row_count < known && first < known - row_count;
    if (is_good) {
        column->at = (const int32_t *)column->offsets.buf + first;
        Py_ssize_t size = column->has_bytes ? column->bytes.len : 0;
        is_good = column->at[0] >= 0 && column->at[row_count] <= size;
        for (Py_ssize_t row = 0; row < row_count && is_good; row++) {
            is_good = column->at[row] <= column->at[row + 1];
        }
    }
    if (!is_good) {
        PyBuffer_Release(&column->offsets);
        if (column->has_bytes) {
            PyBuffer_Release(&column->bytes);
        }
        PyErr_SetString(PyExc_ValueError, "the offsets of a column are not those of its bytes");
        return -1;
    }
    return 0;
}

/* Append the row's text and its end, and set the cells of the list, if there is one. */
static int
take_row(const Column *columns, Py_ssize_t width, Py_ssize_t row, PyObject *cells, KnownTexts *known, Buffer *texts,
         Buffer *ends)
{
    for (Py_ssize_t index = 0; index < width; index++) {
        const Column *column = &columns[index];
        Py_ssize_t length = column->at[row + 1] - column->at[row];
        const char *bytes = column->has_bytes ? (const char *)column->bytes.buf + column->at[row] : "";
        if (buffer_reserve(texts, 1) < 0) {
            return -1;
        }
        if (index) {
            buffer_put_byte(texts, ',');
        }
        if (buffer_add_cell(texts, bytes, length) < 0) {
            return -1;
        }
        if (cells != NULL) {
            unsigned char bits = 0;
            for (Py_ssize_t look = 0; look < length; look++) {
                bits |= (unsigned char)bytes[look];
            }
            PyObject *text = known_text(known, index, bytes, length, bits < 128);
            if (text == NULL) {
                return -1;
            }
            PyList_SET_ITEM(cells, index, text);
        }
    }
    if (buffer_reserve(ends, sizeof(texts->used)) < 0) {
        return -1;
    }
    buffer_put(ends, (const char *)&texts->used, sizeof(texts->used));
    return 0;
}

PyObject *
loops_column_rows(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *list, *rows = NULL, *result = NULL;
    Py_ssize_t row_count, open = 0;
    int wants_rows;
    if (!PyArg_ParseTuple(arguments, "O!np", &PyList_Type, &list, &row_count, &wants_rows)) {
        return NULL;
    }
    Py_ssize_t width = PyList_GET_SIZE(list);
    if (width < 1 || row_count < 0) {
        PyErr_SetString(PyExc_ValueError, "there must be a column, and no fewer than no rows");
        return NULL;
    }
    Column *columns = PyMem_Calloc((size_t)width, sizeof(Column));
    if (columns == NULL) {
        return PyErr_NoMemory();
    }
    Buffer texts = {0}, ends = {0};
    KnownTexts known;
    known_texts_open(&known);
    for (; open < width; open++) {
        if (open_column(&columns[open], PyList_GET_ITEM(list, open), row_count) < 0) {
            goto close;
        }
    }
    if (buffer_open(&texts, 64 * row_count) < 0 || buffer_open(&ends, (Py_ssize_t)sizeof(Py_ssize_t) * row_count) < 0 ||
        (rows = PyList_New(0)) == NULL) {
        goto close;
    }
    for (Py_ssize_t row = 0; row < row_count; row++) {
        PyObject *cells = wants_rows ? PyList_New(width) : NULL;
        int failed = wants_rows && (cells == NULL || PyList_Append(rows, cells) < 0);
        Py_XDECREF(cells); /* the rows hold it */
        if (failed || take_row(columns, width, row, cells, &known, &texts, &ends) < 0) {
            goto close;
        }
    }
    PyObject *joined = buffer_take(&texts);
    PyObject *marks = joined == NULL ? NULL : buffer_take(&ends);
    if (marks != NULL) {
        result = Py_BuildValue("(OOO)", rows, joined, marks);
    }
    Py_XDECREF(joined);
    Py_XDECREF(marks);
close:
    known_texts_close(&known);
    Py_XDECREF(rows);
    buffer_close(&ends);
    buffer_close(&texts);
    close_columns(columns, open);
    return result;
}
