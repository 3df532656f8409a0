/* The growing buffer, and the quoting of RFC 4180. */

#include "loops.h"

int
buffer_open(Buffer *buffer, Py_ssize_t size)
{
    buffer->used = 0;
    buffer->size = size > 64 ? size : 64;
    buffer->object = PyBytes_FromStringAndSize(NULL, buffer->size);
    if (buffer->object == NULL) {
        return -1;
    }
    buffer->start = PyBytes_AS_STRING(buffer->object);
    return 0;
}

int
buffer_grow(Buffer *buffer, Py_ssize_t more)
{
    if (more > PY_SSIZE_T_MAX / 2 - buffer->used) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t needed = buffer->used + more;
    Py_ssize_t size = needed + needed / 2;
    /* Sets `object` to NULL, and an exception, when memory is short. */
    if (_PyBytes_Resize(&buffer->object, size) < 0) {
        return -1;
    }
    buffer->start = PyBytes_AS_STRING(buffer->object);
    buffer->size = size;
    return 0;
}

PyObject *
buffer_take(Buffer *buffer)
{
    if (_PyBytes_Resize(&buffer->object, buffer->used) < 0) {
        return NULL;
    }
    PyObject *bytes = buffer->object;
    buffer->object = NULL;
    return bytes;
}

void
buffer_close(Buffer *buffer)
{
    Py_CLEAR(buffer->object);
}

int
buffer_add_cell(Buffer *buffer, const char *cell, Py_ssize_t length)
{
    int needs_quotes = 0;
    for (Py_ssize_t at = 0; at < length; at++) {
        char byte = cell[at];
        if (byte == '"' || byte == ',' || byte == '\n' || byte == '\r') {
            needs_quotes = 1;
            break;
        }
    }
    /* Every byte may be a quote that is doubled. */
    if (length > (PY_SSIZE_T_MAX - 2) / 2) {
        PyErr_NoMemory();
        return -1;
    }
    if (buffer_reserve(buffer, needs_quotes ? 2 * length + 2 : length) < 0) {
        return -1;
    }
    if (!needs_quotes) {
        buffer_put(buffer, cell, length);
        return 0;
    }
    buffer_put_byte(buffer, '"');
    char *target = buffer->start + buffer->used;
    for (Py_ssize_t at = 0; at < length; at++) {
        char byte = cell[at];
        *target++ = byte;
        if (byte == '"') {
            *target++ = '"';
        }
    }
    buffer->used = target - buffer->start;
    buffer_put_byte(buffer, '"');
    return 0;
}
