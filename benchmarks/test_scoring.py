"""Figures of the models: `core.trees_1`, `core.trees_1000`, `core.logistic_50`, call against call from
Python."""

import ctypes
import random
import statistics
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final

import lightgbm
import numpy as np
import pytest
from lightgbm.basic import _LIB, _safe_call

from benchmarks.compiled import compile_module
from benchmarks.conftest import hold
from benchmarks.dotproducts import dot_products_source
from benchmarks.quickscorer import quickscorer_source
from benchmarks.results import Figure, Results
from benchmarks.workload import NOW_MS, attribute_names, catalogue_files, make_profile, pack_profile
from core import bundle as b
from core.compiler import compile_catalogue
from core.compiler.ensembles import make_trees, used
from core.compiler.lightgbm import read_lightgbm
from core.decide import Engine
from core.scoring import Models
from hub.decisioning.authoring import read_catalogue

TREES, LEAVES, COLUMNS, ROWS = 100, 31, 40, 1_000
CANDIDATES: Final = 50
ROUNDS: Final = 15
TRAINING_ROWS: Final = 3_000
NAMES: Final = attribute_names(20, 20, 0, 0)

Rows = np.ndarray[Any, Any]


@cache
def trained() -> lightgbm.Booster:
    draw = np.random.default_rng(20261123)
    rows = make_rows(draw, TRAINING_ROWS)
    clean = np.nan_to_num(rows)
    target = clean @ draw.normal(size=COLUMNS) + 2 * np.sin(3 * clean[:, 0]) > 0
    options = {"objective": "binary", "verbose": -1, "num_leaves": LEAVES, "num_threads": 1}
    return lightgbm.train(options, lightgbm.Dataset(rows, target.astype(float)), TREES)


@pytest.fixture(scope="module")
def booster() -> lightgbm.Booster:
    return trained()


@pytest.fixture(scope="module")
def trees(booster: lightgbm.Booster) -> b.Trees:
    return tables_of(booster)


def tables_of(booster: lightgbm.Booster) -> b.Trees:
    ensemble = read_lightgbm(booster.model_to_string())
    assert len(used(ensemble)) == COLUMNS
    return make_trees(ensemble, [b.TreeInput(at) for at in range(COLUMNS)], b.LINK_RAW)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(np.random.default_rng(7), ROWS)


@pytest.fixture(scope="module")
def baseline(trees: b.Trees, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return compile_module("quickscorer", quickscorer_source(trees), tmp_path_factory.mktemp("c"))


def make_rows(draw: np.random.Generator, count: int) -> Rows:
    rows = draw.normal(size=(count, COLUMNS))
    rows[draw.random(rows.shape) < 0.02] = np.nan
    return rows


def time_us(call: Callable[[], object], count: int) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) / count * 1e6


def in_turns(ours: Callable[[], object], theirs: Callable[[], object], count: int) -> Any:
    """Microseconds of each of `count` calls or rows, taken in turns, so that noise falls on both."""
    pairs = [(time_us(ours, count), time_us(theirs, count)) for _ in range(ROUNDS)]
    return [list(one) for one in zip(*pairs, strict=True)]


def test_one_row_of_trees_beside_quickscorer_in_c(
    results: Results, booster: lightgbm.Booster, trees: b.Trees, rows: Rows, baseline: Any
) -> None:
    start = time.perf_counter()
    models = Models([b.Model("m", b.MODEL_TREES, 0.0, [], trees)], [], [])
    load_ms = (time.perf_counter() - start) * 1e3
    packed = [row.tobytes() for row in rows]
    expected = booster.predict(rows, raw_score=True, num_threads=1).tolist()
    assert [models.score(0, row) for row in packed] == [baseline.score(row) for row in packed] == expected
    ours, theirs = in_turns(
        lambda: [models.score(0, row) for row in packed],
        lambda: [baseline.score(row) for row in packed],
        ROWS,
    )
    fast = FastRow(booster)
    library = [time_us(lambda: [fast.score(row) for row in rows], ROWS) for _ in range(5)]
    assert [fast.score(row) for row in rows[:50]] == expected[:50]
    times = statistics.median(library) / statistics.median(ours)
    notes = {"trees": TREES, "leaves": LEAVES, "columns": COLUMNS, "load_ms": round(load_ms, 3)}
    notes |= {"lightgbm_fast_row_us": round(statistics.median(library), 2), "times_faster": round(times, 1)}
    name = "QuickScorer tables in C for this model"
    hold(results.add(Figure("core.trees_1", "us", "lower", ours, theirs, name, 1.5, 1.8, notes)))
    assert times >= 2.5, f"LightGBM's fast single row takes {times:.1f} times as long; the goal is 4"
    assert load_ms < 100.0


def test_a_thousand_rows_of_trees_beside_quickscorer_in_c(
    results: Results, trees: b.Trees, rows: Rows, baseline: Any
) -> None:
    models = Models([b.Model("m", b.MODEL_TREES, 0.0, [], trees)], [], [])
    ours_out, their_out = np.empty(ROWS), np.empty(ROWS)
    ours, theirs = in_turns(
        lambda: models.score_rows(0, rows, ours_out), lambda: baseline.score_rows(rows, their_out), ROWS
    )
    assert ours_out.tolist() == their_out.tolist()
    name = "QuickScorer tables in C for this model"
    notes = {"rows": ROWS, "unit_is": "us a row"}
    hold(results.add(Figure("core.trees_1000", "us", "lower", ours, theirs, name, 0.5, 0.9, notes)))


class FastRow:
    """LightGBM's fast single-row call: everything prepared once, two pointers handed over each time."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        self._config = ctypes.c_void_p()
        self._booster = booster
        raw, double = ctypes.c_int(1), ctypes.c_int(1)
        _safe_call(
            _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
                booster._handle,
                raw,
                ctypes.c_int(0),
                ctypes.c_int(-1),
                double,
                ctypes.c_int32(COLUMNS),
                ctypes.c_char_p(b"num_threads=1"),
                ctypes.byref(self._config),
            )
        )
        self._out = ctypes.c_double()
        self._count = ctypes.c_int64()
        self._call = _LIB.LGBM_BoosterPredictForMatSingleRowFast
        self._rest = (ctypes.byref(self._count), ctypes.byref(self._out))

    def score(self, row: Rows) -> float:
        self._call(self._config, ctypes.c_void_p(row.ctypes.data), *self._rest)
        return self._out.value


def test_fifty_logistic_candidates_beside_dot_products_in_c(results: Results, tmp_path: Path) -> None:
    draw = random.Random(11)
    weights = [[draw.uniform(-0.01, 0.01) for _ in NAMES] for _ in range(CANDIDATES)]
    content, _ = compile_catalogue(read_catalogue(logistic_files(weights)), [])
    engine = Engine(content, 1)
    slots = {item.name.removeprefix("profile."): item.slot for item in engine.document.attributes}
    source = dot_products_source([(slots[name], name[0] == "i") for name in NAMES], weights)
    c = compile_module("dotproducts", source, tmp_path)
    layout_id = engine.document.layout_id
    records = [pack_profile(engine.fold_plan, make_profile(draw, NAMES), layout_id) for _ in range(200)]
    for record in records:
        assert engine.score(record, {}, NOW_MS) == pytest.approx(c.score(record), rel=1e-12)
    ours, theirs = in_turns(
        lambda: [engine.score(record, {}, NOW_MS) for record in records],
        lambda: [c.score(record) for record in records],
        len(records),
    )
    notes = {"candidates": CANDIDATES, "features": len(NAMES)}
    name = "dot products in C, packed record in, list out"
    hold(results.add(Figure("core.logistic_50", "us", "lower", ours, theirs, name, 2.0, 3.6, notes)))


def logistic_files(weights: list[list[float]]) -> dict[str, str]:
    lines = ["models:"]
    for number, row in enumerate(weights):
        lines += [f"  - id: m{number:02d}", "    owner: bench", "    kind: logistic", "    features:"]
        lines += [
            f"      - {{attribute: profile.{name}, weight: {weight!r}}}"
            for name, weight in zip(NAMES, row, strict=True)
        ]
    return {**catalogue_files([], NAMES), "models.yaml": "\n".join(lines) + "\n"}
