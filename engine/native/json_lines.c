/* Rows' texts and columns of results -> lines of a result file, each with its row's results as JSON.

   The columns come by Arrow's C data interface, as streams of arrays. Integers, truth values and texts are written here;
   of any other type nothing is written. */

#include <stdlib.h>

#include "arrow.h"
#include "lines.h"

typedef struct {
    const char *name; /* what stands before a value: `{""id"":`, and a comma in place of the brace from the second on */
    Py_ssize_t name_length;
    char format; /* as Arrow has it, `v` for "vu" */
    struct ArrowArray *arrays;
    Py_ssize_t array_count;
    Py_ssize_t array; /* the one that holds the row in hand */
    int64_t first;    /* the row that it begins with */
} Column;

static void
close_column(Column *column)
{
    for (Py_ssize_t index = 0; index < column->array_count; index++) {
        if (column->arrays[index].release != NULL) {
            column->arrays[index].release(&column->arrays[index]);
        }
    }
    free(column->arrays);
}

/* The one letter for a type that is written here, or 0. */
static char
format_of(const struct ArrowSchema *schema)
{
    if (schema->dictionary != NULL || schema->format == NULL) {
        return 0;
    }
    if (strcmp(schema->format, "vu") == 0) {
        return 'v';
    }
    return strlen(schema->format) == 1 && strchr("cCsSiIlLb", *schema->format) != NULL ? *schema->format : 0;
}

/* Take all arrays: 1, or 0 where this column cannot be written here, or -1 with an exception set. */
static int
take_arrays(Column *column, struct ArrowArrayStream *stream, Py_ssize_t row_count)
{
    int64_t rows = 0;
    for (;;) {
        struct ArrowArray array = {0};
        if (stream->get_next(stream, &array) != 0) {
            return 0;
        }
        if (array.release == NULL) {
            break;
        }
        struct ArrowArray *arrays =
            realloc(column->arrays, (size_t)(column->array_count + 1) * sizeof(struct ArrowArray));
        if (arrays == NULL) {
            array.release(&array);
            PyErr_NoMemory();
            return -1;
        }
        column->arrays = arrays;
        column->arrays[column->array_count++] = array;
        rows += array.length;
    }
    if (rows != row_count) {
        PyErr_SetString(PyExc_ValueError, "there must be a result for each row");
        return -1;
    }
    return 1;
}

static int
open_column(Column *column, PyObject *item, Py_ssize_t row_count)
{
    PyObject *name, *capsule;
    if (!PyTuple_Check(item) || !PyArg_ParseTuple(item, "SO", &name, &capsule)) {
        if (!PyErr_Occurred()) {
            PyErr_SetString(PyExc_TypeError, "a column is (name, stream)");
        }
        return -1;
    }
    struct ArrowArrayStream *stream = PyCapsule_GetPointer(capsule, "arrow_array_stream");
    if (stream == NULL) {
        return -1;
    }
    struct ArrowSchema schema = {0};
    if (stream->release == NULL || stream->get_schema(stream, &schema) != 0) {
        return 0;
    }
    column->name = PyBytes_AS_STRING(name);
    column->name_length = PyBytes_GET_SIZE(name);
    column->format = format_of(&schema);
    if (schema.release != NULL) {
        schema.release(&schema);
    }
    return column->format ? take_arrays(column, stream, row_count) : 0;
}

/* The digits of a number, put before `end`; gives the first. */
static char *
digits_before(char *end, uint64_t number)
{
    static const char pairs[] = "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243"
                                "44454647484950515253545556575859606162636465666768697071727374757677787980818283848586"
                                "87888990919293949596979899";
    while (number >= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (number % 100), 2);
        number /= 100;
    }
    if (number >= 10) {
        end -= 2;
        memcpy(end, pairs + 2 * number, 2);
        return end;
    }
    *--end = (char)('0' + number);
    return end;
}

static int
put_integer(Buffer *lines, uint64_t number, int is_negative)
{
    char digits[24], *end = digits + sizeof(digits), *start = digits_before(end, number);
    if (is_negative) {
        *--start = '-';
    }
    if (buffer_reserve(lines, end - start) < 0) {
        return -1;
    }
    buffer_put(lines, start, end - start);
    return 0;
}

static int
put_signed(Buffer *lines, int64_t number)
{
    return put_integer(lines, number < 0 ? 0 - (uint64_t)number : (uint64_t)number, number < 0);
}

/* Bytes as JSON's text, its quotes doubled for the cell that it stands in. */
static int
put_text(Buffer *lines, const unsigned char *at, Py_ssize_t length)
{
    static const char hex[] = "0123456789abcdef";
    if (length > (PY_SSIZE_T_MAX - 4) / 6) {
        PyErr_NoMemory();
        return -1;
    }
    if (buffer_reserve(lines, 6 * length + 4) < 0) {
        return -1;
    }
    buffer_put(lines, "\"\"", 2);
    char *target = lines->start + lines->used;
    for (const unsigned char *end = at + length; at < end; at++) {
        unsigned char byte = *at;
        if (byte >= 0x20 && byte != '"' && byte != '\\') {
            *target++ = (char)byte;
            continue;
        }
        *target++ = '\\';
        switch (byte) {
        case '"':
            *target++ = '"';
            *target++ = '"';
            break;
        case '\\': *target++ = '\\'; break;
        case '\b': *target++ = 'b'; break;
        case '\t': *target++ = 't'; break;
        case '\n': *target++ = 'n'; break;
        case '\f': *target++ = 'f'; break;
        case '\r': *target++ = 'r'; break;
        default:
            memcpy(target, "u00", 3);
            target[3] = hex[byte >> 4];
            target[4] = hex[byte & 15];
            target += 5;
        }
    }
    lines->used = target - lines->start;
    buffer_put(lines, "\"\"", 2);
    return 0;
}

static inline int
bit_at(const void *bits, int64_t index)
{
    return ((const unsigned char *)bits)[index >> 3] >> (index & 7) & 1;
}

static int
put_word(Buffer *lines, const char *word)
{
    Py_ssize_t length = (Py_ssize_t)strlen(word);
    if (buffer_reserve(lines, length) < 0) {
        return -1;
    }
    buffer_put(lines, word, length);
    return 0;
}

/* Where a row's value stands in the array in hand, or -1 for a null. Rows are asked for in order. */
static int64_t
index_of(Column *column, Py_ssize_t row)
{
    while (row >= column->first + column->arrays[column->array].length) {
        column->first += column->arrays[column->array++].length;
    }
    const struct ArrowArray *array = &column->arrays[column->array];
    int64_t index = row - column->first + array->offset;
    int is_null = array->null_count != 0 && array->buffers[0] != NULL && !bit_at(array->buffers[0], index);
    return is_null ? -1 : index;
}

static int
put_value(Buffer *lines, const Column *column, int64_t index)
{
    const struct ArrowArray *array = &column->arrays[column->array];
    const void *values = array->buffers[1];
    switch (column->format) {
    case 'b': return put_word(lines, bit_at(values, index) ? "true" : "false");
    case 'c': return put_signed(lines, ((const int8_t *)values)[index]);
    case 's': return put_signed(lines, ((const int16_t *)values)[index]);
    case 'i': return put_signed(lines, ((const int32_t *)values)[index]);
    case 'l': return put_signed(lines, ((const int64_t *)values)[index]);
    case 'C': return put_integer(lines, ((const uint8_t *)values)[index], 0);
    case 'S': return put_integer(lines, ((const uint16_t *)values)[index], 0);
    case 'I': return put_integer(lines, ((const uint32_t *)values)[index], 0);
    case 'L': return put_integer(lines, ((const uint64_t *)values)[index], 0);
    }
    const View *view = (const View *)values + index;
    const char *text = view->text.bytes;
    if (view->length > (int32_t)sizeof(view->text.bytes)) {
        text = (const char *)array->buffers[2 + view->text.place.buffer] + view->text.place.offset;
    }
    return put_text(lines, (const unsigned char *)text, view->length);
}

/* Append the cell with the row's one result; of JSON only texts need quotes. */
static int
put_single(Buffer *lines, Column *column, Py_ssize_t row)
{
    int64_t index = index_of(column, row);
    if (index < 0) {
        return put_word(lines, "{}");
    }
    if (column->format != 'v') {
        return put_value(lines, column, index);
    }
    return put_word(lines, "\"") < 0 || put_value(lines, column, index) < 0 ? -1 : put_word(lines, "\"");
}

/* Append the cell with the row's results as an object. */
static int
put_object(Buffer *lines, Column *columns, Py_ssize_t count, Py_ssize_t row)
{
    if (count == 0) {
        return put_word(lines, "{}");
    }
    if (put_word(lines, "\"") < 0) {
        return -1;
    }
    for (Column *column = columns; column < columns + count; column++) {
        if (buffer_reserve(lines, column->name_length) < 0) {
            return -1;
        }
        buffer_put(lines, column->name, column->name_length);
        int64_t index = index_of(column, row);
        if ((index < 0 ? put_word(lines, "null") : put_value(lines, column, index)) < 0) {
            return -1;
        }
    }
    return put_word(lines, "}\"");
}

static int
add_lines(Buffer *lines, Rows *rows, Column *columns, Py_ssize_t count, int is_object)
{
    const char *text;
    Py_ssize_t length;
    int found;
    while ((found = next_row(rows, &text, &length)) > 0) {
        if (buffer_reserve(lines, (length > 0 ? length : 0) + 1) < 0) {
            return -1;
        }
        if (length >= 0) {
            buffer_put(lines, text, length);
            buffer_put_byte(lines, ',');
        }
        Py_ssize_t row = rows->row - 1;
        if ((is_object ? put_object(lines, columns, count, row) : put_single(lines, columns, row)) < 0 ||
            put_word(lines, "\r\n") < 0) {
            return -1;
        }
    }
    return found;
}

PyObject *
loops_json_lines(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *texts, *ends, *refused, *list, *result = NULL;
    Py_ssize_t start, open = 0;
    int is_object;
    if (!PyArg_ParseTuple(arguments, "SSnO!O!p", &texts, &ends, &start, &PyList_Type, &refused, &PyList_Type, &list,
                          &is_object)) {
        return NULL;
    }
    Rows rows;
    if (open_rows(&rows, texts, ends, start, refused, 1) < 0) {
        return NULL;
    }
    Py_ssize_t count = PyList_GET_SIZE(list), names = 0;
    if (!is_object && count != 1) {
        PyErr_SetString(PyExc_ValueError, "without names there is one column");
        return NULL;
    }
    Py_ssize_t likely_bytes = 64;
    if (rows.row_count > 0 && rows.ends[rows.row_count - 1] > start) {
        likely_bytes += rows.ends[rows.row_count - 1] - start;
    }
    Column *columns = PyMem_Calloc((size_t)count + 1, sizeof(Column));
    if (columns == NULL) {
        return PyErr_NoMemory();
    }
    Buffer lines = {0};
    int is_open = 1;
    while (is_open > 0 && open < count) {
        is_open = open_column(&columns[open], PyList_GET_ITEM(list, open), rows.row_count);
        names += columns[open++].name_length + 12;
    }
    if (is_open == 0) {
        result = Py_NewRef(Py_None);
    }
    if (is_open > 0 &&
        buffer_open(&lines, likely_bytes + (names + 6) * rows.row_count) == 0 &&
        add_lines(&lines, &rows, columns, count, is_object) == 0) {
        result = buffer_take(&lines);
    }
    buffer_close(&lines);
    for (Py_ssize_t index = 0; index < open; index++) {
        close_column(&columns[index]);
    }
    PyMem_Free(columns);
    return result;
}
