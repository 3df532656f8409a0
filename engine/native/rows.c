/* Bytes of a table -> rows of cells, and each row's text. */

#include "cutter.h"

/* Append the text of the record that was cut from `[start, end)`, and where it ends; no cells are marked by -1. */
static int
write_record(Cutter *cutter, Buffer *texts, Buffer *ends, Py_ssize_t start, Py_ssize_t end, int is_minimal)
{
    if (cutter_write(cutter, texts, start, end, is_minimal) < 0) {
        return -1;
    }
    Py_ssize_t mark = cutter->cell_count ? texts->used : -1;
    if (buffer_reserve(ends, sizeof(mark)) < 0) {
        return -1;
    }
    buffer_put(ends, (const char *)&mark, sizeof(mark));
    return 0;
}

static int
append_row(PyObject *rows, PyObject *row)
{
    if (row == NULL) {
        return -1;
    }
    int failed = PyList_Append(rows, row);
    Py_DECREF(row);
    return failed;
}

PyObject *
loops_cut_rows(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source, *rows = NULL, *result = NULL;
    Py_ssize_t at, max_rows, max_bytes;
    int delimiter, quote;
    if (!PyArg_ParseTuple(arguments, "Snnnii", &source, &at, &max_rows, &max_bytes, &delimiter, &quote)) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(source);
    if (at < 0 || at > size || max_rows < 1 || max_bytes < 1 || delimiter < 1 || delimiter > 127 || quote > 127) {
        PyErr_SetString(PyExc_ValueError, "cut_rows: an argument is out of range");
        return NULL;
    }
    Cutter cutter = {0};
    Buffer texts = {0}, ends = {0};
    Py_ssize_t first = at, likely = size - at < max_bytes ? size - at : max_bytes;
    if (cutter_open(&cutter, PyBytes_AS_STRING(source), size, delimiter, quote) < 0 ||
        buffer_open(&texts, likely + likely / 8) < 0 || buffer_open(&ends, 4096) < 0 ||
        (rows = PyList_New(0)) == NULL) {
        goto close;
    }
    while (at < size && PyList_GET_SIZE(rows) < max_rows && at - first < max_bytes) {
        Py_ssize_t start = at, end;
        int is_minimal;
        at = cutter_cut(&cutter, at, &end, &is_minimal);
        if (at < 0 || write_record(&cutter, &texts, &ends, start, end, is_minimal) < 0 ||
            append_row(rows, cutter_take_row(&cutter)) < 0) {
            goto close;
        }
    }
    PyObject *joined = buffer_take(&texts);
    PyObject *marks = joined == NULL ? NULL : buffer_take(&ends);
    if (marks != NULL) {
        result = Py_BuildValue("(OOOn)", rows, joined, marks, at);
    }
    Py_XDECREF(joined);
    Py_XDECREF(marks);
close:
    buffer_close(&ends);
    buffer_close(&texts);
    cutter_close(&cutter);
    Py_XDECREF(rows);
    return result;
}
