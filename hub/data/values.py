"""Identifiers in the clear: edges seal them to the hub, which alone may hold them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from core.events import Event, Identifier
from core.identifiers import VALUE_LENGTH_MAX, hash_identifier, normalise
from core.intake import IDENTIFIER_TRAITS
from core.sealing import SealError, unseal
from hub.data.people import People

#: Field of the sealed object -> type of identifier that it is.
FIELDS: Final = {"userId": "id", **{name: kind for name, kind in IDENTIFIER_TRAITS.items() if kind}}

_decoder = msgspec.json.Decoder(dict[str, Any])


class Values:
    """Opens what edges sealed, and believes only what hashes to a verified identifier of the same event."""

    def __init__(self, sealing_key: bytes, identifier_key: bytes) -> None:
        self._sealing_key = sealing_key
        self._identifier_key = identifier_key
        self.failures = 0

    def of(self, event: Event, verified: Sequence[Identifier], people: People) -> list[tuple[bytes, str]]:
        """(source id, value) for those of the event's sources whose value the hub does not hold yet."""
        if not event.sealed:
            return []
        wanted = {}
        for identifier in verified:
            source = people.source(identifier.hash)
            if source is not None and not source.has_value:
                wanted[identifier.hash] = source
        if not wanted:
            return []
        found = []
        for kind, value in self._open(event.sealed):
            source = wanted.pop(hash_identifier(self._identifier_key, kind, value), None)
            if source is not None:
                source.has_value = True
                found.append((source.source_id, value))
        return found

    def _open(self, sealed: bytes) -> list[tuple[str, str]]:
        try:
            fields = _decoder.decode(unseal(self._sealing_key, sealed))
        except (SealError, msgspec.MsgspecError):
            self.failures += 1
            return []
        found = []
        for name, kind in FIELDS.items():
            if isinstance(fields.get(name), str | int):
                value = normalise(kind, str(fields[name]))
                if 0 < len(value) <= VALUE_LENGTH_MAX:
                    found.append((kind, value))
        return found
