/* Lines of a result file while they grow over several calls, in memory that Python code cannot reach. */

#ifndef ROWMILL_GROWING_LINES_H
#define ROWMILL_GROWING_LINES_H

#include "loops.h"

typedef struct {
    Buffer buffer; /* not open where nothing was put since the lines were taken */
    int is_in_use; /* a handler may reach the object, but not what a loop is writing to */
} GrowingLines;

/* Begin to write to what the object holds; NULL with an exception set where it is none, or is written to already. */
GrowingLines *lines_begin(PyObject *object);
void lines_end(GrowingLines *lines);

#endif
