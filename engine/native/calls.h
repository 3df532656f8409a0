/* A row handler called for one row: what comes of it. */

#ifndef ROWMILL_CALLS_H
#define ROWMILL_CALLS_H

#include "loops.h"

typedef struct {
    PyObject *ok, *result, *is_set; /* names */
    PyObject *no_result;            /* what stands for a result that was not named */
    PyObject *judge, *crash, *settle;
} Rules;

/* 0, or -1 with an exception set; to be closed either way. What comes from Python is set by the caller, and borrowed. */
int rules_open(Rules *rules);
void rules_close(Rules *rules);

/* The outcome of a row, a new reference; NULL with an exception set where that ends more than the row. */
PyObject *rules_call(
    const Rules *rules, PyObject *handler, Py_ssize_t row_index, PyObject *row, PyObject *job_id, PyObject *options);

/* The outcome of a row when its savepoint, if it has one, is gone; takes over the reference. NULL as `rules_call`. */
PyObject *rules_settle(const Rules *rules, PyObject *guard, PyObject *outcome);

#endif
