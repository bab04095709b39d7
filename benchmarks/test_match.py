"""Figures of matching: `core.match_*`, one packed record in, the list of matching rules out.

The baseline is branch-free C generated for the same rules (`benchmarks/native.py`), called in the same way.
"""

import os
import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.columns import columns_of, native_columns, numpy_columns
from benchmarks.conftest import hold
from benchmarks.large import grown
from benchmarks.mixed import MIXTURE, Seen, make_mixed
from benchmarks.native import native_module
from benchmarks.results import Figure, Results
from benchmarks.test_core import time_calls_us
from benchmarks.workload import NOW_MS, Workload, make_workload
from core.bundle import encode_bundle
from core.decide import Engine
from tests.oracle.cel import parse
from tests.oracle.evaluate import evaluate

#: Workloads are read, never changed, so that several figures share one.
workload = cache(make_workload)

ROUNDS, ROUND_ITEMS = 200, 50
PROFILES = 1000
#: Profiles that the further rules of a large set are held against, and of the batch that threads share.
FEW, MANY = 20, 20_000


def in_turns(items: list[Any], *calls: Callable[[Any], object], rounds: int = ROUNDS) -> list[list[float]]:
    """Microseconds a call of each function: a short round of one after a short round of the other, so that
    noise falls on all, and the median of many ratios is left alone by it.
    """
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds):
        begin = number * ROUND_ITEMS % len(items)
        for call, found in zip(calls, times, strict=True):
            found.extend(time_calls_us(call, items[begin : begin + ROUND_ITEMS], 1))
    return times


def rule_numbers(work: Workload) -> list[int]:
    """The workload's number of each rule of the bundle."""
    return [int(rule.id.rpartition("r")[2]) for rule in work.engine.document.rules]


@pytest.mark.parametrize(("rules", "goal", "gate"), [(10, 4.0, 4.5), (100, 3.0, 3.5), (1000, 1.5, 1.8)])
def test_match_stays_near_c_generated_for_the_same_rules(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path, rules: int, goal: float, gate: float
) -> None:
    work = workload(rules, PROFILES)
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

    benchmark.pedantic(match, (work.records[0],), rounds=5, iterations=200)
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


@pytest.mark.parametrize(("rules", "gate"), [(10_000, 2.0), (100_000, 5.0)])
def test_rules_that_cannot_match_cost_little(
    benchmark: BenchmarkFixture, results: Results, rules: int, gate: float
) -> None:
    work = workload(1000, FEW)
    started = time.perf_counter()
    engine = grown(work, rules)
    load_s = time.perf_counter() - started
    few = work.engine
    expected = [few.match(record, {}, NOW_MS) for record in work.records]
    assert [engine.match(record, {}, NOW_MS) for record in work.records] == expected
    benchmark.pedantic(engine.match, (work.records[0], {}, NOW_MS), rounds=5, iterations=200)
    many_us, few_us = in_turns(
        work.records,
        lambda record: engine.match(record, {}, NOW_MS),
        lambda record: few.match(record, {}, NOW_MS),
    )
    notes = {
        "rules": rules,
        "matching_rules": round(statistics.mean(map(len, expected)), 1),
        "made_and_loaded_s": round(load_s, 2),
    }
    name = "our own 1,000 rules, of which the same match"
    hold(results.add(Figure(f"core.match_{rules}", "us", "lower", many_us, few_us, name, 4.0, gate, notes)))


def test_mixed_rules_agree_with_the_oracle(benchmark: BenchmarkFixture, results: Results) -> None:
    plain, mixed = workload(1000, PROFILES), make_mixed(1000, PROFILES)
    numbers = rule_numbers(mixed)
    trees = [parse(rule.cel) for rule in mixed.rules]
    for profile, record in list(zip(mixed.profiles, mixed.records, strict=True))[:FEW]:
        found = sorted(numbers[index] for index in mixed.engine.match(record, {}, NOW_MS))
        seen = Seen(profile)
        assert found == [number for number, tree in enumerate(trees) if evaluate(tree, seen) is True]
    benchmark.pedantic(mixed.engine.match, (mixed.records[0], {}, NOW_MS), rounds=5, iterations=200)
    pairs = list(zip(mixed.records, plain.records, strict=True))
    mixed_us, plain_us = in_turns(
        pairs,
        lambda pair: mixed.engine.match(pair[0], {}, NOW_MS),
        lambda pair: plain.engine.match(pair[1], {}, NOW_MS),
    )
    name = "our own 1,000 plain rules, nothing absent"
    results.add(Figure("core.match_1000_mixed", "us", "lower", mixed_us, plain_us, name, notes=MIXTURE))


def test_a_thousand_rules_are_loaded_in_milliseconds(benchmark: BenchmarkFixture, results: Results) -> None:
    content = encode_bundle(workload(1000, PROFILES).engine.document)
    benchmark.pedantic(Engine, (content, 1), rounds=3)
    times_ms = [us / 1e3 for us in time_calls_us(lambda _: Engine(content, 1), [None], 20)]
    notes = {"bundle_bytes": len(content)}
    hold(results.add(Figure("core.load_1000_ms", "ms", "lower", times_ms, goal=20, gate=80, notes=notes)))


def test_a_batch_is_faster_than_c_over_columns(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path
) -> None:
    work = workload(1000, PROFILES)
    engine, columns = work.engine, columns_of(work.profiles)
    native, arrays = native_columns(work.rules, columns, tmp_path), numpy_columns(work.rules, columns)
    matches, numbers = engine.match_batch(work.records, NOW_MS), rule_numbers(work)
    for index, row, other in ((i, native()[n], arrays()[n]) for i, n in list(enumerate(numbers))[::50]):
        assert matches.profiles_of(index) == row.nonzero()[0].tolist() == other.nonzero()[0].tolist()
    for profile, record in enumerate(work.records[::10]):
        assert matches.rules_of(profile * 10) == engine.match(record, {}, NOW_MS)
    benchmark.pedantic(engine.match_batch, (work.records, NOW_MS), rounds=5)
    calls = (
        lambda _: engine.match_batch(work.records, NOW_MS),
        lambda _: native(),
        lambda _: arrays(),
    )
    ours_us, native_us, numpy_us = (
        [us / PROFILES for us in times] for times in in_turns([None], *calls, rounds=25)
    )
    notes = {"numpy_us": round(statistics.median(numpy_us), 2)}
    assert statistics.median(ours_us) * 4 < statistics.median(numpy_us)
    name = "generated C over columns in memory, a byte an answer; ours reads and verifies packed records"
    hold(results.add(Figure("core.batch_match", "us", "lower", ours_us, native_us, name, 2.0, 1.4, notes)))


def test_two_threads_share_a_batch(results: Results) -> None:
    """No gate: where nothing else runs there are two cores for it, elsewhere not. What it cannot hide is the
    note: processor time that two threads take more than one.
    """
    work = workload(1000, PROFILES)
    many = (work.records * (MANY // PROFILES))[:MANY]
    used: dict[int, float] = {1: 0.0, 2: 0.0}

    def match(threads: int) -> None:
        started = time.process_time()
        work.engine.match_batch(many, NOW_MS, threads=threads)
        used[threads] += time.process_time() - started

    calls = (lambda _: match(2), lambda _: match(1))
    two_us, one_us = ([us / MANY for us in times] for times in in_turns([None], *calls, rounds=10))
    notes = {"profiles": MANY, "cores": os.cpu_count(), "processor_time_ratio": round(used[2] / used[1], 3)}
    name = "the same batch by one thread"
    results.add(Figure("core.batch_threads", "us", "lower", two_us, one_us, name, 0.55, notes=notes))
