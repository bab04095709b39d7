"""Consents: record a change, tell the history."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from hub.data.event_log import EventLog
from hub.data.ingestion import Ingestion
from hub.data.intake import Intake
from hub.decisioning.asking import AT_MS_MAX
from hub.errors import InvalidError
from hub.rpc.interceptor import Context
from hub.rpc.messages import Reader
from hub.rpc.people import Lookup, parse_person
from hub.store import consents
from hub.store.engine import Store
from onevoice.v1 import consents_pb2, consents_pb2_grpc

STATES: Final = {
    consents_pb2.CONSENT_STATE_GRANTED: "granted",
    consents_pb2.CONSENT_STATE_DENIED: "denied",
    consents_pb2.CONSENT_STATE_WITHDRAWN: "withdrawn",
}
_NUMBERS: Final = {word: number for number, word in STATES.items()}
#: A recorded change is safe once the log has it; for this long the answer also waits for it to be in force.
APPLIED_SECONDS_MAX: Final = 1.0


class Consents(consents_pb2_grpc.ConsentsServicer):
    """A trusted caller speaks for the person, so her identifier counts as verified."""

    def __init__(
        self,
        reader: Reader,
        intake: Intake,
        event_log: EventLog,
        ingestion: Ingestion,
        lookup: Lookup,
        store: Store,
    ) -> None:
        self._reader = reader
        self._intake = intake
        self._log = event_log
        self._ingestion = ingestion
        self._lookup = lookup
        self._store = store

    async def Record(
        self, request: consents_pb2.RecordRequest, context: Context
    ) -> consents_pb2.RecordResponse:
        """Record one change."""
        if request.state not in STATES:
            expected = ", ".join(STATES.values())
            raise InvalidError(expected=expected, got=f"state {request.state}", path="$.state")
        if not 0 <= request.at_ms <= AT_MS_MAX:
            expected = f"ms since 1970, at most {AT_MS_MAX}, or 0"
            raise InvalidError(expected=expected, got=f"{request.at_ms}", path="$.at_ms")
        message: dict[str, object] = {
            "purpose": request.purpose,
            "state": STATES[request.state],
            "text_version": request.text_version,
            "source": request.source,
        }
        if request.at_ms:
            message["timestamp"] = datetime.fromtimestamp(request.at_ms / 1000, UTC).isoformat()
        event = self._reader.consent(parse_person(request.person), message)
        await self._intake.accept([event])
        await self._until_applied()
        return consents_pb2.RecordResponse(effective_at_ms=event.at_ms)

    async def History(
        self, request: consents_pb2.HistoryRequest, context: Context
    ) -> consents_pb2.HistoryResponse:
        """Every change of a person, oldest first."""
        key = self._lookup.key_of(request.person)
        changes = await self._store.read(
            lambda connection: consents.history(connection, self._lookup.source_ids(connection, key))
        )
        return consents_pb2.HistoryResponse(
            changes=[
                consents_pb2.ConsentChange(**{**change._asdict(), "state": _NUMBERS[change.state]})
                for change in changes
            ]
        )

    async def _until_applied(self) -> None:
        if not self._ingestion.running:
            return
        try:
            async with asyncio.timeout(APPLIED_SECONDS_MAX):
                await self._ingestion.applied(self._log.last_sequence)
        except TimeoutError:
            return
