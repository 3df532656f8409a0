/* Objects of plain values -> JSON in a quoted cell, in which every quote is doubled.

   Written here is what nearly all handlers return: dicts with text keys, of texts, integers, floats of common size, truth
   values, None, and lists and dicts of these. Subclasses, dates and what else there is go to Python, and so does what
   orjson refuses. */

#include "json_cell.h"

/* Deeper values are rare, and Python knows its own limit. */
enum { MAX_DEPTH = 16 };

/* A float between these is written by Python and by orjson with the same digits and without an exponent. */
static const double LEAST_FLOAT = 1e-4, GREATEST_FLOAT = 1e16;

static int
put(Buffer *buffer, const char *bytes, Py_ssize_t length)
{
    if (buffer_reserve(buffer, length) < 0) {
        return -1;
    }
    buffer_put(buffer, bytes, length);
    return 1;
}

static int
is_escaped(unsigned char byte)
{
    return byte < 0x20 || byte == '"' || byte == '\\';
}

/* Room for 6 bytes must have been reserved. */
static void
put_escaped(Buffer *buffer, unsigned char byte)
{
    static const char digits[] = "0123456789abcdef";
    static const char named[0x20] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    buffer_put_byte(buffer, '\\');
    if (byte == '"') {
        buffer_put(buffer, "\"\"", 2);
    }
    else if (byte == '\\') {
        buffer_put_byte(buffer, '\\');
    }
    else if (named[byte]) {
        buffer_put_byte(buffer, named[byte]);
    }
    else {
        buffer_put(buffer, "u00", 3);
        buffer_put_byte(buffer, digits[byte >> 4]);
        buffer_put_byte(buffer, digits[byte & 15]);
    }
}

static int
put_text(Buffer *buffer, PyObject *text)
{
    Py_ssize_t length, start = 0;
    const char *bytes = PyUnicode_AsUTF8AndSize(text, &length);
    if (bytes == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
            return -1;
        }
        PyErr_Clear(); /* half of a surrogate pair */
        return 0;
    }
    if (put(buffer, "\"\"", 2) < 0) {
        return -1;
    }
    for (Py_ssize_t at = 0; at < length; at++) {
        if (is_escaped((unsigned char)bytes[at])) {
            if (put(buffer, bytes + start, at - start) < 0 || buffer_reserve(buffer, 6) < 0) {
                return -1;
            }
            put_escaped(buffer, (unsigned char)bytes[at]);
            start = at + 1;
        }
    }
    return put(buffer, bytes + start, length - start) < 0 ? -1 : put(buffer, "\"\"", 2);
}

static int
put_integer(Buffer *buffer, PyObject *integer)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(integer, &overflow);
    if (overflow) {
        return 0;
    }
    if (number == -1 && PyErr_Occurred()) {
        return -1;
    }
    char digits[24];
    char *at = digits + sizeof(digits);
    unsigned long long rest = number < 0 ? 0ULL - (unsigned long long)number : (unsigned long long)number;
    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (number < 0) {
        *--at = '-';
    }
    return put(buffer, at, digits + sizeof(digits) - at);
}

static int
put_float(Buffer *buffer, double number)
{
    double size = number < 0 ? -number : number;
    if (!(size == 0 || (size >= LEAST_FLOAT && size < GREATEST_FLOAT))) {
        return 0;
    }
    char *digits = PyOS_double_to_string(number, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    if (digits == NULL) {
        return -1;
    }
    int done = put(buffer, digits, (Py_ssize_t)strlen(digits));
    PyMem_Free(digits);
    return done;
}

static int put_value(Buffer *buffer, PyObject *value, int depth);

static int
put_object(Buffer *buffer, PyObject *object, int depth)
{
    PyObject *key, *value;
    Py_ssize_t position = 0;
    char before = '{';
    while (PyDict_Next(object, &position, &key, &value)) {
        if (!PyUnicode_CheckExact(key)) {
            return 0;
        }
        int done = put(buffer, &before, 1);
        if (done <= 0 || (done = put_text(buffer, key)) <= 0 || (done = put(buffer, ":", 1)) <= 0 ||
            (done = put_value(buffer, value, depth + 1)) <= 0) {
            return done;
        }
        before = ',';
    }
    return before == '{' ? put(buffer, "{}", 2) : put(buffer, "}", 1);
}

static int
put_list(Buffer *buffer, PyObject *const *items, Py_ssize_t count, int depth)
{
    int done = put(buffer, "[", 1);
    for (Py_ssize_t index = 0; done > 0 && index < count; index++) {
        if (index) {
            done = put(buffer, ",", 1);
        }
        if (done > 0) {
            done = put_value(buffer, items[index], depth + 1);
        }
    }
    return done > 0 ? put(buffer, "]", 1) : done;
}

/* 1, or 0 where that is for Python, or -1 with an exception set. */
static int
put_value(Buffer *buffer, PyObject *value, int depth)
{
    if (PyUnicode_CheckExact(value)) {
        return put_text(buffer, value);
    }
    if (value == Py_None) {
        return put(buffer, "null", 4);
    }
    if (value == Py_True) {
        return put(buffer, "true", 4);
    }
    if (value == Py_False) {
        return put(buffer, "false", 5);
    }
    if (PyLong_CheckExact(value)) {
        return put_integer(buffer, value);
    }
    if (PyFloat_CheckExact(value)) {
        return put_float(buffer, PyFloat_AS_DOUBLE(value));
    }
    if (depth >= MAX_DEPTH) {
        return 0;
    }
    if (PyDict_CheckExact(value)) {
        return put_object(buffer, value, depth);
    }
    if (PyList_CheckExact(value)) {
        return put_list(buffer, ((PyListObject *)value)->ob_item, PyList_GET_SIZE(value), depth);
    }
    if (PyTuple_CheckExact(value)) {
        return put_list(buffer, ((PyTupleObject *)value)->ob_item, PyTuple_GET_SIZE(value), depth);
    }
    return 0;
}

int
json_cell_add(Buffer *buffer, PyObject *value)
{
    if (!PyDict_CheckExact(value)) {
        return 0;
    }
    if (PyDict_GET_SIZE(value) == 0) {
        return put(buffer, "{}", 2); /* it holds nothing that asks for quotes, where all others do */
    }
    Py_ssize_t mark = buffer->used;
    int done = put(buffer, "\"", 1);
    if (done > 0) {
        done = put_object(buffer, value, 0);
    }
    if (done > 0) {
        done = put(buffer, "\"", 1);
    }
    if (done <= 0) {
        buffer->used = mark;
    }
    return done;
}
