"""Whole decisions: `core.decide_small` and `core.decide_large`, beside the sum of what their parts cost in C.

A decision begins with the key of a person in LMDB and ends with the answer's bytes and what its log row
needs. The C is called part by part: the record read inside an open transaction, the same rules, as many
experiments, the same models for as many candidates. It knows no consent, caps, exclusivity, content or JSON.
"""

import os
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import large_decision, small
from benchmarks.compiled import compile_module
from benchmarks.conftest import hold
from benchmarks.dotproducts import dot_products_source
from benchmarks.native import compile_module as compile_matcher
from benchmarks.native import matcher_source
from benchmarks.quickscorer import quickscorer_source
from benchmarks.results import Figure, Results
from benchmarks.test_assign import in_c, make_experiments
from benchmarks.test_core import time_calls_us
from benchmarks.workload import NOW_MS, Rule, make_profile, make_rule, profile_state
from core.answers import Decision
from core.decide import Engine
from core.request import Request

PERSONS, RECORDS, ROUNDS, ROUND_CALLS = 100_000, 500, 40, 100
LARGE_RULES = 1_000
BATCH, BATCH_ROUNDS = 2_000, 15
Call = Callable[[Any], object]


class Population:
    """Consented persons of 40 attributes each in an LMDB environment, read by keys drawn uniformly."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        draw = random.Random(5)
        self.profiles = [make_profile(draw) for _ in range(RECORDS)]
        states = [profile_state(engine.fold_plan, profile) for profile in self.profiles]
        self.keys = sorted(draw.randbytes(16) for _ in range(PERSONS))
        layout_id = engine.document.layout_id
        packed = {"layout_id": layout_id, "sequence": 1, "packed_at_ms": NOW_MS, "known": False}
        self.records = [state.pack(unit_key=bytes(16), **packed) for state in states]
        with lmdb.open(str(folder), map_size=1 << 30, sync=False) as env, env.begin(write=True) as txn:
            for number, key in enumerate(self.keys):
                record = states[number % RECORDS].pack(unit_key=key, **packed)
                txn.put(key, record, append=True)
        self.env = lmdb.open(str(folder), readonly=True, lock=False, readahead=False)
        self.txn = self.env.begin(buffers=True)

    def close(self) -> None:
        self.txn.abort()
        self.env.close()

    def deciding(self, engine: Engine, placements: Sequence[str]) -> Callable[[bytes], Decision]:
        """What an edge does: a transaction, the record, the decision."""
        asked = tuple(placements)

        def decide(key: bytes) -> Decision:
            with self.env.begin(buffers=True) as txn:
                request = Request("d-1", asked, {"device": "mobile"}, bytes(16))
                return engine.decide(txn.get(key), (), request, NOW_MS)

        return decide


@pytest.fixture
def open_populations() -> Iterator[list[Population]]:
    opened: list[Population] = []
    yield opened
    for one in opened:
        one.close()


@dataclass(frozen=True)
class Part:
    """A part of a decision in C: a function of some items, each of which stands for `size` decisions."""

    call: Call
    items: Sequence[Any]
    size: int = 1


def times_us(ours: Call, keys: list[bytes], parts: dict[str, Part]) -> dict[str, list[float]]:
    """Microseconds of our decision and of each part, round by round in turns."""
    draw = random.Random(3)
    found: dict[str, list[float]] = {name: [] for name in ("ours", *parts)}
    for _ in range(ROUNDS):
        found["ours"] += time_calls_us(ours, draw.choices(keys, k=ROUND_CALLS), 1)
        for name, part in parts.items():
            items = draw.choices(part.items, k=max(1, ROUND_CALLS // part.size))
            found[name] += [one / part.size for one in time_calls_us(part.call, items, 1)]
    return found


def figure(
    key: str, found: dict[str, list[float]], goal: float, gate: float, notes: dict[str, Any]
) -> Figure:
    parts = [name for name in found if name != "ours"]
    limits = [sum(found[name][at] for name in parts) for at in range(len(found["ours"]))]
    notes = notes | {f"c_{name}_us": round(statistics.median(found[name]), 2) for name in parts}
    name = "the sum of its parts in C: read, rules, experiments, models"
    return Figure(key, "us", "lower", found["ours"], limits, name, goal, gate, notes)


def read_and_rules(
    people: Population, engine: Engine, rules: Sequence[Rule], folder: Path
) -> dict[str, Part]:
    slots = {item.name: item.slot for item in engine.document.attributes}
    matcher = compile_matcher(
        matcher_source([rule.c for rule in rules], slots), folder, f"decide_{len(rules)}"
    )
    return {"read": Part(people.txn.get, people.keys), "rules": Part(matcher.match, people.records)}


def experiments(count: int, folder: Path) -> Part:
    """All of a round's units in one call, for the call costs more than they do."""
    draw = random.Random(11)
    units = [draw.randbytes(16) for _ in range(ROUND_CALLS)]
    assign = in_c(make_experiments(draw, count), units, folder)
    return Part(lambda _: assign(), [None], ROUND_CALLS)


def require_answers(answers: Sequence[Decision]) -> None:
    assert sum(answer.fallbacks for answer in answers) <= sum(answer.known for answer in answers) // 100


def test_small_decision_beside_its_parts_in_c(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path, open_populations: list[Population]
) -> None:
    engine = Engine(small.compiled(small.small_files()), 1)
    people = Population(tmp_path, engine)
    open_populations.append(people)
    decide = people.deciding(engine, [small.PLACEMENT])
    require_answers([decide(key) for key in people.keys[:2000]])
    slots = {item.name: item.slot for item in engine.document.attributes}
    names = small.numeric()
    source = dot_products_source(
        [(slots[f"profile.{name}"], name[0] == "i") for name in names],
        [[row[name] for name in names] for row in small.small_weights()],
    )
    scorer = compile_module("dotproducts", source, tmp_path)
    parts = read_and_rules(people, engine, small.small_rules(), tmp_path)
    parts["experiments"] = experiments(small.EXPERIMENTS, tmp_path)
    parts["models"] = Part(scorer.score, people.records)
    benchmark(decide, people.keys[0])
    notes = {"profiles": PERSONS, "candidates": small.OFFERS, "features": len(names)}
    found = times_us(decide, people.keys, parts)
    hold(results.add(figure("core.decide_small", found, 2.0, 4.5, notes)))


def test_large_decision_beside_its_parts_in_c(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path, open_populations: list[Population]
) -> None:
    draw = random.Random(20261123)
    rules = [make_rule(draw) for _ in range(LARGE_RULES)]
    engine = Engine(small.compiled(large_decision.large_files(rules)), 1)
    people = Population(tmp_path, engine)
    open_populations.append(people)
    decide = people.deciding(engine, large_decision.PLACEMENTS)
    require_answers([decide(key) for key in people.keys[:500]])
    trees = engine.document.models[0].trees
    assert trees is not None
    baseline = compile_module("quickscorer", quickscorer_source(trees), tmp_path)
    out = np.empty(large_decision.RANKED)
    rows = [large_decision.rows_of(engine.document, profile) for profile in people.profiles]
    parts = read_and_rules(people, engine, rules, tmp_path)
    parts["experiments"] = experiments(large_decision.EXPERIMENTS, tmp_path)
    parts["models"] = Part(lambda row: baseline.score_rows(row, out), rows)
    benchmark(decide, people.keys[0])
    notes = {
        "profiles": PERSONS,
        "rules": LARGE_RULES,
        "offers": large_decision.OFFERS,
        "ranked_by_trees": len(out),
    }
    found = times_us(decide, people.keys, parts)
    hold(results.add(figure("core.decide_large", found, 1.0, 1.2, notes)))


def test_a_batch_of_decisions_takes_both_cores(
    benchmark: BenchmarkFixture, results: Results, tmp_path: Path, open_populations: list[Population]
) -> None:
    """Without log rows: what a mailing pays for before it composes."""
    engine = Engine(small.compiled(small.small_files()), 1)
    people = Population(tmp_path, engine)
    open_populations.append(people)
    draw, context = random.Random(9), {"device": "mobile"}
    records = [people.txn.get(key) for key in draw.choices(people.keys, k=BATCH)]
    requests = [Request(f"d-{at}", (small.PLACEMENT,), context, bytes(16)) for at in range(BATCH)]
    alone = [engine.decide(record, (), one, NOW_MS) for record, one in zip(records, requests, strict=True)]
    made = engine.decide_batch(records, requests, NOW_MS, threads=2)
    assert [one.body for one in made] == [one.body for one in alone]
    require_answers(made)

    def singly() -> None:
        for record, request in zip(records, requests, strict=True):
            engine.decide(record, (), request, NOW_MS)

    calls: list[Callable[[], object]] = [
        singly,
        lambda: engine.decide_batch(records, requests, NOW_MS),
        lambda: engine.decide_batch(records, requests, NOW_MS, threads=2),
    ]
    benchmark.pedantic(calls[2], rounds=3)
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(BATCH_ROUNDS):
        for call, found in zip(calls, times, strict=True):
            found += [one / BATCH for one in time_calls_us(lambda _, call=call: call(), [None], 1)]
    one_by_one, one_thread, two_threads = times
    speedup = statistics.median(one / two for one, two in zip(one_thread, two_threads, strict=True))
    notes = {
        "one_thread_us": round(statistics.median(one_thread), 2),
        "speedup_of_two_threads": round(speedup, 2),
    }
    notes |= {"requests": BATCH, "cores": os.cpu_count()}
    name = "the same decisions one by one"
    values = two_threads, one_by_one, name, 0.6, 1.3
    hold(results.add(Figure("core.decide_batch", "us", "lower", *values, notes)))
