/* Where the records of a table end, by quote parity: a line end behind an even number of quotes ends a record. */

#include "loops.h"

typedef struct {
    const char *data;
    Py_ssize_t size;
    Py_ssize_t base; /* the offset of the data in the source */
    long long *ends;
    long long *lines;
    Py_ssize_t count;
    Py_ssize_t room;
    Py_ssize_t line; /* line ends so far */
} Ends;

static int
add_end(Ends *ends, Py_ssize_t end)
{
    if (ends->count == ends->room) {
        Py_ssize_t room = 2 * ends->room + 1024;
        /* The raw allocator may be used without the interpreter's lock. */
        long long *grown = PyMem_RawRealloc(ends->ends, (size_t)room * sizeof(long long));
        if (grown == NULL) {
            return -1;
        }
        ends->ends = grown;
        grown = PyMem_RawRealloc(ends->lines, (size_t)room * sizeof(long long));
        if (grown == NULL) {
            return -1;
        }
        ends->lines = grown;
        ends->room = room;
    }
    ends->ends[ends->count] = ends->base + end;
    ends->lines[ends->count] = ends->line;
    ends->count++;
    return 0;
}

/* Take in the line ends of `data[at:stop]`. A CR at the very end of the data may be half a CRLF. */
static int
take_lines(Ends *ends, Py_ssize_t at, Py_ssize_t stop, int is_quoted, int has_returns, int is_last)
{
    const char *data = ends->data;
    if (!has_returns) {
        while (at < stop) {
            const char *found = memchr(data + at, '\n', (size_t)(stop - at));
            if (found == NULL) {
                break;
            }
            at = found - data + 1;
            ends->line++;
            if (!is_quoted && add_end(ends, at) < 0) {
                return -1;
            }
        }
        return 0;
    }
    for (; at < stop; at++) {
        int is_end = data[at] == '\n';
        if (data[at] == '\r') {
            is_end = at + 1 < ends->size ? data[at + 1] != '\n' : is_last;
        }
        if (is_end) {
            ends->line++;
            if (!is_quoted && add_end(ends, at + 1) < 0) {
                return -1;
            }
        }
    }
    return 0;
}

static int
may_border(char byte, char delimiter, char quote)
{
    return byte == delimiter || byte == quote || byte == '\n' || byte == '\r';
}

/* 1, or 0 where parity and the exact rule may differ, or -1 when memory is short. */
static int
find_ends(Ends *ends, char delimiter, int has_quote, char quote, int has_returns, int is_last)
{
    const char *data = ends->data;
    Py_ssize_t size = ends->size, at = 0;
    int is_quoted = 0;
    while (has_quote && at < size) {
        const char *found = memchr(data + at, quote, (size_t)(size - at));
        if (found == NULL) {
            break;
        }
        Py_ssize_t position = found - data;
        Py_ssize_t neighbour = is_quoted ? position + 1 : position - 1;
        if (neighbour >= 0 && neighbour < size && !may_border(data[neighbour], delimiter, quote)) {
            return 0;
        }
        if (take_lines(ends, at, position, is_quoted, has_returns, is_last) < 0) {
            return -1;
        }
        is_quoted = !is_quoted;
        at = position + 1;
    }
    if (is_quoted && is_last) {
        return 0; /* a quote that never closes */
    }
    if (take_lines(ends, at, size, is_quoted, has_returns, is_last) < 0) {
        return -1;
    }
    if (is_last && size > 0 && (ends->count == 0 || ends->ends[ends->count - 1] != ends->base + size)) {
        /* The last line has no end. */
        ends->line++;
        return add_end(ends, size) < 0 ? -1 : 1;
    }
    return 1;
}

/* Whether every CR is followed by a LF, so that looking for LF finds all line ends. */
static int
has_lone_return(const char *data, Py_ssize_t size)
{
    const char *at = data, *end = data + size;
    while (at < end && (at = memchr(at, '\r', (size_t)(end - at))) != NULL) {
        if (++at == end || *at != '\n') {
            return 1;
        }
    }
    return 0;
}

PyObject *
loops_record_ends(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source;
    Py_ssize_t base;
    int delimiter, quote, is_last, found;
    if (!PyArg_ParseTuple(arguments, "Sniip", &source, &base, &delimiter, &quote, &is_last)) {
        return NULL;
    }
    Ends ends = {.data = PyBytes_AS_STRING(source), .size = PyBytes_GET_SIZE(source), .base = base};
    Py_BEGIN_ALLOW_THREADS;
    int has_returns = has_lone_return(ends.data, ends.size);
    found = find_ends(&ends, (char)delimiter, quote >= 0, (char)quote, has_returns, is_last);
    Py_END_ALLOW_THREADS;
    PyObject *result = NULL;
    if (found < 0) {
        PyErr_NoMemory();
    }
    else if (found == 0) {
        result = Py_NewRef(Py_None);
    }
    else {
        Py_ssize_t bytes = ends.count * (Py_ssize_t)sizeof(long long);
        /* No array has been made where there is no record. */
        const char *none = "";
        result = Py_BuildValue("(y#y#)", bytes ? (const char *)ends.ends : none, bytes,
                               bytes ? (const char *)ends.lines : none, bytes);
    }
    PyMem_RawFree(ends.ends);
    PyMem_RawFree(ends.lines);
    return result;
}
