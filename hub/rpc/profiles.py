"""Profiles: what is held about a person, and the decisions made about her."""

from collections.abc import Callable

import msgspec

from core.bundle import BundleDocument
from hub.data.merging import Merging, SplitOrder
from hub.data.profile_history import HistoryEntry, history
from hub.data.profiles import ProfileData, message_shown
from hub.decisioning.decision_log import DecisionLog, named_row
from hub.errors import InvalidError
from hub.rpc.auth import caller
from hub.rpc.ingest import page_size
from hub.rpc.interceptor import Context
from hub.rpc.people import Lookup
from hub.store import audit, decisions, outbox
from hub.store.engine import Connection, Store
from onevoice.v1 import profiles_pb2, profiles_pb2_grpc

#: Gives the active bundle's document; raises PreconditionError before the first publication.
Document = Callable[[], BundleDocument]


class Profiles(profiles_pb2_grpc.ProfilesServicer):
    """Every answer about a person is read in one transaction; who exported or erased is recorded."""

    def __init__(
        self,
        lookup: Lookup,
        store: Store,
        data: ProfileData,
        merging: Merging,
        document: Document,
        decision_log: DecisionLog,
        now_ms: Callable[[], int],
    ) -> None:
        self._lookup = lookup
        self._store = store
        self._data = data
        self._merging = merging
        self._document = document
        self._decision_log = decision_log
        self._now_ms = now_ms

    async def Get(self, request: profiles_pb2.GetRequest, context: Context) -> profiles_pb2.GetResponse:
        """The profile as people read it."""
        found = await self._data.get(self._lookup.key_of(request.person), self._document())
        return profiles_pb2.GetResponse(profile=msgspec.json.encode(found))

    async def Decisions(
        self, request: profiles_pb2.PersonDecisionsRequest, context: Context
    ) -> profiles_pb2.PersonDecisionsResponse:
        """The newest decisions about a person, whichever of her identifiers each was asked under."""
        count = page_size(request.count)
        key = self._lookup.key_of(request.person)
        # The hub's own rows of the last second count too.
        await self._decision_log.flush()
        rows, messages = await self._store.read(lambda connection: self._decisions(connection, key, count))
        return profiles_pb2.PersonDecisionsResponse(
            decisions=[msgspec.json.encode(named_row(row.row, row.node)) for row in rows],
            messages=[msgspec.json.encode(message_shown(row)) for row in messages],
        )

    async def Merge(self, request: profiles_pb2.MergeRequest, context: Context) -> profiles_pb2.MergeResponse:
        """Make one profile of two."""
        one, other = self._lookup.key_of(request.person), self._lookup.key_of(request.other, "$.other")
        done = await self._merging.merge(one, other, f"key:{caller.get()}")
        return profiles_pb2.MergeResponse(
            profile_id=done.profile_id.hex(),
            other_profile_id=done.other_profile_id.hex(),
            sequence=done.sequence,
        )

    async def Split(self, request: profiles_pb2.SplitRequest, context: Context) -> profiles_pb2.SplitResponse:
        """Make two profiles of one."""
        person, source = self._lookup.key_of(request.person), None
        if request.WhichOneof("what") == "source":
            source = self._lookup.key_of(request.source, "$.source")
        if request.merge < 0:
            raise InvalidError(expected="the number of a merge", got=str(request.merge), path="$.merge")
        done = await self._merging.split(SplitOrder(person, source, request.merge), f"key:{caller.get()}")
        return profiles_pb2.SplitResponse(
            profile_id=done.profile_id.hex(),
            other_profile_id=done.other_profile_id.hex(),
            sequence=done.sequence,
        )

    async def History(
        self, request: profiles_pb2.ProfileHistoryRequest, context: Context
    ) -> profiles_pb2.ProfileHistoryResponse:
        """What happened to a person's profile, oldest first."""
        key = self._lookup.key_of(request.person)
        entries = await self._store.read(lambda connection: history(connection, key))
        return profiles_pb2.ProfileHistoryResponse(entries=[_entry(entry) for entry in entries])

    async def Export(
        self, request: profiles_pb2.ExportRequest, context: Context
    ) -> profiles_pb2.ExportResponse:
        """Everything held about a person."""
        key = self._lookup.key_of(request.person)
        await self._decision_log.flush()
        document = await self._data.export(key, self._document(), lambda row: named_row(row.row, row.node))
        await self._audit("profile.export", document["profile"]["id"])
        return profiles_pb2.ExportResponse(document=msgspec.json.encode(document))

    async def Erase(self, request: profiles_pb2.EraseRequest, context: Context) -> profiles_pb2.EraseResponse:
        """Remove a person; done again it changes nothing."""
        key = self._lookup.key_of(request.person)
        await self._decision_log.flush()
        ids = await self._store.read(lambda connection: self._lookup.profile_ids(connection, key))
        sequence = await self._data.erase(key)
        await self._audit("profile.erase", ids[0].hex() if ids else "no profile")
        return profiles_pb2.EraseResponse(sequence=sequence)

    def _decisions(
        self, connection: Connection, key: bytes, count: int
    ) -> tuple[list[decisions.LoggedDecision], list[outbox.Message]]:
        return (
            decisions.of_person(connection, self._lookup.decision_keys(connection, key), count),
            outbox.of_person(connection, self._lookup.source_ids(connection, key), count),
        )

    async def _audit(self, action: str, profile_id: str) -> None:
        entry = audit.Entry(self._now_ms(), f"key:{caller.get()}", action, profile_id)
        await self._store.write(lambda connection: audit.add_entry(connection, entry))


def _entry(entry: HistoryEntry) -> profiles_pb2.ProfileHistoryEntry:
    fields = msgspec.structs.asdict(entry)
    consent = fields.pop("consent")
    if consent is not None:
        fields["consent"] = profiles_pb2.ProfileConsent(
            purpose=consent.purpose,
            state=consent.state,
            effective_at_ms=consent.effective_at_ms,
            text_version=consent.text_version,
            source=consent.source,
            node=consent.node,
        )
    return profiles_pb2.ProfileHistoryEntry(**fields)
