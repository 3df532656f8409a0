/* Cells that were made before: a country or a flag need not be made anew for each row. */

#ifndef ROWMILL_KNOWN_TEXTS_H
#define ROWMILL_KNOWN_TEXTS_H

#include <stdint.h>

#include "loops.h"

/* KNOWN_BYTES: of a text, at most. Of the columns behind KNOWN_COLUMNS, some share a credit. */
enum { KNOWN_TEXTS = 512, KNOWN_BYTES = 16, KNOWN_COLUMNS = 64, FIRST_CREDIT = 16, MOST_CREDIT = 64 };

typedef struct {
    uint64_t first, last; /* the bytes; the two overlap where there are fewer than 16 */
    Py_ssize_t length;
    PyObject *text; /* owned */
} KnownText;

typedef struct {
    KnownText places[KNOWN_TEXTS]; /* a text that belongs where another one is takes its place */
    int credit[KNOWN_COLUMNS];     /* grows with a cell that was known, shrinks with one that was not; at 0 nobody looks */
} KnownTexts;

static inline void
known_texts_open(KnownTexts *known)
{
    memset(known, 0, sizeof(*known));
    for (int column = 0; column < KNOWN_COLUMNS; column++) {
        known->credit[column] = FIRST_CREDIT;
    }
}

static inline void
known_texts_close(KnownTexts *known)
{
    for (int place = 0; place < KNOWN_TEXTS; place++) {
        Py_CLEAR(known->places[place].text);
    }
}

/* As `new_text`, for a cell of that column. */
static inline PyObject *
known_text(KnownTexts *known, Py_ssize_t column, const char *bytes, Py_ssize_t length, int is_ascii)
{
    int *credit = &known->credit[column % KNOWN_COLUMNS];
    if (*credit == 0 || !is_ascii || length < 2 || length > KNOWN_BYTES) {
        return new_text(bytes, length, is_ascii);
    }
    uint64_t first, last;
    if (length >= 8) {
        memcpy(&first, bytes, 8);
        memcpy(&last, bytes + length - 8, 8);
    }
    else if (length >= 4) {
        uint32_t start, end;
        memcpy(&start, bytes, 4);
        memcpy(&end, bytes + length - 4, 4);
        first = start;
        last = end;
    }
    else {
        first = (uint64_t)(unsigned char)bytes[0] << 8 | (unsigned char)bytes[1];
        last = (unsigned char)bytes[length - 1];
    }
    /* The multipliers of splitmix64 (Steele, Lea and Flood, 2014); the upper bits are the well-mixed ones. */
    uint64_t hash = (first ^ (uint64_t)length) * 0xbf58476d1ce4e5b9ULL ^ last * 0x94d049bb133111ebULL;
    KnownText *place = &known->places[(hash ^ hash >> 29) >> 32 & (KNOWN_TEXTS - 1)];
    if (place->text != NULL && place->first == first && place->last == last && place->length == length) {
        *credit += *credit < MOST_CREDIT;
        return Py_NewRef(place->text);
    }
    *credit -= 1;
    PyObject *text = new_text(bytes, length, 1);
    if (text != NULL) {
        Py_XSETREF(place->text, Py_NewRef(text));
        place->first = first;
        place->last = last;
        place->length = length;
    }
    return text;
}

#endif
