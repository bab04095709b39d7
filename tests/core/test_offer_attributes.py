"""Models that read the offer they score (docs/decisions/0012-offer-attributes.md), against the oracle."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import bundle as b
from core.authoring import CatalogueError
from core.check import check_bundle
from core.compiler import compile_catalogue
from core.decide import Engine
from core.errors import BundleError
from core.request import Request
from tests.core.test_trees import xgboost_models
from tests.oracle.catalogue import Catalogue
from tests.oracle.profile import View
from tests.oracle.score import score
from tests.properties.chance import Chance
from tests.properties.forests import lightgbm_text
from tests.properties.profiles import examples
from tests.properties.worlds import NUMBERS
from tests.vectors.build import authored, compiled
from tests.vectors.load import Json, with_owners

NOW_MS = 1_780_000_000_000
PLACEMENT = {
    "id": "home",
    "channel": "web",
    "purpose": "none",
    "slots": {"text": "text"},
    "fallback": {"text": "generic"},
}
NUMERIC = ["age", "temperature", "views"]
PRICES = [0.0, -0.5, 17, 18, True, 1e300, 20.5]
KINDS = ["gold", "abc", "DE"]


def catalogue_of(models: list[Json], offers: list[Json], artifacts: dict[str, str]) -> Json:
    return with_owners(
        {
            "attributes": [
                {"id": name, "type": "float", "edge": True, "source": "context"} for name in NUMERIC
            ],
            "placements": [PLACEMENT],
            "blocks": [{"id": "generic", "type": "text", "value": "Welcome"}],
            "offers": [
                {
                    "treatments": [
                        {"id": f"{one['id']}-t", "placement": "home", "blocks": {"text": "generic"}}
                    ],
                    **one,
                }
                for one in offers
            ],
            "models": models,
            "artifacts": artifacts,
        }
    )


def scores(catalogue: Json, context: Json) -> dict[str, float | None]:
    """What the core's trace says of each candidate."""
    request = Request("d", ("home",), context, bytes(16), trace=True)
    decision = Engine(compiled(catalogue)[0], 1).decide(None, (), request, NOW_MS)
    trace = json.loads(decision.body)["trace"]
    return {row["id"]: row["detail"]["score"] for row in trace if row["step"] == "score"}


def expected(catalogue: Json, context: Json) -> dict[str, float | None]:
    """What the oracle says; JSON has no infinities."""
    view = View(Catalogue(catalogue), [], {}, context, NOW_MS)
    found = {offer["id"]: score(view.catalogue, offer, view) for offer in catalogue["offers"]}
    return {name: found[name] if math.isfinite(found[name]) else None for name in sorted(found)}


def offer(chance: Chance, name: str, model: str) -> Json:
    attributes: Json = {}
    if chance.flag():
        attributes["price"] = chance.pick(PRICES)
    if chance.flag():
        attributes["kind"] = chance.pick(KINDS)
    return {"id": name, "model": model, "attributes": attributes}


def linear(chance: Chance, name: str) -> Json:
    features: list[Json] = [
        {"attribute": attribute, "weight": chance.pick(NUMBERS), "missing": chance.pick(NUMBERS)}
        for attribute in chance.some(["offer.price", "context.age", "offer.price", "context.views"], least=1)
    ]
    features.append({"attribute": "offer.kind", "equals": "gold", "weight": chance.pick(NUMBERS)})
    return {"id": name, "kind": chance.pick(["linear", "logistic"]), "intercept": 0.5, "features": features}


def trees(name: str, artifact: str) -> Json:
    return {
        "id": name,
        "kind": "trees",
        "artifact": artifact,
        "inputs": {
            **{feature: f"context.{feature}" for feature in NUMERIC},
            "risk": "offer.price",
            "vip": "offer.price",
            "tier": {"attribute": "offer.kind", "categories": ["abc", "gold"]},
            "country": {"attribute": "offer.kind", "categories": ["DE", "abc"]},
        },
    }


@given(st.data())
@examples(120)
def test_every_candidate_scores_as_its_own_row(data: st.DataObject) -> None:
    chance = Chance(data.draw)
    models = [
        trees("a", "models/a.txt"),
        trees("b", "models/b.txt"),
        linear(chance, "c"),
        {"id": "u", "kind": "uplift", "treated": "a", "control": "c"},
        {"id": "v", "kind": "uplift", "treated": "b", "control": "a"},
    ]
    # Enough offers of a model for several turns of four, and runs that others break.
    offers = [offer(chance, f"offer-{number}", chance.pick("aaaabcuv")) for number in range(11)]
    offers[0]["attributes"] = {"price": 1, "kind": "abc"}
    artifacts = {f"models/{name}.txt": lightgbm_text(chance) for name in "ab"}
    catalogue = catalogue_of(models, offers, artifacts)
    context = {name: chance.pick([17.0, 18.0, 0.0, -0.5]) for name in chance.some(NUMERIC)}
    assert scores(catalogue, context) == expected(catalogue, context)


@pytest.mark.parametrize("one", xgboost_models(), ids=lambda one: one["name"])
def test_xgboosts_trees_read_the_offer(one: Any) -> None:
    names = one["model"]["learner"]["feature_names"]
    given = {name: ("offer.price", "context.age", "offer.size")[at % 3] for at, name in enumerate(names)}
    model = {"id": "x", "kind": "trees", "artifact": "models/x.json", "inputs": given}
    offers = [
        {"id": f"o{at}", "model": "x", "attributes": {"price": price, "size": at}}
        for at, price in enumerate([-1.5, -0.2, 0, 0.1, 0.7, 3, 40])
    ]
    offers.append({"id": "o9", "model": "x", "attributes": {}})
    catalogue = catalogue_of([model], offers, {"models/x.json": json.dumps(one["model"])})
    found = scores(catalogue, {"age": 0.3})
    assert found == expected(catalogue, {"age": 0.3})
    assert len(set(found.values())) > 1


def test_the_trace_names_what_a_model_read_of_the_offer() -> None:
    model = {"id": "m", "kind": "linear", "features": [{"attribute": "offer.price", "weight": 2.0}]}
    catalogue = catalogue_of([model], [{"id": "o", "model": "m", "attributes": {"price": 3}}], {})
    request = Request("d", ("home",), {}, bytes(16), trace=True)
    decision = Engine(compiled(catalogue)[0], 1).decide(None, (), request, NOW_MS)
    rows = [row for row in json.loads(decision.body)["trace"] if row["step"] == "score"]
    assert rows[0]["detail"] == {"score": 6.0, "model": "m", "offer.price": 3.0}


def test_scores_without_an_offer_are_those_of_one_without_attributes() -> None:
    feature = {"attribute": "offer.price", "weight": 2.0, "missing": 0.25}
    model = {"id": "m", "kind": "linear", "features": [feature]}
    offers = [{"id": "o", "model": "m", "attributes": {"price": 3}}, {"id": "p", "model": "m"}]
    catalogue = catalogue_of([model], offers, {})
    assert Engine(compiled(catalogue)[0], 1).score(None, {}, NOW_MS) == [0.5]
    assert scores(catalogue, {}) == {"o": 6.0, "p": 0.5}


@pytest.mark.parametrize(
    ("feature", "attributes", "path", "expected_text", "got"),
    [
        ({}, {"price": "dear"}, "$.offers[0].attributes.price", "a number or bool", "'dear'"),
        ({"equals": "a"}, {"price": 3}, "$.offers[0].attributes.price", "a text", "3"),
        (
            {},
            {"prize": 3},
            "$.models[0].features[0].attribute",
            "an attribute that some offer has",
            "offer.price",
        ),
        ({}, {"price": float("inf")}, "$.offers[0].attributes.price", "a finite number", "inf"),
        ({}, {"price": 10**400}, "$.offers[0].attributes.price", "a finite number", "1000"),
    ],
)
def test_a_catalogue_says_what_does_not_fit(
    feature: Json, attributes: Json, path: str, expected_text: str, got: str
) -> None:
    model = {"id": "m", "kind": "linear", "features": [{"attribute": "offer.price", **feature}]}
    catalogue = catalogue_of([model], [{"id": "o", "model": "m", "attributes": attributes}], {})
    with pytest.raises(CatalogueError) as raised:
        compile_catalogue(authored(catalogue), [])
    (fault,) = raised.value.faults
    assert fault.path == path
    assert expected_text in fault.expected
    assert got in fault.got


def test_a_bandit_reads_no_offer() -> None:
    bandit = {
        "id": "m",
        "kind": "bandit",
        "policy": "linucb",
        "floor": 0.1,
        "features": [{"attribute": "offer.price"}],
        "prior": {"weights": [1, 1], "inverse": [[1, 0], [0, 1]]},
    }
    catalogue = catalogue_of([bandit], [{"id": "o", "model": "m", "attributes": {"price": 3}}], {})
    with pytest.raises(CatalogueError, match="in a bandit, whose arms are the offers"):
        compiled(catalogue)


def test_a_bundle_whose_offer_lacks_a_column_is_refused() -> None:
    model = {"id": "m", "kind": "linear", "features": [{"attribute": "offer.price"}]}
    catalogue = catalogue_of([model], [{"id": "o", "model": "m", "attributes": {"price": 3}}], {})
    document = compiled(catalogue)[1]
    for columns, said in (([], "1 numbers"), ([float("nan")], "a finite number")):
        values = {name: getattr(document.offers[0], name) for name in document.offers[0].__struct_fields__}
        broken = b.Offer(**{**values, "columns": columns})
        fields = {name: getattr(document, name) for name in document.__struct_fields__}
        with pytest.raises(BundleError, match=said):
            check_bundle(b.BundleDocument(**{**fields, "offers": [broken]}))


def test_attributes_of_an_offer_are_part_of_the_catalogues_form() -> None:
    assert authored(catalogue_of([], [{"id": "o", "attributes": {"price": 3}}], {})).offers[0].attributes == {
        "price": 3
    }
