"""Bundles and records made by hand, so that the kernel's tests need no compiler."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from core import bundle as b
from core.approvals import block_hash
from core.hashing import xxh64
from core.reasons import INDEX

NOW: Final = 1_795_455_809_000  # 2026-11-23T17:43:29Z
MINUTE: Final = 60_000
DAY: Final = 86_400_000
INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
UNIT_KEY: Final = bytes(range(16))
PURPOSES: Final = ("personalization", "email", "sms", "analytics", "ads")


@dataclass
class Sketch:
    """A bundle document under construction; every method returns the index of what it added."""

    attributes: list[b.Attribute] = field(default_factory=list)
    conditions: list[b.Condition] = field(default_factory=lambda: [b.Condition(b.OP_CONSTANT)])
    nodes: list[b.Node] = field(default_factory=list)
    generals: list[b.General] = field(default_factory=list)
    rules: list[b.Rule] = field(default_factory=list)
    purposes: list[b.Purpose] = field(
        default_factory=lambda: [b.Purpose(name, slot, name == "ads") for slot, name in enumerate(PURPOSES)]
    )
    placements: list[b.Placement] = field(default_factory=list)
    treatments: list[b.Treatment] = field(default_factory=list)
    offers: list[b.Offer] = field(default_factory=list)
    blocks: list[b.Block] = field(default_factory=list)
    guards: list[b.Guard] = field(default_factory=list)
    caps: list[b.Cap] = field(default_factory=list)
    experiments: list[b.Experiment] = field(default_factory=list)
    holdouts: list[b.Holdout] = field(default_factory=list)
    models: list[b.Model] = field(default_factory=list)
    folds: list[b.FoldRule] = field(default_factory=list)
    stale_after_ms: int = 30 * DAY
    fills: list[b.Fill] = field(default_factory=list)
    approved_blocks: list[str] = field(default_factory=list)
    outbound: b.Outbound = field(default_factory=b.Outbound)

    def attribute(
        self, name: str, kind: int, *, reading: int | None = None, default: Any = None, window_ms: int = 0
    ) -> int:
        """A declared attribute; its record slot is 16 plus its index."""
        if reading is None:
            reading = b.READ_CONTEXT if name.startswith("context.") else b.READ_PLAIN
        slot = -1 if reading == b.READ_CONTEXT else 16 + len(self.attributes)
        self.attributes.append(b.Attribute(name, kind, reading, slot, True, default, window_ms))
        return len(self.attributes) - 1

    def condition(self, op: int, attribute: int = -1, **rest: Any) -> int:
        """Index of the condition; its literals are twice that and one more."""
        self.conditions.append(b.Condition(op, attribute, **rest))
        return len(self.conditions) - 1

    def general(self, *parts: b.Part) -> int:
        """Index of a condition that the general evaluator runs."""
        self.generals.append(b.General(list(parts), "a test"))
        return self.condition(b.OP_GENERAL, lo=len(self.generals) - 1)

    def rule(self, name: str, condition: int) -> int:
        """A rule that is one condition. Condition 0 is true."""
        return self.formula(name, 2 * condition, 2 * condition + 1)

    def formula(self, name: str, true_ref: int, false_ref: int) -> int:
        every = list(range(len(self.attributes)))
        self.rules.append(b.Rule(name, true_ref, false_ref, every, name))
        return len(self.rules) - 1

    def block(self, name: str, value: Any = None, kind: int = b.SLOT_TEXT, **rest: Any) -> int:
        self.blocks.append(b.Block(name, kind, value, **rest))
        return len(self.blocks) - 1

    def fill(self, blocks: Sequence[int], *, sampled: bool = False, salt: str = "salt") -> int:
        """The entry of a fill with these blocks, which count as approved."""
        for block in (self.blocks[index] for index in blocks):
            attribute = self.attributes[block.attribute].name if block.attribute >= 0 else None
            self.approved_blocks.append(block_hash(block, attribute, {}))
        self.fills.append(b.Fill(list(blocks), sampled, salt))
        return -1 - len(self.fills)

    def placement(self, name: str = "home.hero", **rest: Any) -> int:
        """A placement for personalization with one text slot `headline` and a fallback."""
        fields: dict[str, Any] = {
            "channel": "web",
            "purpose": 0,
            "answered_at": b.ANSWERED_AT_EDGE,
            "deadline_ms": 100,
            "max_age_ms": 0,
            "allow_repeat": False,
            "slots": [("headline", b.SLOT_TEXT)],
            "treatments": [],
        } | rest
        if "fallback" not in fields:
            fields["fallback"] = [
                self.block(f"generic-{name}-{slot}", GENERIC[kind], kind) for slot, kind in fields["slots"]
            ]
        self.placements.append(b.Placement(name, **fields))
        return len(self.placements) - 1

    def offer(self, name: str, **rest: Any) -> int:
        fields: dict[str, Any] = {
            "tags": [],
            "priority": 0,
            "value": 1.0,
            "lever": 1.0,
            "valid_from_ms": INT64_MIN,
            "valid_until_ms": INT64_MAX,
            "eligibility": -1,
            "model": -1,
            "weights": [],
            "exclusive_group": -1,
        } | rest
        self.offers.append(b.Offer(name, **fields))
        return len(self.offers) - 1

    def treatment(
        self, offer: int, placement: int = 0, blocks: Sequence[int] | None = None, **rest: Any
    ) -> int:
        """The offer at a placement; without blocks it shows the offer's id in every slot."""
        if blocks is None:
            blocks = [
                self.block(f"{self.offers[offer].id}-{slot}", self.offers[offer].id, kind)
                for slot, kind in self.placements[placement].slots
            ]
        fields: dict[str, Any] = {"suppressions": [], "exclusions": [], "caps": [], "brand_safety": []} | rest
        name = f"{self.offers[offer].id}@{self.placements[placement].id}"
        self.treatments.append(b.Treatment(name, offer, placement, list(blocks), **fields))
        self.placements[placement].treatments.append(len(self.treatments) - 1)
        return len(self.treatments) - 1

    def guard(self, name: str, kind: int, rule: int, reason: str = "", **rest: Any) -> int:
        reason = reason or ("brand_safety" if kind == b.BRAND_SAFETY else "suppressed")
        self.guards.append(
            b.Guard(name, kind, rule, INDEX[reason], **({"block_tags": [], "blocks": []} | rest))
        )
        return len(self.guards) - 1

    def cap(self, name: str, limit: int, offers: Sequence[int], **rest: Any) -> int:
        fields: dict[str, Any] = {
            "window_minutes": 1440,
            "per": b.PER_OFFER,
            "channels": [],
            "when": -1,
        } | rest
        self.caps.append(b.Cap(name, limit, offers=list(offers), **fields))
        return len(self.caps) - 1

    def experiment(self, name: str, variants: Sequence[b.Variant], **rest: Any) -> int:
        fields: dict[str, Any] = {
            "salt": name,
            "layer": "",
            "layer_from": 0,
            "layer_to": 1_000_000,
            "traffic": 1_000_000,
            "eligibility": -1,
            "placements": [0],
        } | rest
        self.experiments.append(b.Experiment(name, variants=list(variants), **fields))
        return len(self.experiments) - 1

    def document(self) -> b.BundleDocument:
        return b.BundleDocument(
            attributes=self.attributes,
            tables=b.Tables(self.conditions, self.nodes, len(self.nodes), self.generals),
            rules=self.rules,
            purposes=self.purposes,
            placements=self.placements,
            treatments=self.treatments,
            offers=self.offers,
            blocks=self.blocks,
            guards=self.guards,
            caps=self.caps,
            experiments=self.experiments,
            holdouts=self.holdouts,
            models=self.models,
            folds=self.folds,
            aliases={"Bought": "Order Completed"},
            taxonomy=["Order Completed", "Product Viewed"],
            behaviour_purposes=[0],
            edge_slots=list(range(16, 16 + len(self.attributes))),
            layout=[],
            layout_id=1,
            stale_after_ms=self.stale_after_ms,
            sources={},
            outbound=self.outbound,
            fills=self.fills,
            approved_blocks=self.approved_blocks,
        )

    def content(self) -> bytes:
        return b.encode_bundle(self.document())


GENERIC: Final[dict[int, Any]] = {
    b.SLOT_TEXT: "Welcome",
    b.SLOT_URL: "/start",
    b.SLOT_NUMBER: 0,
    b.SLOT_BOOL: False,
}

Entry = tuple[int, int, bytes, int, int]  # kind, value, heap, flags, count


def _bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 8)


STAMP: Final = struct.pack("<qQ", 0, 0)


def bool_slot(value: bool) -> Entry:
    return 1, int(value), STAMP, 0, 0


def int_slot(value: int) -> Entry:
    return 2, value & (2**64 - 1), STAMP, 0, 0


def float_slot(value: float) -> Entry:
    return 3, _bits(value), STAMP, 0, 0


def string_slot(value: str) -> Entry:
    data = value.encode()
    return 4, xxh64(data), STAMP + struct.pack("<I", len(data)) + data, 0, 0


def time_slot(value: int) -> Entry:
    return 5, value & (2**64 - 1), STAMP, 0, 0


def strings_slot(values: Mapping[str, int]) -> Entry:
    """Text -> last seen, in ms."""
    entries = sorted((xxh64(text.encode()), text.encode(), seen) for text, seen in values.items())
    heap = b"".join(_padded(struct.pack("<QqI", h, seen, len(data)) + data) for h, data, seen in entries)
    return 6, 0, heap, 0, len(entries)


def total_slot(value: int, *, millionths: bool = False) -> Entry:
    return 7, value & (2**64 - 1), b"", int(millionths), 0


def buckets_slot(
    buckets: Mapping[int, int], *, granularity_ms: int, window: int, folded: int, valid: tuple[int, int]
) -> Entry:
    """Buckets by index without decay; `folded`: the stored value, `valid`: from and until when it is that."""
    head = struct.pack("<qqqqqq", granularity_ms, window, 0, INT64_MIN, *valid)
    heap = head + b"".join(struct.pack("<qq", index, value) for index, value in sorted(buckets.items()))
    return 8, folded, heap, 0, len(buckets)


def consent_slot(state: int, at_ms: int) -> Entry:
    return 9, state, struct.pack("<qQII", at_ms, 0, 0, 0), 0, 0


def impressions_slot(entries: Sequence[tuple[str, str, int, int]]) -> Entry:
    """(offer, channel, minute, impressions)."""
    rows = sorted((m, xxh64(o.encode()), xxh64(c.encode()), n) for o, c, m, n in entries)
    return 10, 0, b"".join(struct.pack("<QQqq", o, c, m, n) for m, o, c, n in rows), 0, len(rows)


def score_slot(value: float, scored_at_ms: int, ttl_ms: int) -> Entry:
    return 11, _bits(value), struct.pack("<qq", scored_at_ms, ttl_ms), 0, 0


def assignments_slot(entries: Sequence[tuple[str, int, bytes, str, int]]) -> Entry:
    """(experiment, sticky version, source, variant, at ms)."""
    rows = sorted(
        (b.experiment_key(x, version), int.from_bytes(source[:8], "little"), xxh64(v.encode()), at_ms)
        for x, version, source, v, at_ms in entries
    )
    return 12, 0, b"".join(struct.pack("<QQQq", *row) for row in rows), 0, len(rows)


GRANTED: Final = consent_slot(1, NOW - DAY)


def record(
    slots: Mapping[int, Entry] | None = None,
    *,
    consent: Entry | None = GRANTED,
    packed_at_ms: int = NOW - 1_000,
    sequence: int = 7,
    unit_key: bytes = UNIT_KEY,
) -> bytes:
    """A packed record; `consent` is that of personalization."""
    held = dict(slots or {})
    if consent:
        held.setdefault(0, consent)
    count = max(held, default=-1) + 1
    table, heap = bytearray(16 * count), b""
    for number, (kind, value, data, flags, entries) in sorted(held.items()):
        offset = 64 + len(table) + len(heap) if data else 0
        struct.pack_into("<QIBBH", table, 16 * number, value, offset, kind, flags, entries)
        heap += _padded(data)
    size = 64 + len(table) + len(heap)
    head = struct.pack("<4sHHQQq16sII", b"OV1R", 1, count, 1, sequence, packed_at_ms, unit_key, size, 1)
    checksum = xxh64(head + bytes(8) + bytes(table) + heap)
    return head + struct.pack("<Q", checksum) + bytes(table) + heap
