/* A row handler called for one row: what comes of it. */

#ifndef ROWMILL_CALLS_H
#define ROWMILL_CALLS_H

#include "loops.h"

typedef struct {
    PyObject *ok, *result, *is_set; /* names */
    PyObject *no_result;            /* what stands for a result that was not named */
    PyObject *judge, *crash, *settle;
    PyObject *failure;     /* the type of a refused row's outcome */
    PyObject *result_json; /* gives the JSON of any value; None where results are wanted as they are */
} Rules;

/* From a tuple of what comes from Python, which the caller holds on to; 0, or -1 with an exception set; to be closed
   either way. */
int rules_open(Rules *rules, PyObject *tuple);
void rules_close(Rules *rules);

static inline int
is_failure(const Rules *rules, PyObject *outcome)
{
    return (PyObject *)Py_TYPE(outcome) == rules->failure;
}

/* The outcome of a row, a new reference; NULL with an exception set where that ends more than the row. */
PyObject *rules_call(
    const Rules *rules, PyObject *handler, Py_ssize_t row_index, PyObject *row, PyObject *job_id, PyObject *options);

/* The outcome of a row when its savepoint, if it has one, is gone; takes over the reference. NULL as `rules_call`. */
PyObject *rules_settle(const Rules *rules, PyObject *guard, PyObject *outcome);

#endif
