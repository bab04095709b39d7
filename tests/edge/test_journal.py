"""The journal: order, torn tails, full disks, rotation, deletion."""

import collections
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from core.journal import HEAD, iter_records, pack_record
from edge.errors import EdgeError, JournalFailedError, QueueFullError
from edge.folder import Folder
from edge.journal import writer as writer_module
from edge.journal.commit import QUEUED_EVENTS_MAX, GroupCommit, Waiting
from edge.journal.segments import delete_contained, list_segments, read_records, recover
from edge.journal.writer import JournalWriter
from edge.overlay import Overlay, OverlayEntry, seen_key

MIB = 1024 * 1024


def bodies(folder: Path) -> list[bytes]:
    """Every whole record of a journal, read as the sync process reads it."""
    segments = list_segments(folder)
    data, position = b"", segments[0].base
    while part := read_records(folder, position, segments[-1].end, 100):
        data += part
        position += len(part)
    return [body for _, body in iter_records(data)]


def test_what_was_appended_is_read_back_in_order_over_segments(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, bytes_max=MIB, segment_bytes_max=200)
    written = [bytes([n]) * 50 for n in range(20)]
    positions = [position for body in written for position in writer.append([body])]
    writer.close()
    assert bodies(tmp_path) == written
    assert positions == [58 * (n + 1) for n in range(20)]
    assert len(list_segments(tmp_path)) > 5
    again = JournalWriter(tmp_path, bytes_max=MIB)
    assert (again.end, again.journal_id, again.cut_bytes) == (positions[-1], writer.journal_id, 0)
    again.close()


def test_a_wiped_folder_is_another_journal(tmp_path: Path) -> None:
    ids = {recover(tmp_path / name).journal_id for name in "ab"}
    assert len(ids) == 2


@pytest.mark.parametrize("kept", range(0, 66, 5))
def test_a_torn_tail_is_cut_and_the_rest_stays(tmp_path: Path, kept: int) -> None:
    writer = JournalWriter(tmp_path, bytes_max=MIB)
    writer.append([b"first" * 10])
    whole = writer.end
    writer.close()
    path = list_segments(tmp_path)[0].path
    with path.open("ab") as file:
        file.write(pack_record(b"second" * 10)[:kept])
    recovered = recover(tmp_path)
    assert (recovered.end, recovered.cut_bytes) == (whole, kept)
    assert path.stat().st_size == HEAD.size + whole
    assert bodies(tmp_path) == [b"first" * 10]


def test_a_damaged_record_ends_the_last_segment(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, bytes_max=MIB)
    ends = writer.append([b"a" * 10, b"b" * 10, b"c" * 10])
    writer.close()
    path = list_segments(tmp_path)[0].path
    data = bytearray(path.read_bytes())
    data[HEAD.size + ends[0] + 12] ^= 1
    path.write_bytes(data)
    assert recover(tmp_path).end == ends[0]


@pytest.mark.parametrize("size", [0, 1, HEAD.size - 1])
def test_a_segment_torn_in_its_head_is_made_anew(tmp_path: Path, size: int) -> None:
    writer = JournalWriter(tmp_path, bytes_max=MIB)
    writer.append([b"a" * 10])
    writer.close()
    torn = tmp_path / f"{writer.end:020d}.journal"
    torn.write_bytes(b"OV1J"[:size].ljust(size, b"\0"))
    recovered = recover(tmp_path)
    assert (recovered.end, recovered.journal_id, torn.exists()) == (writer.end, writer.journal_id, False)


def test_a_missing_segment_stops_the_start(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, bytes_max=MIB, segment_bytes_max=100)
    for _ in range(6):
        writer.append([b"a" * 60])
    writer.close()
    list_segments(tmp_path)[2].path.unlink()
    with pytest.raises(JournalFailedError, match="a segment of the same journal at"):
        recover(tmp_path)


def test_only_contained_segments_are_deleted(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, bytes_max=MIB, segment_bytes_max=100)
    for _ in range(4):
        writer.append([b"a" * 92])
    assert delete_contained(tmp_path, 199) == 1
    assert delete_contained(tmp_path, writer.end) == 2
    assert [segment.base for segment in list_segments(tmp_path)] == [300]
    writer.append([b"b" * 92])
    writer.close()
    assert recover(tmp_path).end == 500


def test_an_old_segment_is_closed_without_a_new_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, bytes_max=MIB)
    writer.append([b"a" * 92])
    writer.rotate_old()
    assert len(list_segments(tmp_path)) == 1
    monkeypatch.setattr(writer_module, "SEGMENT_SECONDS_MAX", 0.0)
    writer.rotate_old()
    writer.rotate_old()
    assert [segment.base for segment in list_segments(tmp_path)] == [0, 100]
    assert delete_contained(tmp_path, 100) == 1
    writer.append([b"b" * 92])
    writer.close()
    assert recover(tmp_path).end == 200


def test_a_journal_that_the_hub_does_not_fetch_is_bounded(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path, bytes_max=1000, segment_bytes_max=200)
    with pytest.raises(JournalFailedError, match="waiting for the hub"):
        collections.deque((writer.append([b"x" * 92]) for _ in range(100)), maxlen=0)
    assert 1000 <= writer.end <= 1200
    delete_contained(tmp_path, writer.end)
    writer.append([b"y" * 92])
    writer.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from edge.errors import JournalFailedError
from edge.journal.writer import JournalWriter
writer = JournalWriter(Path(sys.argv[1]), bytes_max=10**9)
writer.append([b"kept" * 100])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for attempt in range(3):
    try:
        writer.append([b"fits" * 10, b"does not fit" * 100])
    except JournalFailedError as error:
        print("refused", error.path)
resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, resource.RLIM_INFINITY))
writer.append([b"later" * 300])
print(writer.end)
"""


def test_a_full_disk_refuses_whole_batches_and_recovers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[:3] == ["refused journal"] * 3
    assert bodies(tmp_path) == [b"kept" * 100, b"later" * 300]


class Place:
    """A journal with its overlay and a running commit thread."""

    def __init__(self, tmp_path: Path, window_seconds: float = 0.001) -> None:
        self.folder = Folder(tmp_path)
        self.folder.make()
        self.overlay = Overlay(self.folder.overlay, 16 * MIB)
        self.journal = JournalWriter(self.folder.journal(0), bytes_max=MIB)
        self.committed: list[int] = []
        self.commit = GroupCommit(
            self.journal, self.overlay, self.committed.append, lambda: 1_795_000_000_000, window_seconds
        )

    def post(self, *bodies: bytes) -> "tuple[threading.Event, list[list[bool] | EdgeError]]":
        answered, outcomes = threading.Event(), []  # type: tuple[threading.Event, list[list[bool] | EdgeError]]

        def done(outcome: list[bool] | EdgeError) -> None:
            outcomes.append(outcome)
            answered.set()

        entries = [OverlayEntry(body, [body[:16]], seen_key(body.decode())) for body in bodies]
        self.commit.submit(Waiting(list(bodies), entries, done))
        return answered, outcomes

    def close(self) -> None:
        self.commit.stop()
        self.overlay.close()


def test_many_requests_share_a_commit_and_each_hears_of_its_own(tmp_path: Path) -> None:
    place = Place(tmp_path, window_seconds=0.05)
    posts = [place.post(f"{n:016d} x".encode(), f"{n:016d} y".encode()) for n in range(50)]
    repeated = place.post(b"0000000000000000 x", b"new one 12345678")
    place.commit.start()
    for answered, _ in [*posts, repeated]:
        assert answered.wait(10)
    assert all(outcomes == [[True, True]] for _, outcomes in posts)
    assert repeated[1] == [[False, True]]
    assert len(place.committed) < 10
    assert place.committed[-1] == place.journal.end
    place.close()
    assert len(bodies(place.folder.journal(0))) == 102


def test_an_answered_event_is_in_the_overlay_already(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.commit.start()
    for number in range(20):
        body = f"{number:016d} body".encode()
        answered, _ = place.post(body)
        assert answered.wait(10)
        with place.overlay.begin() as txn:
            assert [found for _, _, found in place.overlay.events(txn, [body[:16]], lambda _: 0)] == [body]
    place.close()


def test_more_events_than_the_queue_holds_are_refused_at_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    accepted = [place.post(f"{number:016d}".encode()) for number in range(QUEUED_EVENTS_MAX)]
    with pytest.raises(QueueFullError):
        place.post(b"one too many")
    place.commit.start()
    assert all(answered.wait(20) for answered, _ in accepted)
    place.close()
    with pytest.raises(JournalFailedError, match="one that stops"):
        place.post(b"late")


def test_a_refusing_disk_is_told_to_every_waiting_request(tmp_path: Path) -> None:
    place = Place(tmp_path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (HEAD.size + 10, limit[1]))
    try:
        posts = [place.post(b"0123456789abcdef") for _ in range(3)]
        place.commit.start()
        for answered, outcomes in posts:
            assert answered.wait(10)
            assert isinstance(outcomes[0], JournalFailedError)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
    assert place.journal.end == 0
    assert os.path.getsize(list_segments(place.folder.journal(0))[0].path) == HEAD.size
    place.close()
