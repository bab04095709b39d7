"""Gradient-boosted trees by walking them, as LightGBM's text and XGBoost's JSON write them
(docs/decisions/0008-scoring.md)."""

import json
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.oracle.numbers import exp

#: 1e-35 as a float of 32 bits: what is this near to zero is zero to LightGBM.
ZERO: Final = 1.0000000180025095e-35
LIGHTGBM_LINKS: Final = {
    "binary": "logistic",
    "cross_entropy": "logistic",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
}
XGBOOST_LINKS: Final = {
    "binary:logistic": "logistic",
    "reg:logistic": "logistic",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
}


def features_of(path: str, text: str) -> list[str]:
    if path.endswith(".txt"):
        return _head(text)["feature_names"].split(" ")
    names: list[str] = json.loads(text)["learner"]["feature_names"]
    return names


def output(path: str, text: str, link: str | None, values: Mapping[str, float]) -> float:
    """What a model file says of a row, by feature; NaN where the value is missing or the feature unknown."""
    if path.endswith(".txt"):
        head = _head(text)
        objective, *options = head.get("objective", "").split() or [""]
        scale = next((float(o.partition(":")[2]) for o in options if o.startswith("sigmoid:")), 1.0)
        raw = lightgbm_raw(text, values)
        link = link or LIGHTGBM_LINKS.get(objective, "raw")
    else:
        scale = 1.0
        raw = xgboost_raw(text, values)
        link = link or XGBOOST_LINKS.get(json.loads(text)["learner"]["objective"]["name"], "raw")
    if link == "logistic":
        return 1.0 / (1.0 + exp(-(scale * raw)))
    return exp(raw) if link == "exp" else raw


def _head(text: str) -> dict[str, str]:
    return _block(text.split("\nTree=", maxsplit=1)[0])


def _block(text: str) -> dict[str, str]:
    pairs = (line.strip().partition("=") for line in text.split("\n"))
    return {key: value for key, _, value in pairs}


def lightgbm_raw(text: str, values: Mapping[str, float]) -> float:
    names = features_of(".txt", text)
    row = [values.get(name, math.nan) for name in names]
    row = [0.0 if abs(x) <= ZERO else x for x in row]
    total = 0.0
    for block in text.split("\nend of trees", maxsplit=1)[0].split("\nTree=")[1:]:
        total = total + _lightgbm_leaf(_block(block), row)
    return total


def _lightgbm_leaf(tree: Mapping[str, str], row: Sequence[float]) -> float:
    leaves = tree["leaf_value"].split()
    at = 0 if len(leaves) > 1 else -1
    while at >= 0:
        below = "left_child" if _lightgbm_left(tree, at, row) else "right_child"
        at = int(tree[below].split()[at])
    return float(leaves[~at])


def _lightgbm_left(tree: Mapping[str, str], at: int, row: Sequence[float]) -> bool:
    x = row[int(tree["split_feature"].split()[at])]
    decision = int(tree["decision_type"].split()[at])
    threshold = float(tree["threshold"].split()[at])
    if decision & 1:
        bounds = [int(word) for word in tree["cat_boundaries"].split()]
        words = [int(word) for word in tree["cat_threshold"].split()]
        words = words[bounds[int(threshold)] : bounds[int(threshold) + 1]]
        if math.isnan(x) or not -1 < x < 32 * len(words):
            return False
        return bool(words[int(x) // 32] >> int(x) % 32 & 1)
    missing = decision >> 2
    if math.isnan(x) and missing != 2:
        x = 0.0
    if (missing == 1 and x == 0.0) or math.isnan(x):
        return bool(decision & 2)
    return x <= threshold


def xgboost_raw(text: str, values: Mapping[str, float]) -> float:
    learner = json.loads(text)["learner"]
    row = [single(values.get(name, math.nan)) for name in learner["feature_names"]]
    base = single(float(learner["learner_model_param"]["base_score"].strip("[]")))
    kind = XGBOOST_LINKS.get(learner["objective"]["name"])
    if kind == "logistic":
        base = single(-math.log(single(single(1.0 / base) - 1.0)))
    elif kind == "exp":
        base = single(math.log(base))
    for tree in learner["gradient_booster"]["model"]["trees"]:
        base = single(base + _xgboost_leaf(tree, row))
    return base


def single(x: float) -> float:
    """The nearest float of 32 bits."""
    try:
        return float(struct.unpack("<f", struct.pack("<f", x))[0])
    except OverflowError:
        return math.copysign(math.inf, x)


def _xgboost_leaf(tree: Mapping[str, Any], row: Sequence[float]) -> float:
    at = 0
    while tree["left_children"][at] != -1:
        x = row[tree["split_indices"][at]]
        if math.isnan(x):
            left = bool(tree["default_left"][at])
        elif tree["split_type"][at] == 1:
            place = tree["categories_nodes"].index(at)
            begin = tree["categories_segments"][place]
            members = tree["categories"][begin : begin + tree["categories_sizes"][place]]
            left = not (0 <= x < 2**24 and int(x) in members)
        else:
            left = x < single(tree["split_conditions"][at])
        at = tree["left_children" if left else "right_children"][at]
    return single(tree["split_conditions"][at])
