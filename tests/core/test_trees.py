"""Models of trees against the libraries that made them, and what is refused of their files."""

import json
import math
import struct
from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from core import bundle as b
from core.check import check_bundle
from core.compiler.ensembles import ArtifactError, Ensemble, make_trees, used
from core.compiler.lightgbm import read_lightgbm
from core.compiler.xgboost import read_xgboost
from core.errors import BundleError
from core.scoring import Models
from tests.core.sketch import Sketch
from tests.oracle import trees as oracle

MODELS = Path(__file__).resolve().parents[1] / "vectors" / "models"
ROWS = 1_200
#: Values at which libraries turn.
SPECIAL = (
    *(0.0, -0.0, 1e-35, -1e-35, 1e-36, 1.1e-35, math.inf, -math.inf, math.nan, -0.5, 0.5, 1e300, -1e300),
    *(2.0**31, 2.0**31 - 1, -1.0, -2.0, 31.0, 32.0, 33.0, 63.0, 64.0, 69.0, 70.0, 96.0),
)
PARAMETERS: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "zero is missing": {"zero_as_missing": True},
    "nothing is missing": {"use_missing": False},
    "more leaves than a word has bits": {"num_leaves": 200, "min_data_in_leaf": 1},
    "poisson": {"objective": "poisson"},
    "scaled": {"sigmoid": 2.5},
}


def rows_of(seed: int) -> np.ndarray[Any, Any]:
    """Rows with missing values, zeros and two categorical columns (2 and 3)."""
    draw = np.random.default_rng(seed)
    rows = draw.normal(size=(ROWS, 5))
    rows[draw.random(rows.shape) < 0.1] = np.nan
    rows[draw.random(rows.shape) < 0.1] = 0.0
    rows[:, 2] = draw.integers(0, 70, ROWS)
    rows[:, 3] = draw.integers(0, 5, ROWS)
    return rows


def asked_rows(seed: int) -> np.ndarray[Any, Any]:
    """Other rows, with every special value in every column; their number is no multiple of the lanes."""
    rows = rows_of(seed)[:301]
    for column in range(rows.shape[1]):
        for place, value in enumerate(SPECIAL):
            rows[column * len(SPECIAL) + place, column] = value
    return rows


@cache
def trained(name: str) -> tuple[lightgbm.Booster, str]:
    rows = rows_of(1)
    clean = np.nan_to_num(rows)
    target = clean[:, 0] + rows[:, 2] % 3 + (rows[:, 3] == 2) * clean[:, 1]
    parameters = {"objective": "binary", "verbose": -1, "num_threads": 1, **PARAMETERS[name]}
    label = np.abs(target) if name == "poisson" else target > 1
    data = lightgbm.Dataset(rows, label.astype(float), categorical_feature=[2, 3])
    booster = lightgbm.train(parameters, data, 20)
    return booster, booster.model_to_string()


def models_of(ensemble: Ensemble, link: int = b.LINK_RAW) -> Models:
    trees = make_trees(ensemble, [b.TreeInput(at) for at in used(ensemble)], link)
    return Models([b.Model("m", b.MODEL_TREES, 0.0, [], trees)], [], [])


def scored(models: Models, rows: np.ndarray[Any, Any], *, raw: bool = False) -> np.ndarray[Any, Any]:
    """All rows at once, after each was seen to score the same alone."""
    rows = np.ascontiguousarray(rows)
    out = np.empty(len(rows))
    models.score_rows(0, rows, out, raw)
    assert [models.score(0, row, raw) for row in rows] == out.tolist()
    return out


@pytest.mark.parametrize("name", PARAMETERS)
def test_raw_scores_are_lightgbms_to_the_last_bit(name: str) -> None:
    booster, text = trained(name)
    ensemble = read_lightgbm(text)
    rows = asked_rows(2)
    found = scored(models_of(ensemble), rows[:, used(ensemble)], raw=True)
    assert found.tolist() == booster.predict(rows, raw_score=True).tolist()
    part = range(0, len(rows), 3)
    features = ensemble.features
    assert [oracle.lightgbm_raw(text, dict(zip(features, rows[at], strict=True))) for at in part] == [
        found[at] for at in part
    ]


@pytest.mark.parametrize("name", ["as it comes", "poisson", "scaled"])
def test_outputs_are_lightgbms(name: str) -> None:
    booster, text = trained(name)
    ensemble = read_lightgbm(text)
    assert ensemble.link is not None
    rows = asked_rows(3)
    found = scored(models_of(ensemble, ensemble.link), rows[:, used(ensemble)])
    np.testing.assert_allclose(found, booster.predict(rows), rtol=1e-14)


def xgboost_models() -> list[Any]:
    """Models with the raw scores and outputs that XGBoost 3.2 gave to some rows."""
    found: list[Any] = json.loads((MODELS / "xgboost.json").read_text())["models"]
    return found


@pytest.mark.parametrize("one", xgboost_models(), ids=lambda one: one["name"])
def test_raw_scores_are_xgboosts_to_the_last_bit(one: Any) -> None:
    text = json.dumps(one["model"])
    ensemble = read_xgboost(text)
    assert ensemble.link is not None
    rows = np.array([[math.nan if x is None else x for x in row] for row in one["rows"]])
    columns = rows[:, used(ensemble)]
    found = scored(models_of(ensemble), columns, raw=True)
    assert found.tolist() == one["raw"]
    oracle_found = [
        oracle.xgboost_raw(text, dict(zip(ensemble.features, row, strict=True))) for row in rows.tolist()
    ]
    assert oracle_found == one["raw"]
    outputs = scored(models_of(ensemble, ensemble.link), columns)
    np.testing.assert_allclose(outputs, one["output"], rtol=1e-6)


def refused(text: str, read: Any = read_lightgbm) -> ArtifactError:
    with pytest.raises(ArtifactError) as caught:
        read(text)
    return caught.value


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"boosting": "dart"}, "dart"),
        ({"linear_tree": True}, "linear trees"),
        ({"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}, "a random forest"),
        ({"objective": "multiclass", "num_class": 3}, "several classes"),
    ],
)
def test_what_lightgbm_has_and_the_core_has_not_is_refused_by_name(
    parameters: dict[str, Any], name: str
) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    label = (rows[:, 0] > 0).astype(float)
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 2, **parameters}
    booster = lightgbm.train(options, lightgbm.Dataset(rows, label, params=parameters), 2)
    fault = refused(booster.model_to_string())
    assert name in fault.got
    assert fault.line > 0


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("tree\n", "forest\n", "a LightGBM model"),
        ("version=v4", "version=v9", "version"),
        ("end of trees", "", "`end of trees`"),
        ("num_leaves=31", "num_leaves=30", "numbers"),
        ("num_leaves=31", "num_leaves=9999", "1 to 4096 leaves"),
        ("left_child=1 ", "left_child=0 ", "a tree whose nodes"),
        ("split_feature=", "split_feature=9 ", "whole numbers"),
        ("leaf_value=", "leaf_value=x", "numbers"),
        ("leaf_value=-", "leaf_value=-inf -", "numbers"),
        ("cat_boundaries=0 ", "cat_boundaries=1 ", "ascending"),
        ("objective=binary sigmoid:1", "objective=binary sigmoid:-1", "sigmoid above 0"),
    ],
)
def test_faults_of_a_lightgbm_file_are_told_with_their_line(old: str, new: str, expected: str) -> None:
    text = trained("as it comes")[1]
    assert old in text
    fault = refused(text.replace(old, new, 1))
    assert expected in fault.expected
    assert fault.line >= 1


@pytest.mark.parametrize("booster", ["dart", "gblinear"])
def test_other_boosters_of_xgboost_are_refused_by_name(booster: str) -> None:
    model = xgboost_models()[0]["model"]
    model["learner"]["gradient_booster"] = {"name": booster, "gbtree": {}, "weight_drop": []}
    assert refused(json.dumps(model), read_xgboost).got == booster


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda learner, tree: tree["left_children"].__setitem__(0, 0), "each below one node"),
        (lambda learner, tree: tree["left_children"].__setitem__(0, 999), "each below one node"),
        (lambda learner, tree: tree["split_indices"].__setitem__(0, 99), "features below"),
        (lambda learner, tree: tree["default_left"].pop(), "values in each list"),
        (lambda learner, tree: tree["categories"].clear(), "categories from 0"),
        (lambda learner, tree: tree.pop("left_children"), "an XGBoost model"),
        (lambda learner, tree: learner["learner_model_param"].update(num_class="3"), "one output"),
        (lambda learner, tree: learner["learner_model_param"].update(base_score="2"), "base_score"),
        (lambda learner, tree: learner["objective"].update(name="multi:softmax"), "an objective of"),
    ],
)
def test_faults_of_an_xgboost_file_are_told(change: Any, expected: str) -> None:
    model = xgboost_models()[0]["model"]
    change(model["learner"], model["learner"]["gradient_booster"]["model"]["trees"][0])
    assert expected in refused(json.dumps(model), read_xgboost).expected


@pytest.mark.parametrize("text", ["", "{", "[]", '{"learner": {}}', "[" * 100_000])
def test_what_is_no_model_is_refused(text: str) -> None:
    refused(text)
    refused(text, read_xgboost)


def test_a_chain_of_splits_as_long_as_a_tree_may_be() -> None:
    """Every left side spans all words to its left, and nothing recurses."""
    leaves = 4_096
    left = [str(node + 1) for node in range(leaves - 2)] + ["-1"]
    right = [str(-2 - node) for node in range(leaves - 1)]
    text = "\n".join(
        [
            "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nfeature_names=x\n\nTree=0",
            f"num_leaves={leaves}\nnum_cat=0\nsplit_feature={' '.join(['0'] * (leaves - 1))}",
            f"threshold={' '.join(str(-node) for node in range(leaves - 1))}",
            f"decision_type={' '.join(['8'] * (leaves - 1))}",
            f"left_child={' '.join(left)}\nright_child={' '.join(right)}",
            f"leaf_value={' '.join(str(leaf) for leaf in range(leaves))}\nend of trees",
        ]
    )
    models = models_of(read_lightgbm(text))
    for x in (-4_095.0, -4_000.5, -64.0, -63.5, 0.0, 0.5, math.nan):
        expected = oracle.lightgbm_raw(text, {"x": x})
        assert models.score(0, struct.pack("<d", x), True) == expected


def test_rows_of_another_shape_are_refused() -> None:
    models = models_of(read_lightgbm(trained("scaled")[1]))
    with pytest.raises(ValueError, match=r"expected a row of [0-9]+ bytes, got 7"):
        models.score(0, bytes(7))
    with pytest.raises(ValueError, match=r"expected 3 rows of [0-9]+ doubles, got 80 bytes"):
        models.score_rows(0, np.zeros((2, 5)), np.zeros(3))
    with pytest.raises(ValueError, match="a model of trees, got 1"):
        models.score(1, bytes(40))


def sketched(**changes: Any) -> b.BundleDocument:
    """A bundle of one model of trees with every list in it."""
    text = trained("zero is missing")[1]
    ensemble = read_lightgbm(text)
    sketch = Sketch()
    inputs = [b.TreeInput(sketch.attribute(f"profile.x{at}", b.FLOAT)) for at in used(ensemble)]
    trees = make_trees(ensemble, inputs, b.LINK_LOGISTIC)
    values = {name: getattr(trees, name) for name in trees.__struct_fields__} | changes
    sketch.models.append(b.Model("m", b.MODEL_TREES, 0.0, [], b.Trees(**values)))
    return sketch.document()


def column(**changes: Any) -> list[b.TreeColumn]:
    trees = sketched().models[0].trees
    assert trees is not None
    first, *rest = trees.columns
    values = {name: getattr(first, name) for name in first.__struct_fields__} | changes
    return [b.TreeColumn(**values), *rest]


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"library": 2}, "library"),
        ({"base": math.nan}, "base"),
        ({"link": 3}, "link"),
        ({"scale": math.inf}, "scale"),
        ({"inputs": []}, "inputs"),
        ({"leaf_counts": [0]}, "leaf_counts"),
        ({"leaf_counts": [2**70]}, "leaf_counts"),
        ({"leaf_counts": [1]}, "leaves"),
        ({"leaves": b""}, "leaves"),
        ({"thresholds": b"x"}, "thresholds"),
        ({"words": b""}, "words"),
        ({"keeps": b"\0"}, "keeps"),
        ({"sets": b""}, "sets"),
        ({"bits": b""}, "sets"),
        ({"columns": column(numeric=-1)}, "columns[0]"),
        ({"columns": column(numeric=2**40)}, "columns[0]"),
    ],
)
def test_tables_that_are_not_whole_are_refused(changes: dict[str, Any], path: str) -> None:
    check_bundle(sketched())
    with pytest.raises(BundleError) as caught:
        check_bundle(sketched(**changes))
    assert caught.value.path == f"$.models[0].trees.{path}"


def test_tables_that_would_lead_out_of_bounds_are_refused() -> None:
    trees = sketched().models[0].trees
    assert trees is not None
    words = struct.pack("<I", len(trees.leaf_counts)) + trees.words[4:]
    thresholds = trees.thresholds[:8] + trees.thresholds[:8] + trees.thresholds[16:]
    descending = struct.pack("<2d", 2.0, 1.0) + trees.thresholds[16:]
    last = (1 << trees.leaf_counts[struct.unpack("<I", trees.words[:4])[0]] - 1) ^ (2**64 - 1)
    for changes, path in (
        ({"words": words}, "words"),
        ({"thresholds": descending}, "thresholds"),
        ({"thresholds": struct.pack("<d", math.nan) + thresholds[8:]}, "thresholds"),
        ({"keeps": struct.pack("<Q", last) + trees.keeps[8:]}, "keeps"),
        ({"sets": struct.pack("<2I", 2**32 - 1, 2) + trees.sets[8:]}, "sets"),
        ({"leaves": struct.pack("<d", math.inf) + trees.leaves[8:]}, "leaves"),
    ):
        with pytest.raises(BundleError) as caught:
            check_bundle(sketched(**changes))
        assert caught.value.path == f"$.models[0].trees.{path}"
