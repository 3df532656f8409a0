/* A regular table as columns of text, and the texts of its rows as `csv.writer` writes them, with no Python object for
   a cell or a row. */

#include "arrow.h"

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
    Py_ssize_t width; /* how many cells each record is to have */
} Table;

/* What is found of the records, one behind the other. */
typedef struct {
    Buffer texts;
    Buffer ends;      /* `Py_ssize_t`s: where each text ends */
    Buffer cell_ends; /* `uint32_t`s: the offset behind each cell */
    Buffer joined;    /* one cell with its doubled quotes made single */
} Found;

static inline void
put_cell_end(Buffer *cell_ends, Py_ssize_t at)
{
    uint32_t end = (uint32_t)at;
    buffer_put(cell_ends, (const char *)&end, sizeof(end));
}

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
take_plain_record(const Table *table, Found *found, Py_ssize_t at)
{
    Py_ssize_t start = at, cells = 1, before_record = found->cell_ends.used;
    Buffer *texts = &found->texts;
    for (;; at += WINDOW) {
        if (table->size - at < WINDOW) {
            break;
        }
        Marks marks = marks_at(table, at);
        unsigned long long before = marks.feeds ? (marks.feeds & -marks.feeds) - 1 : ~0ULL;
        unsigned long long odd = marks.odd & before, delimiters = marks.delimiters & before;
        for (; delimiters && cells < table->width; cells++, delimiters &= delimiters - 1) {
            put_cell_end(&found->cell_ends, at + __builtin_ctzll(delimiters));
        }
        if (delimiters) {
            break;
        }
        if (!marks.feeds && !odd) {
            continue;
        }
        Py_ssize_t feed = at + __builtin_ctzll(marks.feeds ? marks.feeds : 1), end = feed;
        if (odd) {
            /* The CR of a CRLF alone: a CR stands nowhere else. */
            if (odd & (odd - 1) || !marks.feeds || table->data[feed - 1] != '\r' || odd != (before ^ (before >> 1))) {
                break;
            }
            end--;
        }
        if (cells != table->width || end == start) {
            break;
        }
        if (buffer_reserve(texts, end - start) < 0) {
            return -2;
        }
        put_cell_end(&found->cell_ends, end);
        char *text = texts->start + texts->used;
        buffer_put(texts, table->data + start, end - start);
        if (table->delimiter != ',') {
            for (Py_ssize_t index = 0; index < end - start; index++) {
                text[index] = text[index] == table->delimiter ? ',' : text[index];
            }
        }
        return feed + 1;
    }
    found->cell_ends.used = before_record;
    return -3;
}
#endif

/* Append the record at `at`: the offset behind its line end, or -1 where it is not regular, or -2 with an exception. */
static Py_ssize_t
take_record(const Table *table, Found *found, Py_ssize_t at)
{
    Py_ssize_t start = at, cells = 1;
    int is_minimal = table->is_csv;
    if (table->width == 1 && meaning_at(table, at) == LINE_END) {
        return -1;
    }
    while ((at = skip_cell(table, at, &is_minimal)) >= 0 && cells <= table->width) {
        put_cell_end(&found->cell_ends, at);
        if (meaning_at(table, at) != DELIMITER) {
            break;
        }
        cells++;
        at++;
    }
    if (at < 0 || cells != table->width) {
        return -1;
    }
    if (!is_minimal) {
        if (write_cells(table, &found->texts, &found->joined, start, at) < 0) {
            return -2;
        }
    }
    else if (buffer_reserve(&found->texts, at - start) < 0) {
        return -2;
    }
    else {
        buffer_put(&found->texts, table->data + start, at - start);
    }
    return at < table->size ? at + (table->data[at] == '\r' ? 2 : 1) : at;
}

/* Take all records: 1, or 0 where one is not regular, or -1 with an exception set. */
static int
take_records(const Table *table, Found *found)
{
    Py_ssize_t at = 0;
    while (at < table->size) {
        if (buffer_reserve(&found->cell_ends, table->width * (Py_ssize_t)sizeof(uint32_t)) < 0) {
            return -1;
        }
#ifdef __SSE2__
        Py_ssize_t behind = take_plain_record(table, found, at);
        at = behind == -3 ? take_record(table, found, at) : behind;
#else
        at = take_record(table, found, at);
#endif
        if (at == -1) {
            return 0;
        }
        if (at < 0 || buffer_reserve(&found->ends, sizeof(found->texts.used)) < 0) {
            return -1;
        }
        buffer_put(&found->ends, (const char *)&found->texts.used, sizeof(found->texts.used));
    }
    return 1;
}

static PyObject *
columns_of(const Table *table, const Found *found)
{
    Cells cells = {
        .data = table->data,
        .size = table->size,
        .has_quote = table->has_quote,
        .quote = table->quote,
        .ends = (const uint32_t *)(const void *)found->cell_ends.start,
        .row_count = found->ends.used / (Py_ssize_t)sizeof(found->texts.used),
        .width = table->width,
    };
    PyObject *columns = PyList_New(table->width);
    for (Py_ssize_t index = 0; columns != NULL && index < table->width; index++) {
        PyObject *column = arrow_column(&cells, index);
        if (column == NULL) {
            Py_CLEAR(columns);
            break;
        }
        PyList_SET_ITEM(columns, index, column);
    }
    return columns;
}

PyObject *
loops_table_columns(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source, *result = NULL;
    Py_ssize_t width, row_count;
    int delimiter, quote;
    if (!PyArg_ParseTuple(arguments, "Snnii", &source, &width, &row_count, &delimiter, &quote)) {
        return NULL;
    }
    Py_ssize_t size = PyBytes_GET_SIZE(source);
    if (width < 1 || row_count < 0) {
        PyErr_SetString(PyExc_ValueError, "there must be a column, and no fewer than no rows");
        return NULL;
    }
    if (size > INT32_MAX || width > size + 1 || row_count > size) {
        Py_RETURN_NONE;
    }
    Table table = {
        .data = PyBytes_AS_STRING(source),
        .size = size,
        .has_quote = quote >= 0,
        .quote = (char)quote,
        .delimiter = (char)delimiter,
        .is_csv = delimiter == ',' && (quote == '"' || quote < 0),
        .width = width,
    };
    fill_meanings(table.meaning, delimiter, quote);
    Found found = {0};
    /* As many cells as there are may be more than there is room for before the table is known to be regular. */
    Py_ssize_t likely_cells = row_count > size / width ? size : row_count * width;
    if (buffer_open(&found.texts, size) < 0 || buffer_open(&found.ends, row_count * (Py_ssize_t)sizeof(size)) < 0 ||
        buffer_open(&found.cell_ends, likely_cells * (Py_ssize_t)sizeof(uint32_t)) < 0 ||
        buffer_open(&found.joined, 256) < 0) {
        goto close;
    }
    int is_regular = take_records(&table, &found);
    if (is_regular == 0) {
        result = Py_NewRef(Py_None);
    }
    if (is_regular <= 0) {
        goto close;
    }
    PyObject *columns = columns_of(&table, &found);
    buffer_close(&found.cell_ends);
    PyObject *bytes = columns == NULL ? NULL : buffer_take(&found.texts);
    PyObject *marks = bytes == NULL ? NULL : buffer_take(&found.ends);
    if (marks != NULL) {
        result = Py_BuildValue("(OOO)", bytes, marks, columns);
    }
    Py_XDECREF(columns);
    Py_XDECREF(bytes);
    Py_XDECREF(marks);
close:
    buffer_close(&found.joined);
    buffer_close(&found.cell_ends);
    buffer_close(&found.ends);
    buffer_close(&found.texts);
    return result;
}
