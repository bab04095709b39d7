"""What was sent to one edge and not answered yet, and where to go on when the edge refuses.

An edge answers a frame when it has applied it: the last of a group, the last of a snapshot, any frame alone.
It refuses each frame that does not fit, so one gap brings a refusal for every frame that was on its way.
"""

from collections import deque
from typing import Final

from core.frame import FLAG_MORE, FLAG_SNAPSHOT, FLAG_SNAPSHOT_END

FRAMES_IN_FLIGHT_MAX: Final = 64
#: After a refusal that sending again at once would not cure: a wrong key, a full disk.
HOLD_SECONDS: Final = 5.0
#: A second refusal at the same place within this time answers a frame sent before the first was heard.
ECHO_SECONDS: Final = 1.0
#: Frames, and snapshots, that nobody has answered for this long are sent again.
SILENCE_SECONDS: Final = 5.0
SNAPSHOT_SECONDS: Final = 120.0


class FrameWindow:
    """Decides what goes next. Knows no time of its own: `now` is a monotonic number of seconds."""

    def __init__(self, sequence: int, *, snapshot_due: bool) -> None:
        self.sent = sequence
        self.snapshot_due = snapshot_due
        self.turn = 0  # goes up when what is being sent has become useless
        self._in_flight: deque[int] = deque()
        self._base = sequence
        self._snapshot = -1  # number of a snapshot that was sent whole and not answered
        self._answered_at = 0.0
        self._echo = (-1, 0.0)
        self._hold_until = 0.0

    def may_send(self, now: float) -> bool:
        """Whether the edge takes more."""
        return len(self._in_flight) < FRAMES_IN_FLIGHT_MAX and now >= self._hold_until

    @property
    def unanswered(self) -> int:
        return len(self._in_flight)

    def add(self, last: int, flags: int, now: float) -> None:
        """A frame up to number `last` goes out."""
        if not self._in_flight or flags & FLAG_SNAPSHOT:
            self._answered_at = now
        self.sent = last
        if flags & FLAG_SNAPSHOT_END:
            self._snapshot = self._base = last
        elif flags & (FLAG_SNAPSHOT | FLAG_MORE):
            return
        self._in_flight.append(last)

    def applied(self, sequence: int, now: float) -> None:
        """The edge has everything up to `sequence`."""
        self._answered_at = now
        self._base = sequence
        self._echo = (-1, 0.0)
        if sequence >= self._snapshot:
            self._snapshot = -1
        while self._in_flight and self._in_flight[0] <= sequence:
            self._in_flight.popleft()

    def refused(self, sequence: int, error: str, now: float) -> bool:
        """The edge, standing at `sequence`, refused a frame; False if that was clear before."""
        self._answered_at = now
        if error == "overlap" and self._base <= sequence <= self.sent:
            # It had the frame already: that is as good as applied.
            self.applied(sequence, now)
            return False
        if error == "epoch":
            if self._snapshot >= 0:
                return False
            self.start_over()
            return True
        if self._echo[0] == sequence and now < self._echo[1]:
            return False
        self._echo = (sequence, now + ECHO_SECONDS)
        self._go_back(sequence)
        if error not in ("gap", "overlap"):
            self._hold_until = now + HOLD_SECONDS
        return True

    def start_over(self) -> None:
        """The edge needs a snapshot."""
        self.turn += 1
        self._in_flight.clear()
        self.snapshot_due = True

    def is_silent(self, now: float) -> bool:
        """Whether answers are overdue; then what was sent is sent again."""
        patience = SNAPSHOT_SECONDS if self._snapshot >= 0 else SILENCE_SECONDS
        if not self._in_flight or now < self._answered_at + patience:
            return False
        if self._snapshot >= 0:
            self._snapshot = -1
            self.start_over()
        else:
            self._go_back(self._base)
        return True

    def _go_back(self, sequence: int) -> None:
        self.turn += 1
        self._in_flight.clear()
        self.sent = self._base = sequence
