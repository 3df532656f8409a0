/* Cells that were found -> columns as Arrow holds them: offsets, and the bytes of one text after the other. */

#include "sheet.h"

/* Of the places for cells that columns have, and of their texts: many times what a piece of XML without a trap comes
   to, in which cells far apart, or a long string a million times, are more than memory can hold. */
#define PLACES_PER_BYTE 8
#define FREE_PLACES (1024 * 1024)
#define BYTES_PER_BYTE 64
#define FREE_BYTES (16 * 1024 * 1024)

int
cells_add(Cells *cells, const Cell *cell)
{
    if (cells->count == cells->room) {
        Py_ssize_t room = 2 * cells->room + 4096;
        Cell *grown = PyMem_RawRealloc(cells->cells, (size_t)room * sizeof(Cell));
        if (grown == NULL) {
            return NO_MEMORY;
        }
        cells->cells = grown;
        cells->room = room;
    }
    cells->cells[cells->count++] = *cell;
    if (cell->column >= cells->width) {
        cells->width = (Py_ssize_t)cell->column + 1;
    }
    if (cell->row >= cells->height) {
        cells->height = (Py_ssize_t)cell->row + 1;
    }
    return FOUND;
}

void
cells_close(Cells *cells)
{
    PyMem_RawFree(cells->cells);
    PyMem_RawFree(cells->decoded);
}

typedef struct {
    int64_t size;
    int32_t *offsets;
    char *bytes;
    Py_ssize_t next_row; /* whose offset is to be set next */
    int32_t used;
    int has_marks;
} Column;

static Py_ssize_t
size_of(const Cell *cell)
{
    return cell->length + (cell->mark != 0) + (cell->letter != 0);
}

/* Sets the columns' sizes; 0 where they are too large. */
static int
measure(const Cells *cells, Column *columns)
{
    if (cells->width * (cells->height + 1) > FREE_PLACES + PLACES_PER_BYTE * cells->xml_size) {
        return 0;
    }
    int64_t total = 0;
    for (Py_ssize_t index = 0; index < cells->count; index++) {
        const Cell *cell = &cells->cells[index];
        columns[cell->column].size += size_of(cell);
        columns[cell->column].has_marks |= cell->mark != 0;
        total += size_of(cell);
    }
    int64_t most = FREE_BYTES + (int64_t)BYTES_PER_BYTE * cells->xml_size;
    return total <= most && total <= INT32_MAX;
}

static void
fill(const Cells *cells, Column *columns)
{
    for (Py_ssize_t index = 0; index < cells->count; index++) {
        const Cell *cell = &cells->cells[index];
        Column *column = &columns[cell->column];
        while (column->next_row <= cell->row) {
            column->offsets[column->next_row++] = column->used;
        }
        char *target = column->bytes + column->used;
        if (cell->mark) {
            *target++ = cell->mark;
        }
        if (cell->letter) {
            *target++ = cell->letter;
        }
        memcpy(target, cell->text, (size_t)cell->length);
        column->used += (int32_t)size_of(cell);
    }
    for (Py_ssize_t index = 0; index < cells->width; index++) {
        Column *column = &columns[index];
        while (column->next_row <= cells->height) {
            column->offsets[column->next_row++] = column->used;
        }
    }
}

PyObject *
cells_columns(const Cells *cells)
{
    Column *columns = PyMem_Calloc((size_t)(cells->width ? cells->width : 1), sizeof(Column));
    if (columns == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *list = NULL;
    if (!measure(cells, columns)) {
        list = Py_NewRef(Py_None);
        goto close;
    }
    list = PyList_New(cells->width);
    for (Py_ssize_t index = 0; list != NULL && index < cells->width; index++) {
        Py_ssize_t offsets_size = (cells->height + 1) * (Py_ssize_t)sizeof(int32_t);
        PyObject *offsets = PyBytes_FromStringAndSize(NULL, offsets_size);
        PyObject *bytes = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)columns[index].size);
        PyObject *item = NULL;
        if (offsets != NULL && bytes != NULL) {
            columns[index].offsets = (int32_t *)(void *)PyBytes_AS_STRING(offsets);
            columns[index].bytes = PyBytes_AS_STRING(bytes);
            item = Py_BuildValue("(OOO)", offsets, bytes, columns[index].has_marks ? Py_True : Py_False);
        }
        Py_XDECREF(offsets);
        Py_XDECREF(bytes);
        if (item == NULL) {
            Py_CLEAR(list);
            goto close;
        }
        PyList_SET_ITEM(list, index, item);
    }
    if (list != NULL) {
        /* Nobody else has seen the new objects yet. */
        Py_BEGIN_ALLOW_THREADS;
        fill(cells, columns);
        Py_END_ALLOW_THREADS;
    }
close:
    PyMem_Free(columns);
    return list;
}
