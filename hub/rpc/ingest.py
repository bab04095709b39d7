"""Ingest: events straight to the hub, and a look at those kept aside."""

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Final

from hub.data.intake import Intake
from hub.data.plane import DataPlane
from hub.errors import InvalidError
from hub.rpc.auth import caller
from hub.rpc.interceptor import Context
from hub.rpc.messages import Reader
from hub.store import audit, quarantine
from onevoice.v1 import ingest_pb2, ingest_pb2_grpc

MESSAGES_MAX: Final = 1_000
#: More messages than this are read in a thread, so that decisions do not wait for them.
MESSAGES_INLINE_MAX: Final = 20
PAGE_DEFAULT: Final = 100
PAGE_MAX: Final = 1_000
ID_MAX: Final = 2**63 - 1


class Ingest(ingest_pb2_grpc.IngestServicer):
    """Callers hold a server key, so what they say of identifiers is verified."""

    def __init__(self, reader: Reader, intake: Intake, plane: DataPlane, now_ms: Callable[[], int]) -> None:
        self._reader = reader
        self._intake = intake
        self._plane = plane
        self._now_ms = now_ms

    async def Events(self, request: ingest_pb2.EventsRequest, context: Context) -> ingest_pb2.EventsResponse:
        """Take messages in; answered when the log has them on disk."""
        if not 0 < len(request.messages) <= MESSAGES_MAX:
            expected = f"1 to {MESSAGES_MAX} messages"
            raise InvalidError(expected=expected, got=f"{len(request.messages)}", path="$.messages")
        if len(request.messages) > MESSAGES_INLINE_MAX:
            events, rejected = await asyncio.to_thread(self._reader.read, request.messages)
        else:
            events, rejected = self._reader.read(request.messages)
        accepted, duplicates = await self._intake.accept(events) if events else (0, 0)
        return ingest_pb2.EventsResponse(
            accepted=accepted,
            duplicates=duplicates,
            rejected=[ingest_pb2.Rejected(**asdict(one)) for one in rejected],
        )

    async def Quarantine(
        self, request: ingest_pb2.QuarantineRequest, context: Context
    ) -> ingest_pb2.QuarantineResponse:
        """A page of events kept aside, newest first, and how many there are by reason."""
        count = page_size(request.count)
        before = request.before_id or ID_MAX
        rows, counts = await self._plane.store.read(
            lambda connection: (
                quarantine.page(connection, before=before, count=count, reason=request.reason),
                quarantine.counts(connection),
            )
        )
        return ingest_pb2.QuarantineResponse(
            events=[
                ingest_pb2.QuarantinedEvent(
                    id=row.id,
                    reason=row.reason,
                    name=row.name,
                    edge_id=row.edge_id,
                    received_at_ms=row.received_at_ms,
                    detail=row.detail,
                    body=row.body,
                )
                for row in rows
            ],
            counts=counts,
        )

    async def Release(
        self, request: ingest_pb2.ReleaseRequest, context: Context
    ) -> ingest_pb2.ReleaseResponse:
        """Take events in again; what is still refused is kept aside anew."""
        released = await self._plane.ingestion.release(request.reason)
        entry = audit.Entry(
            self._now_ms(), f"key:{caller.get()}", "events.release", request.reason, "", str(released)
        )
        await self._plane.store.write(lambda connection: audit.add_entry(connection, entry))
        return ingest_pb2.ReleaseResponse(released=released)


def page_size(count: int) -> int:
    """How many rows a caller wants; 0 leaves it to us."""
    if not 0 <= count <= PAGE_MAX:
        raise InvalidError(expected=f"0 to {PAGE_MAX}", got=f"{count}", path="$.count")
    return count or PAGE_DEFAULT
