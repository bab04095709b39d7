"""What happened to a person's profile, in one list by time: joinings, merges, splits, claims, consents."""

from collections.abc import Mapping
from heapq import merge

import msgspec

from hub.errors import NotFoundError
from hub.store import consents, identity_history, sources
from hub.store.consents import ConsentChange
from hub.store.engine import Connection
from hub.store.identity_history import IdentityChange
from hub.store.sources import Source

CONSENT = "consent"


class HistoryEntry(msgspec.Struct, frozen=True):
    """One line. Profile ids in hex; identifiers of her own as `type:value`, all others as `type:#hash`."""

    at_ms: int
    what: str
    number: int = 0
    profile_id: str = ""
    other_profile_id: str = ""
    identifier: str = ""
    other_identifier: str = ""
    who: str = ""
    consent: ConsentChange | None = None


def history(connection: Connection, key: bytes) -> list[HistoryEntry]:
    """The lines of the person behind an identifier, oldest first. Raises NotFoundError."""
    profile_id = sources.profile_ids(connection, [key]).get(key)
    if profile_id is None:
        raise NotFoundError(expected="a person with a profile", got="none", path="$.person")
    own = {source.source_id: source for source in sources.of_profiles(connection, [profile_id])}
    changes = identity_history.of_profile(connection, profile_id, own)
    named = {end for change in changes for end in (change.source_id, change.other_source_id) if end}
    others = {source.source_id: source for source in sources.by_id(connection, named - own.keys())}
    identity = (_of_identity(change, own, others) for change in changes)
    said = (
        HistoryEntry(change.received_at_ms, CONSENT, consent=change)
        for change in consents.history(connection, own)
    )
    return list(merge(identity, said, key=lambda entry: entry.at_ms))


def _of_identity(
    change: IdentityChange, own: Mapping[bytes, Source], others: Mapping[bytes, Source]
) -> HistoryEntry:
    return HistoryEntry(
        change.at_ms,
        change.operation,
        change.id,
        change.profile_id.hex(),
        change.other_profile_id.hex() if change.other_profile_id else "",
        _name(change.source_id, own, others),
        _name(change.other_source_id, own, others) if change.other_source_id else "",
        change.who,
    )


def _name(key: bytes, own: Mapping[bytes, Source], others: Mapping[bytes, Source]) -> str:
    """How a line calls an identifier: nobody learns another person's address here."""
    source = own.get(key)
    if source is not None and source.value is not None:
        return f"{source.kind}:{source.value}"
    found = source or others.get(key)
    return f"{found.kind if found else 'unknown'}:#{key.hex()}"
