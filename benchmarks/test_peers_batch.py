"""`core.batch_match_vs_*`: a thousand rules over a thousand profiles in libraries of columns, beside ours.

They have the columns in memory, with strings as numbers of words for numpy and as strings for polars; ours
reads and verifies packed records. One thread each.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars

from benchmarks.columns import columns_of, numpy_columns
from benchmarks.conftest import hold
from benchmarks.peers import languages
from benchmarks.peers.rules import nodes_of
from benchmarks.peers.timing import sides_in_turns, version
from benchmarks.results import Figure, Results
from benchmarks.test_match import rule_numbers
from benchmarks.workload import NOW_MS, Workload, make_workload

PROFILES, RULES, ROUNDS = 1_000, 1_000, 10


@functools.cache
def workload() -> Workload:
    return make_workload(RULES, PROFILES)


@functools.cache
def expected() -> np.ndarray:  # type: ignore[type-arg]
    """A row of bools a rule, by ours; `core.batch_match` holds them against the others."""
    work = workload()
    matches, numbers = work.engine.match_batch(work.records, NOW_MS), rule_numbers(work)
    found = np.zeros((RULES, PROFILES), dtype=np.bool_)
    for index, number in enumerate(numbers):
        found[number, matches.profiles_of(index)] = True
    generated = work.generated()
    for profile, column in zip(work.profiles, found.T, strict=True):
        assert column.nonzero()[0].tolist() == generated(profile)
    return found


def test_a_batch_beside_numpy(results: Results) -> None:
    work = workload()
    arrays = numpy_columns(work.rules, columns_of(work.profiles))
    assert (np.array(arrays()) == expected()).all()
    compare(results, "numpy", lambda _: arrays(), 1 / 4)


def test_a_batch_beside_polars(results: Results) -> None:
    work = workload()
    frame = polars.DataFrame(work.profiles)
    rules = [
        languages.polars_expression(node).alias(f"r{number}")
        for number, node in enumerate(nodes_of(work.rules))
    ]
    assert (expected() == frame.select(rules).to_numpy().T).all()
    compare(results, "polars", lambda _: frame.select(rules))


def compare(
    results: Results,
    name: str,
    theirs: Callable[[Any], object],
    goal: float | None = None,
    gate: float | None = None,
) -> None:
    work = workload()
    batch = (lambda records: work.engine.match_batch(records, NOW_MS), [work.records])
    times = sides_in_turns(batch, (theirs, [None]), rounds=ROUNDS, size=1)
    ours_us, theirs_us = ([us / PROFILES for us in side] for side in times)
    notes = {"rules": RULES, "profiles": PROFILES, "peer": version(name), "unit_is": "us a profile"}
    title = f"{notes['peer']} over columns in memory"
    key = f"core.batch_match_vs_{name}"
    hold(results.add(Figure(key, "us", "lower", ours_us, theirs_us, title, goal, goal, notes)))
