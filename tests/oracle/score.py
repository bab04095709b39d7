"""What a candidate is worth (0002, step 5, and 0008)."""

import itertools
import math
from collections.abc import Mapping
from typing import Any

from tests.oracle import trees
from tests.oracle.bandits import draw
from tests.oracle.catalogue import Catalogue
from tests.oracle.cel import parse
from tests.oracle.evaluate import Error, evaluate
from tests.oracle.numbers import exp
from tests.oracle.profile import View


def score(catalogue: Catalogue, offer: Mapping[str, Any], view: View, sample: int = 0) -> float:
    """propensity * context weight * value * lever; minus infinity where that is no number. `sample`: the draw
    of a bandit that it is for."""
    propensity = 1.0
    if offer.get("model"):
        model = catalogue.models[offer["model"]]
        if model["kind"] == "bandit":
            propensity = arm_value(model, offer["id"], view, sample)
        else:
            propensity = propensity_of(model, view, offer)
    context_weight = 1.0
    for weight in offer.get("weights", []):
        if evaluate(parse(weight["when"]), view) is True:
            context_weight = context_weight * float(weight["factor"])
    worth = propensity * context_weight * float(offer.get("value", 1.0)) * float(offer.get("lever", 1.0))
    return -math.inf if math.isnan(worth) else worth


def propensity_of(model: Mapping[str, Any], view: View, offer: Mapping[str, Any]) -> float:
    return calibrated(model.get("calibration") or {}, _output(model, view, offer))


def _output(model: Mapping[str, Any], view: View, offer: Mapping[str, Any]) -> float:
    if model["kind"] == "uplift":
        treated, control = (view.catalogue.models[model[part]] for part in ("treated", "control"))
        return propensity_of(treated, view, offer) - propensity_of(control, view, offer)
    if model["kind"] == "trees":
        text = view.catalogue.artifacts[model["artifact"]]
        row = {name: _number(given, view, offer) for name, given in model.get("inputs", {}).items()}
        return trees.output(model["artifact"], text, model.get("link"), row)
    total = float(model.get("intercept", 0.0))
    for feature in model.get("features", []):
        total = total + float(feature["weight"]) * _input(feature, view, offer)
    if model["kind"] == "linear":
        return total
    return 1.0 / (1.0 + exp(-total))


def arm_value(model: Mapping[str, Any], offer: str, view: View, sample: int) -> float:
    """What a bandit's arm is worth: a draw, or the upper end of what it may be."""
    arm = model.get("arms", {}).get(offer) or model["prior"]
    if model["policy"] == "thompson":
        return draw(model["id"], offer, sample, arm)
    x = [float(model.get("intercept", 0.0))]
    x += [
        float(feature.get("weight", 1.0)) * _input(feature, view, {}) for feature in model.get("features", [])
    ]
    mean, spread = 0.0, 0.0
    for weight, row, x_i in zip(arm["weights"], arm["inverse"], x, strict=True):
        mean = mean + float(weight) * x_i
        total = 0.0
        for value, x_k in zip(row, x, strict=True):
            total = total + float(value) * x_k
        spread = spread + x_i * total
    width = model.get("width")
    return mean + (1.0 if width is None else float(width)) * math.sqrt(spread if spread > 0.0 else 0.0)


def calibrated(calibration: Mapping[str, Any], s: float) -> float:
    if calibration.get("platt"):
        return 1.0 / (1.0 + exp(calibration["platt"]["a"] * s + calibration["platt"]["b"]))
    if not calibration.get("isotonic") or math.isnan(s):
        return s
    points = list(zip(calibration["isotonic"]["x"], calibration["isotonic"]["y"], strict=True))
    if s <= points[0][0]:
        return float(points[0][1])
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 <= s < x1:
            return float(y0 + (y1 - y0) / (x1 - x0) * (s - x0))
    return float(points[-1][1])


def _read(attribute: str, view: View, offer: Mapping[str, Any]) -> Any:
    scope, _, name = attribute.partition(".")
    if scope == "offer":
        return offer.get("attributes", {}).get(name, Error(f"{attribute} is absent"))
    return view.read(scope, name)


def _input(feature: Mapping[str, Any], view: View, offer: Mapping[str, Any]) -> float:
    value = _read(feature["attribute"], view, offer)
    if feature.get("equals") is not None:
        return 1.0 if value == feature["equals"] else 0.0
    return float(feature.get("missing", 0.0)) if isinstance(value, Error) else float(value)


def _number(given: Any, view: View, offer: Mapping[str, Any]) -> float:
    """What a tree's feature is of this person; NaN where it is missing or in no category."""
    given = {"attribute": given} if isinstance(given, str) else given
    value = _read(given["attribute"], view, offer)
    if isinstance(value, Error):
        return math.nan
    if isinstance(value, str):
        categories = given["categories"]
        return float(categories.index(value)) if value in categories else math.nan
    return float(value)
