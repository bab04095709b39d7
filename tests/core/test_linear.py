"""Models that share their features are computed side by side: the bits are the definition's all the same."""

from typing import Any

import pytest

from core.decide import Engine
from tests.oracle.catalogue import Catalogue
from tests.oracle.profile import View
from tests.oracle.score import propensity_of
from tests.vectors.build import compiled
from tests.vectors.load import with_owners

NOW_MS = 1_780_000_000_000
#: Two blocks of eight lanes and a part of a third.
MODELS = 19
#: Sums around nothing, where a turn of the floor lies, and where e to the x is no normal number any more.
VALUES = [
    0.0,
    -0.0,
    1e-300,
    0.34657359,
    -0.34657359,
    36.7,
    -36.7,
    699.9,
    700.0,
    -700.0,
    745.2,
    -745.2,
    1e308,
    7.25,
]


@pytest.mark.parametrize("kind", ["logistic", "linear"])
def test_models_side_by_side_are_the_definition_to_the_last_bit(kind: str) -> None:
    features = ["context.a", "context.b"]
    models: list[dict[str, Any]] = [
        {
            "id": f"m{number:02d}",
            "kind": kind,
            "intercept": number / 7 - 1,
            "features": [
                {"attribute": name, "weight": (number + 1) / (3 + at), "missing": 0.5}
                for at, name in enumerate(features)
            ],
        }
        for number in range(MODELS)
    ]
    attributes = [{"id": name, "type": "float", "edge": True, "source": "context"} for name in "ab"]
    catalogue = with_owners({"attributes": attributes, "models": models})
    engine = Engine(compiled(catalogue)[0], 1)
    for a in VALUES:
        for context in ({"a": a}, {"a": a, "b": -a / 3}, {"a": -a / 16, "b": 0.1}):
            view = View(Catalogue(catalogue), [], {}, context, NOW_MS)
            expected = [propensity_of(model, view, {}) for model in models]
            assert list(map(repr, engine.score(None, context, NOW_MS))) == list(map(repr, expected))
