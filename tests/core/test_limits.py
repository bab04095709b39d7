"""The limits of a catalogue: as much as is allowed is fine, one more is one clear fault."""

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from core.authoring import CatalogueError, Fault
from core.authoring.types import (
    ARMS_MAX,
    BRANCHES_MAX,
    DIMENSIONS_MAX,
    EXITS_MAX,
    POINTS_MAX,
    STEPS_MAX,
    TEMPLATE_LENGTH_MAX,
    TEXT_LENGTH_MAX,
)
from core.authoring.windows import GRANULES_MAX
from core.bundle import GENERAL_DEPTH_MAX, PROGRAM_STACK_MAX, STICKY_VERSION_MAX
from core.cel import ast
from core.cel.general.regex import PATTERN_LENGTH_MAX, matches
from core.cel.lowering import LIFTED_MAX
from core.check import SLOTS_PER_PLACEMENT_MAX
from core.compiler import GeneralPart, compile_catalogue
from core.compiler.attributes import DEFAULT_STRINGS_MAX
from core.compiler.experiments import EXPERIMENTS_PER_PLACEMENT_MAX
from core.compiler.offers import CANDIDATES_MAX
from core.errors import EvaluationError
from hub.decisioning.authoring import read_catalogue
from tests.catalogues import FOLDER

BASE = {"base.yaml": (FOLDER / "base.yaml").read_text(encoding="utf-8")}
REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "catalogue.md"
ROW = re.compile(r"^\| [^|]+ \| ([0-9,]+) \| `([\w.]+)\.(\w+)` \|$", re.MULTILINE)


def faults_of(text: str) -> list[Fault]:
    try:
        compile_catalogue(read_catalogue({**BASE, "extra.yaml": text}), [])
    except CatalogueError as error:
        return error.faults
    return []


def many(count: int, one: str) -> str:
    return "[" + ", ".join(one.replace("@", str(at)) for at in range(count)) + "]"


def segment(expression: str) -> str:
    return f"segments:\n- id: s\n  owner: ada\n  when: |-\n    {expression}\n"


def journey(rest: str, steps: str = "[{id: end, end: true}]") -> str:
    return f"journeys: [{{id: j, owner: ada, trigger: {{event: Order Completed}}, {rest} steps: {steps}}}]"


def sums(depth: int) -> str:
    """Arithmetic that holds so many values at once."""
    return "profile.orders + (" * (depth - 1) + "profile.orders" + ")" * (depth - 1) + " > 1"


def treatments(count: int) -> str:
    """For a placement that has one already."""
    return "offers:\n" + "".join(
        f"- {{id: x{at}, owner: ada, treatments: [{{id: t{at}, placement: home, blocks: {{text: text}}}}]}}\n"
        for at in range(count - 1)
    )


def placement(slots: int) -> str:
    names = ", ".join(f"s{at}: text" for at in range(slots))
    blocks = ", ".join(f"s{at}: null" for at in range(slots))
    rest = f"slots: {{{names}}}, fallback: {{{blocks}}}"
    return f"placements: [{{id: p, owner: ada, channel: web, purpose: ads, {rest}}}]"


def model(rest: str) -> str:
    return f"models: [{{id: m, owner: ada, {rest}}}]"


def arms(count: int) -> str:
    """As many arms, and offers that have them."""
    known = ", ".join(f"x{at}: {{alpha: 1, beta: 1}}" for at in range(count))
    return (
        model(f"kind: bandit, policy: thompson, floor: 0.1, arms: {{{known}}}")
        + f"\noffers: {many(count, '{id: x@, owner: ada, model: m}')}"
    )


def deep_segments(depth: int) -> str:
    """Segments in the general evaluator, each three parts deeper than the one that it names."""
    when = ["profile.vip", *(f"[segment.s{at}][0]" for at in range(41))]
    when.append(f"[{'!' * (depth - 127)}segment.s41][0]")
    return "segments:\n" + "".join(
        f"- {{id: s{at}, owner: ada, when: '{text}'}}\n" for at, text in enumerate(when)
    )


def window(granules: int) -> str:
    return (
        "attributes: [{id: w, owner: ada, type: int, source: {events: [Order Completed], function: count, "
        f"window: {granules}h, granularity: 1h}}}}]"
    )


def isotonic(points: int) -> str:
    values = [float(at) for at in range(points)]
    return model(f"kind: linear, calibration: {{isotonic: {{x: {values}, y: {values}}}}}")


def experiments(count: int) -> str:
    return "experiments:\n" + "".join(
        f"- {{id: x{at:03}, owner: ada, placements: [home], variants: [{{id: a, weight: 1}}]}}\n"
        for at in range(count)
    )


STEPS = "{id: s@, wait: 1h}"
BRANCHES = "[{id: a, branch: %s}, {id: b, wait: 1h}]"
EXIT = "{when: profile.vip}"

#: The limit, a text with so many, the path of the fault, and what it expects.
CASES: dict[str, tuple[int, Callable[[int], str], str, str]] = {
    "characters of an expression": (
        ast.LENGTH_MAX,
        lambda count: segment("profile.vip ||" + " " * (count - 25) + "profile.vip"),
        "segments[0].when",
        f"1 to {ast.LENGTH_MAX} characters",
    ),
    "nesting of an expression": (
        ast.NESTING_MAX,
        lambda count: segment("!" * (count - 2) + "profile.vip"),
        "segments[0].when",
        f"nested at most {ast.NESTING_MAX} deep",
    ),
    "characters of a pattern": (
        PATTERN_LENGTH_MAX,
        lambda count: segment(f'profile.name.matches("{"a" * count}")'),
        "segments[0].when",
        f"a pattern of at most {PATTERN_LENGTH_MAX} characters",
    ),
    "nesting with the segments": (
        GENERAL_DEPTH_MAX,
        deep_segments,
        "segments[42].when",
        f"nested at most {GENERAL_DEPTH_MAX} deep, its segments too",
    ),
    "characters of a text": (
        TEXT_LENGTH_MAX,
        lambda count: f"blocks: [{{id: b, owner: ada, type: text, value: {'x' * count}}}]",
        "blocks[0].value",
        f"0 to {TEXT_LENGTH_MAX} characters",
    ),
    "characters of a template": (
        TEMPLATE_LENGTH_MAX,
        lambda count: (
            "templates: [{id: t, owner: ada, channel: sms, sender: Shop, subject: x, text: "
            + "x" * count
            + "}]"
        ),
        "templates[0].text",
        f"0 to {TEMPLATE_LENGTH_MAX} characters",
    ),
    "slots of a placement": (
        SLOTS_PER_PLACEMENT_MAX,
        placement,
        "placements[0].slots",
        f"1 to {SLOTS_PER_PLACEMENT_MAX} entries",
    ),
    "treatments for a placement": (
        CANDIDATES_MAX,
        treatments,
        "placements[0]",
        f"at most {CANDIDATES_MAX} treatments for home",
    ),
    "experiments on a placement": (
        EXPERIMENTS_PER_PLACEMENT_MAX,
        experiments,
        f"experiments[{EXPERIMENTS_PER_PLACEMENT_MAX}].placements[0]",
        f"at most {EXPERIMENTS_PER_PLACEMENT_MAX} experiments on home",
    ),
    "sticky_version": (
        STICKY_VERSION_MAX,
        lambda version: experiments(1).replace("placements", f"sticky_version: {version}, placements"),
        "experiments[0].sticky_version",
        f"a whole number from 0 to {STICKY_VERSION_MAX:g}",
    ),
    "steps of a journey": (
        STEPS_MAX,
        lambda count: journey("", many(count, STEPS)),
        "journeys[0].steps",
        f"1 to {STEPS_MAX} values",
    ),
    "branches of a step": (
        BRANCHES_MAX,
        lambda count: journey("", BRANCHES % many(count, "{when: profile.vip, go: b}")),
        "journeys[0].steps[0].branch",
        f"0 to {BRANCHES_MAX} values",
    ),
    "exits of a journey": (
        EXITS_MAX,
        lambda count: journey(f"exits: {many(count, EXIT)},"),
        "journeys[0].exits",
        f"0 to {EXITS_MAX} values",
    ),
    "strings of a default": (
        DEFAULT_STRINGS_MAX,
        lambda count: (
            "attributes: [{id: d, owner: ada, type: strings, source: context, default: "
            + many(count, "s@")
            + "}]"
        ),
        "attributes[0].default",
        f"at most {DEFAULT_STRINGS_MAX} strings",
    ),
    "parts of a window": (
        GRANULES_MAX,
        window,
        "attributes[0].source.granularity",
        f"at most {GRANULES_MAX} granules",
    ),
    "arms of a bandit": (ARMS_MAX, arms, "models[0].arms", f"0 to {ARMS_MAX} entries"),
    "dimensions of linucb": (
        DIMENSIONS_MAX,
        lambda count: model(
            "kind: bandit, policy: linucb, floor: 0.1, "
            f"features: {many(DIMENSIONS_MAX - 1, '{attribute: profile.orders}')}, "
            f"prior: {{weights: {[0.0] * count}, inverse: {[[0.0] * DIMENSIONS_MAX] * DIMENSIONS_MAX}}}"
        ),
        "models[0].prior.weights",
        f"0 to {DIMENSIONS_MAX} values",
    ),
    "points of a calibration": (
        POINTS_MAX,
        isotonic,
        "models[0].calibration.isotonic.x",
        f"1 to {POINTS_MAX} values",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_one_more_than_the_limit_is_one_fault(what: str) -> None:
    limit, write, path, expected = CASES[what]
    assert faults_of(write(limit)) == []
    [fault, *more] = faults_of(write(limit + 1))
    assert fault.path == (f"$.{path}" if path else "$")
    assert expected in fault.expected
    assert fault.got
    assert (fault.file, fault.line > 0) == ("base.yaml" if "treatments" in what else "extra.yaml", True)
    assert [one.path for one in more] == ([fault.path[:-1] + "y"] if "points" in what else [])


@pytest.mark.parametrize(
    "beyond",
    [
        " + ".join(["(profile.vip ? profile.orders : 1)"] * LIFTED_MAX.bit_length()) + " > 3",
        sums(PROGRAM_STACK_MAX + 1),
    ],
)
def test_what_is_too_large_for_the_tables_runs_in_the_general_evaluator(beyond: str) -> None:
    parts: list[GeneralPart] = []
    files = {**BASE, "extra.yaml": segment(beyond)}
    compile_catalogue(read_catalogue(files), [], parts)
    assert [part.path for part in parts] == ["$.segments[0].when"]


def test_a_pattern_of_one_character_more_is_an_error() -> None:
    assert matches("a" * PATTERN_LENGTH_MAX, "a" * PATTERN_LENGTH_MAX)
    with pytest.raises(EvaluationError) as caught:
        matches("a", "a" * (PATTERN_LENGTH_MAX + 1))
    assert caught.value.expected == f"a pattern of at most {PATTERN_LENGTH_MAX} characters"
    with pytest.raises(EvaluationError):  # 1,000 of any one letter take more bytes than are allowed
        matches("a", r"\pL{1000}")


def test_the_reference_has_the_limits_of_the_code() -> None:
    rows = ROW.findall(REFERENCE.read_text(encoding="utf-8"))
    assert len(rows) >= 30
    for written, module, name in rows:
        assert getattr(importlib.import_module(module), name) == int(written.replace(",", "")), name
