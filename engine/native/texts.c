/* The texts of a regular table's rows, as `csv.writer` writes them, with no Python object for a row. */

#include "loops.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

typedef struct {
    const char *data;
    Py_ssize_t size;
    int has_quote;
    char quote;
    char delimiter;
    int is_csv;
    unsigned char meaning[256];
} Table;

static unsigned char
meaning_at(const Table *table, Py_ssize_t at)
{
    return at < table->size ? table->meaning[(unsigned char)table->data[at]] : LINE_END;
}

/* The offset behind the cell at `at`; -1 where a quote stands elsewhere than at the start and the end of one. */
static Py_ssize_t
skip_cell(const Table *table, Py_ssize_t at, int *is_minimal)
{
    const char *data = table->data;
    if (!table->has_quote || at >= table->size || data[at] != table->quote) {
        for (; at < table->size; at++) {
            unsigned char kind = table->meaning[(unsigned char)data[at]];
            if (kind == PLAIN) {
                continue;
            }
            if (kind <= LINE_END) {
                break;
            }
            if (kind == QUOTE) {
                return -1;
            }
            *is_minimal = 0;
        }
        return at;
    }
    int asks_for_quotes = 0;
    for (at++; at < table->size; at++) {
        char byte = data[at];
        if (byte == table->quote) {
            if (at + 1 == table->size || data[at + 1] != table->quote) {
                break;
            }
            at++;
            asks_for_quotes = 1;
        }
        asks_for_quotes |= byte == ',' || byte == '\n' || byte == '\r';
    }
    if (at == table->size) {
        return -1; /* a quote that never closes */
    }
    *is_minimal &= asks_for_quotes;
    at++;
    return meaning_at(table, at) == DELIMITER || meaning_at(table, at) == LINE_END ? at : -1;
}

/* Append a cell as a result file has it. */
static int
write_cell(const Table *table, Buffer *texts, Buffer *joined, Py_ssize_t start, Py_ssize_t end)
{
    const char *data = table->data;
    if (!table->has_quote || start == end || data[start] != table->quote) {
        return buffer_add_cell(texts, data + start, end - start);
    }
    joined->used = 0;
    if (buffer_reserve(joined, end - start) < 0) {
        return -1;
    }
    for (Py_ssize_t at = start + 1; at < end - 1; at++) {
        buffer_put_byte(joined, data[at]);
        if (data[at] == table->quote) {
            at++;
        }
    }
    return buffer_add_cell(texts, joined->start, joined->used);
}

static int
write_cells(const Table *table, Buffer *texts, Buffer *joined, Py_ssize_t at, Py_ssize_t end)
{
    int is_minimal = 0;
    for (;;) {
        Py_ssize_t stop = skip_cell(table, at, &is_minimal);
        if (write_cell(table, texts, joined, at, stop) < 0 || buffer_reserve(texts, 1) < 0) {
            return -1;
        }
        if (stop >= end) {
            return 0;
        }
        buffer_put_byte(texts, ',');
        at = stop + 1;
    }
}

#ifdef __SSE2__
#define WINDOW 64

/* A bit for each byte of a window: which are a line feed, which a delimiter, which ask for a closer look. */
typedef struct {
    unsigned long long feeds, delimiters, odd;
} Marks;

static inline Marks
marks_at(const Table *table, Py_ssize_t at)
{
    const __m128i delimiter = _mm_set1_epi8(table->delimiter), feed = _mm_set1_epi8('\n');
    const __m128i quote = _mm_set1_epi8(table->has_quote ? table->quote : '"'), double_quote = _mm_set1_epi8('"');
    const __m128i comma = _mm_set1_epi8(','), carriage = _mm_set1_epi8('\r');
    Marks marks = {0};
    for (int step = 0; step < WINDOW / 16; step++) {
        __m128i block = _mm_loadu_si128((const __m128i *)(const void *)(table->data + at + 16 * step));
        __m128i quotes = _mm_or_si128(_mm_cmpeq_epi8(block, quote), _mm_cmpeq_epi8(block, double_quote));
        __m128i is_delimiter = _mm_cmpeq_epi8(block, delimiter);
        /* A comma is odd where it is not the delimiter. */
        __m128i commas = _mm_andnot_si128(is_delimiter, _mm_cmpeq_epi8(block, comma));
        __m128i odd = _mm_or_si128(_mm_or_si128(quotes, commas), _mm_cmpeq_epi8(block, carriage));
        marks.feeds |= (unsigned long long)_mm_movemask_epi8(_mm_cmpeq_epi8(block, feed)) << (16 * step);
        marks.delimiters |= (unsigned long long)_mm_movemask_epi8(is_delimiter) << (16 * step);
        marks.odd |= (unsigned long long)_mm_movemask_epi8(odd) << (16 * step);
    }
    return marks;
}

/* As `take_record`, of a record without quotes and commas in cells; -3 where it may be another one, and nothing was
   appended. Most records of most tables are such, and one costs as much as a few cells cut one by one. */
static Py_ssize_t
take_plain_record(const Table *table, Buffer *texts, Py_ssize_t at, Py_ssize_t width)
{
    Py_ssize_t start = at, cells = 1;
    for (;; at += WINDOW) {
        if (table->size - at < WINDOW) {
            return -3;
        }
        Marks marks = marks_at(table, at);
        unsigned long long before = marks.feeds ? (marks.feeds & -marks.feeds) - 1 : ~0ULL;
        unsigned long long odd = marks.odd & before;
        cells += __builtin_popcountll(marks.delimiters & before);
        if (!marks.feeds && !odd) {
            continue;
        }
        Py_ssize_t feed = at + __builtin_ctzll(marks.feeds ? marks.feeds : 1), end = feed;
        if (odd) {
            /* The CR of a CRLF alone: a CR stands nowhere else. */
            if (odd & (odd - 1) || !marks.feeds || table->data[feed - 1] != '\r' || odd != (before ^ (before >> 1))) {
                return -3;
            }
            end--;
        }
        if (cells != width || end == start) {
            return -3;
        }
        if (buffer_reserve(texts, end - start) < 0) {
            return -2;
        }
        char *text = texts->start + texts->used;
        buffer_put(texts, table->data + start, end - start);
        if (table->delimiter != ',') {
            for (Py_ssize_t index = 0; index < end - start; index++) {
                text[index] = text[index] == table->delimiter ? ',' : text[index];
            }
        }
        return feed + 1;
    }
}
#endif

/* Append the record at `at`: the offset behind its line end, or -1 where it is not regular, or -2 with an exception. */
static Py_ssize_t
take_record(const Table *table, Buffer *texts, Buffer *joined, Py_ssize_t at, Py_ssize_t width)
{
    Py_ssize_t start = at, cells = 1;
    int is_minimal = table->is_csv;
    if (width == 1 && meaning_at(table, at) == LINE_END) {
        return -1;
    }
    while ((at = skip_cell(table, at, &is_minimal)) >= 0 && meaning_at(table, at) == DELIMITER) {
        cells++;
        at++;
    }
    if (at < 0 || cells != width) {
        return -1;
    }
    if (!is_minimal) {
        if (write_cells(table, texts, joined, start, at) < 0) {
            return -2;
        }
    }
    else if (buffer_reserve(texts, at - start) < 0) {
        return -2;
    }
    else {
        buffer_put(texts, table->data + start, at - start);
    }
    return at < table->size ? at + (table->data[at] == '\r' ? 2 : 1) : at;
}

PyObject *
loops_row_texts(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source, *result = NULL;
    Py_ssize_t width, at = 0;
    int delimiter, quote;
    if (!PyArg_ParseTuple(arguments, "Snii", &source, &width, &delimiter, &quote)) {
        return NULL;
    }
    Table table = {
        .data = PyBytes_AS_STRING(source),
        .size = PyBytes_GET_SIZE(source),
        .has_quote = quote >= 0,
        .quote = (char)quote,
        .delimiter = (char)delimiter,
        .is_csv = delimiter == ',' && (quote == '"' || quote < 0),
    };
    fill_meanings(table.meaning, delimiter, quote);
    Buffer texts = {0}, ends = {0}, joined = {0};
    if (buffer_open(&texts, table.size) < 0 || buffer_open(&ends, table.size / 16) < 0 ||
        buffer_open(&joined, 256) < 0) {
        goto close;
    }
    while (at >= 0 && at < table.size) {
#ifdef __SSE2__
        Py_ssize_t behind = take_plain_record(&table, &texts, at, width);
        at = behind == -3 ? take_record(&table, &texts, &joined, at, width) : behind;
#else
        at = take_record(&table, &texts, &joined, at, width);
#endif
        if (at == -2 || buffer_reserve(&ends, sizeof(texts.used)) < 0) {
            goto close;
        }
        buffer_put(&ends, (const char *)&texts.used, sizeof(texts.used));
    }
    if (at < 0) {
        result = Py_NewRef(Py_None);
        goto close;
    }
    PyObject *bytes = buffer_take(&texts);
    PyObject *marks = bytes == NULL ? NULL : buffer_take(&ends);
    if (marks != NULL) {
        result = Py_BuildValue("(OO)", bytes, marks);
    }
    Py_XDECREF(bytes);
    Py_XDECREF(marks);
close:
    buffer_close(&joined);
    buffer_close(&ends);
    buffer_close(&texts);
    return result;
}
