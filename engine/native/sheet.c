/* The XML of a sheet, and of the shared strings, as Excel, LibreOffice, openpyxl and XlsxWriter write it -> columns.

   Whatever is written in another way makes the answer None: then a parser of XML has to look at it. */

#include "sheet.h"

/* Read ` t="…"`, if it is there; -1 for an unknown type. */
static int
read_type(Sheet *sheet)
{
    static const struct {
        const char *written;
        int type;
    } types[] = {{"s\"", SHARED}, {"inlineStr\"", INLINE}, {"str\"", TEXT},
                 {"n\"", NUMBER}, {"b\"", BOOLEAN},        {"e\"", TEXT}};
    if (!STARTS_WITH(sheet->at, sheet->end, " t=\"")) {
        return NUMBER;
    }
    sheet->at += 4;
    for (size_t index = 0; index < sizeof(types) / sizeof(*types); index++) {
        size_t size = strlen(types[index].written);
        if ((size_t)(sheet->end - sheet->at) >= size && memcmp(sheet->at, types[index].written, size) == 0) {
            sheet->at += size;
            return types[index].type;
        }
    }
    return -1;
}

/* Read the cell at `<c r="`; `*column` is that of the one before it, and then its own. */
static int
read_cell(Sheet *sheet, long *column)
{
    const char *end = sheet->end;
    long found = 0;
    sheet->at += sizeof("<c r=\"") - 1;
    for (int count = 0; sheet->at < end && *sheet->at >= 'A' && *sheet->at <= 'Z'; count++) {
        if (count == 3) {
            return UNUSUAL;
        }
        found = found * 26 + (*sheet->at++ - 'A' + 1);
    }
    if (found - 1 <= *column || found > MAX_COLUMNS || end - sheet->at <= sheet->row_length ||
        memcmp(sheet->at, sheet->row_digits, (size_t)sheet->row_length) != 0 || sheet->at[sheet->row_length] != '"') {
        return UNUSUAL;
    }
    *column = found - 1;
    sheet->at += sheet->row_length + 1;
    char letter = 0;
    if (STARTS_WITH(sheet->at, end, " s=\"")) {
        sheet->at += 4;
        long style = read_number(&sheet->at, end);
        if (style < 0 || !STARTS_WITH(sheet->at, end, "\"")) {
            return UNUSUAL;
        }
        sheet->at++;
        letter = style < sheet->letter_count ? sheet->letters[style] : 0;
    }
    int type = read_type(sheet);
    if (type < 0) {
        return UNUSUAL;
    }
    if (STARTS_WITH(sheet->at, end, "/>")) {
        sheet->at += 2;
        return FOUND;
    }
    if (!STARTS_WITH(sheet->at, end, ">")) {
        return UNUSUAL;
    }
    sheet->at++;
    Cell cell = {.text = "", .row = (int32_t)(sheet->row - sheet->first_row), .column = (uint16_t)*column};
    int has_value;
    int result = read_content(sheet, type, letter, &cell, &has_value);
    if (result != FOUND) {
        return result;
    }
    if (!STARTS_WITH(sheet->at, end, "</c>")) {
        return UNUSUAL;
    }
    sheet->at += 4;
    return has_value ? cells_add(&sheet->cells, &cell) : FOUND;
}

/* Read the row at `<row r="`. */
static int
read_row(Sheet *sheet)
{
    const char *end = sheet->end;
    sheet->at += sizeof("<row r=\"") - 1;
    sheet->row_digits = sheet->at;
    long number = read_number(&sheet->at, end);
    sheet->row_length = sheet->at - sheet->row_digits;
    if (number <= sheet->row || number > sheet->last_row || !STARTS_WITH(sheet->at, end, "\"")) {
        return UNUSUAL;
    }
    sheet->row = number;
    int quotes = 0; /* of which the first one closes the number */
    for (; sheet->at < end && *sheet->at != '>'; sheet->at++) {
        quotes += *sheet->at == '"';
        if (*sheet->at == '<' || *sheet->at == '\'') {
            return UNUSUAL;
        }
    }
    if (sheet->at == end || quotes % 2 == 0) {
        return UNUSUAL;
    }
    int is_empty = sheet->at[-1] == '/';
    sheet->at++;
    long column = -1;
    while (!is_empty) {
        sheet->at = behind_blanks(sheet->at, end);
        if (STARTS_WITH(sheet->at, end, "</row>")) {
            sheet->at += sizeof("</row>") - 1;
            return FOUND;
        }
        if (!STARTS_WITH(sheet->at, end, "<c r=\"")) {
            return UNUSUAL;
        }
        int result = read_cell(sheet, &column);
        if (result != FOUND) {
            return result;
        }
    }
    return FOUND;
}

static int
read_rows(Sheet *sheet)
{
    while ((sheet->at = behind_blanks(sheet->at, sheet->end)) < sheet->end) {
        if (!STARTS_WITH(sheet->at, sheet->end, "<row r=\"")) {
            return UNUSUAL;
        }
        int result = read_row(sheet);
        if (result != FOUND) {
            return result;
        }
    }
    return FOUND;
}

static int
read_items(Sheet *sheet)
{
    const char *end = sheet->end;
    for (int32_t row = 0; (sheet->at = behind_blanks(sheet->at, end)) < end; row++) {
        Cell cell = {.text = "", .row = row};
        if (STARTS_WITH(sheet->at, end, "<si/>")) {
            sheet->at += 5;
        }
        else if (STARTS_WITH(sheet->at, end, "<si>")) {
            sheet->at += 4;
            int result = read_string(&sheet->cells, &sheet->at, end, &cell);
            if (result != FOUND) {
                return result;
            }
            if (!STARTS_WITH(sheet->at, end, "</si>")) {
                return UNUSUAL;
            }
            sheet->at += 5;
        }
        else {
            return UNUSUAL;
        }
        if (cells_add(&sheet->cells, &cell) != FOUND) {
            return NO_MEMORY;
        }
    }
    return FOUND;
}

/* Close the cells; what becomes of them. */
static PyObject *
finish(Sheet *sheet, int found)
{
    PyObject *result = NULL;
    if (found == NO_MEMORY) {
        PyErr_NoMemory();
    }
    else {
        result = found == FOUND ? cells_columns(&sheet->cells) : Py_NewRef(Py_None);
    }
    cells_close(&sheet->cells);
    return result;
}

PyObject *
loops_sheet_columns(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *xml, *letters, *offsets, *bytes;
    int first_row, last_row;
    Py_ssize_t height;
    if (!PyArg_ParseTuple(arguments, "SiinSOO", &xml, &first_row, &last_row, &height, &letters, &offsets, &bytes)) {
        return NULL;
    }
    if (first_row < 1 || last_row < first_row || height < 0 || height > last_row - (Py_ssize_t)first_row + 1) {
        PyErr_SetString(PyExc_ValueError, "there must be rows, and a height that is theirs");
        return NULL;
    }
    Sheet sheet = {
        .at = PyBytes_AS_STRING(xml),
        .end = PyBytes_AS_STRING(xml) + PyBytes_GET_SIZE(xml),
        .letters = PyBytes_AS_STRING(letters),
        .letter_count = PyBytes_GET_SIZE(letters),
        .first_row = first_row,
        .last_row = last_row,
        .row = (long)first_row - 1,
    };
    sheet.cells.xml_size = PyBytes_GET_SIZE(xml);
    sheet.cells.width = 1;
    sheet.cells.height = height;
    Py_buffer ends = {0}, texts = {0};
    if (offsets != Py_None) {
        if (PyObject_GetBuffer(offsets, &ends, PyBUF_SIMPLE) < 0) {
            return NULL;
        }
        if (PyObject_GetBuffer(bytes, &texts, PyBUF_SIMPLE) < 0) {
            PyBuffer_Release(&ends);
            return NULL;
        }
        sheet.string_offsets = (const int64_t *)ends.buf;
        sheet.string_count = ends.len / (Py_ssize_t)sizeof(int64_t) - 1;
        sheet.string_bytes = (const char *)texts.buf;
        sheet.string_size = texts.len;
    }
    int found;
    Py_BEGIN_ALLOW_THREADS;
    found = read_rows(&sheet);
    Py_END_ALLOW_THREADS;
    PyObject *result = finish(&sheet, found);
    if (offsets != Py_None) {
        PyBuffer_Release(&ends);
        PyBuffer_Release(&texts);
    }
    return result;
}

PyObject *
loops_shared_strings(PyObject *Py_UNUSED(module), PyObject *argument)
{
    if (!PyBytes_Check(argument)) {
        PyErr_SetString(PyExc_TypeError, "shared_strings takes bytes");
        return NULL;
    }
    Sheet sheet = {
        .at = PyBytes_AS_STRING(argument),
        .end = PyBytes_AS_STRING(argument) + PyBytes_GET_SIZE(argument),
    };
    sheet.cells.xml_size = PyBytes_GET_SIZE(argument);
    sheet.cells.width = 1;
    int found;
    Py_BEGIN_ALLOW_THREADS;
    found = read_items(&sheet);
    Py_END_ALLOW_THREADS;
    return finish(&sheet, found);
}
