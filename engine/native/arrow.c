/* Cells of a table -> columns of text as Arrow holds them. */

#include "arrow.h"

#include <stdlib.h>

/* The longest text that stands in its view. */
#define INLINE_BYTES 12
/* Bytes that are copied at once, whatever the length. */
#define STEP_BYTES 32

/* What a column owns; freed by whoever has it last, in any thread, with or without the interpreter's lock. */
typedef struct {
    View *views;
    char *bytes;
    int64_t byte_count;
    const void *buffers[4]; /* validity, views, bytes of long texts, how many these are */
} Owned;

static void
free_owned(Owned *owned)
{
    if (owned != NULL) {
        free(owned->views);
        free(owned->bytes);
        free(owned);
    }
}

static void
release_array(struct ArrowArray *array)
{
    free_owned(array->private_data);
    array->release = NULL;
}

static void
release_schema(struct ArrowSchema *schema)
{
    schema->release = NULL;
}

static void
close_array_capsule(PyObject *capsule)
{
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (array != NULL && array->release != NULL) {
        array->release(array);
    }
    free(array);
}

static void
close_schema_capsule(PyObject *capsule)
{
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (schema != NULL && schema->release != NULL) {
        schema->release(schema);
    }
    free(schema);
}

typedef struct {
    const char *start;
    Py_ssize_t length;
    int is_quoted;
} Cell;

/* A cell without the quotes around it. */
static inline Cell
cell_at(const Cells *cells, Py_ssize_t row, Py_ssize_t column)
{
    Py_ssize_t index = row * cells->width + column, start = 0, end = cells->ends[index];
    if (index > 0) {
        start = (Py_ssize_t)cells->ends[index - 1] + 1;
        /* The LF of a CRLF. */
        start += column == 0 && cells->data[start - 1] == '\r';
    }
    Cell cell = {cells->data + start, end - start, 0};
    if (cells->has_quote && cell.length > 0 && *cell.start == cells->quote) {
        cell.start++;
        cell.length -= 2;
        cell.is_quoted = 1;
    }
    return cell;
}

/* Copy a quoted cell, of each pair of quotes in it one; gives its length. */
static Py_ssize_t
copy_quoted(char *target, Cell cell, char quote)
{
    char *at = target;
    const char *from = cell.start, *end = cell.start + cell.length;
    while (from < end) {
        const char *found = memchr(from, quote, (size_t)(end - from));
        Py_ssize_t length = found == NULL ? end - from : found + 1 - from;
        memcpy(at, from, (size_t)length);
        at += length;
        from += found == NULL ? length : length + 1;
    }
    return at - target;
}

/* Fill the view of a text that stands in it. `room` bytes may be read from `start` on. */
static inline void
put_short(View *view, const char *start, Py_ssize_t length, Py_ssize_t room)
{
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (room >= INLINE_BYTES) {
        uint64_t low;
        uint32_t high;
        memcpy(&low, start, 8);
        memcpy(&high, start + 8, 4);
        low &= length >= 8 ? ~(uint64_t)0 : ((uint64_t)1 << (8 * length)) - 1;
        high &= length >= INLINE_BYTES ? ~(uint32_t)0
                : length <= 8          ? 0
                                       : ((uint32_t)1 << (8 * (length - 8))) - 1;
        memcpy(view->text.bytes, &low, 8);
        memcpy(view->text.bytes + 8, &high, 4);
        return;
    }
#endif
    (void)room;
    memset(view->text.bytes, 0, INLINE_BYTES);
    memcpy(view->text.bytes, start, (size_t)length);
}

static void
fill(Owned *owned, const Cells *cells, Py_ssize_t column)
{
    const char *end = cells->data + cells->size;
    Py_ssize_t used = 0;
    for (Py_ssize_t row = 0; row < cells->row_count; row++) {
        View *view = &owned->views[row];
        Cell cell = cell_at(cells, row, column);
        char short_text[INLINE_BYTES];
        if (cell.is_quoted && memchr(cell.start, cells->quote, (size_t)cell.length) != NULL) {
            /* There is room for it even if it comes to be a short one. */
            cell.length = copy_quoted(owned->bytes + used, cell, cells->quote);
            cell.start = owned->bytes + used;
            if (cell.length <= INLINE_BYTES) {
                memcpy(short_text, cell.start, (size_t)cell.length);
                view->length = (int32_t)cell.length;
                put_short(view, short_text, cell.length, 0);
                continue;
            }
        }
        else if (cell.length <= INLINE_BYTES) {
            view->length = (int32_t)cell.length;
            put_short(view, cell.start, cell.length, end - cell.start);
            continue;
        }
        else if (cell.length <= STEP_BYTES && end - cell.start >= STEP_BYTES) {
            memcpy(owned->bytes + used, cell.start, STEP_BYTES);
        }
        else {
            memcpy(owned->bytes + used, cell.start, (size_t)cell.length);
        }
        view->length = (int32_t)cell.length;
        memcpy(view->text.place.prefix, cell.start, sizeof(view->text.place.prefix));
        view->text.place.buffer = 0;
        view->text.place.offset = (int32_t)used;
        used += cell.length;
    }
    owned->byte_count = used;
}

/* Bytes that `fill` may write. */
static size_t
bytes_needed(const Cells *cells, Py_ssize_t column)
{
    size_t needed = STEP_BYTES;
    for (Py_ssize_t row = 0; row < cells->row_count; row++) {
        Cell cell = cell_at(cells, row, column);
        needed += cell.length > INLINE_BYTES ? (size_t)cell.length : 0;
    }
    return needed;
}

static Owned *
make_owned(const Cells *cells, Py_ssize_t column)
{
    Owned *owned = calloc(1, sizeof(Owned));
    if (owned == NULL) {
        return NULL;
    }
    owned->views = malloc(((size_t)cells->row_count + 1) * sizeof(View));
    owned->bytes = malloc(bytes_needed(cells, column));
    if (owned->views == NULL || owned->bytes == NULL) {
        free_owned(owned);
        return NULL;
    }
    fill(owned, cells, column);
    owned->buffers[1] = owned->views;
    owned->buffers[2] = owned->bytes;
    owned->buffers[3] = &owned->byte_count;
    return owned;
}

PyObject *
arrow_column(const Cells *cells, Py_ssize_t column)
{
    struct ArrowSchema *schema = calloc(1, sizeof(*schema));
    struct ArrowArray *array = calloc(1, sizeof(*array));
    Owned *owned = make_owned(cells, column);
    PyObject *schema_capsule = NULL, *array_capsule = NULL;
    if (schema == NULL || array == NULL || owned == NULL) {
        free_owned(owned);
        PyErr_NoMemory();
        goto failed;
    }
    *schema = (struct ArrowSchema){.format = "vu", .name = "", .release = release_schema};
    *array = (struct ArrowArray){
        .length = cells->row_count,
        .n_buffers = 4,
        .buffers = owned->buffers,
        .release = release_array,
        .private_data = owned,
    };
    schema_capsule = PyCapsule_New(schema, "arrow_schema", close_schema_capsule);
    if (schema_capsule == NULL) {
        release_array(array);
        goto failed;
    }
    schema = NULL;
    array_capsule = PyCapsule_New(array, "arrow_array", close_array_capsule);
    if (array_capsule == NULL) {
        release_array(array);
        goto failed;
    }
    return Py_BuildValue("(NN)", schema_capsule, array_capsule);
failed:
    free(schema);
    free(array);
    Py_XDECREF(schema_capsule);
    return NULL;
}
