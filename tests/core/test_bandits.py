"""Bandits: what they choose, how often, and what is said of it."""

import json
import math
import statistics
from collections import Counter
from typing import Any

import msgspec
import pytest

from core.answers import LOG_FIELDS, LOG_PLACEMENT_FIELDS, Decision
from core.authoring import CatalogueError
from core.compiler.bandits import SAMPLES
from core.compiler.sampling import beta_draw, gaussian_draw, log, uniforms
from core.decide import Engine
from tests.vectors.build import build, compiled
from tests.vectors.load import UNIT_KEY, Json, Vector, VectorProfile, events, with_owners

NOW_MS = 1_795_455_809_000
DECISIONS = 4_000
KNOWN: Json = {
    "good": {"alpha": 60, "beta": 40},
    "fair": {"alpha": 50, "beta": 50},
    "new": {"alpha": 1, "beta": 1},
    "poor": {"mean": 0.1, "deviation": 0.01},
}


def offer(name: str, **rest: Any) -> Json:
    treatment = {"id": f"{name}-web", "placement": "home", "blocks": {"text": "generic"}}
    return {"id": name, "model": "hero", **rest, "treatments": [treatment]}


def catalogue(offers: list[Json], **model: Any) -> Json:
    chosen = {"id": "hero", "kind": "bandit", "policy": "thompson", "floor": 0.2, "arms": KNOWN, **model}
    return with_owners(
        {
            "attributes": [{"id": "age", "type": "int", "edge": True, "source": {"trait": "age"}}],
            "placements": [
                {
                    "id": "home",
                    "channel": "web",
                    "purpose": "personalization",
                    "slots": {"text": "text"},
                    "fallback": {"text": "generic"},
                }
            ],
            "blocks": [{"id": "generic", "type": "text", "value": "Welcome"}],
            "models": [chosen],
            "offers": offers,
        }
    )


ARMS = [offer(name) for name in KNOWN]


class Asked:
    """A catalogue, and decisions for one consented person."""

    def __init__(self, written: Json) -> None:
        granted = {"purpose": "personalization", "state": "granted"}
        consent = {"at": "2026-01-01T00:00:00Z", "consent": granted}
        profile = VectorProfile(events([consent], "event"), UNIT_KEY, 1, NOW_MS, {})
        vector = Vector(
            *("bandit", "", written, True, profile, [], ("home",), {}, False, UNIT_KEY, NOW_MS, {}, {}, {})
        )
        self._built = build(vector)
        self._engine = Engine(compiled(written)[0], 1)

    def decide(self, number: int, *, trace: bool = False) -> Decision:
        request = msgspec.structs.replace(self._built.request, decision_id=f"decision-{number}", trace=trace)
        return self._engine.decide(self._built.record, [], request, NOW_MS)

    def told(self, number: int) -> Json:
        row = dict(zip(LOG_FIELDS, self.decide(number).log_row(), strict=True))
        found: Json = dict(zip(LOG_PLACEMENT_FIELDS, row["placements"][0], strict=True))
        return found


def test_offers_are_chosen_as_often_as_the_action_probability_says() -> None:
    asked = Asked(catalogue(ARMS))
    rows = [asked.told(number) for number in range(DECISIONS)]
    chances = {row["offer"]: row["bandit"][1] for row in rows}
    assert all(row["bandit"][1] == chances[row["offer"]] for row in rows)
    assert math.fsum(chances.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(chances.values()) >= 0.2 / len(KNOWN) - 1e-12
    for name, count in Counter(row["offer"] for row in rows).items():
        deviation = math.sqrt(chances[name] * (1 - chances[name]) / DECISIONS)
        assert abs(count / DECISIONS - chances[name]) < 4.5 * deviation, name
    explored = sum(row["bandit"][2] for row in rows) / DECISIONS
    assert abs(explored - 0.2) < 4.5 * math.sqrt(0.2 * 0.8 / DECISIONS)
    assert all(row["ai"] for row in rows)


def test_an_offer_that_may_not_be_shown_takes_no_probability() -> None:
    """Its block has nothing to show, which is found out only after ranking."""
    written = catalogue([*ARMS[1:], offer("good")])
    written["blocks"].append({"owner": "ada", "id": "empty", "type": "text", "attribute": "profile.age"})
    written["offers"][-1]["treatments"][0]["blocks"] = {"text": "empty"}
    asked = Asked(written)
    rows = [asked.told(number) for number in range(400)]
    chances = {row["offer"]: row["bandit"][1] for row in rows}
    assert set(chances) == KNOWN.keys() - {"good"}
    assert math.fsum(chances.values()) == pytest.approx(1.0, abs=1e-12)


def test_offers_without_the_bandit_compete_and_are_never_explored() -> None:
    plain = {**offer("plain", value=0.55), "model": None}
    asked = Asked(catalogue([*ARMS, plain]))
    rows = [asked.told(number) for number in range(600)]
    assert not any(row["bandit"][2] for row in rows if row["offer"] == "plain")
    assert {row["offer"] for row in rows} == {*KNOWN, "plain"}
    chances = {row["offer"]: row["bandit"][1] for row in rows}
    assert math.fsum(chances.values()) == pytest.approx(1.0, abs=1e-12)


def test_a_decision_draws_by_its_id_and_a_trace_tells_how() -> None:
    asked = Asked(catalogue(ARMS))
    assert asked.decide(7).body == asked.decide(7).body
    assert len({asked.told(number)["offer"] for number in range(50)}) > 1
    decision = asked.decide(7, trace=True)
    row = asked.told(7)
    [told] = [one for one in json.loads(decision.body)["trace"] if one["step"] == "bandit"]
    model, probability, explored, sample = row["bandit"]
    assert told["id"] == model == "hero"
    assert told["verdict"] == ("explored" if explored else "drawn")
    assert told["detail"] == {"offer": row["offer"], "action_probability": probability, "sample": sample}


def test_linucb_takes_the_upper_end_of_what_an_arm_may_be_worth() -> None:
    certain = {"weights": [0.5, 0.0], "inverse": [[0.01, 0.0], [0.0, 0.01]]}
    vague = {"weights": [0.4, 0.0], "inverse": [[1.0, 0.0], [0.0, 1.0]]}
    written = catalogue(
        [offer("certain"), offer("vague")],
        policy="linucb",
        intercept=1.0,
        features=[{"attribute": "profile.age", "weight": 0.01, "missing": 30}],
        arms={"certain": certain, "vague": vague},
        floor=0.1,
    )
    for width, best in ((0.0, "certain"), (0.5, "vague")):
        written["models"][0]["width"] = width
        asked = Asked(written)
        chances = {row["offer"]: row["bandit"][1] for row in map(asked.told, range(200))}
        assert chances[best] == pytest.approx(0.95)
        assert math.fsum(chances.values()) == pytest.approx(1.0)


def test_draws_are_of_the_distributions_they_are_said_to_be() -> None:
    """Mean and deviation of many, within five standard errors."""
    for alpha, beta in ((0.3, 2.0), (1.0, 1.0), (60.0, 40.0)):
        draws = [beta_draw("m", f"o{at % 20}", at // 20, alpha, beta) for at in range(20 * SAMPLES)]
        mean = alpha / (alpha + beta)
        deviation = math.sqrt(mean * (1 - mean) / (alpha + beta + 1))
        assert abs(statistics.mean(draws) - mean) < 5 * deviation / math.sqrt(len(draws))
        assert statistics.stdev(draws) == pytest.approx(deviation, rel=0.15)
        assert all(0.0 <= draw <= 1.0 for draw in draws)
    normal = [gaussian_draw("m", f"o{at}", sample, 2.0, 3.0) for at in range(20) for sample in range(SAMPLES)]
    assert abs(statistics.mean(normal) - 2.0) < 5 * 3.0 / math.sqrt(len(normal))
    assert statistics.stdev(normal) == pytest.approx(3.0, rel=0.1)
    assert max(abs(log(x) - math.log(x)) for x in (1e-300, 1e-9, 0.3, 0.9999, 1.0, 1.7, 1e12)) < 1e-12


def test_draws_are_those_that_are_published() -> None:
    assert next(uniforms("hero", "good", 0)) == 0.9050794849226356
    assert [gaussian_draw("hero", "good", at, 0.0, 1.0) for at in (0, 1)] == [
        0.818799080711009,
        -0.4899763344560919,
    ]
    assert [beta_draw("hero", "good", at, 2.0, 3.0) for at in (0, 1)] == [
        0.3912099305713538,
        0.17827775878621868,
    ]
    assert [beta_draw("hero", "good", at, 0.5, 0.5) for at in (0, 1)] == [
        0.833288934146155,
        0.8165773255281435,
    ]


def test_the_compiler_says_what_a_bandit_lacks() -> None:
    def faults(written: Json) -> list[tuple[str, str]]:
        with pytest.raises(CatalogueError) as caught:
            compiled(written)
        return [(fault.path, fault.expected) for fault in caught.value.faults]

    assert faults(catalogue(ARMS, arms={}))[0] == ("$.models[0].arms", "what is known of fair, or a `prior`")
    assert ("$.models[0]", "`floor` in a model of kind bandit") in faults(catalogue(ARMS, floor=None))
    assert faults(catalogue(ARMS[:1])) == [
        (f"$.models[0].arms.{name}", "an offer whose model is hero") for name in ("fair", "new", "poor")
    ]
    [(path, expected)] = faults(catalogue(ARMS, arms={**KNOWN, "new": {"alpha": 1}}))
    assert (path, expected) == ("$.models[0].arms.new", "alpha and beta, or mean and deviation")
    written = catalogue(ARMS)
    other = {**written["models"][0], "id": "other", "arms": {}, "prior": {"alpha": 1, "beta": 1}}
    written["models"].append(other)
    written["offers"].append({"owner": "ada", **offer("more"), "model": "other"})
    assert faults(written) == [("$.offers[4].model", "one bandit at home, which has hero")]
