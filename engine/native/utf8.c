#include "loops.h"

/* Whether bytes are UTF-8 by RFC 3629 - no overlong form, no surrogate, nothing above U+10FFFF - and how many of them
   are not the first of their character: -1 where they are not UTF-8. */
PyObject *
loops_continuation_bytes(PyObject *Py_UNUSED(module), PyObject *argument)
{
    if (!PyBytes_Check(argument)) {
        PyErr_SetString(PyExc_TypeError, "continuation_bytes takes bytes");
        return NULL;
    }
    const unsigned char *at = (const unsigned char *)PyBytes_AS_STRING(argument);
    const unsigned char *end = at + PyBytes_GET_SIZE(argument);
    Py_ssize_t count = 0;
    int is_good = 1;
    Py_BEGIN_ALLOW_THREADS;
    while (at < end) {
        if (*at < 0x80) {
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
            continue;
        }
        unsigned char lead = *at;
        int more = lead >= 0xC2 && lead <= 0xDF ? 1 : (lead & 0xF0) == 0xE0 ? 2 : lead >= 0xF0 && lead <= 0xF4 ? 3 : 0;
        if (more == 0 || end - at <= more) {
            is_good = 0;
            break;
        }
        unsigned char second = at[1];
        if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
            (lead == 0xF4 && second > 0x8F)) {
            is_good = 0;
            break;
        }
        for (int index = 1; index <= more; index++) {
            is_good &= (at[index] & 0xC0) == 0x80;
        }
        if (!is_good) {
            break;
        }
        count += more;
        at += more + 1;
    }
    Py_END_ALLOW_THREADS;
    return PyLong_FromSsize_t(is_good ? count : -1);
}
