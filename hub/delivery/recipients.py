"""The person behind a source: her profile as it is now, and her addresses."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from hub.store import profiles, sources
from hub.store.engine import Connection
from hub.store.profiles import Profile

#: Channel -> the type of identifier that is an address on it.
ADDRESS_KINDS: Final = {"email": "email", "sms": "phone"}


@dataclass(slots=True)
class Person:
    """A profile with all of its sources."""

    profile: Profile
    source_ids: list[bytes] = field(default_factory=list)
    #: Type of identifier -> the source of the newest one whose value the hub holds.
    addresses: dict[str, bytes] = field(default_factory=dict)

    def address(self, channel: str) -> bytes | None:
        """The identifier hash of her address on a channel."""
        return self.addresses.get(ADDRESS_KINDS.get(channel, ""))


def look_up(connection: Connection, source_ids: Iterable[bytes]) -> dict[bytes, Person]:
    """The person by source id, of those sources that exist."""
    owners = sources.profile_ids(connection, source_ids)
    wanted = set(owners.values())
    people = {row.profile_id: Person(row) for row in profiles.by_id(connection, wanted)}
    # Oldest first, so that the newest address stays.
    for one in sorted(
        sources.members(connection, wanted), key=lambda member: (member.joined_at_ms, member.source_id)
    ):
        person = people[one.profile_id]
        person.source_ids.append(one.source_id)
        if one.has_value:
            person.addresses[one.kind] = one.source_id
    return {source_id: people[profile_id] for source_id, profile_id in owners.items()}
