/* What a row handler returned as its result, as the JSON that stands in a cell of a result file. */

#ifndef ROWMILL_JSON_CELL_H
#define ROWMILL_JSON_CELL_H

#include "loops.h"

/* Append the cell, byte for byte what `engine.results.result_json` gives, quoted: 1, or 0 where the value is for that to
   write, and nothing was appended, or -1 with an exception set. Calls nothing of the value's. */
int json_cell_add(Buffer *buffer, PyObject *value);

#endif
