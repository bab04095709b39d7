"""`core.trees_*_vs_*` and `core.logistic_*_vs_*`: libraries that score the same models, beside ours.

One core each. Rows are there as an array on both sides, and a row in our call is its bytes; the logistic
models read a packed record where the others have their array.
"""

import random
from pathlib import Path

import numpy as np
import pytest

from benchmarks.conftest import hold
from benchmarks.peers import models as peers
from benchmarks.peers.timing import sides_in_turns, version
from benchmarks.results import Figure, Results
from benchmarks.test_scoring import (
    COLUMNS,
    LEAVES,
    NAMES,
    ROWS,
    TREES,
    FastRow,
    Rows,
    logistic_files,
    make_rows,
    tables_of,
    trained,
)
from benchmarks.workload import NOW_MS, make_profile, pack_profile
from core import bundle as b
from core.compiler import compile_catalogue
from core.compiler.ensembles import make_trees
from core.compiler.xgboost import read_xgboost
from core.decide import Engine
from core.scoring import Models
from hub.decisioning.authoring import read_catalogue

RECORDS = 200
#: What a thousand rows take is milliseconds.
MANY_ROUNDS = 15
#: Libraries, and the rows of a call; what is fast for one row is not always for a thousand.
SIDES = [
    (name, count)
    for name in ("lightgbm_fast_row", "lightgbm", "lleaves", "tl2cgen", "onnxruntime")
    for count in (1, ROWS)
    if (name, count) != ("lightgbm_fast_row", ROWS)
]
#: Goal and gate of those that are held.
HELD = {("lightgbm_fast_row", 1): (1 / 4, 1 / 2.5), ("lleaves", ROWS): (1.0, 1.0)}
PACKAGES = {"lightgbm_fast_row": "lightgbm"}


@pytest.fixture(scope="module")
def rows() -> Rows:
    return make_rows(np.random.default_rng(7), ROWS)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "count"), SIDES)
def test_trees_beside_a_library(results: Results, rows: Rows, tmp_path: Path, name: str, count: int) -> None:
    booster = trained()
    models = Models([b.Model("m", b.MODEL_TREES, 0.0, [], tables_of(booster))], [], [])
    assert scored(models, rows) == booster.predict(rows, raw_score=True, num_threads=1).tolist()  # type: ignore[union-attr]
    example = rows[:count]
    match name:
        case "lightgbm_fast_row":
            fast = FastRow(booster)
            peer = peers.Scorer(fast.score, 0.0, flat=True)
        case "lightgbm":
            peer = peers.lightgbm_itself(booster, example)
        case "lleaves":
            peer = peers.lleaves(booster, example, tmp_path)
        case "tl2cgen":
            peer = peers.tl2cgen(booster, example, tmp_path)
        case _:
            peer = peers.onnxruntime(booster, example)
    notes = {"trees": TREES, "leaves": LEAVES, "columns": COLUMNS, "peer": version(PACKAGES.get(name, name))}
    add_trees(results, name, models, peer, rows, count, notes)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1, ROWS])
def test_trees_of_xgboost_beside_itself(results: Results, rows: Rows, tmp_path: Path, count: int) -> None:
    import xgboost

    draw = np.random.default_rng(5)
    data = make_rows(draw, 3_000)
    target = np.nan_to_num(data) @ draw.normal(size=COLUMNS) > 0
    options = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "grow_policy": "lossguide",
        "nthread": 1,
    }
    options |= {"max_leaves": LEAVES, "max_depth": 0}
    booster = xgboost.train(options, xgboost.DMatrix(data, target), TREES)
    booster.save_model(tmp_path / "model.json")
    ensemble = read_xgboost((tmp_path / "model.json").read_text())
    inputs = [b.TreeInput(int(name.removeprefix("f"))) for name in ensemble.features]
    models = Models([b.Model("m", b.MODEL_TREES, 0.0, [], make_trees(ensemble, inputs, b.LINK_RAW))], [], [])
    peer = peers.xgboost_itself(booster, rows[:count])
    notes = {"trees": TREES, "leaves_max": LEAVES, "columns": COLUMNS, "peer": version("xgboost-cpu")}
    add_trees(results, "xgboost", models, peer, rows, count, notes)


def scored(models: Models, rows: Rows) -> list[float]:
    return [models.score(0, row.tobytes()) for row in rows]


def add_trees(
    results: Results,
    name: str,
    models: Models,
    peer: peers.Scorer,
    rows: Rows,
    count: int,
    notes: dict[str, object],
) -> None:
    """Compare the scores, then the times a row."""
    ours = np.array(scored(models, rows))
    calls = list(rows) if peer.flat else [rows[at : at + count] for at in range(0, ROWS, count)]
    theirs = np.concatenate([np.ravel(peer.score(call)) for call in calls])
    far = np.abs(ours - theirs) > peer.tolerance * np.maximum(1.0, np.abs(ours))
    assert far.mean() <= peer.apart_max, f"{far.sum()} of {ROWS} scores of {name} differ from ours"
    if count == 1:
        packed = [row.tobytes() for row in rows]
        ours_us, theirs_us = sides_in_turns((lambda row: models.score(0, row), packed), (peer.score, calls))
    else:
        out = np.empty(ROWS)
        sides = ((lambda rows: models.score_rows(0, rows, out), [rows]), (peer.score, calls))
        times = sides_in_turns(*sides, rounds=MANY_ROUNDS, size=1)
        ours_us, theirs_us = ([us / ROWS for us in side] for side in times)
    notes |= {"unit_is": "us a row", "rows": count, "peer_ready_s": round(peer.ready_s, 2)}
    goal, gate = HELD.get((name, count), (None, None))
    title = f"{notes['peer']}, the same model and rows"
    figure = Figure(
        f"core.trees_{count}_vs_{name}", "us", "lower", ours_us, theirs_us, title, goal, gate, notes
    )
    hold(results.add(figure))


@pytest.mark.parametrize("candidates", [1, 50])
@pytest.mark.parametrize("name", ["numpy", "scikit-learn"])
def test_logistic_candidates_beside_a_library(results: Results, name: str, candidates: int) -> None:
    draw = random.Random(11)
    weights = [[draw.uniform(-0.01, 0.01) for _ in NAMES] for _ in range(candidates)]
    content, _ = compile_catalogue(read_catalogue(logistic_files(weights)), [])
    engine = Engine(content, 1)
    layout_id = engine.document.layout_id
    profiles = [make_profile(draw, NAMES) for _ in range(RECORDS)]
    records = [pack_profile(engine.fold_plan, profile, layout_id) for profile in profiles]
    arrays = [np.array([float(profile[one]) for one in NAMES]) for profile in profiles]
    make = peers.numpy_logistic if name == "numpy" else peers.sklearn_logistic
    score = make(np.array(weights))

    def ours(record: bytes) -> list[float]:
        return engine.score(record, {}, NOW_MS)

    for record, row in zip(records, arrays, strict=True):
        assert ours(record) == pytest.approx(score(row), rel=1e-12)
    ours_us, theirs_us = sides_in_turns((ours, records), (score, arrays))
    notes = {"candidates": candidates, "features": len(NAMES), "peer": version(name), "peer_gets": "an array"}
    key, title = f"core.logistic_{candidates}_vs_{name}", f"{notes['peer']}, the same weights"
    results.add(Figure(key, "us", "lower", ours_us, theirs_us, title, notes=notes))
