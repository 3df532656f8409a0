/* Bytes of a table -> a row handler's outcomes -> lines of the result files, a row at a time: its cells are let go of
   while they are in the processor's nearest cache, and its text is copied once. */

#include "calls.h"
#include "cutter.h"
#include "json_cell.h"

typedef struct {
    Rules rules;
    PyObject *handler, *job_id, *options, *guard;
    PyObject *failure;     /* the type of a refused row's outcome */
    PyObject *result_json; /* gives the JSON of any value */
    PyObject *message;     /* a name */
    PyObject *messages;    /* a list: those of the refused rows */
    Buffer success, failed;
} Run;

/* Append the cell that `text` is, and the line's end; a cell that stands alone in its line and is empty is quoted. */
static int
end_line(Buffer *lines, PyObject *text, int is_alone)
{
    Py_ssize_t length;
    PyObject *encoded = NULL;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    if (bytes == NULL && PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        /* Halves of surrogate pairs are written as their escapes, as `encode_text` does. */
        PyErr_Clear();
        encoded = PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace");
        if (encoded != NULL) {
            bytes = PyBytes_AS_STRING(encoded);
            length = PyBytes_GET_SIZE(encoded);
        }
    }
    int failed = bytes == NULL || buffer_add_cell(lines, bytes, length) < 0 || buffer_reserve(lines, 4) < 0;
    if (!failed) {
        if (is_alone && length == 0) {
            buffer_put(lines, "\"\"", 2);
        }
        buffer_put(lines, "\r\n", 2);
    }
    Py_XDECREF(encoded);
    return failed ? -1 : 0;
}

/* Append the cell with an accepted row's result, and the line's end. */
static int
end_accepted(Run *run, PyObject *result)
{
    int done = json_cell_add(&run->success, result);
    if (done < 0) {
        return -1;
    }
    if (done > 0) {
        if (buffer_reserve(&run->success, 2) < 0) {
            return -1;
        }
        buffer_put(&run->success, "\r\n", 2);
        return 0;
    }
    PyObject *text = PyObject_CallOneArg(run->result_json, result);
    if (text != NULL && !PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "run_rows: result_json has to give a str");
        Py_CLEAR(text);
    }
    int failed = text == NULL ? -1 : end_line(&run->success, text, 0);
    Py_XDECREF(text);
    return failed;
}

/* Move the start of a refused row's line, `[mark, end)` of the accepted ones, to the other file, and complete it. */
static int
end_refused(Run *run, PyObject *outcome, Py_ssize_t mark, Py_ssize_t end, int is_alone)
{
    run->success.used = mark;
    if (buffer_reserve(&run->failed, end - mark) < 0) {
        return -1;
    }
    buffer_put(&run->failed, run->success.start + mark, end - mark);
    PyObject *message = PyObject_GetAttr(outcome, run->message);
    if (message != NULL && !PyUnicode_Check(message)) {
        PyErr_SetString(PyExc_TypeError, "run_rows: a failure's message has to be a str");
        Py_CLEAR(message);
    }
    int failed = message == NULL || end_line(&run->failed, message, is_alone) < 0 ||
                 PyList_Append(run->messages, message) < 0;
    Py_XDECREF(message);
    return failed ? -1 : 0;
}

/* Run the row that was cut last from `[start, end)`. */
static int
run_row(Run *run, Cutter *cutter, Py_ssize_t row_index, Py_ssize_t start, Py_ssize_t end, int is_minimal)
{
    Py_ssize_t mark = run->success.used;
    int is_alone = cutter->cell_count == 0;
    /* Before the handler, which may change the row. */
    if (cutter_write(cutter, &run->success, start, end, is_minimal) < 0 || buffer_reserve(&run->success, 1) < 0) {
        return -1;
    }
    if (!is_alone) {
        buffer_put_byte(&run->success, ',');
    }
    Py_ssize_t text_end = run->success.used;
    PyObject *row = cutter_take_row(cutter);
    if (row == NULL) {
        return -1;
    }
    PyObject *outcome = rules_call(&run->rules, run->handler, row_index, row, run->job_id, run->options);
    int failed = outcome == NULL ? -1 : 0;
    if (outcome != NULL && (PyObject *)Py_TYPE(outcome) != run->failure) {
        /* Within the savepoint of its row, as it may run code of the team's. */
        failed = end_accepted(run, outcome);
    }
    if (!failed && run->guard != Py_None) {
        outcome = rules_settle(&run->rules, run->guard, outcome);
        failed = outcome == NULL ? -1 : 0;
    }
    if (!failed && (PyObject *)Py_TYPE(outcome) == run->failure) {
        failed = end_refused(run, outcome, mark, text_end, is_alone);
    }
    Py_XDECREF(outcome);
    Py_DECREF(row);
    return failed;
}

PyObject *
loops_run_rows(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source, *success, *failed, *result = NULL;
    Py_ssize_t at, max_rows, max_bytes, first_index, count = 0;
    int delimiter, quote;
    Run run = {0};
    if (!PyArg_ParseTuple(arguments, "SnnniiOnOOOOOOOOOO!O!", &source, &at, &max_rows, &max_bytes, &delimiter, &quote,
                          &run.handler, &first_index, &run.job_id, &run.options, &run.guard, &run.rules.no_result,
                          &run.rules.judge, &run.rules.crash, &run.rules.settle, &run.failure, &run.result_json,
                          &PyByteArray_Type, &success, &PyByteArray_Type, &failed)) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(source);
    if (at < 0 || at > size || max_rows < 1 || max_bytes < 1 || delimiter < 1 || delimiter > 127 || quote > 127) {
        PyErr_SetString(PyExc_ValueError, "run_rows: an argument is out of range");
        return NULL;
    }
    Cutter cutter = {0};
    Py_ssize_t first = at;
    if (cutter_open(&cutter, PyBytes_AS_STRING(source), size, delimiter, quote) < 0 || rules_open(&run.rules) < 0 ||
        buffer_open_array(&run.success, success) < 0 || buffer_open_array(&run.failed, failed) < 0 ||
        (run.messages = PyList_New(0)) == NULL || (run.message = PyUnicode_InternFromString("message")) == NULL) {
        goto close;
    }
    while (at < size && count < max_rows && at - first < max_bytes) {
        Py_ssize_t start = at, end;
        int is_minimal;
        at = cutter_cut(&cutter, at, &end, &is_minimal);
        if (at < 0 || run_row(&run, &cutter, first_index + count, start, end, is_minimal) < 0) {
            goto close;
        }
        count++;
    }
    if (buffer_end_array(&run.success) == 0 && buffer_end_array(&run.failed) == 0) {
        result = Py_BuildValue("(nnO)", count, at, run.messages);
    }
close:
    buffer_close(&run.failed);
    buffer_close(&run.success);
    rules_close(&run.rules);
    cutter_close(&cutter);
    Py_XDECREF(run.messages);
    Py_XDECREF(run.message);
    return result;
}
