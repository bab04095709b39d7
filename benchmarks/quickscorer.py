"""QuickScorer tables in C, specialised for one model whose trees have 32 leaves at most (Lucchese et al.,
SIGIR 2015): the baseline of `core.trees_1` and `core.trees_1000`."""

import struct
from typing import Final

from benchmarks.compiled import array
from core.bundle import Trees

NARROW_LEAVES_MAX: Final = 32

CODE: Final = """
static double score(const double *row) {
    uint32_t v[TREES];
    memset(v, 0xff, sizeof v);
    for (int c = 0; c < COLUMNS; c++) {
        double x = row[c];
        if (x != x) {
            for (int i = missing[c]; i < missing[c + 1]; i++) v[missing_trees[i]] &= missing_masks[i];
            continue;
        }
        for (int i = begin[c]; x > thresholds[i]; i++) v[trees[i]] &= masks[i];
    }
    double sum = 0.0;
    for (int t = 0; t < TREES; t++) sum += leaves[t][__builtin_ctz(v[t])];
    return sum;
}

static PyObject *score_one(PyObject *self, PyObject *row) {
    Py_buffer b;
    if (PyObject_GetBuffer(row, &b, PyBUF_SIMPLE) < 0) return NULL;
    double sum = score(b.buf);
    PyBuffer_Release(&b);
    return PyFloat_FromDouble(sum);
}

static PyObject *score_rows(PyObject *self, PyObject *const *args, Py_ssize_t n) {
    Py_buffer a, b;
    if (PyObject_GetBuffer(args[0], &a, PyBUF_SIMPLE) < 0) return NULL;
    if (PyObject_GetBuffer(args[1], &b, PyBUF_WRITABLE) < 0) return NULL;
    for (Py_ssize_t i = 0; i < b.len / 8; i++) ((double *)b.buf)[i] = score((double *)a.buf + i * COLUMNS);
    PyBuffer_Release(&a);
    PyBuffer_Release(&b);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"score", score_one, METH_O, 0},
                                {"score_rows", (PyCFunction)(void *)score_rows, METH_FASTCALL, 0}, {0}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "quickscorer", 0, -1, methods};
PyMODINIT_FUNC PyInit_quickscorer(void) { return PyModule_Create(&module); }
"""


def quickscorer_source(trees: Trees) -> str:
    """C for the tables of a model without categories, in which zero is a number as any other."""
    assert max(trees.leaf_counts) <= NARROW_LEAVES_MAX
    assert not any(column.category or column.zero_is_missing for column in trees.columns)
    thresholds = struct.unpack(f"<{len(trees.thresholds) // 8}d", trees.thresholds)
    words = struct.unpack(f"<{len(trees.words) // 4}I", trees.words)
    keeps = struct.unpack(f"<{len(trees.keeps) // 8}Q", trees.keeps)
    values = struct.unpack(f"<{len(trees.leaves) // 8}d", trees.leaves)
    begins: list[object] = []
    numeric: list[tuple[str, int, int]] = []
    at = 0
    for column in trees.columns:
        begins.append(len(numeric))
        numeric += [(f"{thresholds[i]!r}", words[i], keeps[i]) for i in range(at, at + column.numeric)]
        numeric.append(("INFINITY", 0, 0))
        at += column.numeric
    missing: list[object] = [0]
    for column in trees.columns:
        missing.append(int(str(missing[-1])) + column.missing)
    rows, first = [], 0
    for count in trees.leaf_counts:
        rows.append("{" + ", ".join(repr(value) for value in values[first : first + count]) + "}")
        first += count
    return "".join(
        [
            "#define PY_SSIZE_T_CLEAN\n#include <Python.h>\n#include <math.h>\n#include <stdint.h>\n",
            f"#define TREES {len(trees.leaf_counts)}\n#define COLUMNS {len(trees.columns)}\n",
            array("int", "begin", begins),
            array("double", "thresholds", [one for one, _, _ in numeric]),
            array("uint32_t", "trees", [word for _, word, _ in numeric]),
            array("uint32_t", "masks", [keep & 0xFFFFFFFF for _, _, keep in numeric]),
            array("int", "missing", missing),
            array("uint32_t", "missing_trees", list(words[at:])),
            array("uint32_t", "missing_masks", [keep & 0xFFFFFFFF for keep in keeps[at:]]),
            f"static const double leaves[TREES][{max(trees.leaf_counts)}] = {{{', '.join(rows)}}};\n",
            CODE,
        ]
    )
