"""What people write: every kind of object of a catalogue, as types (docs/catalogue.md is the reference for
them).

A catalogue is any number of YAML files; the keys of `CatalogueFile` are the kinds. The types check form;
the compiler checks meaning. Durations, timestamps and expressions stay the text that was written:
`core.authoring.text` and `core.cel` read them.
"""

from typing import Annotated, Final, Literal

import msgspec

from core.bundle import STICKY_VERSION_MAX
from core.cel.ast import LENGTH_MAX

ID_PATTERN: Final = "^[a-z0-9][a-z0-9._-]{0,79}$"
#: No word that is a value or operator in expressions.
NAME_PATTERN: Final = "^(?!(true|false|null|in)$)[a-z_][a-z0-9_]{0,79}$"
DURATION_PATTERN: Final = "^[0-9]{1,15}(ms|s|m|h|d)$"
TIMESTAMP_PATTERN: Final = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
)
CLOCK_PATTERN: Final = "^([01][0-9]|2[0-3]):[0-5][0-9]$"
#: Model files lie in the folder `models` of a catalogue: `.txt` of LightGBM, `.json` of XGBoost.
ARTIFACT_PATTERN: Final = "^models/(?!.*\\.\\.)[A-Za-z0-9_][A-Za-z0-9_./ -]{0,180}\\.(txt|json)$"
TEXT_LENGTH_MAX: Final = 2_048
TEMPLATE_LENGTH_MAX: Final = 256 * 1024
STEPS_MAX: Final = 100
BRANCHES_MAX: Final = 32
EXITS_MAX: Final = 32
PRIORITY_MAX: Final = 1_000_000
WEIGHT_MAX: Final = 1_000_000
CAP_MAX: Final = 1_000_000
CATEGORIES_MAX: Final = 65_536
POINTS_MAX: Final = 1_024
ARMS_MAX: Final = 1_024
DIMENSIONS_MAX: Final = 64
VECTOR_LENGTH_MAX: Final = 256
FILL_TAGS_MAX: Final = 16
APPROVED_BLOCKS_MAX: Final = 100_000
COMPONENT_MAX: Final = 1e6


def _text(pattern: str, description: str) -> msgspec.Meta:
    return msgspec.Meta(pattern=pattern, description=description)


Id = Annotated[str, _text(ID_PATTERN, "lower-case letters, digits, '.', '_' and '-', at most 80")]
Name = Annotated[
    str, _text(NAME_PATTERN, "a name usable in expressions: lower-case letters, digits and '_', at most 80")
]
EventName = Annotated[str, msgspec.Meta(min_length=1, max_length=128, description="an event's name")]
Duration = Annotated[str, _text(DURATION_PATTERN, 'a duration such as "90d", "36h", "15m", "1s" or "500ms"')]
Timestamp = Annotated[str, _text(TIMESTAMP_PATTERN, "a time in RFC 3339, such as 2026-11-23T17:43:29Z")]
Expression = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=LENGTH_MAX, description="a CEL expression (docs/expressions.md)"),
]
ClockTime = Annotated[str, _text(CLOCK_PATTERN, 'a time of day such as "21:30"')]
Locale = Annotated[
    str, _text("^[a-z]{2,3}(-[A-Z][a-z]{3})?(-[A-Z]{2})?$", "a language tag such as en or de-AT")
]
TimeScale = Annotated[float, msgspec.Meta(gt=0.0, le=1e6)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0, description="a share of all, from 0 to 1")]
PosteriorCount = Annotated[float, msgspec.Meta(ge=0.01, le=1e9)]
BlockHash = Annotated[str, _text("^[0-9a-f]{64}$", "the hash that `onevoice validate` tells, 64 hex digits")]
Component = Annotated[float, msgspec.Meta(ge=-COMPONENT_MAX, le=COMPONENT_MAX)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_LENGTH_MAX)]
Path = Annotated[
    str, msgspec.Meta(min_length=1, max_length=256, description="a dotted path, such as product.category")
]
AttributeName = Annotated[
    str,
    _text(
        "^(profile|context)\\.[a-z_][a-z0-9_]{0,79}$",
        "an attribute as in expressions: profile.ID or context.ID",
    ),
]
ModelAttributeName = Annotated[
    str,
    _text(
        "^(profile|context|offer)\\.[a-z_][a-z0-9_]{0,79}$",
        "what a model reads: profile.ID, context.ID, or offer.NAME of the offer that is scored",
    ),
]
ArtifactPath = Annotated[
    str, _text(ARTIFACT_PATTERN, "a file of the catalogue such as models/churn.txt or models/churn.json")
]
ArtifactFeature = Annotated[str, msgspec.Meta(min_length=1, max_length=256, description="a feature's name")]
ReadableName = Annotated[str, msgspec.Meta(min_length=1, max_length=80)]

Role = Literal["owner", "editor", "approver", "publisher", "legal"]
AttributeType = Literal["bool", "int", "float", "string", "timestamp", "strings"]
Function = Literal["count", "sum", "last", "first", "min", "max", "strings"]
SlotType = Literal["text", "url", "number", "bool"]
RuleKind = Literal["suppression", "exclusion", "brand_safety"]
GeneralExpressions = Literal["allowed", "off_decision_path", "forbidden"]
Scalar = bool | int | float | str


class _Authored(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    pass


class _Owned(_Authored, kw_only=True, frozen=True):
    """Everything that can be published has exactly one owner."""

    id: Id
    owner: Id
    description: Text = ""


class Person(_Authored, kw_only=True, frozen=True):
    """Someone who works on the catalogue."""

    id: Id
    name: Text = ""
    roles: Annotated[list[Role], msgspec.Meta(min_length=1)]


class BlockApproval(_Authored, kw_only=True, frozen=True):
    """An approver's word that a block may be put in by its tags, as long as its hash is this one."""

    block: Id
    hash: BlockHash
    by: Id


class Governance(_Authored, kw_only=True, frozen=True):
    """Who may own, edit, approve and publish; `approvals` says how many people must approve a revision, and a
    block that slots take by its tags (`approved_blocks`)."""

    approvals: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    people: Annotated[list[Person], msgspec.Meta(min_length=1)]
    approved_blocks: Annotated[list[BlockApproval], msgspec.Meta(max_length=APPROVED_BLOCKS_MAX)] = []


class QuietHours(_Authored, kw_only=True, frozen=True):
    """A span of the person's local day without messages on these channels; it may pass midnight."""

    channels: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=16)]
    start: ClockTime
    end: ClockTime


class Settings(_Authored, kw_only=True, frozen=True):
    """`stale_after`: age at which a profile record counts as stale. `behaviour_purposes`: any one granted
    lets behaviour shape the profile. `time_scale` divides every duration of journeys. `time_zone`: of people
    whose own (`profile.time_zone`) is not known. `general_expressions`: where expressions may be that the
    decision tables cannot hold."""

    stale_after: Duration = "30d"
    behaviour_purposes: list[Id] = msgspec.field(default_factory=lambda: ["analytics", "personalization"])
    time_scale: TimeScale = 1.0
    time_zone: ReadableName = "UTC"
    quiet_hours: list[QuietHours] = []
    general_expressions: GeneralExpressions = "allowed"


class Source(_Authored, kw_only=True, frozen=True):
    """How events make an attribute: either `trait`, or `events` with a `function` over them."""

    trait: Path | None = None
    events: list[EventName] = []
    function: Function | None = None
    property: Path | None = None
    where: dict[Path, Scalar | list[Scalar]] = {}
    window: Duration | None = None
    half_life: Duration | None = None
    granularity: Duration | None = None
    resets: list[EventName] = []
    subtract: list[EventName] = []


class Attribute(_Authored, kw_only=True, frozen=True):
    """A declared attribute: `profile.ID`, or `context.ID` if its source is the request's context.

    `source: score` is written by the hub's models and absent past its time to live.
    """

    id: Name
    owner: Id
    description: Text = ""
    type: AttributeType
    edge: bool = False
    default: bool | int | float | str | list[str] | None = None
    source: Source | Literal["context", "score"]


class Purpose(_Owned, kw_only=True, frozen=True):
    """A named use of data that a consent covers; with `gpc` the Global Privacy Control header denies it."""

    gpc: bool = False


class Diversity(_Authored, kw_only=True, frozen=True):
    """How much an offer loses for being like those that earlier placements of the same decision chose: at
    strength 0 nothing, at 1 nothing but that counts. Alike by common tags, or by the angle of vectors."""

    strength: Share
    by: Literal["tags", "vector"]


class Placement(_Owned, kw_only=True, frozen=True):
    """A named slot on a channel. `purpose: none` never uses the profile. A fallback of null leaves the slot
    out."""

    channel: Id
    purpose: Id
    answered_at: Literal["edge", "hub"] = "edge"
    deadline: Duration = "100ms"
    max_age: Duration | None = None
    allow_repeat: bool = False
    diversity: Diversity | None = None
    slots: Annotated[dict[Id, SlotType], msgspec.Meta(min_length=1, max_length=64)]
    fallback: dict[Id, Id | None]


class Translation(_Authored, kw_only=True, frozen=True):
    """A text block's words in another language; what is left out stays as it is."""

    value: Text | None = None
    prefix: Text | None = None
    suffix: Text | None = None


class Block(_Owned, kw_only=True, frozen=True):
    """A piece of content: a constant `value`, or an attribute's value (with `value` as its default) between
    prefix and suffix. Messages take the `translations` of the person's language."""

    type: SlotType
    value: bool | int | float | Text | None = None
    attribute: AttributeName | None = None
    prefix: Text = ""
    suffix: Text = ""
    tags: list[Id] = []
    translations: Annotated[dict[Locale, Translation], msgspec.Meta(max_length=64)] = {}


class Weight(_Authored, kw_only=True, frozen=True):
    """A context weight: multiplies the score when its expression holds."""

    when: Expression
    factor: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)]


class Fill(_Authored, kw_only=True, frozen=True):
    """Any approved block of the slot's type that has all the tags: the one with the fewest others
    (`closest`), or one drawn for each person (`sampled`)."""

    tags: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=FILL_TAGS_MAX)]
    choose: Literal["closest", "sampled"] = "closest"


class Treatment(_Authored, kw_only=True, frozen=True):
    """The offer's rendering for one placement: by slot a block, or the tags of those that may be in it."""

    id: Id
    placement: Id
    blocks: dict[Id, Id | Fill]


class Offer(_Owned, kw_only=True, frozen=True):
    """What may be proposed. Models read its `attributes` as `offer.NAME`. `vector`: where it lies among the
    others, for diversity."""

    tags: list[Id] = []
    attributes: Annotated[dict[Name, bool | int | float | Text], msgspec.Meta(max_length=256)] = {}
    vector: Annotated[list[Component], msgspec.Meta(max_length=VECTOR_LENGTH_MAX)] = []
    priority: Annotated[int, msgspec.Meta(ge=-PRIORITY_MAX, le=PRIORITY_MAX)] = 0
    value: Annotated[float, msgspec.Meta(ge=0.0, le=1e12)] = 1.0
    lever: Annotated[float, msgspec.Meta(ge=0.0, le=1e9)] = 1.0
    valid_from: Timestamp | None = None
    valid_until: Timestamp | None = None
    eligibility: Expression | None = None
    model: Id | None = None
    weights: list[Weight] = []
    exclusive_group: Id | None = None
    treatments: list[Treatment] = []


class Segment(_Authored, kw_only=True, frozen=True):
    """A rule-defined set of profiles, `segment.ID` in expressions."""

    id: Name
    owner: Id
    description: Text = ""
    when: Expression


class AppliesTo(_Authored, kw_only=True, frozen=True):
    """Which offers a rule or cap applies to: any that one of the lists names; none of them: every offer."""

    offers: list[Id] = []
    tags: list[Id] = []
    placements: list[Id] = []


class RuleAppliesTo(AppliesTo, kw_only=True, frozen=True):
    """As for a cap; with `block_tags` (and nothing else) the rule looks at the content that was put in."""

    block_tags: list[Id] = []


class Rule(_Owned, kw_only=True, frozen=True):
    """A hard rule that blocks when its expression holds, or when it cannot be known."""

    kind: RuleKind
    when: Expression
    applies_to: RuleAppliesTo = RuleAppliesTo()
    reason: Literal["suppressed", "open_ticket"] | None = None


class Cap(_Owned, kw_only=True, frozen=True):
    """At most `max` displays within the window, of one offer or of all that it applies to."""

    max: Annotated[int, msgspec.Meta(ge=0, le=CAP_MAX)]
    window: Duration
    per: Literal["offer", "all"] = "offer"
    channels: list[Id] = []
    applies_to: AppliesTo = AppliesTo()
    when: Expression | None = None


class Variant(_Authored, kw_only=True, frozen=True):
    """One arm. `offers` restricts the candidates; `blocks` (slot to block) replaces content."""

    id: Id
    weight: Annotated[int, msgspec.Meta(ge=1, le=WEIGHT_MAX)]
    offers: list[Id] | None = None
    blocks: dict[Id, Id | Fill] = {}


class Experiment(_Owned, kw_only=True, frozen=True):
    """A comparison by random assignment. In a layer, `range` says which part of it is this experiment's.

    `sticky`: whoever was shown a variant keeps it when weights or traffic change; another `sticky_version`
    forgets who was shown what.
    """

    salt: ReadableName | None = None
    layer: Id | None = None
    range: tuple[Share, Share] | None = None
    traffic: Share = 1.0
    eligibility: Expression | None = None
    placements: Annotated[list[Id], msgspec.Meta(min_length=1)]
    variants: Annotated[list[Variant], msgspec.Meta(min_length=1, max_length=64)]
    sticky: bool = False
    sticky_version: Annotated[int, msgspec.Meta(ge=0, le=STICKY_VERSION_MAX)] = 0


class Layer(_Owned, kw_only=True, frozen=True):
    """A slice of traffic in which experiments exclude each other."""

    salt: ReadableName | None = None


class Holdout(_Owned, kw_only=True, frozen=True):
    """Units kept out, to measure the whole effect: of all personalization, or of a programme: the listed
    placements, experiments and journeys.
    """

    salt: ReadableName | None = None
    share: Share
    placements: list[Id] = []
    experiments: list[Id] = []
    journeys: list[Id] = []


class Feature(_Authored, kw_only=True, frozen=True):
    """One term of a model. A string attribute needs `equals`."""

    attribute: ModelAttributeName
    weight: float = 1.0
    missing: float = 0.0
    equals: Text | None = None


class Input(_Authored, kw_only=True, frozen=True):
    """What a model file's feature is. A string attribute needs `categories`: its number is the place of its
    value in them, and a value that is not there counts as missing."""

    attribute: ModelAttributeName
    categories: Annotated[list[Text], msgspec.Meta(max_length=CATEGORIES_MAX)] = []


class Platt(_Authored, kw_only=True, frozen=True):
    """1 / (1 + exp(a * s + b)), of the model's output s; a is below 0 where more is better."""

    a: float
    b: float


class Isotonic(_Authored, kw_only=True, frozen=True):
    """The line through points: x ascending, y never falling; beyond the ends as at the ends."""

    x: Annotated[list[float], msgspec.Meta(min_length=1, max_length=POINTS_MAX)]
    y: Annotated[list[float], msgspec.Meta(min_length=1, max_length=POINTS_MAX)]


class Calibration(_Authored, kw_only=True, frozen=True):
    """What a model's output goes through at the end: one of the two."""

    platt: Platt | None = None
    isotonic: Isotonic | None = None


class Arm(_Authored, kw_only=True, frozen=True):
    """What is known of an offer: `alpha` and `beta` of a Beta distribution, `mean` and `deviation` of a
    Gaussian one, or for linucb `weights` and the `inverse` of its matrix."""

    alpha: PosteriorCount | None = None
    beta: PosteriorCount | None = None
    mean: float | None = None
    deviation: float | None = None
    weights: Annotated[list[float], msgspec.Meta(max_length=DIMENSIONS_MAX)] | None = None
    inverse: Annotated[list[list[float]], msgspec.Meta(max_length=DIMENSIONS_MAX)] | None = None


class Model(_Owned, kw_only=True, frozen=True):
    """`linear`: intercept + sum of weight * feature; `logistic` puts that through the logistic function.
    `trees`: a LightGBM or XGBoost file of the catalogue (`artifact`), whose features are told in `inputs`;
    `link` is the file's own unless given. `uplift`: the output of `treated` less that of `control`. `bandit`:
    a draw of what is known of each offer (`arms`, else `prior`), or for linucb the upper end of it, `width`
    deviations up; a share `floor` of decisions takes one of its offers at random."""

    kind: Literal["linear", "logistic", "trees", "uplift", "bandit"]
    intercept: float = 0.0
    features: Annotated[list[Feature], msgspec.Meta(max_length=4_096)] = []
    artifact: ArtifactPath | None = None
    inputs: Annotated[dict[ArtifactFeature, ModelAttributeName | Input], msgspec.Meta(max_length=4_096)] = {}
    link: Literal["raw", "logistic", "exp"] | None = None
    treated: Id | None = None
    control: Id | None = None
    policy: Literal["thompson", "linucb"] | None = None
    floor: Share | None = None
    width: Annotated[float, msgspec.Meta(ge=0.0, le=1e6)] | None = None
    arms: Annotated[dict[Id, Arm], msgspec.Meta(max_length=ARMS_MAX)] = {}
    prior: Arm | None = None
    calibration: Calibration | None = None


class Event(_Authored, kw_only=True, frozen=True):
    """A canonical event name, and other spellings of it. Naming a known event adds aliases to it."""

    name: EventName
    owner: Id
    aliases: list[EventName] = []
    description: Text = ""


class Template(_Owned, kw_only=True, frozen=True):
    """The master of a channel's messages. Texts are Liquid: `slots.NAME` is a block's content, `strings.KEY`
    the words of the person's language, `profile.ID` a declared attribute, `links.unsubscribe` and
    `links.preferences` where to go, `links.site` the site's address. `mjml` becomes HTML; without `text` the
    plain part is made from the HTML."""

    channel: Id
    sender: ReadableName
    reply_to: ReadableName | None = None
    subject: Text
    preheader: Text = ""
    mjml: Annotated[str, msgspec.Meta(max_length=TEMPLATE_LENGTH_MAX)] = ""
    text: Annotated[str, msgspec.Meta(max_length=TEMPLATE_LENGTH_MAX)] = ""
    locale: Locale = "en"
    strings: Annotated[dict[Locale, dict[Name, Text]], msgspec.Meta(max_length=64)] = {}


class Occurrence(_Authored, kw_only=True, frozen=True):
    """An event of a person, of which properties may be asked to have certain values."""

    event: EventName
    where: dict[Path, Scalar | list[Scalar]] = {}


class Exit(_Authored, kw_only=True, frozen=True):
    """What ends a journey wherever the person stands in it: an event, or an expression that holds."""

    event: EventName | None = None
    where: dict[Path, Scalar | list[Scalar]] = {}
    when: Expression | None = None


class WaitFor(_Authored, kw_only=True, frozen=True):
    """Wait for an event, but no longer than `at_most`; `then` and `otherwise` are steps, the next one if not
    named."""

    event: EventName
    where: dict[Path, Scalar | list[Scalar]] = {}
    at_most: Duration
    then: Id | None = None
    otherwise: Id | None = None


class Branch(_Authored, kw_only=True, frozen=True):
    """Go to a step if the expression holds."""

    when: Expression
    go: Id


class Send(_Authored, kw_only=True, frozen=True):
    """Decide a placement for the person and send the result in a template."""

    placement: Id
    template: Id


class Step(_Authored, kw_only=True, frozen=True):
    """One of `wait`, `wait_for`, `branch`, `send` or `end`; then `next`, or the step below."""

    id: Id
    wait: Duration | None = None
    wait_for: WaitFor | None = None
    branch: Annotated[list[Branch], msgspec.Meta(max_length=BRANCHES_MAX)] = []
    send: Send | None = None
    end: bool = False
    next: Id | None = None


class Reentry(_Authored, kw_only=True, frozen=True):
    """May a person who has been in the journey enter again: `after` a span since the last entry."""

    after: Duration


class Journey(_Owned, kw_only=True, frozen=True):
    """A sequence of steps that a person enters by an event. Who is inside finishes the version she entered.
    Nobody is in one journey twice at a time."""

    trigger: Occurrence
    when: Expression | None = None
    reentry: Literal["never", "always"] | Reentry = "never"
    exits: Annotated[list[Exit], msgspec.Meta(max_length=EXITS_MAX)] = []
    steps: Annotated[list[Step], msgspec.Meta(min_length=1, max_length=STEPS_MAX)]


class CatalogueFile(_Authored, kw_only=True, frozen=True):
    """One YAML file: every key is a kind, and every kind may come in any number of files."""

    governance: Governance | None = None
    settings: Settings | None = None
    attributes: list[Attribute] = []
    purposes: list[Purpose] = []
    placements: list[Placement] = []
    blocks: list[Block] = []
    offers: list[Offer] = []
    segments: list[Segment] = []
    rules: list[Rule] = []
    caps: list[Cap] = []
    experiments: list[Experiment] = []
    layers: list[Layer] = []
    holdouts: list[Holdout] = []
    models: list[Model] = []
    events: list[Event] = []
    templates: list[Template] = []
    journeys: list[Journey] = []


#: Kinds of which there is one object, and kinds that are lists, in the order of `CatalogueFile`.
SINGLE_KINDS: Final[tuple[str, ...]] = ("governance", "settings")
LIST_KINDS: Final[tuple[str, ...]] = tuple(
    name for name in CatalogueFile.__struct_fields__ if name not in SINGLE_KINDS
)
