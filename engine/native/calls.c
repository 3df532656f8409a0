/* A row handler called for row after row, and which of the outcomes are of a kind: loops without the interpreter's
   share of them. */

#include "calls.h"

int
rules_open(Rules *rules, PyObject *tuple)
{
    if (!PyArg_ParseTuple(tuple, "OOOOOO", &rules->no_result, &rules->judge, &rules->crash, &rules->settle,
                          &rules->failure, &rules->result_json)) {
        return -1;
    }
    rules->ok = PyUnicode_InternFromString("ok");
    rules->result = PyUnicode_InternFromString("result");
    rules->is_set = PyUnicode_InternFromString("is_set");
    return rules->ok == NULL || rules->result == NULL || rules->is_set == NULL ? -1 : 0;
}

void
rules_close(Rules *rules)
{
    Py_XDECREF(rules->ok);
    Py_XDECREF(rules->result);
    Py_XDECREF(rules->is_set);
}

/* What a return value stands for; the guide's form is met by nearly every row, so it is tested first and in place. */
static PyObject *
judged(const Rules *rules, PyObject *returned)
{
    if (PyDict_CheckExact(returned)) {
        PyObject *ok = PyDict_GetItemWithError(returned, rules->ok);
        if (ok == Py_True) {
            PyObject *result = PyDict_GetItemWithError(returned, rules->result);
            if (result == NULL && PyErr_Occurred()) {
                return NULL;
            }
            return Py_NewRef(result == NULL ? rules->no_result : result);
        }
        if (ok == NULL && PyErr_Occurred()) {
            return NULL;
        }
    }
    return PyObject_CallOneArg(rules->judge, returned);
}

/* The exception that is set, which is cleared. */
static PyObject *
take_exception(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *kind, *error, *traceback;
    PyErr_Fetch(&kind, &error, &traceback);
    PyErr_NormalizeException(&kind, &error, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(error, traceback);
    }
    Py_XDECREF(kind);
    Py_XDECREF(traceback);
    return error;
#endif
}

/* The outcome of a row for which an exception is set; NULL where that ends more than the row. */
static PyObject *
crashed(const Rules *rules)
{
    if (PyErr_ExceptionMatches(PyExc_KeyboardInterrupt)) {
        return NULL;
    }
    PyObject *error = take_exception();
    PyObject *outcome = PyObject_CallOneArg(rules->crash, error);
    Py_XDECREF(error);
    return outcome;
}

PyObject *
rules_call(
    const Rules *rules, PyObject *handler, Py_ssize_t row_index, PyObject *row, PyObject *job_id, PyObject *options)
{
    PyObject *index = PyLong_FromSsize_t(row_index);
    if (index == NULL) {
        return NULL;
    }
    PyObject *call[] = {NULL, index, row, job_id, options};
    PyObject *returned = PyObject_Vectorcall(handler, call + 1, 4 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    PyObject *outcome = returned == NULL ? NULL : judged(rules, returned);
    outcome = outcome == NULL ? crashed(rules) : outcome;
    Py_XDECREF(returned);
    Py_DECREF(index);
    return outcome;
}

PyObject *
rules_settle(const Rules *rules, PyObject *guard, PyObject *outcome)
{
    PyObject *is_set = PyObject_GetAttr(guard, rules->is_set);
    int touched = is_set == NULL ? -1 : PyObject_IsTrue(is_set);
    Py_XDECREF(is_set);
    if (touched == 0) {
        return outcome;
    }
    PyObject *last = touched < 0 ? NULL : PyObject_CallFunctionObjArgs(rules->settle, guard, outcome, NULL);
    Py_DECREF(outcome);
    return last;
}

/* The outcome with the JSON of its result, where that is wanted; takes over the reference. */
static PyObject *
with_json(const Rules *rules, PyObject *outcome)
{
    if (rules->result_json == Py_None || is_failure(rules, outcome)) {
        return outcome;
    }
    PyObject *text = PyObject_CallOneArg(rules->result_json, outcome);
    Py_DECREF(outcome);
    return text;
}

PyObject *
loops_call_rows(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *rows, *handler, *job_id, *options, *guard, *tuple;
    Py_ssize_t first;
    Rules rules = {0};
    if (!PyArg_ParseTuple(arguments, "O!OnOOOO!", &PyList_Type, &rows, &handler, &first, &job_id, &options, &guard,
                          &PyTuple_Type, &tuple)) {
        return NULL;
    }
    PyObject *outcomes = rules_open(&rules, tuple) < 0 ? NULL : PyList_New(0);
    /* A handler that reaches the list may change it: its size is asked for each time, as a Python loop would. */
    for (Py_ssize_t index = 0; outcomes != NULL && index < PyList_GET_SIZE(rows); index++) {
        PyObject *row = Py_NewRef(PyList_GET_ITEM(rows, index));
        PyObject *outcome = rules_call(&rules, handler, first + index, row, job_id, options);
        outcome = outcome == NULL ? NULL : with_json(&rules, outcome);
        if (outcome != NULL && guard != Py_None) {
            outcome = rules_settle(&rules, guard, outcome);
        }
        if (outcome == NULL || PyList_Append(outcomes, outcome) < 0) {
            Py_CLEAR(outcomes);
        }
        Py_XDECREF(outcome);
        Py_DECREF(row);
    }
    rules_close(&rules);
    return outcomes;
}

PyObject *
loops_positions_of(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *items, *kind, *positions;
    if (!PyArg_ParseTuple(arguments, "O!O!", &PyList_Type, &items, &PyType_Type, &kind) ||
        (positions = PyList_New(0)) == NULL) {
        return NULL;
    }
    for (Py_ssize_t index = 0; index < PyList_GET_SIZE(items); index++) {
        if ((PyObject *)Py_TYPE(PyList_GET_ITEM(items, index)) == kind) {
            PyObject *position = PyLong_FromSsize_t(index);
            int failed = position == NULL || PyList_Append(positions, position) < 0;
            Py_XDECREF(position);
            if (failed) {
                Py_DECREF(positions);
                return NULL;
            }
        }
    }
    return positions;
}
