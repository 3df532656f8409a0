/* Cuts the records of a table, one after the other. */

#ifndef ROWMILL_CUTTER_H
#define ROWMILL_CUTTER_H

#include "known_texts.h"
#include "loops.h"

typedef struct {
    const char *data;
    Py_ssize_t size;
    char delimiter;
    int has_quote;
    char quote;
    char quote_or_delimiter; /* something to look for in any case */
    unsigned char meaning[256];
    PyObject **cells; /* of the record in hand; owned */
    Py_ssize_t cell_count;
    Py_ssize_t cell_room;
    char *joined; /* a quoted cell with its doubled quotes made single */
    Py_ssize_t joined_room;
    int is_csv; /* comma and double quote: the text of a record may be passed on */
    KnownTexts known;
} Cutter;

/* 0, or -1 with an exception set; to be closed either way. A quote below zero stands for none. */
int cutter_open(Cutter *cutter, const char *data, Py_ssize_t size, int delimiter, int quote);
void cutter_close(Cutter *cutter);

/* Cut the record at `at`; gives the offset behind its line end, or -1 with an exception set. `*end` is where its text
   ends; `*is_minimal` is whether that is what `csv.writer` would write. A line without anything is a record without
   cells. */
Py_ssize_t cutter_cut(Cutter *cutter, Py_ssize_t at, Py_ssize_t *end, int *is_minimal);

/* Append the text of the record that was cut from `[start, end)`; 0, or -1 with an exception set. */
int cutter_write(Cutter *cutter, Buffer *texts, Py_ssize_t start, Py_ssize_t end, int is_minimal);

/* The row as a new list, or NULL with an exception set; its cells are no longer the cutter's. */
PyObject *cutter_take_row(Cutter *cutter);

#endif
