"""The overlay: what it gives a decision, what the watermark hides, what a restart brings back."""

from pathlib import Path

import pytest

from core.events import Event, Identifier, encode_event
from edge import overlay as overlay_module
from edge.journal.replay import replay
from edge.journal.segments import recover
from edge.journal.writer import JournalWriter
from edge.overlay import SEEN_KEPT_MS, Overlay, OverlayEntry, TooManyEventsError, seen_key, wipe_overlay

MIB = 1024 * 1024
NOW_MS = 1_795_000_000_000
ADA, BOB = b"a" * 16, b"b" * 16
JOURNAL = b"j" * 16


@pytest.fixture
def overlay(tmp_path: Path):  # type: ignore[no-untyped-def]
    made = Overlay(tmp_path / "overlay", 64 * MIB)
    yield made
    made.close()


def entry(text: str, *keys: bytes) -> OverlayEntry:
    return OverlayEntry(text.encode(), keys, seen_key(text))


def read(overlay: Overlay, *keys: bytes, watermark: int = 0) -> list[tuple[int, bytes]]:
    with overlay.begin() as txn:
        return [(position, body) for _, position, body in overlay.events(txn, keys, lambda _: watermark)]


def test_events_stand_under_each_of_their_keys_and_are_read_once(overlay: Overlay) -> None:
    assert (
        overlay.add(JOURNAL, [10, 20, 30], [entry("x", ADA, BOB), entry("y", ADA), entry("z")], NOW_MS)
        == [True] * 3
    )
    assert read(overlay, ADA, BOB) == [(10, b"x"), (20, b"y")]
    assert read(overlay, BOB) == [(10, b"x")]
    assert read(overlay, b"c" * 16) == []


def test_only_events_behind_the_watermark_are_given(overlay: Overlay) -> None:
    overlay.add(JOURNAL, [10, 20, 30], [entry(text, ADA) for text in "xyz"], NOW_MS)
    assert read(overlay, ADA, watermark=10) == [(20, b"y"), (30, b"z")]
    assert read(overlay, ADA, watermark=30) == []


def test_a_message_counts_once(overlay: Overlay) -> None:
    assert overlay.add(JOURNAL, [10], [entry("x", ADA)], NOW_MS) == [True]
    assert overlay.has_seen([seen_key("x"), seen_key("y")]) == [True, False]
    assert overlay.add(b"k" * 16, [99], [entry("x", ADA)], NOW_MS) == [False]
    assert read(overlay, ADA) == [(10, b"x")]


def test_trimming_removes_what_the_records_hold(overlay: Overlay) -> None:
    count = overlay_module.TRIM_CHUNK * 2 + 7
    overlay.add(JOURNAL, range(1, count + 1), [entry(str(n), ADA, BOB) for n in range(count)], NOW_MS)
    overlay.add(b"k" * 16, [5], [entry("other", ADA)], NOW_MS)
    assert overlay.has_untrimmed(JOURNAL, 1)
    assert overlay.trim(JOURNAL, count - 1) == count - 1
    assert [position for position, _ in read(overlay, ADA)] == [count, 5]
    assert not overlay.has_untrimmed(JOURNAL, count - 1)
    assert overlay.trim(JOURNAL, count) == 1
    assert read(overlay, ADA, BOB) == [(5, b"other")]


def test_message_ids_are_forgotten_after_a_day(overlay: Overlay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlay_module, "SWEEP_CHUNK", 3)
    overlay.add(JOURNAL, range(1, 8), [entry(str(n)) for n in range(7)], NOW_MS)
    overlay.add(JOURNAL, [9], [entry("young")], NOW_MS + SEEN_KEPT_MS)
    following, rounds = b"", 0
    while rounds == 0 or following:
        following, rounds = overlay.sweep_seen(NOW_MS + SEEN_KEPT_MS + 1, following), rounds + 1
    assert rounds == 3
    assert overlay.has_seen([seen_key("3"), seen_key("young")]) == [False, True]


def test_too_many_events_of_one_person_are_an_error(overlay: Overlay) -> None:
    count = overlay_module.EVENTS_READ_MAX + 1
    overlay.add(JOURNAL, range(1, count + 1), [entry(str(n), ADA) for n in range(count)], NOW_MS)
    with pytest.raises(TooManyEventsError):
        read(overlay, ADA)
    assert len(read(overlay, ADA, watermark=1)) == count - 1


def event(number: int) -> bytes:
    identifiers = (Identifier("anon", ADA, True), Identifier("email", BOB, False))
    return encode_event(Event(f"m{number}", "track", "X", NOW_MS, NOW_MS, identifiers))


def test_a_lost_overlay_is_rebuilt_from_the_journal(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    writer = JournalWriter(folder, bytes_max=MIB, segment_bytes_max=500)
    written = [event(number) for number in range(30)]
    for body in written:
        writer.append([body])
    writer.close()
    overlay = Overlay(tmp_path / "overlay", 64 * MIB)
    assert replay(recover(folder), overlay) == 30
    assert replay(recover(folder), overlay) == 0
    overlay.close()
    wipe_overlay(tmp_path / "overlay")
    overlay = Overlay(tmp_path / "overlay", 64 * MIB)
    assert replay(recover(folder), overlay) == 30
    assert [body for _, body in read(overlay, ADA)] == written
    assert read(overlay, BOB) == [], "a claim stands under nobody"
    assert overlay.has_seen([seen_key("m7")]) == [True]
    overlay.close()


def test_a_worker_that_died_before_the_overlay_is_caught_up(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal", bytes_max=MIB)
    overlay = Overlay(tmp_path / "overlay", 64 * MIB)
    positions = writer.append([event(1)])
    overlay.add(writer.journal_id, positions, [OverlayEntry(event(1), [ADA], seen_key("m1"))], NOW_MS)
    writer.append([event(2)])
    writer.close()
    assert replay(recover(tmp_path / "journal"), overlay) == 1
    assert [body for _, body in read(overlay, ADA)] == [event(1), event(2)]
    overlay.close()


def test_a_body_that_is_no_event_does_not_stop_a_replay(tmp_path: Path) -> None:
    writer = JournalWriter(tmp_path / "journal", bytes_max=MIB)
    writer.append([b"\xc1 of another version", event(1).replace(b"m1", b"m\xff"), event(2)])
    writer.close()
    overlay = Overlay(tmp_path / "overlay", 64 * MIB)
    assert replay(recover(tmp_path / "journal"), overlay) == 3
    assert len(read(overlay, ADA)) == 1
    overlay.close()
