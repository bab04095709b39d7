"""What a transaction has to tell of identities: lines of the history, and crossings."""

from dataclasses import dataclass, field

from hub.data.resolution import Step
from hub.store import crossings, identity_history
from hub.store.engine import Connection
from hub.store.statements import Row


@dataclass
class IdentityNotes:
    """Gathered over a transaction, written at its end."""

    now_ms: int
    rows: list[Row] = field(default_factory=list)
    crossed: dict[bytes, dict[bytes, int]] = field(default_factory=dict)  # losing key: {winning key: since}
    settled: set[bytes] = field(default_factory=set)
    #: The event or the operator behind what is noted next.
    message_id: str = ""
    who: str = ""

    def add(
        self,
        operation: str,
        source_id: bytes,
        profile_id: bytes,
        other_source_id: bytes | None = None,
        other_profile_id: bytes | None = None,
    ) -> None:
        """Note a line of the history."""
        self.rows.append(
            {
                "at_ms": self.now_ms,
                "operation": operation,
                "source_id": source_id,
                "profile_id": profile_id,
                "other_source_id": other_source_id,
                "other_profile_id": other_profile_id,
                "message_id": self.message_id,
                "who": self.who,
            }
        )

    def cross(self, losing_key: bytes, winning_key: bytes, at_ms: int) -> None:
        """Note that a person was assigned by two keys."""
        self.crossed.setdefault(losing_key, {})[winning_key] = at_ms

    def settle(self, losing_key: bytes) -> None:
        """Note that of this key's crossings only those stand that are noted from now on."""
        self.settled.add(losing_key)
        self.crossed.pop(losing_key, None)

    def united(self, step: Step, losing_end: bytes, winner: bytes, loser: bytes, *, crossed: bool) -> None:
        """Note that a link made one profile of two; `winner` stays, `loser` is gone (ids of profiles)."""
        winning_end = step.stronger if losing_end == step.weaker else step.weaker
        if crossed:
            self.add(identity_history.MERGED, losing_end, winner, winning_end, loser)
        else:
            self.add(identity_history.JOINED, losing_end, winner, winning_end)

    def save(self, connection: Connection) -> None:
        """Write history and crossings; crossings that no longer stand end."""
        identity_history.add(connection, self.rows)
        if not self.crossed and not self.settled:
            return
        known = {row[:2]: row for row in crossings.of_sources(connection, self.settled | self.crossed.keys())}
        standing = {
            (one, other): at_ms for one, found in self.crossed.items() for other, at_ms in found.items()
        }
        rows = [_row(pair, at_ms, None) for pair, at_ms in standing.items()]
        rows += [
            _row(pair, row.at_ms, self.now_ms)
            for pair, row in known.items()
            if pair not in standing and pair[0] in self.settled and row.ended_ms is None
        ]
        crossings.save(connection, rows)


def _row(pair: tuple[bytes, bytes], at_ms: int, ended_ms: int | None) -> Row:
    return {"losing_key": pair[0], "winning_key": pair[1], "at_ms": at_ms, "ended_ms": ended_ms}
