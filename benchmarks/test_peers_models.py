"""`core.trees_*_vs_*` and `core.logistic_*_vs_*`: libraries that score the same models, beside ours.

One core each. Rows are there as an array on both sides, and a row in our call is its bytes; the logistic models
read a packed record where the others have their array.
"""

import random
import statistics
from pathlib import Path
from typing import Any

import lightgbm
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
    booster,  # noqa: F401 - a fixture
    logistic_files,
    make_rows,
    rows,  # noqa: F401 - a fixture
    trees,  # noqa: F401 - a fixture
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
#: Held: its name, the rows of a call, goal and gate.
HELD = {
    ("lightgbm_fast_row", 1): (1 / 4, 1 / 2.5),
    ("lleaves", ROWS): (1.0, 1.0),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [1, ROWS])
@pytest.mark.parametrize("name", ["lightgbm_fast_row", "lightgbm", "lleaves", "tl2cgen", "onnxruntime"])
def test_trees_beside_a_library(
    results: Results,
    booster: lightgbm.Booster,  # noqa: F811
    trees: b.Trees,  # noqa: F811
    rows: Rows,  # noqa: F811
    tmp_path: Path,
    name: str,
    count: int,
) -> None:
    expected = booster.predict(rows, raw_score=True, num_threads=1)
    peer = prepared(name, booster, rows[:count], tmp_path)
    if peer is None:
        return
    models = Models([b.Model("m", b.MODEL_TREES, 0.0, [], trees)], [])
    check(peer, rows, np.asarray(expected), raw=name != "onnxruntime")
    compare(results, f"core.trees_{count}_vs_{name}", name, models, peer, rows, count)


def prepared(name: str, booster: lightgbm.Booster, example: Rows, folder: Path) -> peers.Scorer | None:  # noqa: F811
    """None for what LightGBM has for one row alone."""
    match name:
        case "lightgbm_fast_row":
            fast = FastRow(booster)
            call = peers.Scorer(lambda row: np.array([fast.score(row)]), 0.0)
            return call if len(example) == 1 else None
        case "lightgbm":
            return peers.lightgbm_itself(booster, example)
        case "onnxruntime":
            return peers.onnxruntime(booster, example)
        case _:
            made: peers.Scorer = getattr(peers, name)(booster, example, folder)
            return made
