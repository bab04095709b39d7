"""What no model, bandit, diversity or draw may do: get a candidate past a guardrail.

The scores of these pages are of every kind, NaN and infinities included. What was chosen is asked anew about
each rule, by expressions and scopes alone: nothing here knows how a decision goes.
"""

import json
from typing import Any

from hypothesis import given

from core.decide import Engine
from tests.oracle.approvals import is_approved
from tests.oracle.catalogue import applies
from tests.oracle.decide import verdict
from tests.properties.pages import pages
from tests.properties.profiles import examples
from tests.properties.test_decisions import ask_core
from tests.vectors.build import REVISION, compiled, oracle_question
from tests.vectors.load import Json, Vector


@given(pages())
@examples(150)
def test_nothing_gets_a_candidate_past_a_guardrail(vector: Vector) -> None:
    engine = Engine(compiled(vector.catalogue)[0], REVISION)
    chosen: list[Json] = []
    for placement, answer in json.loads(ask_core(engine, vector).body)["placements"].items():
        if answer["offer"] is None:
            assert (answer["fallback"], answer["ai"]) == (True, False)
            continue
        [offer] = [offer for offer in vector.catalogue["offers"] if offer["id"] == answer["offer"]]
        assert consented(vector)
        assert broken_rules(vector, placement, offer) == []
        assert broken_tag_rules(vector, placement, answer["blocks"]) == []
        assert not is_taken(vector, placement, offer, chosen)
        assert offer["id"] in allowed_by_variants(vector, answer["experiments"])
        check_filled(vector, placement, offer, answer)
        chosen.append(offer)


def consented(vector: Vector) -> bool:
    assert vector.profile is not None
    return any(event["consent"] for event in vector.profile.events)


def lets_pass(vector: Vector, placement: str, expression: str) -> bool:
    """Whether a rule that blocks is false, and no less."""
    return verdict(*oracle_question(vector), placement, expression) == "false"


def broken_rules(vector: Vector, placement: str, offer: Json) -> list[str]:
    """Rules and caps of this offer here that hold or cannot be known, and an eligibility that does not hold.

    Caps of a page let nothing through: their most is 0.
    """
    catalogue = vector.catalogue
    by_offer = [rule for rule in catalogue["rules"] if "block_tags" not in rule["applies_to"]]
    broken = [
        one["id"]
        for one in [*by_offer, *catalogue["caps"]]
        if applies(one, offer, placement) and not lets_pass(vector, placement, one["when"])
    ]
    eligibility = offer["eligibility"] or "true"
    if verdict(*oracle_question(vector), placement, eligibility) != "true":
        broken.append("eligibility")
    return broken


def broken_tag_rules(vector: Vector, placement: str, shown: Json) -> list[str]:
    """Rules that the tags of what is shown offend, whoever brought it in."""
    blocks = {block["id"]: block for block in vector.catalogue["blocks"]}
    tags = {tag for one in shown.values() for tag in blocks[one["block"]]["tags"]}
    return [
        rule["id"]
        for rule in vector.catalogue["rules"]
        if tags & {*rule["applies_to"].get("block_tags", [])}
        and not lets_pass(vector, placement, rule["when"])
    ]


def is_taken(vector: Vector, placement: str, offer: Json, chosen: list[Json]) -> bool:
    """Whether exclusivity is broken by this offer after those."""
    [at] = [one for one in vector.catalogue["placements"] if one["id"] == placement]
    repeated = any(one["id"] == offer["id"] for one in chosen) and not at["allow_repeat"]
    group = offer["exclusive_group"]
    return repeated or (group is not None and group in {one["exclusive_group"] for one in chosen})


def allowed_by_variants(vector: Vector, assigned: list[Json]) -> set[str]:
    """The offers that the assigned variants leave."""
    left = {offer["id"] for offer in vector.catalogue["offers"]}
    for variant in assigned_variants(vector, assigned):
        left &= {*variant.get("offers", left)}
    return left


def assigned_variants(vector: Vector, assigned: list[Json]) -> list[Json]:
    names = {(one["id"], one["variant"]) for one in assigned}
    return [
        variant
        for experiment in vector.catalogue["experiments"]
        for variant in experiment["variants"]
        if (experiment["id"], variant["id"]) in names
    ]


def check_filled(vector: Vector, placement: str, offer: Json, answer: Json) -> None:
    """Each slot holds the block that was named, or an approved one with the tags that were."""
    blocks = {block["id"]: block for block in vector.catalogue["blocks"]}
    [treatment] = [one for one in offer["treatments"] if one["placement"] == placement]
    named = dict(treatment["blocks"])
    for variant in assigned_variants(vector, answer["experiments"]):
        named |= variant.get("blocks", {})
    for slot, wanted in named.items():
        block: Any = blocks[answer["blocks"][slot]["block"]]
        if isinstance(wanted, str):
            assert block["id"] == wanted
        else:
            assert {*wanted["tags"]} <= {*block["tags"]}
            assert is_approved(vector.catalogue["governance"], block)
