/* The rows of a `RowTexts`, one after the other, of which only some get a line. */

#ifndef ROWMILL_LINES_H
#define ROWMILL_LINES_H

#include "loops.h"

typedef struct {
    const char *texts;
    const Py_ssize_t *ends;
    Py_ssize_t row_count;
    PyObject *positions; /* a list, ascending */
    int are_skipped;     /* whether the named rows are left out, or all others */
    Py_ssize_t next_position;
    Py_ssize_t row; /* the one behind the last that was given */
    Py_ssize_t at;  /* where the next row's text starts */
} Rows;

/* 0, or -1 with an exception set where texts and ends do not belong together. */
int open_rows(Rows *rows, PyObject *texts, PyObject *ends, Py_ssize_t start, PyObject *positions, int are_skipped);

/* Go to the next row that gets a line: 1, or 0 at the end, or -1 with an exception set. The length is -1 for a row
   without cells. */
int next_row(Rows *rows, const char **text, Py_ssize_t *length);

#endif
