/* What the loops over the XML of a workbook share: the cells that are found, and the columns that become of them. */

#ifndef ROWMILL_SHEET_H
#define ROWMILL_SHEET_H

#include <stdint.h>

#include "loops.h"

/* What came of looking at some XML. UNUSUAL: it is written otherwise than the usual programs do. */
enum { FOUND = 0, UNUSUAL = 1, NO_MEMORY = 2 };

/* Columns of a sheet, in any format. */
#define MAX_COLUMNS 16384

typedef struct {
    const char *text; /* in the XML, in `decoded`, or in the shared strings */
    Py_ssize_t length;
    int32_t row; /* counted from the first that is asked for */
    uint16_t column;
    char mark; /* in front of the text; 0 for none */
    char letter; /* behind the mark; 0 for none */
} Cell;

/* The cells of a piece of XML, in order. All memory is of the raw allocator: the interpreter's lock is not held. */
typedef struct {
    Cell *cells;
    Py_ssize_t count;
    Py_ssize_t room;
    char *decoded; /* texts that are not as they stand in the XML; as large as this is enough */
    Py_ssize_t decoded_used;
    Py_ssize_t xml_size;
    Py_ssize_t width;
    Py_ssize_t height;
} Cells;

int cells_add(Cells *cells, const Cell *cell);
void cells_close(Cells *cells);

/* The columns as a list of `(offsets, bytes, has marks)`; None where they would be much larger than the XML. */
PyObject *cells_columns(const Cells *cells);

#define STARTS_WITH(at, end, literal) \
    ((size_t)((end) - (at)) >= sizeof(literal) - 1 && memcmp((at), (literal), sizeof(literal) - 1) == 0)

/* A walk over the rows of a sheet. */
typedef struct {
    Cells cells;
    const char *at;
    const char *end;
    const char *letters; /* of each style; 0 for none */
    Py_ssize_t letter_count;
    const int64_t *string_offsets; /* NULL where cells may not refer to shared strings */
    Py_ssize_t string_count;
    const char *string_bytes;
    Py_ssize_t string_size;
    long first_row;
    long last_row;
    long row;
    const char *row_digits; /* of the row's number */
    Py_ssize_t row_length;
} Sheet;

/* The types of cells, by what stands in `t`. */
enum { NUMBER, SHARED, TEXT, BOOLEAN, INLINE };

/* The number at `*at`, which is moved behind it; -1 for none, for one with a zero in front, or above 99,999,999. */
long read_number(const char **at, const char *end);

/* Read what stands between `<c …>` and `</c>`. `*has_value`: whether there is a cell at all. */
int read_content(Sheet *sheet, int type, char letter, Cell *cell, int *has_value);

/* Behind white space. */
static inline const char *
behind_blanks(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
        at++;
    }
    return at;
}

/* Read the text of an element up to the next `<`, and set text and length of the cell.

   `*at` is behind the element's start, and then at the `<`. `is_string`: it is a `t`, in which `_x000D_` is a character,
   not a `v`; `is_trimmed`: white space at its ends is no part of it. */
int read_text(Cells *cells, const char **at, const char *end, int is_string, int is_trimmed, Cell *cell);

/* Read what stands in an `si` or `is`, up to the `</`: nothing or one `t`. */
int read_string(Cells *cells, const char **at, const char *end, Cell *cell);

#endif
