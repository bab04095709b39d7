"""The hub's own rows of the decision log: buffered, written each second, bounded, drops counted."""

import asyncio
import itertools
from typing import Any, Final

import msgspec
import structlog

from core.answers import LOG_FIELDS, LOG_PLACEMENT_FIELDS, Decision
from hub.decisioning.asking import Asked
from hub.store import decisions
from hub.store.engine import Store
from hub.store.statements import Row

FLUSH_SECONDS: Final = 1.0
ROWS_MAX: Final = 50_000
ROWS_AT_ONCE: Final = 2_000
PLACEMENTS: Final = "placements"
_log = structlog.get_logger("hub.decisions")


class DecisionLog:
    """Takes rows without waiting; `run` writes them. A crash may lose rows of the log, never an event."""

    def __init__(self, store: Store, node: str) -> None:
        self._store = store
        self._node = node
        self._rows: list[Row] = []
        self._pack = msgspec.msgpack.Encoder().encode
        self.dropped = 0

    @property
    def waiting(self) -> int:
        """Rows not yet written."""
        return len(self._rows)

    def add(self, person_key: bytes, decision: Decision, asked: Asked) -> None:
        """Keep one decision; beyond the limit the newest is dropped and counted."""
        if len(self._rows) >= ROWS_MAX:
            self.dropped += 1
            return
        self._rows.append(
            {
                "person_key": person_key,
                "at_ms": asked.now_ms,
                "decision_id": asked.decision_id,
                "node": self._node,
                "row": self._pack(decision.log_row()),
            }
        )

    async def run(self) -> None:
        """Write what has come, each second, until cancelled; then write the rest."""
        try:
            while True:
                await asyncio.sleep(FLUSH_SECONDS)
                await self._flush_kept()
        finally:
            await self._flush_kept()

    async def _flush_kept(self) -> None:
        try:
            await self.flush()
        except Exception as error:
            # The rows stay for the next second; the text of a database error may hold their keys.
            _log.error("decision log not written", error=type(error).__name__, rows=len(self._rows))

    async def flush(self) -> None:
        """Write everything kept so far."""
        while self._rows:
            rows = self._rows[:ROWS_AT_ONCE]
            await self._store.write(lambda connection, rows=rows: decisions.add(connection, rows))  # type: ignore[misc]
            del self._rows[: len(rows)]


def named_row(packed: bytes, node: str) -> dict[str, Any]:
    """A stored row as an object with named fields, as every face shows it."""
    row = dict(zip(LOG_FIELDS, msgspec.msgpack.decode(packed), strict=True))
    placements = [_named_placement(values) for values in row.pop(PLACEMENTS)]
    return {"at_ms": row.pop("now_ms"), "node": node, **row, PLACEMENTS: placements}


def _named_assignment(name: str, variant: str, sticky: bool = False) -> dict[str, Any]:
    # A row of an earlier version does not say `sticky`.
    return {"id": name, "variant": variant, "sticky": sticky}


def _named_placement(values: list[Any]) -> dict[str, Any]:
    # A row of an earlier version ends earlier.
    row = dict(itertools.zip_longest(LOG_PLACEMENT_FIELDS, values))
    row["experiments"] = [_named_assignment(*assigned) for assigned in row["experiments"]]
    if row["consent"] is not None:
        row["consent"] = dict(zip(("purpose", "state", "at_ms"), row["consent"], strict=True))
    if row["bandit"] is not None:
        names = ("model", "action_probability", "explored", "sample")
        row["bandit"] = dict(zip(names, row["bandit"], strict=True))
    if row["diversity"] is not None:
        row["diversity"] = dict(zip(("relevance", "similarity", "rank"), row["diversity"], strict=True))
    row["filled"] = [dict(zip(("slot", "block", "drawn"), one, strict=True)) for one in row["filled"] or []]
    names = ("offer", "reason", "cause", "step")
    row["refused"] = [dict(zip(names, refused, strict=True)) for refused in row["refused"]]
    return row
