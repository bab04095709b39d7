"""The baselines of `core.batch_match`: generated C and numpy over columns that are in memory already.

A column holds one attribute of every profile: int64, double, or the number of a word, as a columnar store
keeps strings. Neither baseline reads records, which the engine does.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.native import compile_module
from benchmarks.workload import PARTS, WORDS, Profile, Rule

C_COLUMNS: Final = {"i": "int64_t", "f": "double", "s": "uint8_t", "b": "uint8_t", "k": "uint8_t"}
DTYPES: Final[dict[str, Any]] = {"i": np.int64, "f": np.float64, "s": np.uint8, "b": np.bool_}
Column = Any


def columns_of(profiles: Sequence[Profile]) -> dict[str, Column]:
    """A column for each attribute, and `k_NAME`: who has it."""
    columns: dict[str, Column] = {}
    for name in profiles[0]:
        cells = [profile[name] for profile in profiles]
        if name[0] == "s":
            cells = [WORDS.index(word) for word in cells]
        columns[name] = np.array(cells, dtype=DTYPES[name[0]])
        columns[f"k_{name}"] = np.ones(len(profiles), dtype=np.bool_)
    return columns


def part_mask(part: str) -> int:
    """The words that contain PARTS[part], as bits."""
    return sum(1 << number for number, word in enumerate(WORDS) if PARTS[int(part)] in word)


def names_of(text: str) -> list[str]:
    return sorted(set(re.findall(r"\b(?:k_)?[bifs]\d+\b", text)))


def native_columns(rules: Sequence[Rule], columns: dict[str, Column], folder: Path) -> Callable[[], Column]:
    """C with one loop a rule, which the compiler can make vector code of; returns a byte a rule and
    profile.
    """
    texts = [
        re.sub(r"\b(s\d+)_(\d)\b", lambda at: f"({part_mask(at[2])}ull >> {at[1]} & 1)", rule.c)
        for rule in rules
    ]
    names = list(columns)
    loops = [rule_loop(number, text, names) for number, text in enumerate(texts)]
    calls = [f"    rule_{number}(columns, n, out + {number} * n);" for number in range(len(texts))]
    run = "\n".join(["static void run(void *const *columns, size_t n, uint8_t *out) {", *calls, "}"])
    module = compile_module("\n".join([HEAD, *loops, run, TAIL]), folder, "columns")
    count = len(next(iter(columns.values())))
    out = np.empty((len(rules), count), dtype=np.uint8)
    arrays = [np.ascontiguousarray(column) for column in columns.values()]
    addresses = np.array([array.ctypes.data for array in arrays], dtype=np.uintp)

    def match() -> Column:
        module.run(addresses, count, out)
        return out

    match.arrays = arrays  # type: ignore[attr-defined]  # what the addresses point to lives as long as the function
    return match


def rule_loop(number: int, text: str, names: list[str]) -> str:
    loads = [
        f"    const {C_COLUMNS[name[0]]} *restrict c_{name} = columns[{names.index(name)}];"
        for name in names_of(text)
    ]
    body = re.sub(r"\b((?:k_)?[bifs]\d+)\b", r"c_\1[p]", text)
    head = f"static void rule_{number}(void *const *columns, size_t n, uint8_t *restrict out) {{"
    return "\n".join([head, *loads, f"    for (size_t p = 0; p < n; p++) out[p] = {body};", "}"])


def numpy_columns(rules: Sequence[Rule], columns: dict[str, Column]) -> Callable[[], Column]:
    """The rules as array expressions; returns a row of bools a rule."""
    masks: dict[int, Column] = {}

    def member(mask: int, name: str) -> str:
        masks.setdefault(mask, np.array([mask >> number & 1 for number in range(64)], dtype=np.bool_))
        return f"masks[{mask}][{name}]"

    def array_text(text: str) -> str:
        text = re.sub(r"\b(s\d+)_(\d)\b", lambda at: member(part_mask(at[2]), at[1]), text)
        text = re.sub(r"\((\d+)ull >> (s\d+)\) & 1", lambda at: member(int(at[1]), at[2]), text)
        return text.replace("!(", "~(").replace("^ 1", "^ True")

    codes = [compile(array_text(rule.c), "rule", "eval") for rule in rules]
    scope: dict[str, Any] = {**columns, "masks": masks}
    return lambda: [eval(code, scope) for code in codes]


HEAD: Final = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
"""
TAIL: Final = r"""
static PyObject *run_columns(PyObject *self, PyObject *arguments) {
    Py_buffer columns, out;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(arguments, "y*nw*", &columns, &n, &out)) return NULL;
    run(columns.buf, (size_t)n, out.buf);
    PyBuffer_Release(&columns);
    PyBuffer_Release(&out);
    Py_RETURN_NONE;
}
static PyMethodDef methods[] = {{"run", run_columns, METH_VARARGS, ""}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, MODULE_NAME, NULL, -1, methods, NULL, NULL, NULL, NULL
};
PyMODINIT_FUNC MODULE_INIT(void) { return PyModule_Create(&definition); }
"""
