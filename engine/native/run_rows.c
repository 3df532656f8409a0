/* A row handler's outcomes -> lines of the result files, a row at a time. Rows may be cut at once as well: their cells
   are let go of while they are in the processor's nearest cache, and their text is copied once. */

#include "calls.h"
#include "cutter.h"
#include "growing_lines.h"
#include "json_cell.h"
#include "lines.h"

typedef struct {
    Rules rules;
    PyObject *handler, *job_id, *options, *guard;
    PyObject *message;  /* a name */
    PyObject *messages; /* a list: those of the refused rows */
    GrowingLines *success_lines, *failed_lines;
    Buffer *success, *failed;
} Run;

/* 0, or -1 with an exception set; to be closed either way. */
static int
open_run(Run *run, PyObject *rules, PyObject *success, PyObject *failed)
{
    if (rules_open(&run->rules, rules) < 0 || (run->success_lines = lines_begin(success)) == NULL ||
        (run->failed_lines = lines_begin(failed)) == NULL || (run->messages = PyList_New(0)) == NULL ||
        (run->message = PyUnicode_InternFromString("message")) == NULL) {
        return -1;
    }
    run->success = &run->success_lines->buffer;
    run->failed = &run->failed_lines->buffer;
    return 0;
}

static void
close_run(Run *run)
{
    lines_end(run->success_lines);
    lines_end(run->failed_lines);
    rules_close(&run->rules);
    Py_XDECREF(run->messages);
    Py_XDECREF(run->message);
}

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
    int done = json_cell_add(run->success, result);
    if (done < 0) {
        return -1;
    }
    if (done > 0) {
        if (buffer_reserve(run->success, 2) < 0) {
            return -1;
        }
        buffer_put(run->success, "\r\n", 2);
        return 0;
    }
    PyObject *text = PyObject_CallOneArg(run->rules.result_json, result);
    if (text != NULL && !PyUnicode_Check(text)) {
        PyErr_SetString(PyExc_TypeError, "run_rows: result_json has to give a str");
        Py_CLEAR(text);
    }
    int failed = text == NULL ? -1 : end_line(run->success, text, 0);
    Py_XDECREF(text);
    return failed;
}

/* Move the start of a refused row's line, `[mark, end)` of the accepted ones, to the other file, and complete it. */
static int
end_refused(Run *run, PyObject *outcome, Py_ssize_t mark, Py_ssize_t end, int is_alone)
{
    run->success->used = mark;
    if (buffer_reserve(run->failed, end - mark) < 0) {
        return -1;
    }
    buffer_put(run->failed, run->success->start + mark, end - mark);
    PyObject *message = PyObject_GetAttr(outcome, run->message);
    if (message != NULL && !PyUnicode_Check(message)) {
        PyErr_SetString(PyExc_TypeError, "run_rows: a failure's message has to be a str");
        Py_CLEAR(message);
    }
    int failed = message == NULL || end_line(run->failed, message, is_alone) < 0 ||
                 PyList_Append(run->messages, message) < 0;
    Py_XDECREF(message);
    return failed ? -1 : 0;
}

/* Run a row whose line's start has been put behind `mark`. */
static int
run_row(Run *run, PyObject *row, Py_ssize_t row_index, Py_ssize_t mark, int is_alone)
{
    Py_ssize_t text_end = run->success->used;
    PyObject *outcome = rules_call(&run->rules, run->handler, row_index, row, run->job_id, run->options);
    int failed = outcome == NULL ? -1 : 0;
    if (outcome != NULL && !is_failure(&run->rules, outcome)) {
        /* Within the savepoint of its row, as it may run code of the team's. */
        failed = end_accepted(run, outcome);
    }
    if (!failed && run->guard != Py_None) {
        outcome = rules_settle(&run->rules, run->guard, outcome);
        failed = outcome == NULL ? -1 : 0;
    }
    if (!failed && is_failure(&run->rules, outcome)) {
        failed = end_refused(run, outcome, mark, text_end, is_alone);
    }
    Py_XDECREF(outcome);
    return failed;
}

/* Run the row that was cut last from `[start, end)`. */
static int
run_cut_row(Run *run, Cutter *cutter, Py_ssize_t row_index, Py_ssize_t start, Py_ssize_t end, int is_minimal)
{
    Py_ssize_t mark = run->success->used;
    int is_alone = cutter->cell_count == 0;
    /* Before the handler, which may change the row. */
    if (cutter_write(cutter, run->success, start, end, is_minimal) < 0 || buffer_reserve(run->success, 1) < 0) {
        return -1;
    }
    if (!is_alone) {
        buffer_put_byte(run->success, ',');
    }
    PyObject *row = cutter_take_row(cutter);
    int failed = row == NULL ? -1 : run_row(run, row, row_index, mark, is_alone);
    Py_XDECREF(row);
    return failed;
}

PyObject *
loops_run_text(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source, *rules, *success, *failed, *result = NULL;
    Py_ssize_t at, max_rows, max_bytes, first_index, count = 0;
    int delimiter, quote;
    Run run = {0};
    if (!PyArg_ParseTuple(arguments, "SnnniiOnOOOO!OO", &source, &at, &max_rows, &max_bytes, &delimiter, &quote,
                          &run.handler, &first_index, &run.job_id, &run.options, &run.guard, &PyTuple_Type, &rules,
                          &success, &failed)) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(source);
    if (at < 0 || at > size || max_rows < 1 || max_bytes < 1 || delimiter < 1 || delimiter > 127 || quote > 127) {
        PyErr_SetString(PyExc_ValueError, "run_text: an argument is out of range");
        return NULL;
    }
    Cutter cutter = {0};
    Py_ssize_t first = at;
    if (cutter_open(&cutter, PyBytes_AS_STRING(source), size, delimiter, quote) < 0 ||
        open_run(&run, rules, success, failed) < 0) {
        goto close;
    }
    while (at < size && count < max_rows && at - first < max_bytes) {
        Py_ssize_t start = at, end;
        int is_minimal;
        at = cutter_cut(&cutter, at, &end, &is_minimal);
        if (at < 0 || run_cut_row(&run, &cutter, first_index + count, start, end, is_minimal) < 0) {
            goto close;
        }
        count++;
    }
    result = Py_BuildValue("(nnO)", count, at, run.messages);
close:
    close_run(&run);
    cutter_close(&cutter);
    return result;
}

PyObject *
loops_run_rows(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *list, *texts, *ends, *rules, *success, *failed, *result = NULL, *none = NULL;
    Py_ssize_t start, first_index, index = 0;
    Run run = {0};
    Rows rows;
    if (!PyArg_ParseTuple(arguments, "O!SSnOnOOOO!OO", &PyList_Type, &list, &texts, &ends, &start, &run.handler,
                          &first_index, &run.job_id, &run.options, &run.guard, &PyTuple_Type, &rules, &success,
                          &failed)) {
        return NULL;
    }
    if ((none = PyList_New(0)) == NULL || open_rows(&rows, texts, ends, start, none, 1) < 0 ||
        open_run(&run, rules, success, failed) < 0) {
        goto close;
    }
    const char *text;
    Py_ssize_t length;
    int found;
    /* A handler that reaches the list may change it: its size is asked for each time. */
    while ((found = next_row(&rows, &text, &length)) > 0 && index < PyList_GET_SIZE(list)) {
        Py_ssize_t mark = run.success->used;
        if (buffer_reserve(run.success, length + 1) < 0) {
            goto close;
        }
        if (length >= 0) {
            buffer_put(run.success, text, length);
            buffer_put_byte(run.success, ',');
        }
        PyObject *row = Py_NewRef(PyList_GET_ITEM(list, index));
        int has_failed = run_row(&run, row, first_index + index, mark, length < 0);
        Py_DECREF(row);
        if (has_failed) {
            goto close;
        }
        index++;
    }
    if (found > 0 || index != PyList_GET_SIZE(list)) {
        PyErr_SetString(PyExc_ValueError, "there must be as many texts as rows");
    }
    else if (found == 0) {
        result = Py_NewRef(run.messages);
    }
close:
    close_run(&run);
    Py_XDECREF(none);
    return result;
}
