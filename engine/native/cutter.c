/* One record after the other -> its cells, as Python's `csv.reader` cuts them, and its text as `csv.writer` writes it.

   One walk over the bytes does both. A record whose own text is what would be written is copied; any other, as one
   with another delimiter or with quotes that nothing asks for, is written cell by cell. */

#include "cutter.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

int
cutter_open(Cutter *cutter, const char *data, Py_ssize_t size, int delimiter, int quote)
{
    memset(cutter, 0, sizeof(*cutter));
    cutter->data = data;
    cutter->size = size;
    cutter->delimiter = (char)delimiter;
    cutter->has_quote = quote >= 0;
    cutter->quote = (char)quote;
    cutter->quote_or_delimiter = (char)(quote >= 0 ? quote : delimiter);
    cutter->is_csv = delimiter == ',' && (quote == '"' || quote < 0);
    fill_meanings(cutter->meaning, delimiter, quote);
    known_texts_open(&cutter->known);
    cutter->cell_room = 32;
    cutter->cells = PyMem_Malloc((size_t)cutter->cell_room * sizeof(PyObject *));
    cutter->joined_room = 256;
    cutter->joined = PyMem_Malloc((size_t)cutter->joined_room);
    if (cutter->cells == NULL || cutter->joined == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
cutter_close(Cutter *cutter)
{
    while (cutter->cell_count > 0) {
        Py_DECREF(cutter->cells[--cutter->cell_count]);
    }
    known_texts_close(&cutter->known);
    PyMem_Free(cutter->cells);
    PyMem_Free(cutter->joined);
}

static int
add_cell(Cutter *cutter, const char *bytes, Py_ssize_t length, int is_ascii)
{
    if (cutter->cell_count == cutter->cell_room) {
        size_t room = 2 * (size_t)cutter->cell_room;
        PyObject **cells = PyMem_Realloc(cutter->cells, room * sizeof(PyObject *));
        if (cells == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        cutter->cells = cells;
        cutter->cell_room = (Py_ssize_t)room;
    }
    PyObject *text = known_text(&cutter->known, cutter->cell_count, bytes, length, is_ascii);
    if (text == NULL) {
        return -1;
    }
    cutter->cells[cutter->cell_count++] = text;
    return 0;
}

static int
join_room(Cutter *cutter, Py_ssize_t length)
{
    if (length <= cutter->joined_room) {
        return 0;
    }
    char *joined = PyMem_Realloc(cutter->joined, 2 * (size_t)length);
    if (joined == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    cutter->joined = joined;
    cutter->joined_room = 2 * length;
    return 0;
}

/* Cut the cell that begins with the quote at `at`, and what stands behind the closing one up to the next delimiter or
   line end. Gives the offset of that, or -1 with an exception set; `*is_minimal` is cleared where `csv.writer` would
   write the cell otherwise. */
static Py_ssize_t
cut_quoted(Cutter *cutter, Py_ssize_t at, int *is_minimal)
{
    const char *data = cutter->data;
    Py_ssize_t size = cutter->size, start = ++at, joined = 0;
    unsigned char bits = 0;
    int is_joined = 0, asks_for_quotes = 0;
    for (;;) {
        const char *found = at < size ? memchr(data + at, cutter->quote, (size_t)(size - at)) : NULL;
        Py_ssize_t end = found == NULL ? size : found - data;
        for (Py_ssize_t look = at; look < end; look++) {
            unsigned char byte = (unsigned char)data[look];
            bits |= byte;
            asks_for_quotes |= byte == ',' || byte == '\n' || byte == '\r';
        }
        if (found == NULL) {
            /* A quote that never closes: the rest is the cell. */
            *is_minimal = 0;
            at = size;
            if (!is_joined) {
                return add_cell(cutter, data + start, size - start, bits < 128) < 0 ? -1 : size;
            }
            if (join_room(cutter, joined + end - start) < 0) {
                return -1;
            }
            memcpy(cutter->joined + joined, data + start, (size_t)(end - start));
            return add_cell(cutter, cutter->joined, joined + end - start, bits < 128) < 0 ? -1 : size;
        }
        at = end + 1;
        int is_doubled = at < size && data[at] == cutter->quote;
        int is_followed = !is_doubled && at < size && cutter->meaning[(unsigned char)data[at]] != DELIMITER &&
                          cutter->meaning[(unsigned char)data[at]] != LINE_END;
        if (!is_doubled && !is_followed && !is_joined) {
            *is_minimal &= asks_for_quotes;
            return add_cell(cutter, data + start, end - start, bits < 128) < 0 ? -1 : at;
        }
        /* With the quote, if it is a doubled one. */
        Py_ssize_t length = end - start + is_doubled;
        if (join_room(cutter, joined + length) < 0) {
            return -1;
        }
        memcpy(cutter->joined + joined, data + start, (size_t)length);
        joined += length;
        is_joined = 1;
        if (is_doubled) {
            asks_for_quotes = 1;
            start = ++at;
            continue;
        }
        if (is_followed) {
            /* `csv.reader` takes it for more of the cell. */
            *is_minimal = 0;
            start = at;
            while (at < size && cutter->meaning[(unsigned char)data[at]] != DELIMITER &&
                   cutter->meaning[(unsigned char)data[at]] != LINE_END) {
                bits |= (unsigned char)data[at++];
            }
            if (join_room(cutter, joined + at - start) < 0) {
                return -1;
            }
            memcpy(cutter->joined + joined, data + start, (size_t)(at - start));
            joined += at - start;
        }
        *is_minimal &= asks_for_quotes;
        return add_cell(cutter, cutter->joined, joined, bits < 128) < 0 ? -1 : at;
    }
}

/* The offset of the next byte from `at` on that is not PLAIN, or the end; `*is_ascii` is cleared where one before it is
   not. Sixteen bytes at a time where the processor can, as most cells are shorter than that. */
static inline Py_ssize_t
skip_plain(const Cutter *cutter, Py_ssize_t at, int *is_ascii)
{
    const char *data = cutter->data;
#ifdef __SSE2__
    const __m128i delimiter = _mm_set1_epi8(cutter->delimiter), quote = _mm_set1_epi8(cutter->quote_or_delimiter);
    const __m128i double_quote = _mm_set1_epi8('"'), comma = _mm_set1_epi8(',');
    const __m128i feed = _mm_set1_epi8('\n'), carriage = _mm_set1_epi8('\r');
    while (cutter->size - at >= 16) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(data + at));
        __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(block, feed), _mm_cmpeq_epi8(block, carriage));
        __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(block, delimiter), _mm_cmpeq_epi8(block, quote));
        __m128i csv = _mm_or_si128(_mm_cmpeq_epi8(block, double_quote), _mm_cmpeq_epi8(block, comma));
        unsigned found = (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(ends, marks), csv));
        unsigned wide = (unsigned)_mm_movemask_epi8(block);
        if (found) {
            *is_ascii &= !(wide & (found - 1) & ~found);
            return at + __builtin_ctz(found);
        }
        *is_ascii &= !wide;
        at += 16;
    }
#endif
    for (; at < cutter->size && cutter->meaning[(unsigned char)data[at]] == PLAIN; at++) {
        *is_ascii &= (unsigned char)data[at] < 128;
    }
    return at;
}

Py_ssize_t
cutter_cut(Cutter *cutter, Py_ssize_t at, Py_ssize_t *end, int *is_minimal)
{
    const char *data = cutter->data;
    const unsigned char *meaning = cutter->meaning;
    Py_ssize_t size = cutter->size;
    int is_first = 1;
    *is_minimal = cutter->is_csv;
    for (;;) {
        if (cutter->has_quote && at < size && data[at] == cutter->quote) {
            at = cut_quoted(cutter, at, is_minimal);
            if (at < 0) {
                return -1;
            }
        }
        else {
            Py_ssize_t start = at;
            int is_ascii = 1;
            for (;;) {
                at = skip_plain(cutter, at, &is_ascii);
                if (at == size || meaning[(unsigned char)data[at]] <= LINE_END) {
                    break;
                }
                if (data[at] == '"' || data[at] == ',') {
                    *is_minimal = 0;
                }
                at++;
            }
            int is_blank = is_first && at == start && (at == size || meaning[(unsigned char)data[at]] == LINE_END);
            if (!is_blank && add_cell(cutter, data + start, at - start, is_ascii) < 0) {
                return -1;
            }
        }
        if (at == size) {
            *end = size;
            return size;
        }
        if (meaning[(unsigned char)data[at]] == LINE_END) {
            *end = at;
            return at + (data[at] == '\r' && at + 1 < size && data[at + 1] == '\n' ? 2 : 1);
        }
        at++;
        is_first = 0;
    }
}

PyObject *
cutter_take_row(Cutter *cutter)
{
    PyObject *row = PyList_New(cutter->cell_count);
    if (row == NULL) {
        return NULL;
    }
    for (Py_ssize_t index = 0; index < cutter->cell_count; index++) {
        PyList_SET_ITEM(row, index, cutter->cells[index]);
    }
    cutter->cell_count = 0;
    return row;
}

static int
write_cells(Cutter *cutter, Buffer *records)
{
    for (Py_ssize_t index = 0; index < cutter->cell_count; index++) {
        Py_ssize_t length;
        const char *bytes = PyUnicode_AsUTF8AndSize(cutter->cells[index], &length);
        if (bytes == NULL || buffer_add_cell(records, bytes, length) < 0 || buffer_reserve(records, 1) < 0) {
            return -1;
        }
        if (index + 1 < cutter->cell_count) {
            buffer_put_byte(records, ',');
        }
    }
    return 0;
}

int
cutter_write(Cutter *cutter, Buffer *texts, Py_ssize_t start, Py_ssize_t end, int is_minimal)
{
    if (!is_minimal) {
        return write_cells(cutter, texts);
    }
    if (buffer_reserve(texts, end - start) < 0) {
        return -1;
    }
    buffer_put(texts, cutter->data + start, end - start);
    return 0;
}
