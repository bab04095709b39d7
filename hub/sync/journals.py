"""Taking journals in: each batch is checked, put on the log's disk, then acknowledged."""

from collections.abc import Mapping
from typing import Final

from core.journal import iter_records
from hub.data.event_log import BATCH_BYTES_MAX, Batch, EventLog
from hub.errors import InvalidError
from onevoice.v1 import sync_pb2

JOURNALS_MAX: Final = 256
JOURNAL_ID_LENGTH: Final = 32
_HEX: Final = frozenset("0123456789abcdef")


class JournalIntake:
    """The journals of one stream; one batch at a time, so that each journal is in order in the log."""

    def __init__(self, event_log: EventLog, edge_id: str) -> None:
        self._log = event_log
        self._edge_id = edge_id
        # What is acknowledged here is in this stream; another one lacks it.
        self._stream_id = event_log.stream_id
        self._acknowledged: dict[str, int] = {}
        self._contained: Mapping[str, int] = {}

    async def begin(self, journals: Mapping[str, int], contained: Mapping[str, int]) -> dict[str, int]:
        """Up to where each journal of the edge is safe: in the log, or contained in the profiles already."""
        if len(journals) > JOURNALS_MAX:
            raise InvalidError(
                expected=f"at most {JOURNALS_MAX} journals", got=f"{len(journals)}", path="hello.journals"
            )
        self._contained = contained
        for journal_id in journals:
            await self._recall(journal_id)
        return dict(self._acknowledged)

    async def take(self, batch: sync_pb2.JournalBatch) -> sync_pb2.JournalAck:
        """Log one batch; the answer tells where the edge goes on, and what was wrong."""
        if not _is_journal_id(batch.journal_id):
            return sync_pb2.JournalAck(journal_id=batch.journal_id, error="damaged")
        if batch.journal_id not in self._acknowledged:
            if len(self._acknowledged) >= JOURNALS_MAX:
                return sync_pb2.JournalAck(journal_id=batch.journal_id, error="too_large")
            await self._recall(batch.journal_id)
        position = self._acknowledged[batch.journal_id]
        error = _fault(batch, position)
        if not error and batch.first == position:
            records = bytes(batch.records)
            logged = Batch(self._edge_id, batch.journal_id, batch.first, batch.last, records)
            await self._log.publish(logged, self._stream_id)
            position = self._acknowledged[batch.journal_id] = batch.last
        return sync_pb2.JournalAck(journal_id=batch.journal_id, position=position, error=error)

    async def _recall(self, journal_id: str) -> None:
        if not _is_journal_id(journal_id):
            raise InvalidError(
                expected=f"journal ids of {JOURNAL_ID_LENGTH} hex digits",
                got="another",
                path="hello.journals",
            )
        self._acknowledged[journal_id] = max(
            self._contained.get(journal_id, 0), await self._log.acknowledged(journal_id)
        )


def _fault(batch: sync_pb2.JournalBatch, position: int) -> str:
    """What is wrong with a batch; nothing if it goes on at `position`, or if the log holds all of it."""
    if len(batch.records) > BATCH_BYTES_MAX:
        return "too_large"
    if batch.last - batch.first != len(batch.records) or not batch.records:
        return "damaged"
    if batch.last <= position:
        return ""
    if batch.first != position:
        return "gap"
    ends = [end for end, _ in iter_records(batch.records, batch.first)]
    return "" if ends and ends[-1] == batch.last else "damaged"


def _is_journal_id(text: str) -> bool:
    return len(text) == JOURNAL_ID_LENGTH and _HEX.issuperset(text)
