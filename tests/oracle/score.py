"""What a candidate is worth (0002, step 5)."""

import math
from collections.abc import Mapping
from typing import Any

from tests.oracle.catalogue import Catalogue
from tests.oracle.cel import parse
from tests.oracle.evaluate import Error, evaluate
from tests.oracle.numbers import exp
from tests.oracle.profile import View


def score(catalogue: Catalogue, offer: Mapping[str, Any], view: View) -> float:
    """propensity * context weight * value * lever; minus infinity where that is no number."""
    propensity = propensity_of(catalogue.models[offer["model"]], view) if offer.get("model") else 1.0
    context_weight = 1.0
    for weight in offer.get("weights", []):
        if evaluate(parse(weight["when"]), view) is True:
            context_weight = context_weight * float(weight["factor"])
    worth = propensity * context_weight * float(offer.get("value", 1.0)) * float(offer.get("lever", 1.0))
    return -math.inf if math.isnan(worth) else worth


def propensity_of(model: Mapping[str, Any], view: View) -> float:
    total = float(model.get("intercept", 0.0))
    for feature in model.get("features", []):
        total = total + float(feature["weight"]) * _input(feature, view)
    if model["kind"] == "linear":
        return total
    return 1.0 / (1.0 + exp(-total))


def _input(feature: Mapping[str, Any], view: View) -> float:
    scope, _, name = feature["attribute"].partition(".")
    value: Any = view.read(scope, name)
    if feature.get("equals") is not None:
        return 1.0 if value == feature["equals"] else 0.0
    return float(feature.get("missing", 0.0)) if isinstance(value, Error) else float(value)
