"""Blocks to slot values (0002, step 6b)."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.oracle.catalogue import Catalogue
from tests.oracle.evaluate import Error, Timestamp
from tests.oracle.numbers import number_text
from tests.oracle.profile import View
from tests.oracle.times import timestamp_text

TEXT_LENGTH_MAX: Final = 2048
#: http(s), or a path of the same site. Browsers read a backslash as a slash and drop tabs and newlines.
_URL: Final = re.compile(r"(https://|http://|/(?!/))[^\x00-\x1f\\]*")


class NoContentError(Exception):
    """A slot cannot be filled; `cause` is the block or, without a block, the slot."""

    def __init__(self, cause: str) -> None:
        self.cause = cause


def resolve(
    catalogue: Catalogue, slots: Mapping[str, str], choices: Sequence[Mapping[str, str]], view: View
) -> dict[str, dict[str, Any]]:
    """Slot -> block and value, by the first of `choices` that names a block; or NoContentError."""
    filled = {}
    for slot in slots:
        block = next((choice[slot] for choice in choices if choice.get(slot) is not None), None)
        if block is None:
            raise NoContentError(slot)
        filled[slot] = {"block": block, "value": _value(catalogue.blocks[block], view)}
    return filled


def fallback(catalogue: Catalogue, placement: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The placement's generic content: constants; a slot without a block is left out."""
    named = placement.get("fallback", {})
    return {
        slot: {"block": named[slot], "value": catalogue.blocks[named[slot]]["value"]}
        for slot in placement["slots"]
        if named.get(slot) is not None
    }


def _value(block: Mapping[str, Any], view: View) -> Any:
    value = block.get("value")
    if block.get("attribute"):
        scope, _, name = block["attribute"].partition(".")
        found = view.read(scope, name)
        value = value if isinstance(found, Error) else found
        if value is None:
            raise NoContentError(block["id"])
    if block["type"] in ("text", "url"):
        text = _text(value)
        if text is None:
            raise NoContentError(block["id"])
        value = block.get("prefix", "") + text + block.get("suffix", "")
        if len(value) > TEXT_LENGTH_MAX or (block["type"] == "url" and not _URL.fullmatch(value)):
            raise NoContentError(block["id"])
    if isinstance(value, float) and not math.isfinite(value):
        raise NoContentError(block["id"])
    return value


def _text(value: Any) -> str | None:
    """A value in words; None for what has none."""
    if isinstance(value, str):
        return value
    if isinstance(value, Timestamp):
        return timestamp_text(value.ms)
    return number_text(value) if math.isfinite(value) else None
