#include "loops.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* The first byte from `at` on that is not ASCII, or the end. */
static inline const unsigned char *
skip_ascii(const unsigned char *at, const unsigned char *end)
{
#ifdef __SSE2__
    while (end - at >= 16) {
        int wide = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)(const void *)at));
        if (wide) {
            return at + __builtin_ctz((unsigned)wide);
        }
        at += 16;
    }
#endif
    while (end - at >= 8) {
        unsigned long long word;
        memcpy(&word, at, 8);
        if (word & 0x8080808080808080ULL) {
            break;
        }
        at += 8;
    }
    while (at < end && *at < 0x80) {
        at++;
    }
    return at;
}

Py_ssize_t
utf8_continuations(const unsigned char *at, Py_ssize_t size)
{
    const unsigned char *end = at + size;
    Py_ssize_t count = 0;
    while (at < end) {
        at = skip_ascii(at, end);
        if (at == end) {
            break;
        }
        unsigned char lead = *at;
        int more = lead >= 0xC2 && lead <= 0xDF ? 1 : (lead & 0xF0) == 0xE0 ? 2 : lead >= 0xF0 && lead <= 0xF4 ? 3 : 0;
        if (more == 0 || end - at <= more) {
            return -1;
        }
        unsigned char second = at[1];
        if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
            (lead == 0xF4 && second > 0x8F)) {
            return -1;
        }
        for (int index = 1; index <= more; index++) {
            if ((at[index] & 0xC0) != 0x80) {
                return -1;
            }
        }
        count += more;
        at += more + 1;
    }
    return count;
}

PyObject *
loops_continuation_bytes(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *source;
    Py_ssize_t start, stop, count;
    if (!PyArg_ParseTuple(arguments, "Snn", &source, &start, &stop) || check_span(source, start, stop) < 0) {
        return NULL;
    }
    Py_BEGIN_ALLOW_THREADS;
    count = utf8_continuations((const unsigned char *)PyBytes_AS_STRING(source) + start, stop - start);
    Py_END_ALLOW_THREADS;
    return PyLong_FromSsize_t(count);
}
