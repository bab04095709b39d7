"""Figures of matching: `core.match_*`, one packed record in, the list of matching rules out.

The baseline is branch-free C generated for the same rules (`benchmarks/native.py`), called in the same way.
"""

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import hold
from benchmarks.native import native_module
from benchmarks.results import Figure, Results
from benchmarks.test_core import time_calls_us
from benchmarks.workload import NOW_MS, Workload, make_workload

ROUNDS = 15
PROFILES = 1000


def in_turns(items: list[Any], *calls: Callable[[Any], object], rounds: int = ROUNDS) -> list[list[float]]:
    """Microseconds a call of each function, a round of one after a round of the other: noise falls on all."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, found in zip(calls, times, strict=True):
            found += time_calls_us(call, items, 1)
    return times


def rule_numbers(work: Workload) -> list[int]:
    """The workload's number of each rule of the bundle."""
    return [int(rule.id.rpartition("r")[2]) for rule in work.engine.document.rules]


@pytest.mark.parametrize(("rules", "goal", "gate"), [(10, 4.0, 6.0), (100, 3.0, 4.5), (1000, 1.5, 2.5)])
def test_match_stays_near_c_generated_for_the_same_rules(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path, rules: int, goal: float, gate: float
) -> None:
    work = make_workload(rules, PROFILES)
    native, generated, engine = native_module(work, tmp_path), work.generated(), work.engine
    numbers = rule_numbers(work)
    matching = 0
    for profile, record in zip(work.profiles, work.records, strict=True):
        expected = generated(profile)
        assert [numbers[index] for index in engine.match(record, {}, NOW_MS)] == expected
        assert native.match(record) == expected
        matching += len(expected)

    def match(record: bytes) -> list[int]:
        return engine.match(record, {}, NOW_MS)

    benchmark.pedantic(match, (work.records[0],), rounds=5, iterations=1000)
    ours_us, native_us, unverified_us = in_turns(work.records, match, native.match, native.match_unverified)
    notes = {
        "rules": rules,
        "matching": round(matching / PROFILES / rules, 3),
        "record_bytes": round(statistics.mean(map(len, work.records))),
        "c_without_checksum_us": round(statistics.median(unverified_us), 3),
    }
    name = "branch-free C for the same rules, which verifies the record's checksum as well"
    figure = Figure(f"core.match_{rules}", "us", "lower", ours_us, native_us, name, goal, gate, notes)
    hold(results.add(figure))
