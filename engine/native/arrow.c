/* Cells of a table -> columns of text as Arrow holds them. */

#include "arrow.h"

#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

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

/* Fill the view of a text that stands in it. */
static inline void
put_short(View *view, const char *start, Py_ssize_t length, const Cells *cells)
{
#ifdef __SSE2__
    if (start - cells->data >= 4 && cells->data + cells->size - start >= INLINE_BYTES) {
        /* Read from four bytes before it, so that it comes to stand behind its length. */
        const __m128i places = _mm_setr_epi8(-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11);
        __m128i text = _mm_loadu_si128((const __m128i *)(const void *)(start - 4));
        __m128i is_of_it = _mm_and_si128(_mm_cmpgt_epi8(_mm_set1_epi8((char)length), places),
                                         _mm_cmpgt_epi8(places, _mm_set1_epi8(-1)));
        text = _mm_or_si128(_mm_and_si128(text, is_of_it), _mm_cvtsi32_si128((int)length));
        _mm_storeu_si128((__m128i *)(void *)view, text);
        return;
    }
#else
    (void)cells;
#endif
    view->length = (int32_t)length;
    memset(view->text.bytes, 0, INLINE_BYTES);
    memcpy(view->text.bytes, start, (size_t)length);
}

/* A quoted cell that holds quotes, with one of each pair of them; gives whether it is a long text now. */
static int
join_quoted(View *view, char *target, Cell *cell, const Cells *cells)
{
    cell->length = copy_quoted(target, *cell, cells->quote);
    cell->start = target;
    if (cell->length > INLINE_BYTES) {
        return 1;
    }
    view->length = (int32_t)cell->length;
    memset(view->text.bytes, 0, INLINE_BYTES);
    memcpy(view->text.bytes, target, (size_t)cell->length);
    return 0;
}

static void
fill(Owned *owned, const Cells *cells, Py_ssize_t column)
{
    const char *end = cells->data + cells->size;
    Py_ssize_t used = 0;
    for (Py_ssize_t row = 0; row < cells->row_count; row++) {
        View *view = &owned->views[row];
        Cell cell = cell_at(cells, row, column);
        char *target = owned->bytes + used;
        if (cell.is_quoted && memchr(cell.start, cells->quote, (size_t)cell.length) != NULL) {
            /* There is room for it even if it comes to be a short one. */
            if (!join_quoted(view, target, &cell, cells)) {
                continue;
            }
        }
        else if (cell.length <= INLINE_BYTES) {
            put_short(view, cell.start, cell.length, cells);
            continue;
        }
        else if (cell.length <= STEP_BYTES && end - cell.start >= STEP_BYTES) {
            memcpy(target, cell.start, STEP_BYTES);
        }
        else {
            memcpy(target, cell.start, (size_t)cell.length);
        }
        view->length = (int32_t)cell.length;
        memcpy(view->text.place.prefix, target, sizeof(view->text.place.prefix));
        view->text.place.buffer = 0;
        view->text.place.offset = (int32_t)used;
        used += cell.length;
    }
    owned->byte_count = used;
}

/* No fewer bytes than `fill` writes: quotes and line ends are counted, too. */
static size_t
bytes_needed(const Cells *cells, Py_ssize_t column)
{
    size_t needed = STEP_BYTES;
    for (Py_ssize_t index = column; index < cells->row_count * cells->width; index += cells->width) {
        uint32_t length = cells->ends[index] - (index ? cells->ends[index - 1] : 0);
        needed += length > INLINE_BYTES ? length : 0;
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
