/* The texts of a workbook's XML: entities, line ends as XML has them, and Excel's own escapes. */

#include "sheet.h"

/* What a byte of a text asks for, beside being taken as it is. */
enum { AS_IT_IS = 0, END = 1, DECODE = 2, ESCAPE = 4, WIDE = 8, REFUSE = 16 };

static unsigned char
meaning_of(unsigned char byte)
{
    switch (byte) {
        case '<':
            return END;
        case '&':
        case '\r':
            return DECODE;
        case '_':
            return ESCAPE;
        case '\t':
        case '\n':
            return AS_IT_IS;
        default:
            return byte < 0x20 ? REFUSE : byte >= 0x80 ? WIDE : AS_IT_IS;
    }
}

/* Put a character; only what a text of XML may hold, and what no mark is. */
static char *
put_character(char *target, unsigned long code)
{
    if ((code < 0x20 && code != '\t' && code != '\n' && code != '\r') || code > 0x10FFFF ||
        (code >= 0xD800 && code <= 0xDFFF)) {
        return NULL;
    }
    if (code < 0x80) {
        *target++ = (char)code;
        return target;
    }
    int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    *target++ = (char)((0xFF00 >> (more + 1) & 0xFF) | code >> 6 * more);
    while (more--) {
        *target++ = (char)(0x80 | (code >> 6 * more & 0x3F));
    }
    return target;
}

/* The value of a digit, or 99. */
static unsigned long
digit_of(char byte)
{
    return byte >= '0' && byte <= '9'   ? (unsigned long)(byte - '0')
           : byte >= 'a' && byte <= 'f' ? (unsigned long)(byte - 'a' + 10)
           : byte >= 'A' && byte <= 'F' ? (unsigned long)(byte - 'A' + 10)
                                        : 99;
}

/* Put what the entity at `*at`, a `&`, stands for; NULL where it is none. Never longer than the entity. */
static char *
put_entity(char *target, const char **at, const char *end)
{
    static const struct {
        const char *name;
        char byte;
    } named[] = {{"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"quot;", '"'}, {"apos;", '\''}};
    const char *from = *at + 1;
    for (size_t index = 0; index < sizeof(named) / sizeof(*named); index++) {
        size_t size = strlen(named[index].name);
        if ((size_t)(end - from) >= size && memcmp(from, named[index].name, size) == 0) {
            *at = from + size;
            *target++ = named[index].byte;
            return target;
        }
    }
    if (from == end || *from++ != '#') {
        return NULL;
    }
    unsigned long base = 10, code = 0;
    if (from < end && *from == 'x') {
        base = 16;
        from++;
    }
    const char *first = from;
    for (; from < end && *from != ';' && from - first < 7; from++) {
        unsigned long digit = digit_of(*from);
        if (digit >= base) {
            return NULL;
        }
        code = code * base + digit;
    }
    if (from == first || from == end || *from != ';') {
        return NULL;
    }
    *at = from + 1;
    return put_character(target, code);
}

/* The end of what was decoded; NULL where an entity is none. */
static char *
decode(const char *at, const char *end, char *target)
{
    while (at < end) {
        if (*at == '&') {
            target = put_entity(target, &at, end);
            if (target == NULL) {
                return NULL;
            }
        }
        else if (*at == '\r') {
            *target++ = '\n';
            at += at + 1 < end && at[1] == '\n' ? 2 : 1;
        }
        else {
            *target++ = *at++;
        }
    }
    return target;
}

/* Make Excel's `_x000D_` the characters that they stand for, in place; NULL for what is no plain one. */
static char *
undo_escapes(char *start, char *end)
{
    char *target = start;
    for (const char *at = start; at < end;) {
        unsigned long code = 0;
        int is_escape = end - at >= 7 && at[0] == '_' && at[1] == 'x' && at[6] == '_';
        for (int index = 2; is_escape && index < 6; index++) {
            is_escape = digit_of(at[index]) < 16;
            code = code * 16 + digit_of(at[index]);
        }
        if (!is_escape) {
            *target++ = *at++;
            continue;
        }
        if (code >= 0x80 || (code >= 1 && code <= 3)) {
            return NULL;
        }
        *target++ = (char)code;
        at += 7;
    }
    return target;
}

static int
is_blank(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

int
read_text(Cells *cells, const char **at, const char *end, int is_string, int is_trimmed, Cell *cell)
{
    const char *start = *at, *stop = start;
    unsigned char found = 0;
    for (;; stop++) {
        if (stop == end) {
            return UNUSUAL;
        }
        unsigned char meaning = meaning_of((unsigned char)*stop);
        if (meaning == END) {
            break;
        }
        found |= meaning;
    }
    *at = stop;
    cell->text = start;
    cell->length = stop - start;
    if (found & REFUSE) {
        return UNUSUAL;
    }
    if (is_trimmed && stop > start && (is_blank(*start) || is_blank(stop[-1]))) {
        return UNUSUAL;
    }
    if (found & WIDE && utf8_continuations((const unsigned char *)start, stop - start) < 0) {
        return UNUSUAL;
    }
    if (!(found & DECODE) && !(found & ESCAPE && is_string)) {
        return FOUND;
    }
    if (cells->decoded == NULL && (cells->decoded = PyMem_RawMalloc((size_t)cells->xml_size)) == NULL) {
        return NO_MEMORY;
    }
    char *target = cells->decoded + cells->decoded_used;
    char *filled = decode(start, stop, target);
    if (filled != NULL && is_trimmed && filled > target && (is_blank(*target) || is_blank(filled[-1]))) {
        return UNUSUAL;
    }
    if (filled != NULL && is_string) {
        filled = undo_escapes(target, filled);
    }
    if (filled == NULL) {
        return UNUSUAL;
    }
    cell->text = target;
    cell->length = filled - target;
    cells->decoded_used = filled - cells->decoded;
    return FOUND;
}

int
read_string(Cells *cells, const char **at, const char *end, Cell *cell)
{
    const char *from = *at;
    int is_trimmed = 1;
    cell->length = 0;
    if (STARTS_WITH(from, end, "</")) {
        return FOUND;
    }
    if (STARTS_WITH(from, end, "<t/>")) {
        *at = from + 4;
        return FOUND;
    }
    if (STARTS_WITH(from, end, "<t>")) {
        from += 3;
    }
    else if (STARTS_WITH(from, end, "<t xml:space=\"preserve\">")) {
        from += sizeof("<t xml:space=\"preserve\">") - 1;
        is_trimmed = 0;
    }
    else {
        return UNUSUAL;
    }
    int result = read_text(cells, &from, end, 1, is_trimmed, cell);
    if (result != FOUND) {
        return result;
    }
    if (!STARTS_WITH(from, end, "</t>")) {
        return UNUSUAL;
    }
    *at = from + 4;
    return FOUND;
}
