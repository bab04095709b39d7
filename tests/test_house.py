"""The arrows between the parts of the house (docs/architecture.md), read from the import statements."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# What `core/` may not know: anything that does I/O, waits, keeps time, logs or draws at random.
OUTSIDE_CORE = (
    "asyncio", "glob", "grpc", "http", "io", "lmdb", "logging", "multiprocessing", "nats", "onevoice", "os",
    "pathlib", "random", "secrets", "selectors", "shutil", "signal", "socket", "sqlalchemy", "sqlite3", "ssl",
    "starlette", "structlog", "subprocess", "tempfile", "threading", "time", "urllib", "uuid", "uvicorn",
)  # fmt: skip
FACES = ("hub.rpc", "hub.console", "hub.web", "hub.cli")
COMPOSITION_ROOTS = ("hub.server", "hub.main")

# Importer, what it may not import, and who is exempt.
FORBIDDEN: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = [
    ("core", ("hub", "edge", "tests", "examples", *OUTSIDE_CORE), ()),
    ("edge", ("hub", "tests", "examples"), ()),
    ("edge", ("grpc", "onevoice"), ("edge.sync*",)),
    ("hub", ("edge", "tests", "examples"), ()),
    ("hub", FACES, (*FACES, *COMPOSITION_ROOTS)),
    ("hub", ("sqlalchemy", "alembic", "sqlite3", "psycopg"), ("hub.store",)),
    ("hub.store", ("hub.data", "hub.decisioning", "hub.delivery"), ()),
    ("hub.data", ("hub.decisioning", "hub.delivery"), ()),
    ("hub.decisioning", ("hub.delivery",), ()),
    ("tests.oracle", ("core", "edge", "hub"), ()),
]
ALLOWED_ANYWAY = {"tests.oracle": ("core.errors", "core.reasons")}

CYTHON_IMPORT = re.compile(
    r"^\s*(?:from\s+(?P<origin>[\w.]+)\s+c?import\s+(?P<names>[^#\n]+)|c?import\s+(?P<plain>[^#\n]+))"
)


@pytest.mark.parametrize(
    ("importer", "refused", "exempt"), FORBIDDEN, ids=[f"{rule[0]}-not-{rule[1][0]}" for rule in FORBIDDEN]
)
def test_imports_follow_the_arrows(importer: str, refused: tuple[str, ...], exempt: tuple[str, ...]) -> None:
    allowed = ALLOWED_ANYWAY.get(importer, ())
    broken = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(importer)
        if not within(module_name(path), exempt)
        for line, name in imports(path)
        if within(name, refused) and not within(name, allowed)
    ]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os.path, time as t", {"os.path", "time"}),
        ("from core import errors", {"core.errors"}),
        ("from . import rules", {"core.deep.rules"}),
        ("from ..other import x", {"core.other.x"}),
        ("def f():\n    import random", {"random"}),
    ],
)
def test_python_imports_are_found(tmp_path: Path, text: str, expected: set[str]) -> None:
    assert {name for _, name in python_imports(text, "core.deep")} == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cimport cython", {"cython"}),
        ("from libc.stdint cimport int64_t, uint8_t", {"libc.stdint.int64_t", "libc.stdint.uint8_t"}),
        ("from core._types cimport (\n    a,\n)", {"core._types"}),
        ("    import time, os as system  # late", {"time", "os"}),
    ],
)
def test_cython_imports_are_found(text: str, expected: set[str]) -> None:
    assert {name for _, name in cython_imports(text, "core")} == expected


def sources(module: str) -> Iterator[Path]:
    """Yield a package's or a module's source files, in Python and in Cython."""
    base = ROOT.joinpath(*module.split("."))
    for suffix in (".py", ".pyx", ".pxd"):
        if base.with_suffix(suffix).exists():
            yield base.with_suffix(suffix)
        yield from sorted(base.rglob(f"*{suffix}"))


def imports(path: Path) -> list[tuple[int, str]]:
    """Return line and full name of everything that a file imports, at its top or inside functions."""
    text = path.read_text(encoding="utf-8")
    module = module_name(path)
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    return python_imports(text, package) if path.suffix == ".py" else cython_imports(text, package)


def python_imports(text: str, package: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = absolute("." * node.level + (node.module or ""), package)
            found += [(node.lineno, f"{origin}.{alias.name}") for alias in node.names]
    return found


def cython_imports(text: str, package: str) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        match = CYTHON_IMPORT.match(line)
        if match is None:
            continue
        listed = [part.split()[0] for part in (match["names"] or match["plain"]).split(",") if part.split()]
        if match["plain"]:
            found += [(number, name) for name in listed]
            continue
        origin = absolute(match["origin"], package)
        # A list in parentheses goes on over lines: its origin is enough for the arrows.
        found += [(number, origin if "(" in name else f"{origin}.{name}") for name in listed]
    return found


def absolute(origin: str, package: str) -> str:
    """Return the full name of `origin`, which may start with dots, as seen from `package`."""
    level = len(origin) - len(origin.lstrip("."))
    if level == 0:
        return origin
    parts = package.split(".")
    return ".".join([*parts[: len(parts) - level + 1], *filter(None, [origin.lstrip(".")])])


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def within(name: str, families: tuple[str, ...]) -> bool:
    """Say whether a name is one of the families or below one; `edge.sync*` covers `edge.sync_process` too."""
    return any(
        name.startswith(family[:-1]) if family.endswith("*") else f"{name}.".startswith(f"{family}.")
        for family in families
    )
