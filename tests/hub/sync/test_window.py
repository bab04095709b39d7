"""The window of frames against a simulated edge that forgets: it comes to rest, whatever crosses."""

import random
from collections import deque
from dataclasses import dataclass, field

import pytest

from core.frame import FLAG_MORE, FLAG_SNAPSHOT, FLAG_SNAPSHOT_END
from hub.sync.window import ECHO_SECONDS, HOLD_SECONDS, SILENCE_SECONDS, FrameWindow

Frame = tuple[int, int, int]


@dataclass
class World:
    """Hub, two pipes and an edge; frames are (first, last, flags)."""

    window: FrameWindow = field(default_factory=lambda: FrameWindow(0, snapshot_due=True))
    latest: int = 0
    now: float = 0.0
    down: deque[Frame] = field(default_factory=deque)
    up: deque[tuple[int, str]] = field(default_factory=deque)
    sequence: int | None = None  # of the edge; None: it has no snapshot
    group: int | None = None
    sent: int = 0

    def send(self, parts: int) -> None:
        """The hub sends what is due, a delta in up to so many parts."""
        window = self.window
        if not window.may_send(self.now):
            return
        if window.snapshot_due:
            window.snapshot_due = False
            for index in range(parts):
                self._put(0, self.latest, FLAG_SNAPSHOT | (FLAG_SNAPSHOT_END if index == parts - 1 else 0))
        while window.sent < self.latest and parts:
            parts -= 1
            last = self.latest if not parts else window.sent + 1
            self._put(window.sent + 1, last, FLAG_MORE if parts and last < self.latest else 0)

    def _put(self, first: int, last: int, flags: int) -> None:
        self.sent += 1
        self.down.append((first, last, flags))
        self.window.add(last, flags, self.now)

    def deliver(self) -> None:
        """The edge takes one frame."""
        if not self.down:
            return
        first, last, flags = self.down.popleft()
        if flags & FLAG_SNAPSHOT:
            if flags & FLAG_SNAPSHOT_END:
                self.sequence, self.group = last, None
                self.up.append((last, ""))
            return
        if self.sequence is None:
            self.up.append((0, "epoch"))
            return
        reached = self.sequence if self.group is None else self.group
        if first != reached + 1:
            self.group = None
            self.up.append((self.sequence, "gap" if first > reached + 1 else "overlap"))
        elif flags & FLAG_MORE:
            self.group = last
        else:
            self.sequence, self.group = last, None
            self.up.append((last, ""))

    def answer(self) -> None:
        """The hub hears one answer."""
        if not self.up:
            return
        sequence, error = self.up.popleft()
        if error:
            self.window.refused(sequence, error, self.now)
        else:
            self.window.applied(sequence, self.now)

    def forget(self, draw: random.Random) -> None:
        """The edge falls back, or loses its snapshot."""
        if self.sequence:
            self.group = None
            self.sequence = None if draw.random() < 0.3 else draw.randrange(self.sequence)


@pytest.mark.parametrize("seed", range(200))
def test_an_edge_that_forgets_comes_to_the_newest_number(seed: int) -> None:
    draw = random.Random(seed)
    world = World()
    for _ in range(300):
        world.now += draw.choice([0.0, 0.01, 0.5])
        match draw.randrange(8):
            case 0 | 1:
                world.latest += draw.randrange(1, 4)
            case 2 | 3:
                world.send(draw.randrange(1, 4))
            case 4 | 5:
                world.deliver()
            case 6:
                world.answer()
            case _ if draw.random() < 0.2:
                world.forget(draw)
    # Who forgot after her last answer shows it at the next change.
    world.latest += 1
    sent_in_trouble = world.sent
    for _ in range(400):
        world.now += 0.25
        world.window.is_silent(world.now)
        world.send(2)
        while world.down:
            world.deliver()
        while world.up:
            world.answer()
    assert world.sequence == world.latest == world.window.sent
    assert world.window.unanswered == 0
    assert world.sent - sent_in_trouble <= 40, "no echo goes on for ever"


def test_echoes_of_one_gap_are_heard_once() -> None:
    window = FrameWindow(5, snapshot_due=False)
    for last in (6, 7, 8):
        window.add(last, 0, 0.0)
    assert window.refused(5, "gap", 0.1)
    assert window.sent == 5
    window.add(8, 0, 0.1)
    assert not window.refused(5, "gap", 0.2)
    assert window.sent == 8
    window.applied(8, 0.3)
    assert window.unanswered == 0


def test_a_gap_at_the_same_place_is_heard_again_after_the_echoes() -> None:
    window = FrameWindow(5, snapshot_due=False)
    window.add(6, 0, 0.0)
    assert window.refused(5, "gap", 0.0)
    window.add(6, 0, 0.0)
    assert window.refused(5, "gap", ECHO_SECONDS)


def test_an_overlap_is_as_good_as_applied() -> None:
    window = FrameWindow(5, snapshot_due=False)
    window.add(6, 0, 0.0)
    window.add(7, 0, 0.0)
    assert not window.refused(6, "overlap", 0.1)
    assert (window.unanswered, window.sent) == (1, 7)


@pytest.mark.parametrize("error", ["full", "signature", "payload"])
def test_what_sending_again_would_not_cure_waits(error: str) -> None:
    window = FrameWindow(5, snapshot_due=False)
    window.add(6, 0, 0.0)
    assert window.refused(5, error, 1.0)
    assert not window.may_send(1.0 + HOLD_SECONDS - 0.1)
    assert window.may_send(1.0 + HOLD_SECONDS)
    assert window.sent == 5


def test_frames_without_an_answer_are_sent_again() -> None:
    window = FrameWindow(5, snapshot_due=False)
    window.add(6, 0, 10.0)
    assert not window.is_silent(10.0 + SILENCE_SECONDS - 0.1)
    assert window.is_silent(10.0 + SILENCE_SECONDS)
    assert window.sent == 5
    assert not window.is_silent(99.0)


def test_a_snapshot_on_its_way_is_not_asked_for_twice() -> None:
    window = FrameWindow(0, snapshot_due=False)
    window.add(9, FLAG_SNAPSHOT, 0.0)
    window.add(9, FLAG_SNAPSHOT | FLAG_SNAPSHOT_END, 0.0)
    assert not window.refused(0, "epoch", 0.1)
    window.applied(9, 0.2)
    assert window.refused(0, "epoch", 0.3)
    assert window.snapshot_due
