"""A headline under test: whoever was shown one keeps it on every node and channel of the running system."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from playwright.sync_api import Browser

from core.bundle import BundleDocument
from onevoice.v1 import decisions_pb2, profiles_pb2
from tests.story.harness import Fleet, Visitor, until
from tests.story.test_log_in import STRIP, document, visitor_with

EXPERIMENT = "strip-headline"
CONSENTS = {"personalization": "granted", "analytics": "granted"}
WEIGHTS = ("- {id: picked, weight: 1,", "- {id: picked, weight: 1000000,")

assert document  # a fixture, shared with the log-in's story


@pytest.fixture
def reweighted(fleet: Fleet) -> Iterator[Any]:
    """Publish weights by which nearly everybody is assigned `picked`; afterwards those of before."""

    def publish() -> None:
        fleet.edit("experiments.yaml", *WEIGHTS)
        fleet.publish()

    yield publish
    fleet.edit("experiments.yaml", *reversed(WEIGHTS))
    fleet.publish()


def variant(placement: dict[str, Any]) -> str | None:
    found = [one["variant"] for one in placement["experiments"] if one["id"] == EXPERIMENT]
    return found[0] if found else None


def assignments(fleet: Fleet, visitor: str) -> Any:
    """What the hub keeps of a visitor, nothing as long as it does not know her."""
    try:
        answer = fleet.hub.profiles.Get(profiles_pb2.GetRequest(person=f"anon:{visitor}"), timeout=10)
    except grpc.RpcError:
        return []
    return json.loads(answer.profile)["assignments"]


def at_edge(fleet: Fleet, edge: str, visitor: str) -> str | None:
    return variant(fleet.placement(edge, visitor, STRIP))


def at_hub(fleet: Fleet, visitor: str) -> dict[str, Any]:
    asked = decisions_pb2.DecideRequest(anonymous_id=visitor, placements=[STRIP], trace=True)
    decided = json.loads(fleet.hub.decisions.Decide(asked, timeout=10).decision)
    (row,) = [row for row in decided["trace"] if row["step"] == "experiment"]
    return {"variant": variant(decided["placements"][STRIP]), "by": row["detail"]["assigned_by"]}


def test_who_was_shown_a_headline_keeps_it_and_others_go_by_the_new_weights(
    fleet: Fleet, browser: Browser, document: BundleDocument, reweighted: Any
) -> None:
    with contextlib.closing(Visitor(fleet, browser)) as seer:
        # Only who is in the experiment's part of the layer, and by her key in the control, can be moved.
        kept = json.dumps({"id": visitor_with(fleet, document, "control"), "consents": CONSENTS})
        seer.context.add_init_script(f"localStorage.setItem('onevoice.visitor', {json.dumps(kept)})")
        seer.go("/")
        seer.page.locator(f'[data-onevoice-placement="{STRIP}"]').scroll_into_view_if_needed()
        (stored,) = until(lambda: assignments(fleet, seer.anonymous_id))
        assert (stored["experiment"], stored["variant"]) == (EXPERIMENT, "control")
        assert abs(stored["at"] - time.time() * 1000) < 60_000

        unseen = visitor_with(fleet, document, "control")
        reweighted()
        for edge in fleet.edges:
            until(lambda edge=edge: at_edge(fleet, edge, unseen) == "picked")  # type: ignore[misc]
            until(lambda edge=edge: at_edge(fleet, edge, seer.anonymous_id) == "control")  # type: ignore[misc]
        assert at_hub(fleet, seer.anonymous_id) == {"variant": "control", "by": "sticky"}
        assert at_hub(fleet, unseen) == {"variant": "picked", "by": "hash"}
        seer.go("/")
        told = until(lambda: logged(fleet, seer.anonymous_id))
        assert told == [{"id": EXPERIMENT, "variant": "control", "sticky": True}]
        assert not seer.errors


def logged(fleet: Fleet, visitor: str) -> Any:
    """The experiments of the newest decision on the strip, once it is in the log."""
    done = fleet.system.command.run("why", f"anon:{visitor}", "--json")
    decisions = json.loads(done.stdout)["decisions"] if done.returncode == 0 else []
    rows = [row for one in decisions for row in one["placements"] if row["placement"] == STRIP]
    return rows[0]["experiments"] if rows and rows[0]["experiments"][0]["sticky"] else None
