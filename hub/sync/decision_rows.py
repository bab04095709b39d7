"""Taking decision log rows in, so that every decision of every node can be looked up by person."""

from typing import Any, Final

import msgspec

from core.identifiers import HASH_BYTES
from hub.errors import InvalidError
from hub.store import decisions
from hub.store.engine import Connection
from hub.store.statements import Row

ROWS_MAX: Final = 10_000
ROW_BYTES_MAX: Final = 64 * 1024
#: Where core.answers.LOG_FIELDS has decision_id and now_ms.
ID_FIELD: Final = 0
AT_FIELD: Final = 1
ID_LENGTH_MAX: Final = 64

_decoder = msgspec.msgpack.Decoder(list[tuple[bytes, msgspec.Raw]])
_row_decoder = msgspec.msgpack.Decoder(list[Any])


def read_rows(data: bytes, node: str) -> list[Row]:
    """Rows for the table out of a batch.

    Raises
    ------
    InvalidError
        The bytes are not a list of (profile or identifier hash, log row).
    """
    try:
        pairs = _decoder.decode(data)
        if len(pairs) > ROWS_MAX:
            raise InvalidError(
                expected=f"at most {ROWS_MAX} rows", got=str(len(pairs)), path="decisions.rows"
            )
        return [_row(key, bytes(raw), node) for key, raw in pairs]
    except (msgspec.MsgspecError, IndexError, TypeError) as error:
        raise InvalidError(
            expected="a list of (key, log row)", got="other bytes", path="decisions.rows"
        ) from error


def _row(key: bytes, raw: bytes, node: str) -> Row:
    values = _row_decoder.decode(raw)
    decision_id, at_ms = values[ID_FIELD], values[AT_FIELD]
    if (
        len(key) != HASH_BYTES
        or not isinstance(decision_id, str)
        or not 0 < len(decision_id) <= ID_LENGTH_MAX
        or not isinstance(at_ms, int)
        or len(raw) > ROW_BYTES_MAX
    ):
        raise InvalidError(
            expected="a key of 16 bytes and a row with id and time", got="another row", path="decisions.rows"
        )
    return {"person_key": key, "at_ms": at_ms, "decision_id": decision_id, "node": node, "row": raw}


def save(rows: list[Row], connection: Connection) -> None:
    decisions.add(connection, rows)
