"""Whatever is written, the answer is a bundle that an engine accepts, or faults with a place."""

import random
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core import bundle
from core.authoring import CatalogueError, Fault, render_path
from core.authoring.types import SINGLE_KINDS
from core.check import check_bundle
from core.compiler import compile_catalogue
from core.decide import Engine
from core.fold import FoldPlan
from hub.checks import CATALOGUE_CHECKS
from hub.decisioning.authoring import read_catalogue
from hub.decisioning.compiling import compile_files
from tests.catalogues import TimesStayTexts, small

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**63, -(2**63) - 1, 10**60, 0.5, 1e308, float("nan"), float("inf")),
    *("", " ", "x", "\n", "((((", "é" * 100, "\U0001f600", "a" * 5_000, "//evil", "https://ok"),
    *(
        "home.hero",
        "personalization",
        "none",
        "profile.vip",
        "profile.orders > 1",
        "segment.vips",
        "90d",
        "0s",
    ),
    *("2026-01-01T00:00:00Z", "count", "strings", "text", "context", "Order Completed"),
    *([], ["x"], [[]], {}, {"x": 1}, {"id": "x", "owner": "ada"}, [None, 3], [10**30], {"x": float("nan")}),
]


def outcome(files: dict[str, str]) -> bundle.BundleDocument | None:
    """The bundle, accepted by everything that loads it, or None after faults with a place."""
    try:
        content, layout = compile_catalogue(read_catalogue(files), [])
    except CatalogueError as error:
        check_faults(error.faults)
        return None
    document = bundle.decode_bundle(content)
    check_bundle(document)
    FoldPlan(document)
    Engine(content, 1)
    assert document.layout == layout
    return document


def check_faults(faults: list[Fault]) -> None:
    assert faults
    for fault in faults:
        assert fault.expected
        assert fault.got
        assert fault.path.startswith("$")
        assert fault.line >= 1 or fault.path == "$"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        for key, below in value.items():
            found += places(below, (*path, key))
    elif isinstance(value, list):
        for at, below in enumerate(value):
            found += places(below, (*path, at))
    return found


def loaded() -> dict[str, Any]:
    """The small catalogue as plain values."""
    found: dict[str, Any] = {}
    for text in small().values():
        found |= yaml.load(text, Loader=TimesStayTexts)
    return found


def written(catalogue: dict[str, Any]) -> str:
    return str(yaml.dump(catalogue, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), allow_unicode=True))


PLACES = places(loaded())


def test_the_small_catalogue_survives_the_round_trip() -> None:
    assert outcome({"x.yaml": written(loaded())}) is not None


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(ODD)), min_size=1, max_size=3), st.booleans()
)
def test_odd_values_anywhere_are_faults_or_fine(
    changes: list[tuple[tuple[Any, ...], Any]], remove: bool
) -> None:
    catalogue = loaded()
    for path, odd in changes:
        holder: Any = catalogue
        for step in path[:-1]:
            try:
                holder = holder[step]
            except (KeyError, IndexError, TypeError):
                holder = None
                break
        if isinstance(holder, dict) and path[-1] in holder and remove:
            del holder[path[-1]]
        elif (isinstance(holder, dict) and path[-1] in holder) or (
            isinstance(holder, list) and isinstance(path[-1], int) and len(holder) > path[-1]
        ):
            holder[path[-1]] = odd
    outcome({"x.yaml": written(catalogue)})


#: Everything but whole objects: what one of those is called, nobody knows.
FIELDS = [path for path in PLACES if len(path) > 2 or path[0] in SINGLE_KINDS]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=4, unique=True))
def test_a_malformed_field_is_the_only_fault_that_comes_of_it(broken: list[tuple[Any, ...]]) -> None:
    catalogue = loaded()
    for path in sorted(broken, key=len, reverse=True):
        holder: Any = catalogue
        for step in path[:-1]:
            holder = holder[step]
        # Nothing takes either: a text where a mapping stands, or a mapping where anything else does.
        holder[path[-1]] = "not\nthis" if isinstance(holder[path[-1]], dict) else {"odd": [[1]]}
    with pytest.raises(CatalogueError) as caught:
        compile_files({"x.yaml": written(catalogue)}, [], CATALOGUE_CHECKS)
    roots = tuple(render_path(path) for path in broken)
    assert [str(fault) for fault in caught.value.faults if not fault.path.startswith(roots)] == []


INSERTED = [
    "",
    "[",
    "}",
    ":",
    "- ",
    "\t",
    '"',
    "'",
    "&a ",
    "*a",
    "<<: ",
    "|",
    "\n",
    "\0",
    "!x ",
    "#",
    "\ufeff",
    "é",
]


@pytest.mark.parametrize("seed", range(25))
def test_damaged_files_are_faults_or_fine(seed: int) -> None:
    chance = random.Random(seed)
    files = small()
    name = chance.choice(sorted(files))
    text = files[name]
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(text))
        insert = chance.choice(INSERTED)
        text = text[:start] + insert + text[start + chance.randint(0, 8) :]
    outcome({**files, name: text})
