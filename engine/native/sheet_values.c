/* What stands in a cell of a sheet: its formula, which is skipped, and its value. */

#include "sheet.h"

/* In front of a number that is not shown as it stands, and of one with a format; as in `staging/excel/marks.py`. */
#define NUMBER_MARK 1
#define FORMATTED_MARK 3
/* Of numbers that a spreadsheet shows as they stand. */
#define SURE_DIGITS 15

long
read_number(const char **at, const char *end)
{
    const char *from = *at;
    long number = 0;
    for (; from < end && *from >= '0' && *from <= '9'; from++) {
        if (from - *at >= 8) {
            return -1;
        }
        number = number * 10 + (*from - '0');
    }
    if (from == *at || (**at == '0' && from - *at > 1)) {
        return -1;
    }
    *at = from;
    return number;
}

/* Read `-12.50E-7</v>`, and the mark that it needs: none where it is shown as it stands. */
static int
read_value(Sheet *sheet, Cell *cell)
{
    const char *at = sheet->at, *end = sheet->end;
    cell->text = at;
    int is_negative = at < end && *at == '-', is_zero = 1, is_sure = 1;
    at += is_negative;
    const char *whole = at;
    for (; at < end && *at >= '0' && *at <= '9'; at++) {
        is_zero &= *at == '0';
    }
    Py_ssize_t digits = at - whole;
    is_sure &= digits == 1 || (digits > 1 && *whole != '0');
    if (at < end && *at == '.') {
        const char *behind = ++at;
        for (; at < end && *at >= '0' && *at <= '9'; at++) {
            is_zero &= *at == '0';
        }
        digits += at - behind;
        is_sure &= at > behind && at[-1] != '0';
    }
    if (digits == 0) {
        return UNUSUAL;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        is_sure = 0;
        at++;
        at += at < end && (*at == '-' || *at == '+');
        const char *exponent = at;
        while (at < end && *at >= '0' && *at <= '9') {
            at++;
        }
        if (at == exponent) {
            return UNUSUAL;
        }
    }
    if (is_negative && is_zero) {
        return UNUSUAL; /* it is for others to say what it looks like */
    }
    cell->length = at - cell->text;
    cell->mark = is_sure && digits <= SURE_DIGITS ? 0 : NUMBER_MARK;
    sheet->at = at;
    return FOUND;
}

static int
read_shared(Sheet *sheet, Cell *cell)
{
    long index = read_number(&sheet->at, sheet->end);
    if (sheet->string_offsets == NULL || index < 0 || index >= sheet->string_count) {
        return UNUSUAL;
    }
    int64_t start = sheet->string_offsets[index], end = sheet->string_offsets[index + 1];
    if (start < 0 || end < start || end > sheet->string_size) {
        return UNUSUAL;
    }
    cell->text = sheet->string_bytes + start;
    cell->length = (Py_ssize_t)(end - start);
    /* A text that begins as if it had a mark. */
    return cell->length && (unsigned char)*cell->text <= FORMATTED_MARK ? UNUSUAL : FOUND;
}

static int
read_boolean(Sheet *sheet, Cell *cell)
{
    int is_true = STARTS_WITH(sheet->at, sheet->end, "1");
    if (!is_true && !STARTS_WITH(sheet->at, sheet->end, "0")) {
        return UNUSUAL;
    }
    sheet->at++;
    cell->text = is_true ? "TRUE" : "FALSE";
    cell->length = is_true ? 4 : 5;
    return FOUND;
}

/* Skip the formula, if there is one. */
static int
skip_formula(Sheet *sheet)
{
    const char *at = sheet->at, *end = sheet->end;
    if (!STARTS_WITH(at, end, "<f>") && !STARTS_WITH(at, end, "<f ") && !STARTS_WITH(at, end, "<f/")) {
        return FOUND;
    }
    at = memchr(at, '>', (size_t)(end - at));
    if (at == NULL) {
        return UNUSUAL;
    }
    if (at[-1] != '/') {
        at = memchr(at, '<', (size_t)(end - at));
        if (at == NULL || !STARTS_WITH(at, end, "</f>")) {
            return UNUSUAL;
        }
        at += 3;
    }
    sheet->at = at + 1;
    return FOUND;
}

int
read_content(Sheet *sheet, int type, char letter, Cell *cell, int *has_value)
{
    const char *end = sheet->end;
    int result = skip_formula(sheet);
    if (result != FOUND) {
        return result;
    }
    *has_value = 0;
    if (STARTS_WITH(sheet->at, end, "</c>")) {
        return FOUND;
    }
    if (type == INLINE) {
        if (!STARTS_WITH(sheet->at, end, "<is>")) {
            return UNUSUAL;
        }
        sheet->at += 4;
        *has_value = 1;
        result = read_string(&sheet->cells, &sheet->at, end, cell);
        if (result == FOUND && !STARTS_WITH(sheet->at, end, "</is>")) {
            return UNUSUAL;
        }
        sheet->at += 5;
        return result;
    }
    if (STARTS_WITH(sheet->at, end, "<v/>")) {
        *has_value = type == TEXT;
        sheet->at += 4;
        return type == NUMBER || type == TEXT ? FOUND : UNUSUAL;
    }
    if (!STARTS_WITH(sheet->at, end, "<v>")) {
        return UNUSUAL;
    }
    sheet->at += 3;
    *has_value = 1;
    if (type == NUMBER && STARTS_WITH(sheet->at, end, "<")) {
        *has_value = letter != 0;
    }
    else if (type == NUMBER) {
        result = read_value(sheet, cell);
        if (letter) {
            cell->mark = FORMATTED_MARK;
            cell->letter = letter;
        }
    }
    else {
        result = type == SHARED    ? read_shared(sheet, cell)
                 : type == BOOLEAN ? read_boolean(sheet, cell)
                                   : read_text(&sheet->cells, &sheet->at, end, 0, 0, cell);
    }
    if (result == FOUND && !STARTS_WITH(sheet->at, end, "</v>")) {
        return UNUSUAL;
    }
    sheet->at += 4;
    return result;
}
