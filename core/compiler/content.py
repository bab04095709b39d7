"""Blocks and placements."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.builtins import NO_PURPOSE, PURPOSES
from core.authoring.types import Block, Fill, Placement
from core.cel.typed import TYPE_NAMES
from core.compiler.attributes import Attributes
from core.compiler.fills import Fills
from core.compiler.work import Work

SLOT_TYPES: Final[dict[str, int]] = {
    "text": bundle.SLOT_TEXT,
    "url": bundle.SLOT_URL,
    "number": bundle.SLOT_NUMBER,
    "bool": bundle.SLOT_BOOL,
}
DIVERSE_BY: Final = {"tags": bundle.BY_TAGS, "vector": bundle.BY_VECTOR}
#: The attribute types that a block of each type can show.
SHOWN: Final[dict[str, frozenset[int]]] = {
    "text": frozenset({bundle.STRING, bundle.INT, bundle.FLOAT, bundle.TIMESTAMP}),
    "url": frozenset({bundle.STRING, bundle.INT}),
    "number": frozenset({bundle.INT, bundle.FLOAT}),
    "bool": frozenset({bundle.BOOL}),
}
TEXTUAL: Final = frozenset({"text", "url"})
URL: Final = re.compile(r"https://|http://|/(?!/)")
DEADLINE_MS_MAX: Final = 10_000
INT_MAX: Final = 2**63 - 1


def compile_blocks(work: Work, attributes: Attributes) -> list[bundle.Block]:
    """The blocks in id order."""
    return [_block(work, attributes, path, block) for path, block in work.ordered("blocks")]


def _block(work: Work, attributes: Attributes, path: Path, block: Block) -> bundle.Block:
    attribute = -1
    if block.attribute is not None:
        attribute = _shown_attribute(work, attributes, path, block)
    elif block.value is None:
        rests = [(*path, "value"), (*path, "attribute")]
        work.faults.add(path, "`value`, or `attribute`", "neither", of=rests)
    if block.value is not None:
        _check_value(work, path, block)
    for name in ("prefix", "suffix"):
        if getattr(block, name) and (block.attribute is None or block.type not in TEXTUAL):
            work.faults.add(
                (*path, name),
                "text around an attribute in a text or url block only",
                f"`{name}`",
                of=[(*path, "attribute"), (*path, "type")],
            )
    value = block.value
    if type(value) is int and not -INT_MAX - 1 <= value <= INT_MAX:
        value = float(value)  # no int of 64 bits holds it
    return bundle.Block(
        block.id,
        SLOT_TYPES[block.type],
        value,
        attribute,
        block.prefix,
        block.suffix,
        sorted(set(block.tags)),
    )


def _shown_attribute(work: Work, attributes: Attributes, path: Path, block: Block) -> int:
    found = attributes.find(work, block.attribute or "", (*path, "attribute"))
    if found >= 0 and attributes.items[found].type not in SHOWN[block.type]:
        allowed = " or ".join(TYPE_NAMES[kind] for kind in sorted(SHOWN[block.type]))
        got = TYPE_NAMES[attributes.items[found].type]
        expected = f"an attribute of type {allowed} in a {block.type} block"
        work.faults.add((*path, "attribute"), expected, got, of=[(*path, "type")])
    return found


def _check_value(work: Work, path: Path, block: Block) -> None:
    value: Any = block.value
    rests = [(*path, name) for name in ("type", "attribute")]
    path = (*path, "value")
    if block.type in TEXTUAL:
        good = isinstance(value, str)
    elif block.type == "bool":
        good = isinstance(value, bool)
    else:
        good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not good:
        work.faults.add(path, f"a value of type {block.type}", shown(value), of=rests[:1])
    elif block.type == "url" and block.attribute is None and not URL.match(value):
        expected = "a URL that begins with https://, http:// or one /"
        work.faults.add(path, expected, shown(value), of=rests)


def compile_placements(work: Work) -> list[bundle.Placement]:
    """The placements in id order; their treatments are filled in by `core.compiler.offers`."""
    return [_placement(work, path, placement) for path, placement in work.ordered("placements")]


def _placement(work: Work, path: Path, placement: Placement) -> bundle.Placement:
    return bundle.Placement(
        id=placement.id,
        channel=placement.channel,
        purpose=work.purpose(placement.purpose, (*path, "purpose")),
        answered_at=bundle.ANSWERED_AT_EDGE if placement.answered_at == "edge" else bundle.ANSWERED_AT_HUB,
        deadline_ms=work.duration(placement.deadline, (*path, "deadline"), most_ms=DEADLINE_MS_MAX),
        max_age_ms=work.duration(placement.max_age, (*path, "max_age")),
        allow_repeat=placement.allow_repeat,
        slots=[(name, SLOT_TYPES[kind]) for name, kind in placement.slots.items()],
        fallback=_fallback(work, path, placement),
        treatments=[],
        diversity=0.0 if placement.diversity is None else placement.diversity.strength,
        diverse_by=bundle.BY_TAGS if placement.diversity is None else DIVERSE_BY[placement.diversity.by],
    )


def _fallback(work: Work, path: Path, placement: Placement) -> list[int]:
    slots = (*path, "slots")
    path = (*path, "fallback")
    blocks = {name: block for name, block in placement.fallback.items() if block is not None}
    for name in placement.slots.keys() - placement.fallback.keys():
        work.faults.add(path, f"a block (or null) for the slot {name}", "none", of=[slots, path])
    chosen = slot_blocks(work, path, placement, blocks)
    for name, block in blocks.items():
        found = work.objects["blocks"].get(block)
        if found is not None and found.attribute is not None:
            expected = "a block without an attribute, since the fallback is the same for everybody"
            work.faults.add(
                (*path, name), expected, shown(block), of=work.below("blocks", block, "attribute")
            )
    for name in placement.fallback.keys() - placement.slots.keys() - blocks.keys():
        expected = f"a slot of the placement {placement.id}"
        work.faults.add((*path, name), expected, shown(name), of=[slots])
    return chosen


def slot_blocks(
    work: Work,
    path: Path,
    placement: Placement,
    blocks: Mapping[str, str | Fill],
    fills: Fills | None = None,
    salt: str = "",
) -> list[int]:
    """The entry for each slot of a placement: the index of the block, -1 where there is none, or that of a
    fill; wrong ones are faults."""
    chosen = dict.fromkeys(placement.slots, -1)
    for name, block in blocks.items():
        if name not in placement.slots:
            expected = f"a slot of the placement {placement.id} ({', '.join(placement.slots)})"
            rests = work.below("placements", placement.id, "slots")
            work.faults.add((*path, name), expected, shown(name), of=rests)
            continue
        if isinstance(block, Fill):
            assert fills is not None
            chosen[name] = fills.add((*path, name), block, placement.slots[name], f"{salt}/{name}")
            continue
        chosen[name] = work.index("blocks", block, (*path, name))
        found = work.objects["blocks"].get(block)
        if found is not None and found.type != placement.slots[name]:
            expected = f"a block of type {placement.slots[name]} for the slot {name}"
            rests = [(*one, name) for one in work.below("placements", placement.id, "slots")]
            rests += work.below("blocks", block, "type")
            work.faults.add((*path, name), expected, f"{shown(block)} of type {found.type}", of=rests)
    return list(chosen.values())


def check_purposes(work: Work) -> None:
    """A declared purpose has a name of its own."""
    for path, purpose in work.ordered("purposes"):
        if purpose.id == NO_PURPOSE or purpose.id in dict(PURPOSES):
            work.faults.add((*path, "id"), "a name that is not built in", shown(purpose.id))
