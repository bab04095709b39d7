"""The snapshot: frames, gaps, switches, damage."""

import multiprocessing
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from core.frame import (
    DELETE_IDENTIFIER,
    DELETE_RECORD,
    FLAG_MORE,
    FLAG_SNAPSHOT,
    FLAG_SNAPSHOT_END,
    PUT_IDENTIFIER,
    PUT_RECORD,
    Entry,
    pack_entries,
)
from core.hashing import xxh64
from edge.errors import FrameRefusedError, SnapshotDamagedError
from edge.snapshot import writer as writer_module
from edge.snapshot.reader import open_current
from edge.snapshot.writer import Change, SnapshotWriter

Read = Callable[..., tuple[bytes | None, int, str]]
MIB = 1024 * 1024
JOURNAL = b"j" * 16
PROFILE, HASH = b"p" * 16, b"h" * 16


def change(first: int, last: int, *entries: Entry, flags: int = 0, epoch: str = "e1", p: int = 0) -> Change:
    return Change(epoch, first, last, flags, {JOURNAL: p}, pack_entries(entries), 1_795_000_000_000)


def first_snapshot(*entries: Entry, last: int = 5, epoch: str = "e1", p: int = 7) -> Change:
    return change(0, last, *entries, flags=FLAG_SNAPSHOT | FLAG_SNAPSHOT_END, epoch=epoch, p=p)


KNOWN = (PUT_RECORD, PROFILE, b"record one"), (PUT_IDENTIFIER, HASH, PROFILE)


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshots"
    folder.mkdir()
    return folder


def answer_reads(pipe: Connection) -> None:
    """The other process: LMDB allows one handle on an environment in a process, and workers are other
    processes.
    """
    held: Any = None
    while (order := pipe.recv()) is not None:
        name, snapshots = order
        reader = held[0] if held else open_current(snapshots, 64 * MIB)
        assert reader is not None
        txn = held[1] if held else reader.begin()
        profile = reader.profile_id(txn, HASH)
        record = None if profile is None else reader.record(txn, profile)
        pipe.send((None if record is None else bytes(record), reader.watermark(txn, JOURNAL), reader.name))
        held = (reader, txn) if name == "hold" else None
        if held is None:
            txn.abort()
            reader.close()


@pytest.fixture(scope="module")
def worker() -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    pipe, far = context.Pipe()
    process = context.Process(target=answer_reads, args=(far,), daemon=True)
    process.start()
    yield pipe
    pipe.send(None)
    process.join(10)


@pytest.fixture
def read(worker: Connection, snapshots: Path) -> Read:
    """Read as a worker does, in another process: (record behind the identifier, watermark, environment)."""

    def ask(order: str = "read") -> tuple[bytes | None, int, str]:
        worker.send((order, snapshots))
        assert worker.poll(20)
        answer: tuple[bytes | None, int, str] = worker.recv()
        return answer

    return ask


def test_no_snapshot_is_a_state(snapshots: Path) -> None:
    assert open_current(snapshots, MIB) is None
    writer = SnapshotWriter(snapshots, MIB)
    with pytest.raises(FrameRefusedError, match="epoch of a snapshot"):
        writer.apply(change(1, 1))


def test_a_snapshot_in_parts_is_switched_to_when_complete(snapshots: Path, read: Read) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    assert not writer.apply(change(0, 5, KNOWN[0], flags=FLAG_SNAPSHOT))
    assert open_current(snapshots, MIB) is None
    assert writer.apply(first_snapshot(KNOWN[1]))
    writer.close()
    assert (*read()[:2], writer.sequence) == (b"record one", 7, 5)
    again = SnapshotWriter(snapshots, 64 * MIB)
    assert (again.epoch, again.sequence, again.watermark) == ("e1", 5, {JOURNAL: 7})
    again.close()


def test_a_frame_brings_records_and_watermark_at_once(snapshots: Path, read: Read) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    writer.apply(first_snapshot(*KNOWN))
    writer.apply(change(6, 9, (PUT_RECORD, PROFILE, b"record two"), p=70))
    assert (*read()[:2], writer.sequence) == (b"record two", 70, 9)
    writer.apply(change(10, 10, p=71))
    assert (*read()[:2], writer.sequence) == (b"record two", 71, 10)
    writer.apply(change(11, 12, (DELETE_RECORD, PROFILE, b""), (DELETE_IDENTIFIER, HASH, b"")))
    assert (*read()[:2], writer.sequence) == (None, 0, 12)
    writer.close()


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (change(7, 8), "gap"),
        (change(5, 8), "overlap"),
        (change(6, 5), "overlap"),
        (change(6, 6, epoch="e2"), "epoch"),
        (change(6, 6, (PUT_RECORD, b"short", b"")), "payload"),
        (change(6, 6, (PUT_IDENTIFIER, HASH, b"short")), "payload"),
        (Change("e1", 6, 6, 0, {}, b"\x09garbage-bytes", 0), "payload"),
    ],
)
def test_a_frame_that_does_not_follow_changes_nothing(
    snapshots: Path, read: Read, bad: Change, code: str
) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    writer.apply(first_snapshot(*KNOWN))
    with pytest.raises(FrameRefusedError) as caught:
        writer.apply(bad)
    assert caught.value.code == code
    assert (*read()[:2], writer.sequence) == (b"record one", 7, 5)
    assert writer.sequence == 5
    writer.apply(change(6, 6))
    writer.close()


def test_frames_that_belong_together_come_in_at_once(snapshots: Path, read: Read) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    writer.apply(first_snapshot(*KNOWN))
    writer.apply(change(6, 6, (PUT_RECORD, PROFILE, b"half way"), flags=FLAG_MORE, p=80))
    assert writer.is_inside_group
    assert (*read()[:2], writer.sequence) == (b"record one", 7, 5)
    with pytest.raises(FrameRefusedError) as caught:
        writer.apply(change(8, 9, p=80))
    assert caught.value.code == "gap"
    writer.apply(change(6, 6, (PUT_RECORD, PROFILE, b"half way"), flags=FLAG_MORE, p=80))
    writer.apply(change(7, 9, (PUT_RECORD, b"q" * 16, b"other half"), p=80))
    assert (*read()[:2], writer.sequence) == (b"half way", 80, 9)
    assert writer.digest()[1] == 3
    writer.close()


def test_a_snapshot_of_another_epoch_replaces_everything(snapshots: Path, read: Read) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    writer.apply(first_snapshot(*KNOWN))
    read("hold")
    writer.apply(first_snapshot((PUT_RECORD, PROFILE, b"new"), last=2, epoch="e2", p=0))
    assert read()[0] == b"record one", "a reader keeps what it has begun on"
    assert writer.delete_old() == 1
    assert (*read()[:2], writer.sequence) == (None, 0, 2)
    assert (writer.epoch, writer.sequence) == ("e2", 2)
    writer.close()


def test_parts_of_a_broken_off_snapshot_are_forgotten(snapshots: Path, read: Read) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    writer.apply(first_snapshot(*KNOWN))
    writer.apply(change(0, 8, (PUT_RECORD, b"q" * 16, b"half"), flags=FLAG_SNAPSHOT))
    writer.apply(change(0, 9, *KNOWN, flags=FLAG_SNAPSHOT))
    writer.apply(first_snapshot(last=9))
    assert writer.digest()[1] == 2
    assert (read()[0], writer.sequence) == (b"record one", 9)
    writer.close()


def fill(writer: SnapshotWriter, frames: int) -> None:
    """Overwrite a megabyte of records again and again, with a size that moves pages about."""
    for number in range(frames):
        entries = [(PUT_RECORD, bytes([n]) + b"." * 15, bytes([number]) * (900 + number)) for n in range(200)]
        writer.apply(change(writer.sequence + 1, writer.sequence + 1, *entries))


def test_a_full_map_is_compacted_and_goes_on(snapshots: Path, read: Read) -> None:
    writer = SnapshotWriter(snapshots, MIB)
    writer.apply(first_snapshot())
    name = writer.name
    entries = [(PUT_RECORD, bytes([n]) + b"." * 15, b"x" * 2000) for n in range(100)]
    writer.apply(change(6, 6, *entries))
    read("hold")  # keeps every page of this state, so that the next frames cannot reuse them
    writer.apply(change(7, 7, *entries))
    writer.apply(change(8, 8, *entries))
    assert writer.name != name
    assert read()[2] == name
    assert (read()[1], writer.sequence) == (0, 8)
    writer.close()


def test_more_than_the_map_holds_is_refused_and_harmless(snapshots: Path, read: Read) -> None:
    writer = SnapshotWriter(snapshots, MIB)
    writer.apply(first_snapshot(*KNOWN))
    too_much = [(PUT_RECORD, n.to_bytes(16, "big"), b"x" * 2000) for n in range(1000)]
    for bad in (change(6, 6, *too_much), change(0, 9, *too_much, flags=FLAG_SNAPSHOT)):
        with pytest.raises(FrameRefusedError) as caught:
            writer.apply(bad)
        assert caught.value.code == "full"
    assert (*read()[:2], writer.sequence) == (b"record one", 7, 5)
    writer.close()


def test_free_pages_ask_for_a_compaction(
    snapshots: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FREE_PAGES_MIN", 64)
    writer = SnapshotWriter(snapshots, 64 * MIB)
    writer.apply(first_snapshot(*KNOWN))
    fill(writer, 3)
    writer.apply(change(9, 9, *[(DELETE_RECORD, bytes([n]) + b"." * 15, b"") for n in range(200)]))
    assert writer.wants_compaction()
    before = writer.digest()
    writer.compact()
    assert not writer.wants_compaction()
    assert writer.digest() == before
    assert (*read()[:2], writer.sequence) == (b"record one", 0, 9)
    writer.close()


def test_the_digest_is_the_xor_over_all_entries(snapshots: Path) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    assert writer.digest() == (0, 0)
    writer.apply(first_snapshot(*KNOWN))
    assert writer.digest() == (xxh64(PROFILE + b"record one") ^ xxh64(HASH + PROFILE), 2)
    writer.close()


def damage(snapshots: Path, how: str) -> None:
    data = next(snapshots.glob("env-*")) / "data.mdb"
    if how == "cut":
        with data.open("r+b") as file:
            file.truncate(data.stat().st_size // 2)
    elif how == "garbage":
        data.write_bytes(b"\xff" * 65536)
    elif how == "empty":
        data.write_bytes(b"")
    elif how == "gone":
        data.unlink()
    else:
        (snapshots / "current").write_bytes(b"\xff../x")


@pytest.mark.parametrize("how", ["cut", "garbage", "empty", "gone", "pointer"])
def test_damage_is_found_at_open_and_set_aside(snapshots: Path, how: str) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    writer.apply(first_snapshot(*KNOWN))
    fill(writer, 2)
    writer.close()
    damage(snapshots, how)
    with pytest.raises(SnapshotDamagedError):
        open_current(snapshots, 64 * MIB)
    with pytest.raises(SnapshotDamagedError):
        SnapshotWriter(snapshots, 64 * MIB)
    if how != "pointer":
        writer_module.set_aside(snapshots)
        assert len(list(snapshots.glob("aside-*"))) == 1
    else:
        with pytest.raises(SnapshotDamagedError):
            writer_module.set_aside(snapshots)
    assert open_current(snapshots, 64 * MIB) is None
    SnapshotWriter(snapshots, 64 * MIB).close()


def test_setting_aside_keeps_one_and_starts_anew(snapshots: Path) -> None:
    writer = SnapshotWriter(snapshots, 64 * MIB)
    for _ in range(3):
        writer.apply(first_snapshot(*KNOWN))
        writer.set_aside()
        assert (writer.epoch, writer.sequence, writer.is_open) == ("", 0, False)
    assert len(list(snapshots.glob("aside-*"))) == 1
    writer.close()
