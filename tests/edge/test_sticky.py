"""Sticky assignments at an edge: what was shown stays, whatever bundle comes next; nobody chooses her own."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from core.assignment import Experiments
from core.exposures import exposure_token
from tests.edge.fleet import OPERATOR, SERVER, SITE, anon, digest
from tests.faces.edge_face import EdgeFace
from tests.vectors.build import compiled
from tests.vectors.load import Json, with_owners

HOME: Final = "home"
NUMBERS: Final = itertools.count(1)
VERSION: Final = {"sticky_version": 0}


def catalogue(control: int = 1, b: int = 1, **experiment: Any) -> Json:
    slots = {"slots": {"text": "text"}, "fallback": {"text": "a-text"}, "deadline": "5s"}
    return with_owners(
        {
            "placements": [{"id": HOME, "channel": "web", "purpose": "personalization", **slots}],
            "blocks": [{"id": f"{name}-text", "type": "text", "value": name.upper()} for name in "ab"],
            "offers": [
                {
                    "id": "beer",
                    "treatments": [{"id": "beer-home", "placement": HOME, "blocks": {"text": "a-text"}}],
                }
            ],
            "experiments": [
                {
                    "id": "test",
                    "placements": [HOME],
                    "sticky": True,
                    "variants": [
                        {"id": "control", "weight": control},
                        {"id": "b", "weight": b, "blocks": {"text": "b-text"}},
                    ],
                    **experiment,
                }
            ],
        }
    )


ALL_B: Final = catalogue(b=1_000_000)


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeFace]:
    with EdgeFace(Path(tmp_path_factory.mktemp("sticky")), []) as face:
        face.bring(catalogue())
        yield face


@pytest.fixture
def visitor(edge: EdgeFace) -> int:
    """A consented visitor whom equal weights give the control, and any other weights b."""
    edge.bring(catalogue())
    document = compiled(catalogue())[1]
    table = Experiments(document.experiments, [], {})
    number = next(n for n in NUMBERS if table.variant(0, digest("anon", anon(n))) == 0)
    body = {"anonymous_id": anon(number), "purpose": "personalization", "state": "granted"}
    assert edge.post("/v1/consent", {**body, "text_version": "1", "source": "test"}, SITE).status == 200
    return number


def asked(edge: EdgeFace, number: int, **more: Any) -> Any:
    body = {"anonymous_id": anon(number), "placements": [HOME], "context": {}, **more}
    reply = edge.post("/v1/decide", body, OPERATOR if more else SITE)
    assert reply.status == 200, reply.body
    return reply.json


def variant(edge: EdgeFace, number: int) -> str | None:
    found = asked(edge, number)["decision"]["placements"][HOME]["experiments"]
    return found[0]["variant"] if found else None


def tell(edge: EdgeFace, number: int, key: str = SITE, name: str = "Impression", **properties: Any) -> None:
    message = {"type": "track", "event": name, "anonymousId": anon(number), "properties": properties}
    assert edge.post("/v1/events", {"events": [message]}, key).json["accepted"] == 1


@pytest.mark.parametrize("name", ["Impression", "Exposure"])
def test_who_was_shown_a_variant_keeps_it_under_the_next_bundle(
    edge: EdgeFace, visitor: int, name: str
) -> None:
    answer = asked(edge, visitor)
    assert answer["decision"]["placements"][HOME]["experiments"] == [
        {"id": "test", "variant": "control", **VERSION}
    ]
    tell(edge, visitor, name=name, exposure=answer["exposures"][HOME])
    fresh = next(n for n in NUMBERS if n > visitor + 1000)
    for bundle in (ALL_B, catalogue(traffic=0), ALL_B):
        edge.bring(bundle)
        assert variant(edge, visitor) == "control"
    consent = {"anonymous_id": anon(fresh), "purpose": "personalization", "state": "granted"}
    edge.post("/v1/consent", {**consent, "text_version": "1", "source": "test"}, SITE)
    assert variant(edge, fresh) == "b"
    edge.bring(catalogue(b=1_000_000, sticky_version=1))
    assert variant(edge, visitor) == "b"


def test_evaluating_is_not_showing(edge: EdgeFace, visitor: int) -> None:
    assert variant(edge, visitor) == "control"
    edge.bring(ALL_B)
    assert variant(edge, visitor) == "b"


def test_a_visitor_cannot_choose_her_variant(edge: EdgeFace, visitor: int) -> None:
    claim = [{"id": "test", "variant": "control", **VERSION}]
    of_another = asked(edge, visitor)["exposures"][HOME]
    other = visitor + 100_000
    edge.bring(ALL_B)
    consent = {"anonymous_id": anon(other), "purpose": "personalization", "state": "granted"}
    edge.post("/v1/consent", {**consent, "text_version": "1", "source": "test"}, SITE)
    assert variant(edge, other) == "b"
    forged = exposure_token(b"x" * 32, digest("anon", anon(other)), "d", HOME, [("test", "control", 0)])
    for exposure in (of_another, forged, "", None):
        tell(edge, other, exposure=exposure, experiments=claim)
        assert variant(edge, other) == "b"
    edge.bring(catalogue(traffic=0))
    assert variant(edge, other) is None, "nor enter what lets nobody in"
    tell(edge, other, key=SERVER, experiments=claim)
    assert variant(edge, other) == "control", "the site's own server can say what it displayed"


def test_a_trace_says_where_the_variant_came_from(edge: EdgeFace, visitor: int) -> None:
    token = asked(edge, visitor)["exposures"][HOME]
    tell(edge, visitor, exposure=token, offer="beer")
    rows = asked(edge, visitor, trace=True)["decision"]["trace"]
    (row,) = [row for row in rows if row["step"] == "experiment"]
    assert (row["id"], row["verdict"], row["detail"]) == ("test", "control", {"assigned_by": "sticky"})


def test_without_a_sticky_experiment_an_answer_has_no_tokens(edge: EdgeFace, visitor: int) -> None:
    edge.bring(catalogue(sticky=False))
    answer = asked(edge, visitor)
    assert set(answer) == {"decision", "node", "took_us"}
    assert answer["decision"]["placements"][HOME]["experiments"] == [{"id": "test", "variant": "control"}]
    rows = asked(edge, visitor, trace=True)["decision"]["trace"]
    (row,) = [row for row in rows if row["step"] == "experiment"]
    assert row["detail"] == {"assigned_by": "hash"}
