"""From `type:value` to what the store holds under it."""

from core.errors import CoreError
from core.identifiers import hash_identifier, parse
from hub.errors import InvalidError
from hub.store import sources
from hub.store.engine import Connection


class Lookup:
    """Finds people. No error and no log ever repeats the identifier."""

    def __init__(self, identifier_key: bytes) -> None:
        self._identifier_key = identifier_key

    def key_of(self, person: str) -> bytes:
        """The identifier hash of a person."""
        return hash_identifier(self._identifier_key, *parse_person(person))

    @staticmethod
    def source_ids(connection: Connection, key: bytes) -> list[bytes]:
        """Every identifier hash of the profile behind one of them; that one alone where there is none."""
        profile_id = sources.profile_ids(connection, [key]).get(key)
        if profile_id is None:
            return [key]
        return [source.source_id for source in sources.of_profiles(connection, [profile_id])]

    @staticmethod
    def profile_ids(connection: Connection, key: bytes) -> list[bytes]:
        """The id of the profile behind an identifier, if there is one."""
        return list(sources.profile_ids(connection, [key]).values())


def parse_person(person: str, path: str = "$.person") -> tuple[str, str]:
    """(type, normalised value) of a request's person."""
    try:
        return parse(person)
    except CoreError as error:
        raise InvalidError(expected=error.expected, got=error.got, path=path) from error
