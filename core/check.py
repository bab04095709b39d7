"""The whole check of a bundle before any part of it is used: every index, bound and type.

The compiler writes bundles that pass; this is the edge's own proof that no bytes, however they came about,
can make compiled code read outside its tables. What a bundle *means* is not judged here.
"""

import itertools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, TypeVar

from core import bundle as b
from core.approvals import hash_in
from core.check_edge import check_edge
from core.check_generals import check_general
from core.check_models import check_model, check_offer_columns, check_offer_words
from core.check_outbound import check_outbound
from core.check_programs import check_program, fail
from core.reasons import REASONS

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MILLIONTHS: Final = 1_000_000

LIST_LENGTH_MAX: Final = 1_000_000
TEXT_LENGTH_MAX: Final = 65_536
CANDIDATES_MAX: Final = 1_024
SLOTS_PER_PLACEMENT_MAX: Final = 64
DIMENSIONS_MAX: Final = 256
FILL_BLOCKS_MAX: Final = 256
PURPOSES_MAX: Final = 64
RECORD_SLOTS_MAX: Final = 4_096
SYSTEM_SLOTS: Final = 16
STRINGS_LENGTH_MAX: Final = 1_024
WINDOW_MINUTES_MAX: Final = b.SPAN_MS_MAX // 60_000

BUILT_IN_PURPOSES: Final = ("personalization", "email", "sms", "analytics", "ads")
GUARD_REASONS: Final[dict[int, frozenset[str]]] = {
    b.SUPPRESSION: frozenset({"suppressed", "open_ticket"}),
    b.EXCLUSION: frozenset({"suppressed"}),
    b.BRAND_SAFETY: frozenset({"brand_safety"}),
}

#: The types that each way of reading can give.
READINGS: Final[dict[int, frozenset[int]]] = {
    b.READ_PLAIN: frozenset({b.BOOL, b.INT, b.FLOAT, b.STRING, b.TIMESTAMP, b.STRINGS}),
    b.READ_TOTAL: frozenset({b.INT, b.FLOAT}),
    b.READ_BUCKETS: frozenset({b.INT, b.FLOAT}),
    b.READ_SCORE: frozenset({b.FLOAT}),
    b.READ_CONTEXT: frozenset({b.BOOL, b.INT, b.FLOAT, b.STRING, b.TIMESTAMP, b.STRINGS}),
}
CONDITION_TYPES: Final[dict[int, frozenset[int]]] = {
    b.OP_RANGE: frozenset({b.BOOL, b.INT, b.FLOAT, b.TIMESTAMP}),
    b.OP_STRING_IN: frozenset({b.STRING}),
    b.OP_HAS: frozenset({b.BOOL, b.INT, b.FLOAT, b.STRING, b.TIMESTAMP, b.STRINGS}),
    b.OP_CONTAINS: frozenset({b.STRING}),
    b.OP_STARTS: frozenset({b.STRING}),
    b.OP_ENDS: frozenset({b.STRING}),
    b.OP_ANY_IN: frozenset({b.STRINGS}),
}
PART_OPS: Final = frozenset({b.OP_CONTAINS, b.OP_STARTS, b.OP_ENDS})
PYTHON_TYPES: Final[dict[int, type]] = {
    b.BOOL: bool,
    b.INT: int,
    b.FLOAT: float,
    b.STRING: str,
    b.TIMESTAMP: int,
    b.STRINGS: list,
}
#: The types of attributes that a block of a slot type can show.
SLOT_ATTRIBUTES: Final[dict[int, frozenset[int]]] = {
    b.SLOT_TEXT: frozenset({b.BOOL, b.INT, b.FLOAT, b.STRING, b.TIMESTAMP}),
    b.SLOT_URL: frozenset({b.BOOL, b.INT, b.FLOAT, b.STRING, b.TIMESTAMP}),
    b.SLOT_NUMBER: frozenset({b.INT, b.FLOAT}),
    b.SLOT_BOOL: frozenset({b.BOOL}),
}


def check_bundle(document: b.BundleDocument) -> None:
    """Raise BundleError at the first index, bound, type or order that is not as `core/bundle.py` says."""
    _Check(document).run()


_Item = TypeVar("_Item")


class _Check:
    def __init__(self, document: b.BundleDocument) -> None:
        self.document = document
        self.approved = frozenset(document.approved_blocks)
        self.hashes: dict[int, str] = {}  # of filled blocks, by index
        self.dimensions = 0  # of the offers' vectors
        self.seen: list[int] = []  # per literal: the attributes that it depends on, as bits

    def run(self) -> None:
        document = self.document
        self._names()
        _each("attributes", document.attributes, self._attribute)
        self._tables()
        self.seen = _attributes_seen(document)
        _each("rules", document.rules, self._rule)
        _each("purposes", document.purposes, self._purpose)
        _each("blocks", document.blocks, self._block)
        _each("fills", document.fills, self._fill)
        _each("guards", document.guards, self._guard)
        _each("caps", document.caps, self._cap)
        _each("models", document.models, self._model)
        _each("offers", document.offers, self._offer)
        check_offer_words(document)
        _each("treatments", document.treatments, self._treatment)
        _each("placements", document.placements, self._placement)
        _each("experiments", document.experiments, self._experiment)
        _each("holdouts", document.holdouts, self._holdout)
        self._folds()
        check_edge(document)
        check_outbound(document)

    def _of(self, path: str, index: int, items: Sequence[_Item]) -> _Item:
        if not 0 <= index < len(items):
            fail(path, f"an index from 0 to {len(items) - 1}", index)
        return items[index]

    def _names(self) -> None:
        """Names are unique; offers are in the order that breaks ties."""
        document = self.document
        _unique("$.attributes", [attribute.name for attribute in document.attributes])
        _unique("$.placements", [placement.id for placement in document.placements])
        _unique("$.experiments", [experiment.id for experiment in document.experiments])
        _unique("$.holdouts", [holdout.id for holdout in document.holdouts])
        _ascending("$.offers", [offer.id for offer in document.offers])
        names = [purpose.id for purpose in document.purposes]
        _unique("$.purposes", names, PURPOSES_MAX)
        if tuple(names[: len(BUILT_IN_PURPOSES)]) != BUILT_IN_PURPOSES:
            fail(
                "$.purposes",
                f"the purposes {', '.join(BUILT_IN_PURPOSES)} first",
                names[: len(BUILT_IN_PURPOSES)],
            )

    def _attribute(self, path: str, attribute: b.Attribute) -> None:
        _member(f"{path}.type", attribute.type, PYTHON_TYPES)
        _member(f"{path}.reading", attribute.reading, READINGS)
        _member(f"{path}.type", attribute.type, READINGS[attribute.reading])
        if attribute.reading == b.READ_CONTEXT:
            _range(f"{path}.slot", attribute.slot, -1, -1)
        else:
            _range(f"{path}.slot", attribute.slot, SYSTEM_SLOTS, RECORD_SLOTS_MAX - 1)
        _range(f"{path}.window_ms", attribute.window_ms, 0, b.SPAN_MS_MAX)
        _plain(f"{path}.default", attribute.default, attribute.type)

    def _tables(self) -> None:
        tables = self.document.tables
        if len(tables.generals) > b.GENERALS_MAX:
            fail("$.tables.generals", f"at most {b.GENERALS_MAX}", len(tables.generals))
        for i, general in enumerate(tables.generals):
            check_general(f"$.tables.generals[{i}]", general, self.document.attributes)
        if not tables.conditions or tables.conditions[0] != b.Condition(b.OP_CONSTANT):
            fail("$.tables.conditions[0]", "the constant condition", tables.conditions[:1])
        # Most are in order, which one look tells; what is not is looked at again, to say what is wrong.
        for i, condition in enumerate(tables.conditions[1:], 1):
            if not self._is_plain(condition):
                self._condition(f"$.tables.conditions[{i}]", condition)
        first = 2 * len(tables.conditions)
        for i, node in enumerate(tables.nodes):
            inputs = node.inputs
            if not (
                b.NODE_AND <= node.op <= b.NODE_OR
                and 1 <= len(inputs) <= LIST_LENGTH_MAX
                and min(inputs) >= 0
                and max(inputs) < first + i
            ):
                self._node(f"$.tables.nodes[{i}]", node, first + i)
        _range("$.tables.hot", tables.hot, 0, len(tables.nodes))

    def _is_plain(self, condition: b.Condition) -> bool:
        """Whether a condition of ranges or texts is in order."""
        types = CONDITION_TYPES.get(condition.op)
        attributes = self.document.attributes
        if types is None or condition.program or not 0 <= condition.attribute < len(attributes):
            return False
        if attributes[condition.attribute].type not in types:
            return False
        if condition.strings:
            parts = condition.op in PART_OPS and len(condition.strings) != 1
            if parts or max(map(len, condition.strings)) > TEXT_LENGTH_MAX:
                return False
        elif condition.op in PART_OPS:
            return False
        return INT64_MIN <= condition.lo <= INT64_MAX and INT64_MIN <= condition.hi <= INT64_MAX

    def _node(self, path: str, node: b.Node, end: int) -> None:
        _range(f"{path}.op", node.op, b.NODE_AND, b.NODE_OR)
        if not 1 <= len(node.inputs) <= LIST_LENGTH_MAX:
            fail(f"{path}.inputs", f"1 to {LIST_LENGTH_MAX} inputs", len(node.inputs))
        for ref in node.inputs:
            _range(f"{path}.inputs", ref, 0, end - 1)

    def _condition(self, path: str, condition: b.Condition) -> None:
        if condition.op == b.OP_PROGRAM:
            _range(f"{path}.attribute", condition.attribute, -1, -1)
            check_program(f"{path}.program", condition.program, self.document.attributes)
            return
        if condition.op == b.OP_GENERAL:
            _range(f"{path}.attribute", condition.attribute, -1, -1)
            self._of(f"{path}.lo", condition.lo, self.document.tables.generals)
            return
        _member(f"{path}.op", condition.op, CONDITION_TYPES)
        if condition.program:
            fail(f"{path}.program", "no program", condition.program)
        attribute = self._of(f"{path}.attribute", condition.attribute, self.document.attributes)
        _member(f"{path}.attribute", attribute.type, CONDITION_TYPES[condition.op])
        _range(f"{path}.lo", condition.lo, INT64_MIN, INT64_MAX)
        _range(f"{path}.hi", condition.hi, INT64_MIN, INT64_MAX)
        if condition.op in PART_OPS and len(condition.strings) != 1:
            fail(f"{path}.strings", "one string", len(condition.strings))
        for string in condition.strings:
            _text(f"{path}.strings", string)

    def _rule(self, path: str, rule: b.Rule) -> None:
        last = 2 * len(self.document.tables.conditions) + len(self.document.tables.nodes) - 1
        _range(f"{path}.true_ref", rule.true_ref, 0, last)
        _range(f"{path}.false_ref", rule.false_ref, 0, last)
        seen = self.seen[rule.true_ref] | self.seen[rule.false_ref]
        for index in rule.attributes:
            self._of(f"{path}.attributes", index, self.document.attributes)
            seen &= ~(1 << index)
        if seen:
            fail(f"{path}.attributes", "every attribute that the rule reads", rule.attributes)

    def _purpose(self, path: str, purpose: b.Purpose) -> None:
        if purpose.slot >= len(BUILT_IN_PURPOSES):
            _range(f"{path}.slot", purpose.slot, SYSTEM_SLOTS, RECORD_SLOTS_MAX - 1)
        else:
            _range(f"{path}.slot", purpose.slot, 0, len(BUILT_IN_PURPOSES) - 1)

    def _block(self, path: str, block: b.Block) -> None:
        _member(f"{path}.type", block.type, SLOT_ATTRIBUTES)
        value = block.value
        if block.attribute != -1:
            attribute = self._of(f"{path}.attribute", block.attribute, self.document.attributes)
            _member(f"{path}.attribute", attribute.type, SLOT_ATTRIBUTES[block.type])
        elif value is None:
            fail(f"{path}.value", "a value, as the block names no attribute", value)
        if value is None:
            return
        if isinstance(value, bool):
            if block.type == b.SLOT_NUMBER:
                fail(f"{path}.value", "a number", value)
        elif block.type == b.SLOT_BOOL or (block.type == b.SLOT_NUMBER and isinstance(value, str)):
            fail(f"{path}.value", "a value of the slot's type", value)
        if isinstance(value, float) and not math.isfinite(value):
            fail(f"{path}.value", "a finite number", value)
        if isinstance(value, int):
            _range(f"{path}.value", value, INT64_MIN, INT64_MAX)

    def _guard(self, path: str, guard: b.Guard) -> None:
        _member(f"{path}.kind", guard.kind, GUARD_REASONS)
        self._of(f"{path}.rule", guard.rule, self.document.rules)
        _range(f"{path}.reason", guard.reason, 0, len(REASONS) - 1)
        _member(f"{path}.reason", REASONS[guard.reason], GUARD_REASONS[guard.kind])
        if guard.block_tags and guard.kind == b.SUPPRESSION:
            fail(f"{path}.block_tags", "no block tags in a suppression", guard.block_tags)
        for index in guard.blocks:
            self._of(f"{path}.blocks", index, self.document.blocks)

    def _cap(self, path: str, cap: b.Cap) -> None:
        _range(f"{path}.max", cap.max, 0, INT64_MAX)
        _range(f"{path}.window_minutes", cap.window_minutes, 1, WINDOW_MINUTES_MAX)
        _range(f"{path}.per", cap.per, b.PER_OFFER, b.PER_ALL)
        for index in cap.offers:
            self._of(f"{path}.offers", index, self.document.offers)
        if cap.when != -1:
            self._of(f"{path}.when", cap.when, self.document.rules)

    def _model(self, path: str, model: b.Model) -> None:
        check_model(path, model, self.document)

    def _offer(self, path: str, offer: b.Offer) -> None:
        _range(f"{path}.priority", offer.priority, INT64_MIN, INT64_MAX)
        _finite(f"{path}.value", offer.value)
        _finite(f"{path}.lever", offer.lever)
        _range(f"{path}.valid_from_ms", offer.valid_from_ms, INT64_MIN, INT64_MAX)
        _range(f"{path}.valid_until_ms", offer.valid_until_ms, INT64_MIN, INT64_MAX)
        if offer.eligibility != -1:
            self._of(f"{path}.eligibility", offer.eligibility, self.document.rules)
        if offer.model != -1:
            self._of(f"{path}.model", offer.model, self.document.models)
        check_offer_columns(path, offer, self.document)
        for rule, factor in offer.weights:
            self._of(f"{path}.weights", rule, self.document.rules)
            _finite(f"{path}.weights", factor)
        _range(f"{path}.exclusive_group", offer.exclusive_group, -1, len(self.document.offers) - 1)
        self._vector(path, offer.vector)

    def _vector(self, path: str, vector: list[float]) -> None:
        """As many numbers as the other offers' have, of a vector of length 1."""
        if not vector:
            return
        self.dimensions = self.dimensions or len(vector)
        if len(vector) != self.dimensions or len(vector) > DIMENSIONS_MAX:
            fail(f"{path}.vector", f"{self.dimensions} numbers, at most {DIMENSIONS_MAX}", len(vector))
        for component in vector:
            _range(f"{path}.vector", component, -1, 1)

    def _placement(self, path: str, placement: b.Placement) -> None:
        if placement.purpose != -1:
            self._of(f"{path}.purpose", placement.purpose, self.document.purposes)
        _range(f"{path}.answered_at", placement.answered_at, b.ANSWERED_AT_EDGE, b.ANSWERED_AT_HUB)
        _range(f"{path}.deadline_ms", placement.deadline_ms, 0, INT64_MAX)
        _range(f"{path}.max_age_ms", placement.max_age_ms, 0, INT64_MAX)
        _range(f"{path}.diversity", placement.diversity, 0, 1)
        _range(f"{path}.diverse_by", placement.diverse_by, b.BY_TAGS, b.BY_VECTOR)
        _unique(f"{path}.slots", [name for name, _ in placement.slots], SLOTS_PER_PLACEMENT_MAX)
        for name, slot_type in placement.slots:
            _text(f"{path}.slots", name)
            _member(f"{path}.slots", slot_type, SLOT_ATTRIBUTES)
        self._slot_blocks(f"{path}.fallback", placement.fallback, placement)
        for index in placement.fallback:
            _range(f"{path}.fallback", index, -1, LIST_LENGTH_MAX)
            if index != -1 and self.document.blocks[index].value is None:
                fail(f"{path}.fallback", "blocks with a value of their own", self.document.blocks[index].id)
        if len(placement.treatments) > CANDIDATES_MAX:
            fail(f"{path}.treatments", f"at most {CANDIDATES_MAX}", len(placement.treatments))
        before = -1
        for index in placement.treatments:
            treatment = self._of(f"{path}.treatments", index, self.document.treatments)
            if treatment.offer <= before:
                fail(f"{path}.treatments", "one treatment an offer, in the offers' order", treatment.id)
            before = treatment.offer
            if self.document.placements[treatment.placement] is not placement:
                fail(f"{path}.treatments", "treatments of this placement", treatment.id)

    def _slot_blocks(self, path: str, blocks: list[int], placement: b.Placement) -> None:
        """One block per slot of the placement, of the slot's type, or -1."""
        if len(blocks) != len(placement.slots):
            fail(path, f"{len(placement.slots)} blocks", len(blocks))
        for index, (_, slot_type) in zip(blocks, placement.slots, strict=True):
            self._entry(path, index, slot_type)

    def _entry(self, path: str, entry: int, slot_type: int) -> None:
        """A block of the slot's type, a fill of such blocks, or -1."""
        if entry != -1:
            self._known(path, entry)
        for index in b.blocks_of(self.document, entry):
            if self.document.blocks[index].type != slot_type:
                fail(path, f"a block of type {slot_type}", self.document.blocks[index].type)

    def _known(self, path: str, entry: int) -> None:
        if entry < -1:
            self._of(path, -2 - entry, self.document.fills)
        else:
            self._of(path, entry, self.document.blocks)

    def _fill(self, path: str, fill: b.Fill) -> None:
        """Blocks, each once, whose present hash is approved."""
        _unique(f"{path}.blocks", [str(index) for index in fill.blocks], FILL_BLOCKS_MAX)
        _text(f"{path}.salt", fill.salt)
        for index in fill.blocks:
            self._of(f"{path}.blocks", index, self.document.blocks)
            if index not in self.hashes:
                self.hashes[index] = hash_in(self.document, index)
            if self.hashes[index] not in self.approved:
                fail(f"{path}.blocks", "blocks with an approved hash", self.document.blocks[index].id)

    def _treatment(self, path: str, treatment: b.Treatment) -> None:
        document = self.document
        self._of(f"{path}.offer", treatment.offer, document.offers)
        placement = self._of(f"{path}.placement", treatment.placement, document.placements)
        self._slot_blocks(f"{path}.blocks", treatment.blocks, placement)
        self._guards(f"{path}.suppressions", treatment.suppressions, b.SUPPRESSION)
        self._guards(f"{path}.exclusions", treatment.exclusions, b.EXCLUSION)
        self._guards(f"{path}.brand_safety", treatment.brand_safety, b.BRAND_SAFETY)
        ids = [self._of(f"{path}.caps", index, document.caps).id for index in treatment.caps]
        _ascending(f"{path}.caps", ids)

    def _guards(self, path: str, indexes: list[int], kind: int) -> None:
        guards = [self._of(path, index, self.document.guards) for index in indexes]
        _ascending(path, [guard.id for guard in guards])
        for guard in guards:
            if guard.kind != kind or guard.block_tags:
                fail(path, f"guards of kind {kind} without block tags", guard.id)

    def _experiment(self, path: str, experiment: b.Experiment) -> None:
        document = self.document
        _range(f"{path}.layer_from", experiment.layer_from, 0, MILLIONTHS)
        _range(f"{path}.layer_to", experiment.layer_to, experiment.layer_from, MILLIONTHS)
        _range(f"{path}.traffic", experiment.traffic, 0, MILLIONTHS)
        _range(f"{path}.sticky_version", experiment.sticky_version, 0, b.STICKY_VERSION_MAX)
        if experiment.eligibility != -1:
            self._of(f"{path}.eligibility", experiment.eligibility, document.rules)
        for index in experiment.placements:
            self._of(f"{path}.placements", index, document.placements)
        upper = 0
        for i, variant in enumerate(experiment.variants):
            _range(f"{path}.variants[{i}].upper", variant.upper, upper, MILLIONTHS)
            upper = variant.upper
            self._variant(f"{path}.variants[{i}]", variant, experiment)
        if upper != MILLIONTHS:
            fail(f"{path}.variants", f"a last bound of {MILLIONTHS}", upper)

    def _variant(self, path: str, variant: b.Variant, experiment: b.Experiment) -> None:
        for index in variant.offers or ():
            self._of(f"{path}.offers", index, self.document.offers)
        for name, index in variant.blocks.items():
            self._known(f"{path}.blocks", index)
            for placement in experiment.placements:
                for slot, slot_type in self.document.placements[placement].slots:
                    if slot == name:
                        self._entry(f"{path}.blocks.{name}", index, slot_type)

    def _holdout(self, path: str, holdout: b.Holdout) -> None:
        _range(f"{path}.share", holdout.share, 0, MILLIONTHS)
        for index in holdout.placements:
            self._of(f"{path}.placements", index, self.document.placements)
        for index in holdout.experiments:
            self._of(f"{path}.experiments", index, self.document.experiments)
        for index in holdout.journeys:
            self._of(f"{path}.journeys", index, self.document.outbound.journeys)

    def _folds(self) -> None:
        document = self.document
        for i, fold in enumerate(document.folds):
            path = f"$.folds[{i}]"
            _range(f"{path}.slot", fold.slot, SYSTEM_SLOTS, RECORD_SLOTS_MAX - 1)
            _range(f"{path}.function", fold.function, b.F_COUNT, b.F_STRINGS)
            _member(f"{path}.type", fold.type, PYTHON_TYPES)
            for name in ("window_ms", "half_life_ms", "granularity_ms"):
                _range(f"{path}.{name}", getattr(fold, name), 0, b.SPAN_MS_MAX)
        for index in document.behaviour_purposes:
            self._of("$.behaviour_purposes", index, document.purposes)
        for slot in document.edge_slots:
            _range("$.edge_slots", slot, 0, RECORD_SLOTS_MAX - 1)
        for _, _, slot in document.layout:
            _range("$.layout", slot, 0, RECORD_SLOTS_MAX - 1)
        _range("$.layout_id", document.layout_id, 0, 2**64 - 1)
        _range("$.stale_after_ms", document.stale_after_ms, 0, INT64_MAX)


def _attributes_seen(document: b.BundleDocument) -> list[int]:
    """Per literal a number whose bit a is set if the literal depends on attribute a."""
    seen: list[int] = []
    for condition in document.tables.conditions:
        bits = 0
        for attribute in b.condition_attributes(condition, document.tables):
            bits |= 1 << attribute
        seen += (bits, bits)
    for node in document.tables.nodes:
        bits = 0
        for ref in node.inputs:
            bits |= seen[ref]
        seen.append(bits)
    return seen


def _each(name: str, items: Sequence[_Item], check: Callable[[str, _Item], None]) -> None:
    if len(items) > LIST_LENGTH_MAX:
        fail(f"$.{name}", f"at most {LIST_LENGTH_MAX}", len(items))
    for i, item in enumerate(items):
        check(f"$.{name}[{i}]", item)


def _range(path: str, number: float, low: int, high: int) -> None:
    if not low <= number <= high:
        fail(path, f"a number from {low} to {high}", number)


def _member(path: str, value: Any, allowed: Collection[Any]) -> None:
    if value not in allowed:
        fail(path, f"one of {sorted(allowed)}", value)


def _finite(path: str, number: float) -> None:
    if not math.isfinite(number):
        fail(path, "a finite number", number)


def _text(path: str, text: str) -> None:
    if len(text) > TEXT_LENGTH_MAX:
        fail(path, f"at most {TEXT_LENGTH_MAX} characters", len(text))


def _unique(path: str, names: list[str], length_max: int = LIST_LENGTH_MAX) -> None:
    if len(names) > length_max or len(set(names)) != len(names):
        fail(path, f"at most {length_max} different names", len(names))


def _ascending(path: str, names: list[str]) -> None:
    """Strictly ascending bytewise; code points of str compare as their UTF-8 bytes do."""
    for before, after in itertools.pairwise(names):
        if before >= after:
            fail(path, "ascending ids", after)


def _plain(path: str, value: object, value_type: int) -> None:
    """A default: nothing, or a value of the attribute's type."""
    if value is None:
        return
    if type(value) is not PYTHON_TYPES[value_type]:
        fail(path, f"a default of type {PYTHON_TYPES[value_type].__name__}", value)
    if isinstance(value, float):
        _finite(path, value)
    if isinstance(value, int):
        _range(path, value, INT64_MIN, INT64_MAX)
    if isinstance(value, list) and len(value) > STRINGS_LENGTH_MAX:
        fail(path, f"at most {STRINGS_LENGTH_MAX} strings", len(value))
