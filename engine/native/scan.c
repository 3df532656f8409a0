/* Where the records of a table end: by quote parity, where a line end behind an even number of quotes ends a record, or
   cell by cell, which is slower, and exact in every dialect. */

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

/* What the walk from cell to cell needs to know. */
typedef struct {
    char delimiter;
    int quote; /* below zero for none, as the escape */
    int escape;
    int skips_blanks; /* whether blanks may stand before an opening quote */
    int is_last;
} Form;

static int
is_line_end(char byte)
{
    return byte == '\n' || byte == '\r';
}

/* Take in the byte at `at`, if it ends a physical line; a CR before a LF does not. */
static void
count_line(Ends *ends, Py_ssize_t at)
{
    const char *data = ends->data;
    ends->line += data[at] == '\n' || (data[at] == '\r' && (at + 1 >= ends->size || data[at + 1] != '\n'));
}

/* Behind the quoted cell whose text begins at `at`, and the blanks behind it; `size` where the data ends before it is
   known to have ended, or -1 where its quote is a stray one, or text follows the closing one. */
static Py_ssize_t
behind_quoted(Ends *ends, Py_ssize_t at, const Form *form)
{
    const char *data = ends->data;
    Py_ssize_t size = ends->size;
    int has_lines = 0;
    for (;; at++) {
        if (at >= size) {
            return form->is_last ? -1 : size;
        }
        if (form->escape >= 0 && data[at] == (char)form->escape) {
            if (++at < size && is_line_end(data[at])) {
                has_lines = 1;
                count_line(ends, at);
            }
        }
        else if (data[at] == (char)form->quote) {
            if (++at >= size || data[at] != (char)form->quote) {
                break;
            }
        }
        else if (is_line_end(data[at])) {
            has_lines = 1;
            count_line(ends, at);
        }
    }
    /* Behind a cell of several lines there is no room for blanks: its quote may be a stray one, and this the next. */
    while (!has_lines && form->delimiter != ' ' && at < size && data[at] == ' ') {
        at++;
    }
    return at < size && data[at] != form->delimiter && !is_line_end(data[at]) ? -1 : at;
}

/* Behind the cell at `at` that has no quotes; `size` where the data ends before it is known to have ended. */
static Py_ssize_t
behind_plain(Ends *ends, Py_ssize_t at, const Form *form)
{
    const char *data = ends->data;
    Py_ssize_t size = ends->size;
    for (; at < size && data[at] != form->delimiter && !is_line_end(data[at]); at++) {
        if (form->escape >= 0 && data[at] == (char)form->escape && at + 1 < size) {
            if (!is_line_end(data[at + 1])) {
                at++;
            }
            else if (form->quote < 0) {
                count_line(ends, ++at);
            }
        }
    }
    return at;
}

/* As `find_ends`. */
static int
find_exact_ends(Ends *ends, const Form *form)
{
    const char *data = ends->data;
    Py_ssize_t size = ends->size, at = 0;
    while (at < size) {
        Py_ssize_t opening = at;
        while (form->skips_blanks && opening < size && data[opening] == ' ') {
            opening++;
        }
        if (form->quote >= 0 && opening < size && data[opening] == (char)form->quote) {
            at = behind_quoted(ends, opening + 1, form);
            if (at < 0) {
                return 0;
            }
        }
        else {
            at = behind_plain(ends, at, form);
        }
        if (at >= size) {
            break;
        }
        if (data[at] == form->delimiter) {
            at++;
            continue;
        }
        if (data[at] == '\r' && at + 1 == size && !form->is_last) {
            break; /* half a CRLF, perhaps */
        }
        ends->line++;
        at += data[at] == '\r' && at + 1 < size && data[at + 1] == '\n' ? 2 : 1;
        if (add_end(ends, at) < 0) {
            return -1;
        }
    }
    if (form->is_last && size > 0 && (ends->count == 0 || ends->ends[ends->count - 1] != ends->base + size)) {
        ends->line += !is_line_end(data[size - 1]); /* an escaped line end has been counted */
        return add_end(ends, size) < 0 ? -1 : 1;
    }
    return 1;
}

/* Offsets and lines, and the end of the arrays. */
static PyObject *
taken(Ends *ends, int found)
{
    PyObject *result = NULL;
    if (found < 0) {
        PyErr_NoMemory();
    }
    else if (found == 0) {
        result = Py_NewRef(Py_None);
    }
    else {
        Py_ssize_t bytes = ends->count * (Py_ssize_t)sizeof(long long);
        /* No array has been made where there is no record. */
        const char *none = "";
        result = Py_BuildValue("(y#y#)", bytes ? (const char *)ends->ends : none, bytes,
                               bytes ? (const char *)ends->lines : none, bytes);
    }
    PyMem_RawFree(ends->ends);
    PyMem_RawFree(ends->lines);
    return result;
}

PyObject *
loops_record_ends(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source;
    Py_ssize_t start, stop, base;
    int delimiter, quote, is_last, found;
    if (!PyArg_ParseTuple(arguments, "Snnniip", &source, &start, &stop, &base, &delimiter, &quote, &is_last) ||
        check_span(source, start, stop) < 0) {
        return NULL;
    }
    Ends ends = {.data = PyBytes_AS_STRING(source) + start, .size = stop - start, .base = base};
    Py_BEGIN_ALLOW_THREADS;
    int has_returns = has_lone_return(ends.data, ends.size);
    found = find_ends(&ends, (char)delimiter, quote >= 0, (char)quote, has_returns, is_last);
    Py_END_ALLOW_THREADS;
    return taken(&ends, found);
}

PyObject *
loops_exact_ends(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source;
    Py_ssize_t start, stop, base;
    int delimiter, found;
    Form form;
    if (!PyArg_ParseTuple(arguments, "Snnniiipp", &source, &start, &stop, &base, &delimiter, &form.quote,
                          &form.escape, &form.skips_blanks, &form.is_last) ||
        check_span(source, start, stop) < 0) {
        return NULL;
    }
    form.delimiter = (char)delimiter;
    Ends ends = {.data = PyBytes_AS_STRING(source) + start, .size = stop - start, .base = base};
    Py_BEGIN_ALLOW_THREADS;
    found = find_exact_ends(&ends, &form);
    Py_END_ALLOW_THREADS;
    return taken(&ends, found);
}
