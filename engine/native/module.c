/* The module `engine.native._loops`. */

#include "loops.h"

static PyMethodDef methods[] = {
    {"new_lines", loops_new_lines, METH_VARARGS, NULL},
    {"size_of_lines", loops_size_of_lines, METH_O, NULL},
    {"take_lines", loops_take_lines, METH_O, NULL},
    {"run_text", loops_run_text, METH_VARARGS, NULL},
    {"run_rows", loops_run_rows, METH_VARARGS, NULL},
    {"call_rows", loops_call_rows, METH_VARARGS, NULL},
    {"positions_of", loops_positions_of, METH_VARARGS, NULL},
    {"cut_rows", loops_cut_rows, METH_VARARGS, NULL},
    {"column_rows", loops_column_rows, METH_VARARGS, NULL},
    {"table_columns", loops_table_columns, METH_VARARGS, NULL},
    {"result_lines", loops_result_lines, METH_VARARGS, NULL},
    {"joined_lines", loops_joined_lines, METH_VARARGS, NULL},
    {"json_lines", loops_json_lines, METH_VARARGS, NULL},
    {"record_ends", loops_record_ends, METH_VARARGS, NULL},
    {"exact_ends", loops_exact_ends, METH_VARARGS, NULL},
    {"continuation_bytes", loops_continuation_bytes, METH_VARARGS, NULL},
    {"sheet_columns", loops_sheet_columns, METH_VARARGS, NULL},
    {"shared_strings", loops_shared_strings, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "engine.native._loops",
    .m_doc = "Loops over the bytes of a table; described in _loops.pyi.",
    .m_size = 0,
    .m_methods = methods,
};

PyMODINIT_FUNC
PyInit__loops(void)
{
    return PyModuleDef_Init(&definition);
}
