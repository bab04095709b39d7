"""Hand-specialised C for one set of rules: the limit that the tables are held against.

Generated for the rules of a workload, compiled with the core's own flags and called from Python as the engine is:
one packed record in, a list of ints out. It knows slots, types, words and bounds in advance, tests each attribute
branch-free, finds the parts of each string once, and evaluates every rule without a branch. An absent attribute is
CEL's error, as in the engine. Nothing of it is shared with the engine but the hash that records are sealed with.
"""

import importlib.util
import re
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from benchmarks.workload import PARTS, WORDS, Workload
from core.hashing import xxh64

ROOT: Final = Path(__file__).resolve().parent.parent
FLAGS: Final = ("-O3", "-g0", "-fPIC", "-shared", "-ffp-contract=off", "-std=gnu11")
RULES_PER_FUNCTION: Final = 50
#: The number of a string that is none of WORDS.
OTHER: Final = 63
KINDS: Final = {"b": 1, "i": 2, "f": 3, "s": 4}


def native_module(work: Workload, folder: Path) -> Any:
    """A module with `match` and `match_unverified`, from a packed record to the indexes of the rules that hold."""
    slots = {item.name: item.slot for item in work.engine.document.attributes}
    rules = [rule.c for rule in work.rules]
    return compile_module(matcher_source(rules, slots), folder, f"native_{len(rules)}")


def compile_module(source: str, folder: Path, name: str) -> ModuleType:
    """Compile C to an extension module and import it."""
    path = folder / f"{name}.c"
    path.write_text(source.replace("MODULE", name))
    target = folder / f"{name}.so"
    includes = [f"-I{sysconfig.get_path('include')}", f"-I{ROOT / 'core'}"]
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    subprocess.run([*compiler, *FLAGS, *includes, str(path), "-o", str(target)], check=True)
    spec = importlib.util.spec_from_file_location(name, target)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def matcher_source(rules: Sequence[str], slots: dict[str, int]) -> str:
    """The extension's C: attributes into a struct, rules in functions of some fifty, hits into a list."""
    used = sorted(set(re.findall(r"\bk_(\w+)", " ".join(rules))))
    parts = sorted(set(re.findall(r"\b(s\d+)_(\d)", " ".join(rules))))
    reads = [
        f"    read_{name[0]}(record, {slots['profile.' + name]}, &v->k_{name}, &v->{name}" for name in used
    ]
    ends = [f", &v->t_{name}, &v->l_{name});" if name[0] == "s" else ");" for name in used]
    finds = [
        f"    v->{name}_{part} = contains(v->t_{name}, v->l_{name}, {part_text(part)});"
        for name, part in parts
    ]
    begins = range(0, len(rules), RULES_PER_FUNCTION)
    return "\n".join(
        [
            HEAD % {"count": len(rules), "words": words_table()},
            "typedef struct {",
            *[f"    {C_TYPES[name[0]]} {name}; uint32_t k_{name};" for name in used],
            *[f"    const unsigned char *t_{name}; uint32_t l_{name};" for name in used if name[0] == "s"],
            *[f"    uint32_t {name}_{part};" for name, part in parts],
            "} values;",
            "static void read_values(const unsigned char *record, values *v) {",
            *[read + end for read, end in zip(reads, ends, strict=True)],
            *finds,
            "}",
            *[rules_function(rules[begin : begin + RULES_PER_FUNCTION], begin) for begin in begins],
            "static uint32_t run(const values *v, uint32_t *hits) {",
            "    uint32_t n = 0;",
            *[f"    n = rules_{begin}(v, hits, n);" for begin in begins],
            "    return n;",
            "}",
            TAIL,
        ]
    )


def rules_function(rules: Sequence[str], begin: int) -> str:
    """Some rules in a row; each writes its index and keeps it if it holds."""
    names = sorted(set(re.findall(r"\b(?:k_)?[bifs]\d+(?:_\d)?\b", " ".join(rules))))
    loads = [
        f"    const {C_TYPES[name[0]] if '_' not in name else 'uint32_t'} {name} = v->{name};"
        for name in names
    ]
    tests = [f"    hits[n] = {begin + at}; n += {rule};" for at, rule in enumerate(rules)]
    head = f"static uint32_t rules_{begin}(const values *restrict v, uint32_t *restrict hits, uint32_t n) {{"
    return "\n".join([head, *loads, *tests, "    return n;", "}"])


def words_table() -> str:
    """The words in order of their hashes, with their numbers."""
    ordered = sorted((xxh64(word.encode()), word) for word in WORDS)
    return ", ".join(
        f'{{{number}ull, "{word}", {len(word)}, {WORDS.index(word)}}}' for number, word in ordered
    )


def part_text(part: str) -> str:
    text = PARTS[int(part)]
    return f'"{text}", {len(text)}'


C_TYPES: Final[dict[str, Any]] = {
    "i": "int64_t",
    "f": "double",
    "s": "uint32_t",
    "b": "uint32_t",
    "k": "uint32_t",
}

HEAD: Final = r"""
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>
#include "xxh64.h"
enum { RULES = %(count)d };
typedef struct { uint64_t hash; const char *text; uint32_t length, number; } word;
static const word WORDS[] = { %(words)s };
enum { WORD_COUNT = sizeof(WORDS) / sizeof(WORDS[0]) };
typedef struct { uint64_t value; uint32_t heap; uint8_t kind, flags; uint16_t count; } slot_t;

static inline slot_t slot_of(const unsigned char *record, uint32_t number) {
    slot_t slot = {0, 0, 0, 0, 0};
    uint16_t count;
    memcpy(&count, record + 6, 2);
    if (number < count) memcpy(&slot, record + 64 + 16 * (size_t)number, 16);
    return slot;
}
static inline void read_i(const unsigned char *record, uint32_t number, uint32_t *known, int64_t *out) {
    slot_t slot = slot_of(record, number);
    *known = slot.kind == 2;
    *out = (int64_t)slot.value;
}
static inline void read_f(const unsigned char *record, uint32_t number, uint32_t *known, double *out) {
    slot_t slot = slot_of(record, number);
    *known = slot.kind == 3;
    memcpy(out, &slot.value, 8);
}
static inline void read_b(const unsigned char *record, uint32_t number, uint32_t *known, uint32_t *out) {
    slot_t slot = slot_of(record, number);
    *known = slot.kind == 1;
    *out = slot.value != 0;
}
static inline void read_s(const unsigned char *record, uint32_t number, uint32_t *known, uint32_t *out,
                          const unsigned char **text, uint32_t *length) {
    slot_t slot = slot_of(record, number);
    uint32_t low = 0;
    *known = slot.kind == 4;
    *out = 63;
    *length = 0;
    if (!*known) return;
    memcpy(length, record + slot.heap + 16, 4);
    *text = record + slot.heap + 20;
    for (uint32_t step = 32; step > 0; step >>= 1)
        if (low + step < WORD_COUNT && WORDS[low + step].hash <= slot.value) low += step;
    if (WORDS[low].hash == slot.value && WORDS[low].length == *length && memcmp(WORDS[low].text, *text, *length) == 0)
        *out = WORDS[low].number;
}
static inline uint32_t contains(const unsigned char *text, uint32_t length, const char *part, uint32_t size) {
    uint32_t hit = 0;
    for (uint32_t i = 0; i + size <= length; i++) hit |= memcmp(text + i, part, size) == 0;
    return hit;
}
"""

TAIL: Final = r"""
static PyObject *numbers[RULES];
static int whole(const unsigned char *record, size_t size) {
    uint64_t checksum;
    uint32_t held;
    if (size < 64 || memcmp(record, "OV1R\x01\x00", 6) != 0) return 0;
    memcpy(&held, record + 48, 4);
    memcpy(&checksum, record + 56, 8);
    return held == size && checksum == ov_record_checksum(record, size);
}
static PyObject *list_of(const unsigned char *record) {
    values v;
    uint32_t hits[RULES + 1], n;
    read_values(record, &v);
    n = run(&v, hits);
    PyObject *list = PyList_New(n);
    if (list == NULL) return NULL;
    for (uint32_t i = 0; i < n; i++) {
        Py_INCREF(numbers[hits[i]]);
        PyList_SET_ITEM(list, i, numbers[hits[i]]);
    }
    return list;
}
/* `match` trusts nothing but the slots' places: the checksum that a reader of this format must verify. */
static PyObject *match(PyObject *self, PyObject *record) {
    if (!PyBytes_Check(record) || !whole((const unsigned char *)PyBytes_AS_STRING(record), PyBytes_GET_SIZE(record))) {
        PyErr_SetString(PyExc_ValueError, "no record");
        return NULL;
    }
    return list_of((const unsigned char *)PyBytes_AS_STRING(record));
}
static PyObject *match_unverified(PyObject *self, PyObject *record) {
    return list_of((const unsigned char *)PyBytes_AS_STRING(record));
}
static PyMethodDef methods[] = {
    {"match", match, METH_O, ""}, {"match_unverified", match_unverified, METH_O, ""}, {NULL, NULL, 0, NULL}
};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "MODULE", NULL, -1, methods, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_MODULE(void) {
    for (int i = 0; i < RULES; i++) {
        numbers[i] = PyLong_FromLong(i);
        if (numbers[i] == NULL) return NULL;
    }
    return PyModule_Create(&definition);
}
"""
