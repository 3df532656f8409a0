#include "growing_lines.h"

static const char capsule_name[] = "engine.native.lines";

static GrowingLines *
lines_of(PyObject *object)
{
    GrowingLines *lines = PyCapsule_GetPointer(object, capsule_name);
    if (lines != NULL && lines->is_in_use) {
        PyErr_SetString(PyExc_RuntimeError, "these lines are being written");
        return NULL;
    }
    return lines;
}

GrowingLines *
lines_begin(PyObject *object)
{
    GrowingLines *lines = lines_of(object);
    if (lines == NULL || (lines->buffer.object == NULL && buffer_open(&lines->buffer, 0) < 0)) {
        return NULL;
    }
    lines->is_in_use = 1;
    return lines;
}

void
lines_end(GrowingLines *lines)
{
    if (lines != NULL) {
        lines->is_in_use = 0;
    }
}

static void
free_lines(PyObject *object)
{
    GrowingLines *lines = PyCapsule_GetPointer(object, capsule_name);
    buffer_close(&lines->buffer);
    PyMem_Free(lines);
}

PyObject *
loops_new_lines(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    Py_ssize_t expected_bytes;
    if (!PyArg_ParseTuple(arguments, "n", &expected_bytes)) {
        return NULL;
    }
    GrowingLines *lines = PyMem_Calloc(1, sizeof(GrowingLines));
    if (lines == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *object = NULL;
    if (buffer_open(&lines->buffer, expected_bytes) == 0) {
        object = PyCapsule_New(lines, capsule_name, free_lines);
    }
    if (object == NULL) {
        buffer_close(&lines->buffer);
        PyMem_Free(lines);
    }
    return object;
}

PyObject *
loops_size_of_lines(PyObject *Py_UNUSED(module), PyObject *argument)
{
    const GrowingLines *lines = lines_of(argument);
    return lines == NULL ? NULL : PyLong_FromSsize_t(lines->buffer.object == NULL ? 0 : lines->buffer.used);
}

PyObject *
loops_take_lines(PyObject *Py_UNUSED(module), PyObject *argument)
{
    GrowingLines *lines = lines_of(argument);
    if (lines == NULL) {
        return NULL;
    }
    return lines->buffer.object == NULL ? PyBytes_FromStringAndSize(NULL, 0) : buffer_take(&lines->buffer);
}
