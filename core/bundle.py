"""The bundle on the wire: what the compiler writes and the engine loads (docs/decisions/0004-bundle-and-
tables.md).

One MessagePack document of positional arrays behind an 8-byte head. Every `int` that names another object
is an index into the list
that holds it, -1 for none; every `ref` is an index into the literal array (see `Tables`).
"""

import hashlib
import struct
from typing import Final

import msgspec

from core.errors import BundleError
from core.hashing import xxh64

MAGIC: Final = b"OV1B\x01\x00\x00\x00"
BUNDLE_BYTES_MAX: Final = 64 * 1024 * 1024
#: An experiment begins at version 0, and who begins anew so often has another problem.
STICKY_VERSION_MAX: Final = 1_000_000
#: The longest span of time: what a double holds exactly.
SPAN_MS_MAX: Final = 2**53

# Attribute and value types. 1 to 6 are also the record's slot kinds.
BOOL, INT, FLOAT, STRING, TIMESTAMP, STRINGS = 1, 2, 3, 4, 5, 6

# How an attribute is read from the record.
READ_PLAIN, READ_TOTAL, READ_BUCKETS, READ_SCORE, READ_CONTEXT = 0, 1, 2, 3, 4

# Condition operators.
OP_CONSTANT = 0  # condition 0 only: literal 0 is true, literal 1 is false
# lo <= key(attribute) <= hi; keys are int64: ints, bools, timestamps as they are, floats order-preserving
# (float_key)
OP_RANGE = 1
OP_STRING_IN = 2  # attribute (string) equals one of `strings`
OP_HAS = 3  # the record (or context) itself holds the attribute; never an error
OP_CONTAINS, OP_STARTS, OP_ENDS = 4, 5, 6  # string attribute against strings[0]
OP_ANY_IN = 7  # a strings attribute holds one of `strings`
OP_PROGRAM = 8  # `program` leaves one bool
OP_GENERAL = 9  # general evaluator: `Tables.generals[lo]` comes to true, false or an error

# Node operators.
NODE_AND, NODE_OR = 0, 1

# A stack program, strict (any error is the result). (opcode, argument) pairs.
P_ATTRIBUTE, P_INT, P_FLOAT, P_STRING, P_BOOL, P_TIMESTAMP, P_DURATION, P_NOW = 0, 1, 2, 3, 4, 5, 6, 7
P_ADD, P_SUB, P_MUL, P_DIV, P_MOD, P_NEG = 10, 11, 12, 13, 14, 15
P_EQ, P_NE, P_LT, P_LE, P_GT, P_GE = 20, 21, 22, 23, 24, 25
P_SIZE, P_CONTAINS, P_STARTS, P_ENDS, P_IN = 30, 31, 32, 33, 34  # P_IN: string, strings attribute -> bool
PROGRAM_STACK_MAX: Final = 32

# What a part of a general expression is (docs/decisions/0009-general-conditions.md), and what it has.
G_LITERAL = 0  # bool, int, float, string or null
G_UINT = 1  # number
G_ATTRIBUTE, G_HAS = 2, 3  # attribute
G_NOW = 4
G_TYPE = 5  # name of a type
G_LOCAL = 6  # slot of a macro's variable
G_BYTES = 7  # as a string of the characters 0 to 255
G_NOT, G_NEGATE, G_AND, G_OR = 10, 11, 12, 13
G_CHOOSE = 14  # condition, yes, no
G_BINARY = 15  # value: == != < <= > >= in + - * / %
G_FIELD, G_HAS_FIELD = 16, 17  # value: name; a map
G_INDEX = 18  # list or map, index or key
G_LIST = 19
G_MAP = 20  # key, value, key, value
G_CALL = 21  # value: function; a method's target first
G_MACRO = 22  # value: macro; list or map, arguments after the variables; slots: of the variables
G_BIND = 23  # value, body; slots: of the variable
G_SEGMENT = 24  # a segment's expression, evaluated once however often it is named

#: Parts of one general expression, its segments' too: as written, and counted anew wherever one is used.
GENERAL_SIZE_MAX: Final = 10_000
GENERAL_DEPTH_MAX: Final = 128
GENERAL_SLOTS_MAX: Final = 64
#: General conditions of a bundle, and those of them that decisions read.
GENERALS_MAX: Final = 20_000
GENERALS_DECIDING_MAX: Final = 2_000

# Fold functions.
F_COUNT, F_SUM, F_LAST, F_FIRST, F_MIN, F_MAX, F_STRINGS = 0, 1, 2, 3, 4, 5, 6

# Guard kinds.
SUPPRESSION, EXCLUSION, BRAND_SAFETY = 0, 1, 2

PER_OFFER, PER_ALL = 0, 1
ANSWERED_AT_EDGE, ANSWERED_AT_HUB = 0, 1
MODEL_LINEAR, MODEL_LOGISTIC, MODEL_TREES, MODEL_UPLIFT, MODEL_BANDIT = 0, 1, 2, 3, 4
# What a raw score of trees goes through.
LINK_RAW, LINK_LOGISTIC, LINK_EXP = 0, 1, 2
# Whose trees they are: the arithmetic is that library's.
LIGHTGBM, XGBOOST = 0, 1
SLOT_TEXT, SLOT_URL, SLOT_NUMBER, SLOT_BOOL = 0, 1, 2, 3
# What offers are alike by.
BY_TAGS, BY_VECTOR = 0, 1
STEP_WAIT, STEP_WAIT_FOR, STEP_BRANCH, STEP_SEND, STEP_END = 0, 1, 2, 3, 4

Scalar = bool | int | float | str


class Attribute(msgspec.Struct, frozen=True, array_like=True):
    """A declared attribute. `default`: bool, int (also timestamps, in ms), float, string, list of
    strings, or None.
    """

    name: str  # "profile.orders_90d", "context.device"
    type: int  # BOOL..STRINGS
    reading: int  # READ_*
    slot: int  # record slot; -1 for context
    edge: bool
    default: bool | int | float | str | list[str] | None
    window_ms: int = 0  # strings: entries last seen at or before now - window are not read


class Condition(msgspec.Struct, frozen=True, array_like=True):
    """A distinct test with a true and a known plane: literal 2i is "definitely true", 2i+1 "definitely
    false"; both 0: error.
    """

    op: int
    attribute: int = -1
    lo: int = 0
    hi: int = 0
    strings: list[str] = []
    program: list[tuple[int, int | float | str | bool]] = []


class Node(msgspec.Struct, frozen=True, array_like=True):
    """AND or OR over earlier literals: conditions' literals, then nodes. Node i has literal index 2 *
    len(conditions) + i.
    """

    op: int
    inputs: list[int]


class Rule(msgspec.Struct, frozen=True, array_like=True):
    """A named expression. `true_ref`: literal that is 1 when definitely true; `false_ref`: 1 when
    definitely false.
    """

    id: str  # "eligibility:spring-shoes", "suppression:open-ticket", ...
    true_ref: int
    false_ref: int
    attributes: list[int]
    text: str


class Part(msgspec.Struct, frozen=True, array_like=True):
    """A part of a general expression; its operands come before it."""

    op: int  # G_*
    value: bool | int | float | str | None = None
    operands: list[int] = []
    slots: list[int] = []


class General(msgspec.Struct, frozen=True, array_like=True):
    """An expression of the general evaluator; its last part is the whole. `why`: what of it the tables do not
    hold, for people.
    """

    parts: list[Part]
    why: str


class Tables(msgspec.Struct, frozen=True, array_like=True):
    """Conditions and nodes. Nodes [0, hot) decide; those after serve only `match` (journeys) and the
    trace (the other plane of each rule).
    """

    conditions: list[Condition]
    nodes: list[Node]
    hot: int
    generals: list[General] = []


class FoldRule(msgspec.Struct, frozen=True, array_like=True):
    """How events feed one slot. `property`: dotted path in properties, or `traits.` + path; where: path
    -> allowed plain values.
    """

    slot: int
    function: int  # F_*
    type: int  # value type of last/first/min/max; INT for count; INT or FLOAT for sum (FLOAT: millionths)
    events: list[str]  # canonical names; empty only for traits ("Identify")
    property: str = ""
    where: dict[str, list[Scalar]] = {}
    window_ms: int = 0
    half_life_ms: int = 0
    granularity_ms: int = 0  # > 0: buckets
    resets: list[str] = []  # canonical names that reset the buckets
    subtract: list[str] = []  # canonical names that count negatively


class Purpose(msgspec.Struct, frozen=True, array_like=True):
    id: str
    slot: int
    gpc: bool


class Block(msgspec.Struct, frozen=True, array_like=True):
    id: str
    type: int  # SLOT_*
    value: bool | int | float | str | None
    attribute: int = -1
    prefix: str = ""
    suffix: str = ""
    tags: list[str] = []


class Fill(msgspec.Struct, frozen=True, array_like=True):
    """How a slot is filled by tags (docs/decisions/0010-arbitration-and-slots.md)."""

    blocks: list[int]  # in the order in which they are tried
    sampled: bool
    salt: str


class Placement(msgspec.Struct, frozen=True, array_like=True):
    id: str
    channel: str
    purpose: int  # index into purposes, -1: none needed
    answered_at: int
    deadline_ms: int
    max_age_ms: int  # 0: none
    allow_repeat: bool
    slots: list[tuple[str, int]]  # name, SLOT_*; output order
    fallback: list[int]  # block per slot, -1: the slot is left out
    treatments: list[int]  # candidates by offer id ascending
    diversity: float = 0.0  # its strength, 0 to 1
    diverse_by: int = BY_TAGS


class Treatment(msgspec.Struct, frozen=True, array_like=True):
    """Guards and caps that apply to it are resolved here by the compiler, in id order; block-tag guards
    are not (step 6c).
    """

    id: str
    offer: int
    placement: int
    blocks: list[int]  # block per slot of the placement, -1: none, -2 - n: fill n
    suppressions: list[int]  # guards
    exclusions: list[int]
    caps: list[int]
    brand_safety: list[int]


class Offer(msgspec.Struct, frozen=True, array_like=True):
    id: str
    tags: list[str]
    priority: int
    value: float
    lever: float
    valid_from_ms: int  # INT64_MIN: none
    valid_until_ms: int  # INT64_MAX: none
    eligibility: int  # rule, -1: always
    model: int
    weights: list[tuple[int, float]]  # (rule, factor)
    exclusive_group: int  # dense number of the group, -1: none
    columns: list[float] = []  # what its model reads of it (docs/decisions/0012-offer-attributes.md)
    vector: list[float] = []  # of length 1, as many numbers for every offer that has one


class Guard(msgspec.Struct, frozen=True, array_like=True):
    id: str
    kind: int
    rule: int
    reason: int  # index into core.reasons.REASONS
    block_tags: list[str]  # non-empty: checked in step 6c against blocks listed in `blocks`
    blocks: list[int]  # blocks that carry one of the tags


class Cap(msgspec.Struct, frozen=True, array_like=True):
    id: str
    max: int
    window_minutes: int
    per: int
    channels: list[str]
    offers: list[int]  # offers it applies to (what `per: all` counts)
    when: int  # rule, -1: always


class Variant(msgspec.Struct, frozen=True, array_like=True):
    id: str
    upper: int  # cumulative bound in millionths
    offers: list[int] | None  # None: no restriction
    blocks: dict[str, int]  # slot name -> block, -2 - n: fill n


class Experiment(msgspec.Struct, frozen=True, array_like=True):
    id: str
    salt: str
    layer: str  # salt of the layer, "": none
    layer_from: int
    layer_to: int
    traffic: int
    eligibility: int  # rule
    placements: list[int]
    variants: list[Variant]
    sticky: bool = False  # whoever was shown a variant keeps it
    sticky_version: int = 0  # what was stored under another version is forgotten


class Holdout(msgspec.Struct, frozen=True, array_like=True):
    id: str
    salt: str
    share: int
    placements: list[int]  # all three empty: all placements
    experiments: list[int] = []
    journeys: list[int] = []  # of `outbound`; messages that they send

    @property
    def is_global(self) -> bool:
        """Whether it holds every placement."""
        return not (self.placements or self.experiments or self.journeys)


class Feature(msgspec.Struct, frozen=True, array_like=True):
    attribute: int  # -1: a column of the offer
    weight: float
    missing: float
    equals: str | None  # string attributes only
    column: int = -1  # which of the offer's columns


class TreeInput(msgspec.Struct, frozen=True, array_like=True):
    """A column of the rows that trees read. A string's number is its place in `categories`."""

    attribute: int  # -1: a column of the offer
    categories: list[str] = []
    column: int = -1  # which of the offer's columns


class TreeColumn(msgspec.Struct, frozen=True, array_like=True):
    """How many entries a column has in each list of `Trees`."""

    numeric: int
    category: int
    missing: int
    zero: int
    zero_is_missing: bool  # zero takes the list `zero` instead of the numeric entries


class Trees(msgspec.Struct, frozen=True, array_like=True):
    """Trees as QuickScorer tables (docs/decisions/0008-scoring.md). Arrays are little-endian bytes.

    Entries stand in four lists one after the other, numeric, category, missing and zero, each by column.
    """

    library: int  # LIGHTGBM, XGBOOST
    base: float  # sums begin here
    link: int  # LINK_*
    scale: float  # of LINK_LOGISTIC: 1 / (1 + exp(-scale * raw))
    inputs: list[TreeInput]
    columns: list[TreeColumn]
    leaf_counts: list[int]  # by tree; a tree has a word of 64 bits for each 64 leaves
    leaves: bytes  # f64, tree after tree, left to right
    thresholds: bytes  # f64 by numeric entry, ascending in each column; fails above it
    words: bytes  # u32 by entry
    keeps: bytes  # u64 by entry: the leaves that are left where it fails
    sets: bytes  # u32 pairs (first, count) by category entry: a part of `bits`
    bits: bytes  # u32: sets of categories


class Calibration(msgspec.Struct, frozen=True, array_like=True):
    """Platt: 1 / (1 + exp(a * s + b)); with points: linear between them, level outside."""

    a: float
    b: float
    x: list[float] = []  # ascending
    y: list[float] = []  # never falling


class Bandit(msgspec.Struct, frozen=True, array_like=True):
    """What is known of the arms (docs/decisions/0008-scoring.md): either draws of their posteriors, or what
    LinUCB keeps, for x = (the model's intercept, its features). Arrays are little-endian f64, arm after arm.
    """

    floor: int  # millionths of decisions that take an arm at random
    samples: int  # draws of each arm; 1 for LinUCB
    arms: list[int]  # offers, ascending
    draws: bytes = b""  # samples of each arm
    width: float = 0.0
    weights: bytes = b""  # d of each arm
    inverses: bytes = b""  # d x d of each arm, row after row


class Model(msgspec.Struct, frozen=True, array_like=True):
    id: str
    kind: int
    intercept: float
    features: list[Feature]
    trees: Trees | None = None  # MODEL_TREES
    calibration: Calibration | None = None
    treated: int = -1  # MODEL_UPLIFT: models whose difference it is
    control: int = -1
    bandit: Bandit | None = None  # MODEL_BANDIT
    columns: list[str] = []  # by column of an offer that it reads itself: the name, for the trace


class Template(msgspec.Struct, frozen=True, array_like=True):
    """A channel's master: Liquid sources and the words of each language (docs/decisions/0006)."""

    id: str
    channel: str
    sender: str
    reply_to: str
    subject: str
    preheader: str
    mjml: str
    text: str
    locale: str
    strings: dict[str, dict[str, str]]


class Occurrence(msgspec.Struct, frozen=True, array_like=True):
    """An event by its canonical name; where: path -> allowed plain values."""

    event: str
    where: dict[str, list[Scalar]]


class Exit(msgspec.Struct, frozen=True, array_like=True):
    """By event, or (occurrence None) by a rule that is true."""

    occurrence: Occurrence | None
    rule: int


class Step(msgspec.Struct, frozen=True, array_like=True):
    """`next`, `then`, `otherwise` and the targets of branches are indexes of steps; -1 ends the journey."""

    id: str
    kind: int  # STEP_*
    next: int = -1
    duration_ms: int = 0  # STEP_WAIT, STEP_WAIT_FOR; already divided by the time scale
    occurrence: Occurrence | None = None  # STEP_WAIT_FOR
    then: int = -1
    otherwise: int = -1
    branches: list[tuple[int, int]] = []  # (rule, step), the first that is true; else `next`
    placement: int = -1  # STEP_SEND
    template: int = -1


class Journey(msgspec.Struct, frozen=True, array_like=True):
    """Steps begin at index 0. `reentry_ms`: -1 never, 0 always, else the span since the last entry."""

    id: str
    trigger: Occurrence
    when: int  # rule, -1: always
    reentry_ms: int
    exits: list[Exit]
    steps: list[Step]


class QuietHours(msgspec.Struct, frozen=True, array_like=True):
    """Minutes of the local day, [start, end), past midnight if start > end."""

    channels: list[str]
    start: int
    end: int


class Outbound(msgspec.Struct, frozen=True, array_like=True):
    """What only the hub's delivery reads; edges carry it, for the hash covers it."""

    templates: list[Template] = []
    journeys: list[Journey] = []
    quiet_hours: list[QuietHours] = []
    time_zone: str = "UTC"
    time_scale: float = 1.0
    #: Block id -> locale -> (value, prefix, suffix); None: as in the block, whose own are under "".
    translations: dict[str, dict[str, tuple[str | None, str | None, str | None]]] = {}


class BundleDocument(msgspec.Struct, frozen=True, array_like=True):
    """Everything a node needs to decide and to fold. Lists are in id order unless said otherwise."""

    attributes: list[Attribute]
    tables: Tables
    rules: list[Rule]
    purposes: list[Purpose]  # built-in five first, in slot order
    placements: list[Placement]
    treatments: list[Treatment]
    offers: list[Offer]
    blocks: list[Block]
    guards: list[Guard]
    caps: list[Cap]
    experiments: list[Experiment]
    holdouts: list[Holdout]
    models: list[Model]
    folds: list[FoldRule]  # by slot
    aliases: dict[str, str]  # event alias -> canonical name
    taxonomy: list[str]  # canonical names that are known; others are quarantined by the hub
    behaviour_purposes: list[int]  # any one granted lets behavioural events shape the profile
    edge_slots: list[int]  # slots of the edge projection (system slots 0-15 are always in it)
    layout: list[tuple[str, str, int]]  # (attribute or purpose id, fingerprint, slot)
    layout_id: int
    stale_after_ms: int
    #: Object "kind:id" -> "file:line", for people; "catalogue" -> hash of all that was authored.
    sources: dict[str, str]
    outbound: Outbound = Outbound()
    fills: list[Fill] = []
    approved_blocks: list[str] = []  # hashes (core.approvals), in order


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(BundleDocument)


def encode_bundle(document: BundleDocument) -> bytes:
    """The bundle's content: equal documents give equal bytes."""
    return MAGIC + _encoder.encode(document)


def decode_bundle(content: bytes) -> BundleDocument:
    """Parse a bundle's content by type; ranges and references are checked by the engine that loads it."""
    if len(content) > BUNDLE_BYTES_MAX or content[: len(MAGIC)] != MAGIC:
        raise BundleError(
            expected="a bundle of format 1", got=f"{len(content)} bytes beginning {content[:8]!r}", path="$"
        )
    try:
        return _decoder.decode(content[len(MAGIC) :])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BundleError(
            f"bundle does not parse: {error}", expected="a bundle document", got="other bytes", path="$"
        ) from error


def content_hash(content: bytes) -> str:
    """SHA-256 of the content in hex: the bundle's name."""
    return hashlib.sha256(content).hexdigest()


def experiment_key(experiment_id: str, sticky_version: int) -> int:
    """The 64-bit name under which a record stores an experiment: another sticky version is another name."""
    return xxh64(experiment_id.encode() + b"\0" + str(sticky_version).encode())


def blocks_of(document: BundleDocument, entry: int) -> list[int]:
    """The blocks that an entry of a treatment's or variant's `blocks` may put in."""
    if entry == -1:
        return []
    return [entry] if entry >= 0 else document.fills[-2 - entry].blocks


def model_attributes(model: Model) -> list[int]:
    """Attributes that a model reads itself, in order; an uplift's parts read theirs."""
    return [item.attribute for item in _read(model) if item.column < 0]


def offer_columns(model: Model) -> int:
    """How many columns of an offer a model reads itself."""
    return sum(item.column >= 0 for item in _read(model))


def _read(model: Model) -> list[Feature | TreeInput]:
    return [*model.features, *(model.trees.inputs if model.trees is not None else [])]


def general_attributes(general: General) -> set[int]:
    """Attributes that a general expression looks at."""
    return {int(part.value) for part in general.parts if part.op in (G_ATTRIBUTE, G_HAS)}  # type: ignore[arg-type]


def condition_attributes(condition: Condition, tables: Tables) -> set[int]:
    """Attributes that a condition looks at."""
    if condition.op == OP_GENERAL:
        return general_attributes(tables.generals[condition.lo])
    if condition.op == OP_PROGRAM:
        return {int(argument) for op, argument in condition.program if op == P_ATTRIBUTE}
    return {condition.attribute} if condition.attribute >= 0 else set()


def float_key(value: float) -> int:
    """Order-preserving int64 of a double (-0.0 counts as 0.0; NaN has no key and must be caught before)."""
    bits: int = struct.unpack("<q", struct.pack("<d", value + 0.0))[0]
    return bits if bits >= 0 else bits ^ 0x7FFFFFFFFFFFFFFF
