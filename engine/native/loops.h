/* What the loops share: a buffer that grows, and how a cell is quoted in a result file. */

#ifndef ROWMILL_LOOPS_H
#define ROWMILL_LOOPS_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

/* Bytes of a growing result, held in a bytes object so that it is handed over without a copy. */
typedef struct {
    PyObject *object;
    char *start;
    Py_ssize_t used;
    Py_ssize_t size;
} Buffer;

/* Each returns 0, or -1 with a Python exception set. */
int buffer_open(Buffer *buffer, Py_ssize_t size);
int buffer_grow(Buffer *buffer, Py_ssize_t more);

/* Hand over the bytes; NULL with an exception set when memory is short. The buffer is closed either way. */
PyObject *buffer_take(Buffer *buffer);
void buffer_close(Buffer *buffer);

static inline int
buffer_reserve(Buffer *buffer, Py_ssize_t more)
{
    return buffer->size - buffer->used >= more ? 0 : buffer_grow(buffer, more);
}

/* Room for `length` bytes must have been reserved. */
static inline void
buffer_put(Buffer *buffer, const char *bytes, Py_ssize_t length)
{
    /* A buffer of which nothing was wanted yet has no place to copy to, not even nothing. */
    if (length > 0) {
        memcpy(buffer->start + buffer->used, bytes, (size_t)length);
        buffer->used += length;
    }
}

static inline void
buffer_put_byte(Buffer *buffer, char byte)
{
    buffer->start[buffer->used++] = byte;
}

/* Append a cell, in quotes where it holds a quote, a comma or a line end, its quotes doubled. */
int buffer_add_cell(Buffer *buffer, const char *cell, Py_ssize_t length);

/* What a byte means outside quotes; all from QUOTE on are text there. */
enum { PLAIN = 0, DELIMITER = 1, LINE_END = 2, QUOTE = 3, TO_QUOTE = 4 };

/* Fill a table of what each byte means in a dialect; a quote below zero stands for none. TO_QUOTE is what this dialect
   takes for text, and a result file has to put in quotes. */
static inline void
fill_meanings(unsigned char meaning[256], int delimiter, int quote)
{
    memset(meaning, PLAIN, 256);
    meaning['"'] = TO_QUOTE;
    meaning[','] = TO_QUOTE;
    if (quote >= 0) {
        meaning[(unsigned char)quote] = QUOTE;
    }
    meaning['\n'] = meaning['\r'] = LINE_END;
    meaning[(unsigned char)delimiter] = DELIMITER;
}

/* A str of UTF-8; the caller has seen whether all of it is ASCII. */
static inline PyObject *
new_text(const char *bytes, Py_ssize_t length, int is_ascii)
{
    if (!is_ascii) {
        return PyUnicode_DecodeUTF8(bytes, length, "strict");
    }
    if (length <= 1) {
        /* Python keeps these at hand. */
        return PyUnicode_FromKindAndData(PyUnicode_1BYTE_KIND, bytes, length);
    }
    PyObject *text = PyUnicode_New(length, 127);
    if (text != NULL) {
        memcpy(PyUnicode_1BYTE_DATA(text), bytes, (size_t)length);
    }
    return text;
}

/* Whether bytes are UTF-8 by RFC 3629 - no overlong form, no surrogate, nothing above U+10FFFF - and how many of them
   are not the first of their character: -1 where they are not UTF-8. Needs no interpreter's lock. */
Py_ssize_t utf8_continuations(const unsigned char *at, Py_ssize_t size);

/* 0, or -1 with an exception set where `[start, stop)` is no part of the bytes. */
static inline int
check_span(PyObject *bytes, Py_ssize_t start, Py_ssize_t stop)
{
    if (start < 0 || stop < start || stop > PyBytes_GET_SIZE(bytes)) {
        PyErr_SetString(PyExc_ValueError, "start and stop are not those of a part of the bytes");
        return -1;
    }
    return 0;
}

/* The methods of the module, each described where it stands. */
PyObject *loops_call_rows(PyObject *module, PyObject *arguments);
PyObject *loops_new_lines(PyObject *module, PyObject *arguments);
PyObject *loops_size_of_lines(PyObject *module, PyObject *argument);
PyObject *loops_take_lines(PyObject *module, PyObject *argument);
PyObject *loops_run_text(PyObject *module, PyObject *arguments);
PyObject *loops_run_rows(PyObject *module, PyObject *arguments);
PyObject *loops_positions_of(PyObject *module, PyObject *arguments);
PyObject *loops_cut_rows(PyObject *module, PyObject *arguments);
PyObject *loops_column_rows(PyObject *module, PyObject *arguments);
PyObject *loops_table_columns(PyObject *module, PyObject *arguments);
PyObject *loops_result_lines(PyObject *module, PyObject *arguments);
PyObject *loops_joined_lines(PyObject *module, PyObject *arguments);
PyObject *loops_json_lines(PyObject *module, PyObject *arguments);
PyObject *loops_record_ends(PyObject *module, PyObject *arguments);
PyObject *loops_exact_ends(PyObject *module, PyObject *arguments);
PyObject *loops_continuation_bytes(PyObject *module, PyObject *arguments);
PyObject *loops_sheet_columns(PyObject *module, PyObject *arguments);
PyObject *loops_shared_strings(PyObject *module, PyObject *argument);

#endif
