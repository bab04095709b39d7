"""Figures of the compiled core: `core.*`, call against call from Python, packed record in, list out."""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import hold
from benchmarks.results import Figure, Results
from benchmarks.workload import NOW_MS, make_workload

ROUNDS = 7


def time_calls_us(call: Callable[[Any], object], items: list[Any], rounds: int = ROUNDS) -> list[float]:
    """Microseconds a call, once per round, each round over all items."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for item in items:
            call(item)
        times.append((time.perf_counter() - start) / len(items) * 1e6)
    return times


def test_match_1000_rules_takes_a_tenth_of_one_generated_python_function(
    benchmark: BenchmarkFixture, results: Results
) -> None:
    work = make_workload(1000, 200)
    generated, engine = work.generated(), work.engine
    rule_ids = [rule.id for rule in engine.document.rules]
    for profile, record in zip(work.profiles, work.records, strict=True):
        ours = [rule_ids[index] for index in engine.match(record, {}, NOW_MS)]
        assert ours == [f"segment:r{index:06d}" for index in generated(profile)]
    matching = statistics.mean(len(generated(profile)) for profile in work.profiles) / 1000
    assert 0.08 < matching < 0.25

    records = itertools.cycle(work.records)
    benchmark(lambda: engine.match(next(records), {}, NOW_MS))
    ours_us, python_us = [], []
    for _ in range(ROUNDS):  # taken in turns, so that noise falls on both
        ours_us += time_calls_us(lambda record: engine.match(record, {}, NOW_MS), work.records, 1)
        python_us += time_calls_us(generated, work.profiles, 1)
    hold(
        results.add(
            Figure(
                "core.match_1000_vs_generated_python",
                "us",
                "lower",
                ours_us,
                python_us,
                "one generated Python function over a dict",
                goal=1 / 15,
                gate=0.1,
                notes={"rules": 1000, "matching": round(matching, 3)},
            )
        )
    )
