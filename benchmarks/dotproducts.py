"""Logistic models over the same attributes in C: the record's slots read where they lie, all sums side by
side. The baseline of `core.logistic_50`."""

from typing import Final

from benchmarks.compiled import array

CODE: Final = """
static PyObject *score(PyObject *self, PyObject *record) {
    const char *at = PyBytes_AS_STRING(record);
    uint16_t held;
    double x[FEATURES], s[MODELS] = {0};
    memcpy(&held, at + 6, 2);
    for (int f = 0; f < FEATURES; f++) {
        const char *entry = at + 64 + 16 * slots[f];
        int64_t bits;
        double real;
        memcpy(&bits, entry, 8);
        memcpy(&real, entry, 8);
        x[f] = slots[f] < held && entry[12] == (whole[f] ? 2 : 3) ? (whole[f] ? (double)bits : real) : 0.0;
    }
    for (int f = 0; f < FEATURES; f++)
        for (int m = 0; m < MODELS; m++) s[m] += weights[f][m] * x[f];
    PyObject *list = PyList_New(MODELS);
    for (int m = 0; m < MODELS; m++) PyList_SET_ITEM(list, m, PyFloat_FromDouble(1.0 / (1.0 + exp(-s[m]))));
    return list;
}

static PyMethodDef methods[] = {{"score", score, METH_O, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "dotproducts", 0, -1, methods};
PyMODINIT_FUNC PyInit_dotproducts(void) { return PyModule_Create(&module); }
"""


def dot_products_source(slots: list[tuple[int, bool]], weights: list[list[float]]) -> str:
    """C for models that all read the same attributes; `slots`: record slot, whether it is a whole number."""
    rows = ["{" + ", ".join(repr(row[f]) for row in weights) + "}" for f in range(len(slots))]
    return "".join(
        [
            "#define PY_SSIZE_T_CLEAN\n#include <Python.h>\n#include <math.h>\n#include <stdint.h>\n",
            f"#define MODELS {len(weights)}\n#define FEATURES {len(slots)}\n",
            array("int", "slots", [slot for slot, _ in slots]),
            array("int", "whole", [int(whole) for _, whole in slots]),
            f"static const double weights[FEATURES][MODELS] = {{{', '.join(rows)}}};\n",
            CODE,
        ]
    )
