"""The stream's rules: who may open it, journals, bundles, decision rows, one stream an edge."""

from pathlib import Path

import grpc
import msgspec
import pytest

from core.answers import LOG_FIELDS
from core.journal import pack_record
from hub.store import decisions
from hub.store.engine import Store
from hub.sync import decision_rows
from onevoice.v1 import sync_pb2
from tests.hub.asyncs import run_async, until
from tests.hub.bundles import SPENT, signed, small_document
from tests.hub.data.harness import records_of
from tests.hub.events import consent, event, person
from tests.hub.keys import SEALING_KEY, SIGNING_KEY
from tests.hub.sync.harness import SERVER_KEY, Edge, hub

MANY = {f"{n:032x}": 1 for n in range(300)}


@pytest.mark.parametrize(
    ("first", "status", "text"),
    [
        ({"report": sync_pb2.EdgeReport()}, grpc.StatusCode.INVALID_ARGUMENT, "expected Hello first"),
        (
            {"hello": sync_pb2.Hello(edge_id="eu", protocol=2)},
            grpc.StatusCode.FAILED_PRECONDITION,
            "expected protocol 1, got 2",
        ),
        (
            {"hello": sync_pb2.Hello(edge_id="../eu", protocol=1)},
            grpc.StatusCode.INVALID_ARGUMENT,
            "A-Za-z0-9",
        ),
        (
            {"hello": sync_pb2.Hello(edge_id="eu", protocol=1, journals={"x": 1})},
            grpc.StatusCode.INVALID_ARGUMENT,
            "32 hex digits",
        ),
        (
            {
                "hello": sync_pb2.Hello(
                    edge_id="eu", protocol=1, journals={f"{n:032x}": 1 for n in range(300)}
                )
            },
            grpc.StatusCode.INVALID_ARGUMENT,
            "at most 256 journals",
        ),
    ],
)
@run_async
async def test_a_stream_that_begins_wrongly_is_refused(
    store: Store, tmp_path: Path, first: dict[str, object], status: grpc.StatusCode, text: str
) -> None:
    edge = Edge()
    async with hub(store, tmp_path) as served, edge.connected(served.address, first=first):
        await until(lambda: edge.error is not None, "the refusal")
        assert edge.error is not None
        assert edge.error.code() == status
        assert text in (edge.error.details() or "")


@pytest.mark.parametrize(
    ("key", "status"),
    [("nobody" * 5, grpc.StatusCode.UNAUTHENTICATED), (SERVER_KEY, grpc.StatusCode.PERMISSION_DENIED)],
)
@run_async
async def test_only_an_edges_key_opens_a_stream(
    store: Store, tmp_path: Path, key: str, status: grpc.StatusCode
) -> None:
    edge = Edge()
    async with hub(store, tmp_path) as served, edge.connected(served.address, key=key):
        await until(lambda: edge.error is not None, "the refusal")
        assert edge.error is not None
        assert edge.error.code() == status
        assert served.fleet.edges() == []


@run_async
async def test_welcome_tells_keys_epoch_and_how_far_journals_are_safe(store: Store, tmp_path: Path) -> None:
    edge = Edge()
    async with hub(store, tmp_path, publish=False) as served:
        async with edge.connected(served.address):
            await edge.append(consent("anon:a"))
            await until(lambda: len(edge.journal_acks) >= 1, "the acknowledgement")
        async with edge.connected(served.address):
            await until(lambda: edge.welcome is not None, "welcome")
            assert edge.welcome is not None
            assert edge.welcome.epoch == served.plane.changes.epoch
            assert edge.welcome.signing_key == SIGNING_KEY.public_key().public_bytes_raw()
            assert edge.welcome.sealing_key == SEALING_KEY.public_key().public_bytes_raw()
            assert dict(edge.welcome.acknowledged) == {edge.journal_id: len(edge.journal)}


@run_async
async def test_bad_batches_are_refused_and_the_journal_goes_on(store: Store, tmp_path: Path) -> None:
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        end = await edge.append(consent("anon:a"))
        await edge.contained(end)
        edge.journal_acks.clear()
        good = records_of([event("Product Viewed", "anon:a")])
        flipped = good[:-1] + bytes([good[-1] ^ 1])
        huge = pack_record(b"x" * 60_000) + pack_record(b"y" * 10_000)
        batches = [
            (edge.journal_id, end + 5, good, "gap"),
            (edge.journal_id, end - 5, good, "gap"),
            (edge.journal_id, end, flipped, "damaged"),
            (edge.journal_id, end, b"", "damaged"),
            (edge.journal_id, end, huge, "too_large"),
            ("not hex", 0, good, "damaged"),
            (edge.journal_id, end, good, ""),
            (edge.journal_id, end, good, ""),
        ]
        for journal_id, first, records, _ in batches:
            batch = sync_pb2.JournalBatch(
                journal_id=journal_id, first=first, last=first + len(records), records=records
            )
            await edge.say(journal=batch)
        await until(lambda: len(edge.journal_acks) == len(batches), "every answer")
        assert [ack.error for ack in edge.journal_acks] == [error for *_, error in batches]
        assert [ack.position for ack in edge.journal_acks] == [
            *[end] * 5,
            0,
            *[end + len(good)] * 2,
        ]
        edge.journal += good
        await edge.contained(len(edge.journal))
        last, _ = await served.plane.event_log.size()
        assert last == 2, "what was there already is not logged again"


@run_async
async def test_a_newer_stream_of_an_edge_ends_the_former(store: Store, tmp_path: Path) -> None:
    former, newer = Edge(), Edge()
    async with hub(store, tmp_path) as served, former.connected(served.address):
        await until(lambda: former.welcome is not None, "the first welcome")
        async with newer.connected(served.address):
            await until(lambda: former.error is not None, "the former's end")
            await until(lambda: served.ended_with(grpc.StatusCode.ABORTED), "its reason")
            await newer.contained(await newer.append(consent("anon:a")))
            assert [status.connected for status in served.fleet.edges()] == [True]
        await until(lambda: not served.fleet.edge("eu").connected, "the end of both")


@run_async
async def test_a_bundle_reaches_the_edge_and_its_answer_the_fleet(store: Store, tmp_path: Path) -> None:
    async with hub(store, tmp_path) as served:
        edge = Edge()
        async with edge.connected(served.address):
            status = served.fleet.edge("eu")
            await until(lambda: status.bundle_revision == 1, "the first bundle")
            second = signed(small_document(edge_slots=(SPENT,)), revision=2)
            served.bundles.activate(second)
            await until(lambda: status.bundle_revision == 2, "the second bundle")
            assert status.bundle_hash == second.content_hash
            assert edge.bundle is not None
            assert edge.bundle.content == second.content
            assert edge.bundle.signature == second.signature
            await edge.say(
                bundle_ack=sync_pb2.BundleAck(
                    revision=3, content_hash="x", error="signature", detail="wrong key"
                )
            )
            await until(lambda: status.bundle_error != "", "the refusal")
            assert (status.bundle_revision, status.bundle_error) == (2, "signature: wrong key")
        held, edge.bundle = edge.bundle, None
        edge.bundle = held
        async with edge.connected(served.address):
            await until(lambda: edge.heartbeats > 0, "a heartbeat")
            assert edge.bundle is held, "what the edge has is not sent again"
        await served.fleet.save()
        again = type(served.fleet)(store, served.plane.clock)
        await again.start()
        assert [(one.edge_id, one.bundle_revision, one.connected) for one in again.edges()] == [
            ("eu", 2, False)
        ]


@run_async
async def test_decision_rows_can_be_looked_up_and_a_resend_adds_nothing(store: Store, tmp_path: Path) -> None:
    key = person("anon:a").hash
    rows = msgspec.msgpack.encode([(key, ("d1", 1000, 1)), (key, ("d2", 2000, 1))])
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        for _ in range(2):
            await edge.say(decisions=sync_pb2.DecisionRows(batch=7, rows=rows, dropped=3))
        await until(lambda: edge.decision_acks == [7, 7], "both acknowledgements")
        found = await store.read(lambda connection: decisions.of_person(connection, [key], 10))
        assert [(row.decision_id, row.at_ms, row.node) for row in found] == [
            ("d2", 2000, "eu"),
            ("d1", 1000, "eu"),
        ]
        assert msgspec.msgpack.decode(found[0].row) == ["d2", 2000, 1]
        assert served.fleet.edge("eu").counts["decisions.dropped"] == 3


@pytest.mark.parametrize(
    "rows", [b"\xc1", msgspec.msgpack.encode([(b"short", ("d", 1))]), b"\x91\x92\xc4\x00\x90"]
)
@run_async
async def test_foreign_decision_rows_end_the_stream(store: Store, tmp_path: Path, rows: bytes) -> None:
    async with hub(store, tmp_path) as served, Edge().connected(served.address) as edge:
        await edge.say(decisions=sync_pb2.DecisionRows(batch=1, rows=rows))
        await until(lambda: served.ended_with(grpc.StatusCode.INVALID_ARGUMENT), "the refusal")
        await until(lambda: edge.error is not None, "the end of the stream")
        assert edge.decision_acks == []


def test_decision_rows_are_read_where_the_core_writes_them() -> None:
    assert LOG_FIELDS[decision_rows.ID_FIELD] == "decision_id"
    assert LOG_FIELDS[decision_rows.AT_FIELD] == "now_ms"
