"""Hand-specialised C for one set of rules: the limit that the tables are held against.

Generated for the rules of a workload, compiled with the core's own flags and called from Python as the engine
is: one packed record in, a list of ints out. It knows slots, types, words and bounds in advance, tests each
attribute branch-free, finds the parts of each string once, and evaluates every rule without a branch. An
absent attribute is CEL's error, as in the engine. Nothing of it is shared with the engine but the hash that
records are sealed with.
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


def native_module(work: Workload, folder: Path) -> Any:
    """A module with `match` and `match_unverified`, from a packed record to the indexes of the rules
    that hold.
    """
    slots = {item.name: item.slot for item in work.engine.document.attributes}
    rules = [rule.c for rule in work.rules]
    return compile_module(matcher_source(rules, slots), folder, f"native_{len(rules)}")


def compile_module(source: str, folder: Path, name: str) -> ModuleType:
    """Compile C to an extension module and import it."""
    path = folder / f"{name}.c"
    named = f'#define MODULE_NAME "{name}"\n#define MODULE_INIT PyInit_{name}\n'
    path.write_text(named + source)
    target = folder / f"{name}.so"
    folders = (sysconfig.get_path("include"), ROOT / "core", ROOT / "benchmarks")
    includes = [f"-I{folder}" for folder in folders]
    compiler = (sysconfig.get_config_var("CC") or "cc").split()
    subprocess.run([*compiler, *FLAGS, *includes, str(path), "-o", str(target)], check=True)
    spec = importlib.util.spec_from_file_location(name, target)
    assert spec is not None
    assert spec.loader is not None
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
            f"#define RULE_COUNT {len(rules)}",
            f"#define WORD_LIST {words_table()}",
            '#include "native_head.h"',
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
            '#include "native_tail.h"',
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
