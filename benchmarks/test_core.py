"""Figures of the compiled core: `core.*`, call against call from Python, packed record in, list out."""

import itertools
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lmdb
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.conftest import hold
from benchmarks.results import Figure, Results
from benchmarks.small import OFFERS, PLACEMENT, compiled, small_files
from benchmarks.workload import NOW_MS, make_profile, make_workload, profile_state
from core.answers import Decision
from core.decide import Engine
from core.request import Request

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


def test_small_decision_reads_lmdb_and_ranks_fifty_candidates(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path
) -> None:
    engine = Engine(compiled(small_files()), 1)
    keys = write_records(tmp_path, engine)
    env = lmdb.open(str(tmp_path), readonly=True, lock=False, readahead=False)
    draw = random.Random(3)

    def decide() -> Decision:
        with env.begin(buffers=True) as txn:
            record = txn.get(draw.choice(keys))
            request = Request("d-1", (PLACEMENT,), {"device": "mobile"}, bytes(16))
            return engine.decide(record, (), request, NOW_MS)

    answers = [decide() for _ in range(2000)]
    assert sum(answer.fallbacks for answer in answers) <= len(answers) // 100
    benchmark(decide)
    ours_us = time_calls_us(lambda _: decide(), [None] * 20_000)
    reads_us = time_calls_us(lambda _: read(env, draw.choice(keys)), [None] * 20_000)
    notes = {
        "lmdb_read_us": round(statistics.median(reads_us), 2),
        "profiles": len(keys),
        "candidates": OFFERS,
    }
    results.add(Figure("core.decide_small", "us", "lower", ours_us, gate=40.0, notes=notes))
    hold(results.figures["core.decide_small"])


def read(env: lmdb.Environment, key: bytes) -> object:
    with env.begin(buffers=True) as txn:
        return txn.get(key)


def write_records(folder: Path, engine: Engine, count: int = 100_000) -> list[bytes]:
    """`count` consented profiles of 40 attributes each in an LMDB environment; their keys."""
    draw = random.Random(5)
    layout_id = engine.document.layout_id
    states = [profile_state(engine.fold_plan, make_profile(draw)) for _ in range(500)]
    keys = sorted(draw.randbytes(16) for _ in range(count))
    env = lmdb.open(str(folder), map_size=1 << 30, sync=False)
    with env.begin(write=True) as txn:
        for number, key in enumerate(keys):
            record = states[number % len(states)].pack(
                layout_id=layout_id, sequence=1, packed_at_ms=NOW_MS, unit_key=key, known=False
            )
            txn.put(key, record, append=True)
    env.close()
    return keys
