/* Rows' texts and their extra cells -> lines of a result file.

   The texts come as `RowTexts` holds them: one after the other, and an array that says where each ends (-1 for a row
   without cells, whose line has no comma). Only some of the rows get a line: the others belong to the other file. */

#include "lines.h"

int
open_rows(Rows *rows, PyObject *texts, PyObject *ends, Py_ssize_t start, PyObject *positions, int are_skipped)
{
    memset(rows, 0, sizeof(*rows));
    rows->texts = PyBytes_AS_STRING(texts);
    rows->ends = (const Py_ssize_t *)(void *)PyBytes_AS_STRING(ends);
    rows->row_count = PyBytes_GET_SIZE(ends) / (Py_ssize_t)sizeof(Py_ssize_t);
    rows->positions = positions;
    rows->are_skipped = are_skipped;
    rows->at = start;
    Py_ssize_t at = start, size = PyBytes_GET_SIZE(texts);
    for (Py_ssize_t row = 0; row < rows->row_count; row++) {
        Py_ssize_t end = rows->ends[row];
        if (end == -1) {
            continue;
        }
        if (at < 0 || end < at || end > size) {
            PyErr_SetString(PyExc_ValueError, "the ends of the rows are not those of their texts");
            return -1;
        }
        at = end;
    }
    return 0;
}

/* The row that is named next; -1 with an exception set where the list holds no such thing. */
static Py_ssize_t
next_named(const Rows *rows)
{
    if (rows->next_position >= PyList_GET_SIZE(rows->positions)) {
        return rows->row_count;
    }
    Py_ssize_t position = PyLong_AsSsize_t(PyList_GET_ITEM(rows->positions, rows->next_position));
    if ((position < rows->row || position >= rows->row_count) && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_ValueError, "positions must ascend, and be those of rows");
    }
    return PyErr_Occurred() ? -1 : position;
}

int
next_row(Rows *rows, const char **text, Py_ssize_t *length)
{
    Py_ssize_t named = next_named(rows);
    while (named >= 0 && rows->row < rows->row_count) {
        Py_ssize_t end = rows->ends[rows->row];
        *text = rows->texts + rows->at;
        *length = end < 0 ? -1 : end - rows->at;
        rows->at = end < 0 ? rows->at : end;
        int is_named = rows->row++ == named;
        if (is_named) {
            rows->next_position++;
            if (!rows->are_skipped) {
                return 1;
            }
            named = next_named(rows);
        }
        else if (rows->are_skipped) {
            return 1;
        }
    }
    return named < 0 ? -1 : 0;
}

static int
add_line(Buffer *lines, const char *text, Py_ssize_t length, const char *extra, Py_ssize_t extra_length)
{
    if (buffer_reserve(lines, (length > 0 ? length : 0) + 1) < 0) {
        return -1;
    }
    if (length >= 0) {
        buffer_put(lines, text, length);
        buffer_put_byte(lines, ',');
    }
    if (buffer_add_cell(lines, extra, extra_length) < 0 || buffer_reserve(lines, 4) < 0) {
        return -1;
    }
    if (length < 0 && extra_length == 0) {
        /* An empty line would be no record. */
        buffer_put(lines, "\"\"", 2);
    }
    buffer_put(lines, "\r\n", 2);
    return 0;
}

PyObject *
loops_result_lines(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *texts, *ends, *positions, *extras;
    Py_ssize_t start;
    int are_skipped;
    if (!PyArg_ParseTuple(arguments, "SSnO!pO!", &texts, &ends, &start, &PyList_Type, &positions, &are_skipped,
                          &PyList_Type, &extras)) {
        return NULL;
    }
    Rows rows;
    Buffer lines = {0};
    if (open_rows(&rows, texts, ends, start, positions, are_skipped) < 0 || buffer_open(&lines, 4096) < 0) {
        return NULL;
    }
    const char *text;
    Py_ssize_t length, taken = 0;
    int found;
    while ((found = next_row(&rows, &text, &length)) > 0) {
        if (taken >= PyList_GET_SIZE(extras)) {
            break;
        }
        PyObject *extra = PyList_GET_ITEM(extras, taken++);
        Py_ssize_t extra_length;
        const char *bytes = PyUnicode_AsUTF8AndSize(extra, &extra_length);
        if (bytes == NULL || add_line(&lines, text, length, bytes, extra_length) < 0) {
            goto failed;
        }
    }
    if (found < 0) {
        goto failed;
    }
    if (found > 0 || taken != PyList_GET_SIZE(extras)) {
        PyErr_SetString(PyExc_ValueError, "there must be as many extra cells as rows that get a line");
        goto failed;
    }
    return buffer_take(&lines);
failed:
    buffer_close(&lines);
    return NULL;
}

PyObject *
loops_joined_lines(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *texts, *ends, *positions;
    const char *at;
    Py_ssize_t start, size, margin;
    int are_skipped;
    if (!PyArg_ParseTuple(arguments, "SSnO!py#n", &texts, &ends, &start, &PyList_Type, &positions, &are_skipped, &at,
                          &size, &margin)) {
        return NULL;
    }
    Rows rows;
    Buffer lines = {0};
    if (open_rows(&rows, texts, ends, start, positions, are_skipped) < 0 ||
        buffer_open(&lines, PyBytes_GET_SIZE(texts) - start + 2 * size) < 0) {
        return NULL;
    }
    const char *text, *end = at + size;
    Py_ssize_t length;
    int found, is_through = 0;
    while ((found = next_row(&rows, &text, &length)) > 0) {
        if (is_through) {
            break;
        }
        const char *mark = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
        const char *stop = end;
        if (mark == NULL) {
            is_through = 1;
        }
        else if (margin == 0 || (mark > at && mark + 1 < end && mark[-1] == ',' && mark[1] == ',')) {
            stop = mark - margin;
        }
        else {
            break;
        }
        if (add_line(&lines, text, length, at, stop - at) < 0) {
            found = -1;
            break;
        }
        at = is_through ? end : mark + 1 + margin;
    }
    if (found == 0 && (is_through || rows.row_count == 0)) {
        return buffer_take(&lines);
    }
    buffer_close(&lines);
    if (found < 0) {
        return NULL;
    }
    /* Not as many cells as rows: one of them holds the separator. */
    Py_RETURN_NONE;
}
