"""Group commit: a thread that makes many requests' events durable with one `fdatasync`.

journal -> overlay -> the waiting requests, in this order: what was answered is on disk, and the very next
decision of any worker knows it.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import lmdb

from edge.errors import EdgeError, JournalFailedError, QueueFullError
from edge.journal.writer import JournalWriter
from edge.overlay import Overlay, OverlayEntry

#: While requests keep coming, one `fdatasync` in this time; the first one after a pause is not kept waiting.
WINDOW_SECONDS: Final = 0.005
#: A journal without events looks at the age of its segment this often.
IDLE_SECONDS: Final = 60.0
QUEUED_EVENTS_MAX: Final = 8192
BATCH_EVENTS_MAX: Final = 4096

Outcome = list[bool] | EdgeError
Done = Callable[[Outcome], None]


@dataclass(frozen=True)
class Waiting:
    """Events of one request; `done` is called from the thread with, for each, whether it was new, or with
    an error.
    """

    bodies: Sequence[bytes]
    entries: Sequence[OverlayEntry]
    done: Done


class GroupCommit:
    """Owns the journal of one worker and its thread."""

    def __init__(
        self,
        journal: JournalWriter,
        overlay: Overlay,
        committed: Callable[[int], None],
        now_ms: Callable[[], int],
        window_seconds: float = WINDOW_SECONDS,
    ) -> None:
        self._journal = journal
        self._overlay = overlay
        self._committed = committed
        self._now_ms = now_ms
        self._window_seconds = window_seconds
        self._queue: list[Waiting] = []
        self._queued_events = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def start(self) -> None:
        self._committed(self._journal.end)
        self._thread.start()

    def submit(self, waiting: Waiting) -> None:
        """Hand over one request's events. Raises QueueFullError; never blocks on the disk."""
        with self._changed:
            if self._stopping:
                raise JournalFailedError(expected="a running journal", got="one that stops", path="journal")
            if self._queued_events + len(waiting.bodies) > QUEUED_EVENTS_MAX:
                raise QueueFullError(
                    expected=f"at most {QUEUED_EVENTS_MAX} events waiting", got="more", path="journal"
                )
            self._queue.append(waiting)
            self._queued_events += len(waiting.bodies)
            self._changed.notify()

    def stop(self) -> None:
        """Commit what was handed over, then end the thread and close the journal."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()
        self._journal.close()

    def _run(self) -> None:
        started = 0.0
        while batch := self._take(started):
            started = time.monotonic()
            self._commit(batch)

    def _take(self, started: float) -> list[Waiting]:
        """The next batch; empty when the thread is to end."""
        with self._changed:
            while not self._queue and not self._stopping:
                if not self._changed.wait(IDLE_SECONDS):
                    self._journal.rotate_old()
        remaining = started + self._window_seconds - time.monotonic()
        if remaining > 0 and not self._stopping:
            time.sleep(remaining)
        with self._changed:
            count, events = 0, 0
            while count < len(self._queue) and (count == 0 or events < BATCH_EVENTS_MAX):
                events += len(self._queue[count].bodies)
                count += 1
            batch, self._queue = self._queue[:count], self._queue[count:]
            self._queued_events -= events
            return batch

    def _commit(self, batch: list[Waiting]) -> None:
        try:
            positions = self._journal.append([body for waiting in batch for body in waiting.bodies])
            self._committed(self._journal.end)
            entries = [entry for waiting in batch for entry in waiting.entries]
            fresh = self._overlay.add(self._journal.journal_id, positions, entries, self._now_ms())
        except lmdb.Error as error:
            failure = JournalFailedError(
                expected="an overlay that takes events", got=type(error).__name__, path="overlay"
            )
            self._answer_all(batch, failure)
        except EdgeError as error:
            self._answer_all(batch, error)
        else:
            start = 0
            for waiting in batch:
                waiting.done(fresh[start : start + len(waiting.bodies)])
                start += len(waiting.bodies)

    def _answer_all(self, batch: list[Waiting], outcome: Outcome) -> None:
        for waiting in batch:
            waiting.done(outcome)
