"""The sync process against a peer that says right and wrong things at chosen moments."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.bundle import content_hash
from core.decide import Engine
from core.events import Event
from core.frame import (
    FLAG_MORE,
    FLAG_SNAPSHOT,
    FLAG_SNAPSHOT_END,
    PUT_RECORD,
    Entry,
    bundle_signing_bytes,
)
from core.hashing import xxh64
from core.sealing import unseal
from edge.bundles import SignedBundle
from edge.journal.segments import list_segments
from edge.overlay import Overlay
from onevoice.v1 import sync_pb2
from tests.catalogues import small
from tests.edge.conftest import KNOWN
from tests.edge.fleet import (
    MIB,
    SEALING_KEY,
    SIGNING_KEY,
    TOKEN_KEY,
    Edge,
    anon,
    digest,
    fact,
    granted,
    known_person,
    profile,
    small_bundle,
)
from tests.edge.peer import HubPeer
from tests.edge.test_crashes import hero_reason

Visitor = Callable[[], int]
WHOLE = FLAG_SNAPSHOT | FLAG_SNAPSHOT_END


@pytest.fixture
def peer() -> Iterator[HubPeer]:
    made = HubPeer().start()
    yield made
    made.close()


@pytest.fixture
def lone(tmp_path: Path, peer: HubPeer) -> Iterator[Edge]:
    """An edge with nothing on disk."""
    made = Edge(tmp_path, hub_address=peer.address)
    yield made
    made.kill()


@pytest.fixture
def edge(lone: Edge, engine: Engine) -> Edge:
    """An edge with a bundle and a snapshot of one known person, connected."""
    lone.seed(ada(engine))
    lone.start()
    lone.until(lambda: lone.get("/readyz").json["connected"])
    return lone


def ada(engine: Engine, carts: int = 1, sequence: int = 1) -> list[Entry]:
    """The known person with some things in the cart."""
    now_ms = time.time_ns() // 1_000_000
    things = [fact("Product Added", now_ms, message_id=str(n)) for n in range(carts)]
    record = profile(engine, granted(), *things, sequence=sequence, at_ms=now_ms)
    return known_person(KNOWN, record, ("anon", anon(KNOWN)))


def cart(edge: Edge, number: int = KNOWN) -> Any:
    banner = edge.decide(number, "home.banner")["placements"]["home.banner"]
    return banner["blocks"]["text"]["value"] if banner["reason"] == "ok" else banner["reason"]


def revision_of(edge: Edge) -> int:
    found: int = edge.decide(KNOWN, "home.notice")["bundle"]["revision"]
    return found


def test_a_new_edge_takes_snapshot_and_bundle(lone: Edge, peer: HubPeer, engine: Engine) -> None:
    lone.start("/healthz")
    peer.until(lambda: peer.hellos)
    hello = peer.hellos[0]
    assert (hello.edge_id, hello.epoch, hello.sequence, hello.bundle_revision) == ("eu", "", 0, 0)
    assert lone.get("/readyz").json["missing"] == ["bundle", "snapshot"]
    record, pointer = ada(engine)
    peer.send_frame(0, 7, record, flags=FLAG_SNAPSHOT)
    peer.send_frame(0, 7, pointer, flags=WHOLE)
    assert peer.frame_ack() == sync_pb2.FrameAck(sequence=7)
    peer.send_bundle(small_bundle(3))
    ack = peer.bundle_ack()
    assert (ack.revision, ack.error) == (3, "")
    for _ in range(6):  # acknowledged means: active in every worker
        assert revision_of(lone) == 3
    lone.until(lambda: lone.get("/readyz").status == 200)
    assert cart(lone) == "In your cart: 1"


def test_events_travel_at_once_and_only_once(edge: Edge, peer: HubPeer, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    started = time.monotonic()
    for count in range(20):
        edge.track(number, "Product Added", f"m{count}")
    peer.until(lambda: len(peer.events()) == 21)
    assert time.monotonic() - started < 5
    assert sorted(event.message_id for event in peer.events())[-20:] == sorted(
        f"m{count}" for count in range(20)
    )
    peer.hang_up()
    peer.until(lambda: len(peer.hellos) == 2)
    assert dict(peer.hellos[1].journals) == peer.positions()
    edge.track(number, "Product Added", "after")
    peer.until(lambda: len(peer.events()) == 22)


def test_a_watermark_hides_what_the_record_holds(edge: Edge, peer: HubPeer, engine: Engine) -> None:
    edge.track(KNOWN, "Product Added", "second")
    assert cart(edge) == "In your cart: 2"
    peer.until(lambda: len(peer.events()) == 1)
    (record, _) = ada(engine, carts=2, sequence=2)
    peer.send_frame(2, 2, record, p=peer.positions())
    assert peer.frame_ack() == sync_pb2.FrameAck(sequence=2)
    assert [cart(edge) for _ in range(6)] == ["In your cart: 2"] * 6
    assert edge.decide(KNOWN, "home.banner")["profile"]["sequence"] == 2
    edge.track(KNOWN, "Product Added", "third")
    assert [cart(edge) for _ in range(6)] == ["In your cart: 3"] * 6


def test_contained_events_leave_the_overlay(edge: Edge, peer: HubPeer, engine: Engine) -> None:
    for count in range(10):
        edge.track(KNOWN, "Product Added", str(count))
    peer.until(lambda: len(peer.events()) == 10)
    peer.send_frame(2, 2, ada(engine, 11, 2)[0], p=peer.positions())
    assert peer.frame_ack().sequence == 2

    overlay = Overlay(edge.folder.overlay, 64 * MIB)
    marks = [(bytes.fromhex(name), position) for name, position in peer.positions().items()]
    peer.until(lambda: not any(overlay.has_untrimmed(*mark) for mark in marks))
    overlay.close()
    assert cart(edge) == "In your cart: 11"


BAD_FRAMES: list[tuple[int, int, dict[str, Any], str]] = [
    (3, 3, {}, "gap"),
    (1, 2, {}, "overlap"),
    (2, 2, {"signature": b"s" * 64}, "signature"),
    (2, 2, {"payload": b"other bytes"}, "signature"),
    (2, 2, {"watermark": {"00" * 16: 5}}, "signature"),
    (2, 2, {"flags": FLAG_SNAPSHOT}, "gap"),
    (2, 2, {"edge_id": "us"}, "signature"),
    (2, 2, {"epoch": "e9"}, "epoch"),
]


def test_a_frame_that_does_not_fit_is_refused(edge: Edge, peer: HubPeer, engine: Engine) -> None:
    for first, last, wrong, code in BAD_FRAMES:
        peer.send_frame(first, last, ada(engine, 5, last)[0], **wrong)
        ack = peer.frame_ack()
        assert (ack.sequence, ack.error) == (1, code), wrong
        assert ack.detail
        assert cart(edge) == "In your cart: 1", wrong
    peer.send_frame(2, 2, ada(engine, 2, 2)[0])
    assert peer.frame_ack() == sync_pb2.FrameAck(sequence=2)
    assert cart(edge) == "In your cart: 2"


def test_frames_of_one_moment_come_in_together(edge: Edge, peer: HubPeer, engine: Engine) -> None:
    peer.send_frame(2, 2, ada(engine, 4, 3)[0], flags=FLAG_MORE)
    peer.send(heartbeat=sync_pb2.Heartbeat(sequence=3))
    assert cart(edge) == "In your cart: 1"
    peer.send_frame(3, 3)
    assert peer.frame_ack() == sync_pb2.FrameAck(sequence=3)
    assert cart(edge) == "In your cart: 4"


def signed(content: bytes, revision: int, **changed: Any) -> SignedBundle:
    approvals = changed.pop("approvals", [("ben", "approver", 1)])
    key = changed.pop("key", SIGNING_KEY)
    found = content_hash(content)
    return SignedBundle(
        revision, found, approvals, key.sign(bundle_signing_bytes(revision, found, approvals)), content
    )


Make = Callable[[bytes], SignedBundle]
BAD_BUNDLES: list[tuple[str, Make, dict[str, Any]]] = [
    ("signature", lambda content: signed(content, 2, key=TOKEN_KEY), {}),
    ("signature", lambda content: signed(content, 2), {"revision": 3}),
    ("signature", lambda content: signed(content, 2), {"approvals": [sync_pb2.BundleApproval(user="eve")]}),
    ("hash", lambda content: signed(content, 2), {"content": b"OV1B other"}),
    ("approvals", lambda content: signed(content, 2, approvals=[]), {}),
    ("revision", lambda content: signed(content + b"\0", 1), {}),
    ("content", lambda _: signed(b"no bundle at all", 2), {}),
    ("content", lambda content: signed(content[:-10], 2), {}),
]


def test_a_bad_bundle_is_refused_and_the_old_one_stays(edge: Edge, peer: HubPeer) -> None:
    content = small_bundle().content
    for code, make, wrong in BAD_BUNDLES:
        peer.send_bundle(make(content), **wrong)
        ack = peer.bundle_ack()
        assert ack.error == code
        assert ack.detail
        assert [revision_of(edge) for _ in range(4)] == [1] * 4, code
    peer.send_bundle(small_bundle(9))
    assert peer.bundle_ack().error == ""
    assert [revision_of(edge) for _ in range(4)] == [9] * 4


def test_a_changed_rule_shows_at_once_and_a_rollback_undoes_it(edge: Edge, peer: HubPeer) -> None:
    def notice() -> Any:
        return edge.decide(5, "home.notice")["placements"]["home.notice"]["blocks"]["text"]["value"]

    assert notice() == "Free returns"
    files = small()
    files["blocks.yaml"] = files["blocks.yaml"].replace("value: Free returns", "value: Returns are free")
    peer.send_bundle(small_bundle(2, files=files))
    assert peer.bundle_ack().error == ""
    assert [notice() for _ in range(6)] == ["Returns are free"] * 6
    peer.send_bundle(small_bundle(3))
    assert peer.bundle_ack().error == ""
    assert [notice() for _ in range(6)] == ["Free returns"] * 6
    edge.kill()
    edge.start()
    assert revision_of(edge) == 3


def test_the_hub_goes_and_comes_back(edge: Edge, peer: HubPeer, visitor: Visitor) -> None:
    number = visitor()
    edge.consent(number)
    peer.until(lambda: len(peer.events()) == 1)
    peer.stop()
    edge.until(lambda: not edge.get("/readyz").json["connected"])
    for count in range(10):
        assert edge.track(number, "Product Added", f"away-{count}").json["accepted"] == 1
    assert cart(edge, number) == "In your cart: 10"
    assert edge.get("/readyz").status == 200
    edge.kill()
    edge.start()
    assert cart(edge, number) == "In your cart: 10"
    peer.start()
    peer.until(lambda: len(peer.events()) == 11)
    names = [event.message_id for event in peer.events() if event.message_id.startswith("away")]
    assert sorted(names) == sorted(f"away-{count}" for count in range(10))


def test_the_sync_process_killed_between_upload_and_acknowledgement(
    edge: Edge, peer: HubPeer, visitor: Visitor
) -> None:
    number = visitor()
    peer.acknowledges = False
    edge.consent(number)
    for count in range(5):
        edge.track(number, "Product Added", f"k{count}")
    victim = edge.until(lambda: edge.child("sync"))
    os.kill(victim, signal.SIGKILL)
    peer.acknowledges = True
    peer.until(lambda: len(peer.events()) == 6)
    assert len({event.message_id for event in peer.events()}) == 6


def test_a_damaged_snapshot_is_fetched_anew(edge: Edge, peer: HubPeer, engine: Engine) -> None:
    for name in ("worker-0", "worker-1"):
        os.kill(edge.until(lambda name=name: edge.child(name)), signal.SIGBUS)  # type: ignore[misc]
    ack = peer.frame_ack()
    assert (ack.sequence, ack.error) == (0, "epoch")
    edge.until(lambda: hero_reason(edge) == "error")
    assert edge.get("/readyz").status == 503
    record, pointer = ada(engine, 2, 4)
    peer.send_frame(0, 4, record, pointer, flags=WHOLE)
    assert peer.frame_ack() == sync_pb2.FrameAck(sequence=4)
    edge.until(lambda: cart(edge) == "In your cart: 2")
    edge.until(lambda: edge.get("/readyz").status == 200)


def test_another_epoch_brings_a_snapshot_and_the_old_one_serves_until_then(
    edge: Edge, peer: HubPeer, engine: Engine
) -> None:
    peer.epoch = "e2"
    peer.hang_up()
    peer.until(lambda: len(peer.hellos) == 2)
    assert (peer.hellos[1].epoch, peer.hellos[1].sequence) == ("e1", 1)
    assert cart(edge) == "In your cart: 1"
    peer.send_frame(0, 1, *ada(engine, 3, 1), flags=WHOLE)
    assert peer.frame_ack() == sync_pb2.FrameAck(sequence=1)
    edge.until(lambda: cart(edge) == "In your cart: 3")
    peer.until(lambda: len(list(edge.folder.snapshots.glob("env-*"))) == 1)


def test_a_hub_with_another_key_is_not_followed(edge: Edge, peer: HubPeer) -> None:
    peer.signing_key = TOKEN_KEY.public_key().public_bytes_raw()
    peer.hang_up()
    edge.until(lambda: edge.get("/readyz").json["stages"]["stream"]["error"] == "signing_key")
    assert not edge.get("/readyz").json["connected"]
    peer.signing_key = SIGNING_KEY.public_key().public_bytes_raw()
    edge.until(lambda: edge.get("/readyz").json["connected"])


def test_decisions_are_logged_for_those_who_spoke_about_consent(
    edge: Edge, peer: HubPeer, visitor: Visitor
) -> None:
    number, silent = visitor(), visitor()
    edge.consent(number, "denied")
    ids = {edge.decide(number)["id"] for _ in range(5)} | {edge.decide(KNOWN)["id"]}
    unseen = {edge.decide(silent)["id"] for _ in range(5)}

    def logged() -> dict[str, bytes]:
        rows = [row for _, data in peer.rows for row in msgspec.msgpack.decode(data)]
        return {row[1][0]: row[0] for row in rows}

    peer.until(lambda: ids <= set(logged()))
    assert not unseen & set(logged())
    assert set(logged().values()) == {digest("anon", anon(number)), KNOWN.to_bytes(16, "big")}
    assert len({batch for batch, _ in peer.rows}) == len(peer.rows)
    edge.until(lambda: not list(edge.folder.decisions.glob("*.rows")))


def test_a_digest_is_answered_for_the_sequence_it_is_of(edge: Edge, peer: HubPeer, engine: Engine) -> None:
    record, pointer = ada(engine, 2, 2)
    peer.send_frame(2, 2, record)
    assert peer.frame_ack().sequence == 2
    peer.send(digest=sync_pb2.Digest())
    expected = xxh64(record[1] + record[2]) ^ xxh64(pointer[1] + pointer[2])
    report = peer.reports.get(timeout=20)
    while not report.digest_entries:
        report = peer.reports.get(timeout=20)
    assert (report.digest, report.digest_entries, report.sequence) == (expected, 2, 2)
    assert report.counts["decisions"] >= 0


def test_the_sealing_key_comes_with_welcome(lone: Edge, peer: HubPeer, engine: Engine) -> None:
    lone.seed(ada(engine))
    lone.folder.hub_keys.unlink()
    peer.stop()
    lone.start()
    identify = {"anonymousId": anon(KNOWN), "traits": {"email": "ada@example.com"}}
    assert lone.post("/v1/identify", identify).json["accepted"] == 1
    assert b"onevoice_edge_sealed_dropped_total 1.0" in lone.get("/metrics").body
    peer.start()
    lone.until(lone.folder.hub_keys.exists)

    def opened() -> list[bytes]:
        lone.post("/v1/identify", identify)
        sealed = [event.sealed for event in identifies(peer) if event.sealed]
        return [unseal(SEALING_KEY.private_bytes_raw(), one) for one in sealed]

    assert b"ada@example.com" in peer.until(opened)[0]


def identifies(peer: HubPeer) -> list[Event]:
    return [event for event in peer.events() if event.kind == "identify"]


def test_contained_segments_are_deleted(lone: Edge, peer: HubPeer, engine: Engine) -> None:
    lone.seed(ada(engine))
    lone.start()
    folder = lone.folder.journals
    for _ in range(30):
        lone.track(KNOWN, "Product Added", padding="x" * 30_000)
    peer.until(lambda: len(peer.events()) == 30)
    assert all(len(list_segments(path)) == 1 for path in folder.iterdir()), "one segment holds 64 MiB"
    # The last segment stays, whatever is contained: its journal goes on in it.
    peer.send_frame(2, 2, (PUT_RECORD, b"q" * 16, ada(engine)[0][2]), p=peer.positions())
    assert peer.frame_ack().sequence == 2
    assert all(len(list_segments(path)) == 1 for path in folder.iterdir())
