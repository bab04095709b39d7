"""Blocks to slot values (0002, step 6b)."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from tests.oracle.approvals import is_approved
from tests.oracle.catalogue import Catalogue
from tests.oracle.evaluate import Error, Timestamp
from tests.oracle.hashing import bucket
from tests.oracle.numbers import MILLION, number_text
from tests.oracle.profile import View
from tests.oracle.times import timestamp_text

TEXT_LENGTH_MAX: Final = 2048
#: http(s), or a path of the same site. Browsers read a backslash as a slash and drop tabs and newlines.
_URL: Final = re.compile(r"(https://|http://|/(?!/))[^\x00-\x1f\\]*")


class NoContentError(Exception):
    """A slot cannot be filled; `cause` is the block or, without a block, the slot."""

    def __init__(self, cause: str) -> None:
        self.cause = cause


@dataclass(frozen=True)
class Choice:
    """What says which blocks stand in the slots; `salt` for what it draws."""

    salt: str
    blocks: Mapping[str, Any]


@dataclass(frozen=True)
class Content:
    """Slot -> block and value; and of the slots filled by tags (slot, block, drawn)."""

    slots: dict[str, dict[str, Any]]
    filled: list[tuple[str, str, bool]]


def resolve(
    catalogue: Catalogue,
    slots: Mapping[str, str],
    choices: Sequence[Choice],
    view: View,
    offends: Callable[[Mapping[str, Any]], bool],
    unit_key: bytes,
) -> Content:
    """What stands in each slot, by the first of `choices` that says so; or NoContentError. `offends`: whether
    a rule that looks at the tags of blocks refuses one."""
    content = Content({}, [])
    for slot, kind in slots.items():
        choice = next((choice for choice in choices if choice.blocks.get(slot) is not None), None)
        if choice is None:
            raise NoContentError(slot)
        block = choice.blocks[slot]
        if not isinstance(block, str):
            salt = f"{choice.salt}/{slot}"
            block, drawn = _fill(catalogue, slot, kind, block, view, offends, bucket(salt, unit_key))
            content.filled.append((slot, block, drawn))
        content.slots[slot] = {"block": block, "value": _value(catalogue.blocks[block], view)}
    return content


def _fill(
    catalogue: Catalogue,
    slot: str,
    kind: str,
    fill: Mapping[str, Any],
    view: View,
    offends: Callable[[Mapping[str, Any]], bool],
    drawn: int,
) -> tuple[str, bool]:
    """The block that a slot takes by tags (0010), and whether it was drawn among several."""
    found = [
        block
        for block in catalogue.blocks.values()
        if block["type"] == kind
        and set(fill["tags"]) <= set(block.get("tags", []))
        and is_approved(catalogue.governance, block)
    ]
    found.sort(key=lambda block: (len(set(block["tags"])), block["id"].encode()))
    valued = [block["id"] for block in found if _gives_value(block, view)]
    if not valued:
        raise NoContentError(slot)
    showable = [name for name in valued if not offends(catalogue.blocks[name])]
    if fill.get("choose") == "sampled" and len(showable) > 1:
        return showable[drawn * len(showable) // MILLION], True
    return (showable or valued)[0], False


def _gives_value(block: Mapping[str, Any], view: View) -> bool:
    try:
        _value(block, view)
    except NoContentError:
        return False
    return True


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
