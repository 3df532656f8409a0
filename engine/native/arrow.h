/* Arrow's C data interface (https://arrow.apache.org/docs/format/CDataInterface.html): these structures are its
   binary form, and PyCapsules of them are how libraries of Python hand columns to each other without a copy. */

#ifndef ROWMILL_ARROW_H
#define ROWMILL_ARROW_H

#include <stdint.h>

#include "loops.h"

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

struct ArrowArrayStream {
    int (*get_schema)(struct ArrowArrayStream *, struct ArrowSchema *);
    int (*get_next)(struct ArrowArrayStream *, struct ArrowArray *);
    const char *(*get_last_error)(struct ArrowArrayStream *);
    void (*release)(struct ArrowArrayStream *);
    void *private_data;
};

/* A text of up to 12 bytes, or where a longer one stands. */
typedef struct {
    int32_t length;
    union {
        char bytes[12];
        struct {
            char prefix[4];
            int32_t buffer;
            int32_t offset;
        } place;
    } text;
} View;

/* Cells of a table: row by row the offset behind each, all of them below 2 GiB. */
typedef struct {
    const char *data;
    Py_ssize_t size;
    int has_quote;
    char quote;
    const uint32_t *ends;
    Py_ssize_t row_count;
    Py_ssize_t width;
} Cells;

/* A column as `__arrow_c_array__` gives one, a pair of capsules: type "utf8 view", no nulls. The bytes are copied, quotes
   around cells left out; nothing in it belongs to Python. NULL with an exception set when memory is short. */
PyObject *arrow_column(const Cells *cells, Py_ssize_t column);

#endif
