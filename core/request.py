"""The question that the decision core answers."""

from typing import Any

import msgspec


class Request(msgspec.Struct, frozen=True):
    """One decision request. `context` is only read; values of a wrong type count as missing.

    `unit_key` is used when there is no record: the first 16 bytes of the keyed identifier hash. `named`: the
    caller named a person.
    """

    decision_id: str
    placements: tuple[str, ...]
    context: dict[str, Any]
    unit_key: bytes
    named: bool = False
    trace: bool = False
