"""The engine's check of a bundle: hostile bytes are an error with its place, never a crash."""

import random
import struct
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from core import bundle as b
from core.answers import LOG_PLACEMENT_FIELDS
from core.check import CANDIDATES_MAX
from core.decide import Engine, Request
from core.errors import BundleError
from core.events import Consent, Event, Identifier
from tests.core.sketch import (
    DAY,
    INT64_MAX,
    NOW,
    UNIT_KEY,
    Sketch,
    impressions_slot,
    int_slot,
    record,
    string_slot,
    strings_slot,
)


def special_models(number: int, text: int) -> list[b.Model]:
    """Trees with every list in them, the difference of two models, and a bandit."""
    trees = b.Trees(
        library=b.LIGHTGBM,
        base=0.25,
        link=b.LINK_LOGISTIC,
        scale=1.0,
        inputs=[b.TreeInput(number), b.TreeInput(text, ["Ulm", "Bonn"])],
        columns=[b.TreeColumn(2, 0, 1, 1, True), b.TreeColumn(0, 1, 1, 0, False)],
        leaf_counts=[3, 2],
        leaves=struct.pack("<5d", 1, 2, 3, 4, 5),
        thresholds=struct.pack("<2d", 1, 2),
        words=struct.pack("<6I", 0, 0, 1, 0, 1, 0),
        keeps=struct.pack("<6Q", *(2**64 - 1 - cleared for cleared in (1, 3, 1, 1, 1, 3))),
        sets=struct.pack("<2I", 0, 1),
        bits=struct.pack("<I", 2),
    )
    draws = struct.pack("<4d", 0.1, 0.9, 0.4, 0.5)
    bandit = b.Bandit(500_000, 2, [2, 3], draws)
    return [
        b.Model("trees", b.MODEL_TREES, 0.0, [], trees, b.Calibration(0.0, 0.0, [0.0, 1.0], [0.1, 0.2])),
        b.Model("uplift", b.MODEL_UPLIFT, 0.0, [], None, b.Calibration(-1.0, 0.5), 1, 0),
        b.Model("bandit", b.MODEL_BANDIT, 0.0, [], None, None, -1, -1, bandit),
    ]


def rich() -> Sketch:
    """A bundle with every kind of object in it."""
    sketch = Sketch()
    orders = sketch.attribute("profile.orders", b.INT, default=0)
    city = sketch.attribute("profile.city", b.STRING)
    tags = sketch.attribute("profile.tags", b.STRINGS, default=["a"], window_ms=9)
    device = sketch.attribute("context.device", b.STRING)
    conditions = [
        sketch.condition(b.OP_RANGE, orders, lo=1, hi=INT64_MAX),
        sketch.condition(b.OP_STRING_IN, city, strings=["Ulm", "Bonn"]),
        sketch.condition(b.OP_ANY_IN, tags, strings=["shoes"]),
        sketch.condition(b.OP_HAS, device),
        sketch.condition(b.OP_CONTAINS, device, strings=["mob"]),
        sketch.condition(
            b.OP_PROGRAM, program=[(0, orders), (b.P_INT, 2), (b.P_MUL, 0), (b.P_INT, 6), (b.P_GT, 0)]
        ),
        sketch.condition(b.OP_PROGRAM, program=[(0, city), (0, tags), (b.P_IN, 0)]),
    ]
    sketch.nodes.append(b.Node(b.NODE_AND, [2, 4, 6]))
    sketch.nodes.append(b.Node(b.NODE_OR, [3, 5, 7]))
    sketch.nodes.append(b.Node(b.NODE_AND, [16, 17, 8, 10, 12]))
    rules = [sketch.rule(f"rule-{i}", condition) for i, condition in enumerate(conditions)]
    rules += [sketch.formula("nodes", 16, 17), sketch.formula("deep", 18, 17)]
    sketch.models.append(
        b.Model(
            "m", b.MODEL_LOGISTIC, 0.1, [b.Feature(orders, 0.5, 0.0, None), b.Feature(city, 1.0, 0.0, "Ulm")]
        )
    )
    sketch.models += special_models(orders, city)
    sketch.placement()
    slots = [("title", b.SLOT_TEXT), ("link", b.SLOT_URL)]
    sketch.placement("second", purpose=-1, slots=slots, diversity=0.5, diverse_by=b.BY_VECTOR)
    tagged = sketch.block("tagged", "Wine", tags=["alcohol"])
    named = sketch.block("named", "you", attribute=city, prefix="Hello ")
    guards = [
        sketch.guard("quiet", b.SUPPRESSION, rules[1], "open_ticket"),
        sketch.guard("sober", b.EXCLUSION, rules[2], block_tags=["alcohol"], blocks=[tagged]),
        sketch.guard("brand", b.BRAND_SAFETY, rules[3]),
    ]
    for i in range(4):
        offer = sketch.offer(
            f"offer-{i}",
            eligibility=rules[i] if i else -1,
            model=(1, 2, 3, 3)[i],
            weights=[(rules[5], 1.5)],
            exclusive_group=i // 2,
            vector=[] if i else [0.6, -0.8],
        )
        caps = [sketch.cap(f"cap-{i}", 3, [offer], per=i % 2, channels=["web"], when=rules[4] if i else -1)]
        sketch.treatment(
            offer,
            blocks=[named if i else tagged],
            suppressions=[guards[0]],
            caps=caps,
            brand_safety=[guards[2]],
        )
    sketch.treatment(0, 1)
    others = [sketch.block("snow", "Snow"), sketch.block("hail", None, attribute=city)]
    drawn = sketch.fill(others, sampled=True)
    sketch.experiment(
        "test",
        [
            b.Variant("a", 500_000, None, {"headline": drawn}),
            b.Variant("b", 1_000_000, [0, 1], {"headline": tagged}),
        ],
        layer="layer",
        eligibility=rules[0],
        placements=[0, 1],
    )
    sketch.holdouts.append(b.Holdout("holdout", "h", 10_000, [1]))
    bought, viewed = ["Order Completed"], ["Product Viewed"]
    sketch.folds += [
        b.FoldRule(16, b.F_COUNT, b.INT, bought),
        b.FoldRule(17, b.F_LAST, b.STRING, [], "traits.city"),
        b.FoldRule(18, b.F_STRINGS, b.STRINGS, viewed, "category", {"shop": ["web", 1, True]}, window_ms=DAY),
        b.FoldRule(20, b.F_SUM, b.FLOAT, bought, "total", window_ms=DAY, granularity_ms=DAY, resets=viewed),
        b.FoldRule(
            21, b.F_SUM, b.FLOAT, bought, "total", half_life_ms=DAY, granularity_ms=DAY, subtract=viewed
        ),
        b.FoldRule(22, b.F_MIN, b.TIMESTAMP, viewed, "at"),
    ]
    sketch.placement("mail", channel="email", purpose=1, answered_at=b.ANSWERED_AT_HUB)
    sketch.outbound = outbound(rules)
    return sketch


def outbound(rules: list[int]) -> b.Outbound:
    bought = b.Occurrence("Order Completed", {"shop": ["web", 1, True]})
    strings = {"en": {"hello": "Hello"}, "de": {"hello": "Hallo"}}
    template = b.Template("t", "email", "s@example.com", "", "x", "y", "<mjml/>", "z", "en", strings)
    steps = [
        b.Step("pause", b.STEP_WAIT, 1, 5_000),
        b.Step("bought", b.STEP_WAIT_FOR, 2, 9_000, bought, -1, 2),
        b.Step("who", b.STEP_BRANCH, 3, branches=[(rules[0], 4), (rules[7], 0)]),
        b.Step("mail", b.STEP_SEND, 0, placement=2, template=0),
        b.Step("last", b.STEP_END),
    ]
    exits = [b.Exit(bought, -1), b.Exit(None, rules[8])]
    return b.Outbound(
        templates=[template],
        journeys=[b.Journey("j", b.Occurrence("Product Viewed", {}), rules[1], 7 * DAY, exits, steps)],
        quiet_hours=[b.QuietHours(["email"], 22 * 60, 7 * 60)],
        time_zone="Europe/Berlin",
        time_scale=24.0,
        translations={"tagged": {"de": ("Wein", None, None)}},
    )


RECORD = record(
    {
        5: impressions_slot([("offer-0", "web", NOW // 60_000, 2)]),
        16: int_slot(4),
        17: string_slot("Ulm"),
        18: strings_slot({"shoes": NOW, "Ulm": NOW}),
    }
)
PERSON = (Identifier("anon", bytes(16), True),)
OVERLAY = (
    Event(
        "m-1",
        "consent",
        "Consent",
        NOW - 9,
        NOW - 9,
        PERSON,
        consent=Consent("personalization", "granted", "1", "x"),
    ),
    Event("m-2", "track", "Bought", NOW - 8, NOW - 8, PERSON, {"total": 9.5, "category": "shoes"}),
    Event(
        "m-3",
        "track",
        "Product Viewed",
        NOW - 7,
        NOW - 7,
        PERSON,
        {"category": "hats", "shop": "web", "total": 1},
    ),
    Event("m-4", "identify", "Identify", NOW - 6, NOW - 6, PERSON, {}, {"city": "Bonn"}),
)
REQUEST = Request("d", ("home.hero", "second", "gone"), {"device": "mobile"}, UNIT_KEY, trace=True)


def use(content: bytes) -> None:
    """Everything an engine can do."""
    engine = Engine(content, 1)
    for held in (RECORD, None):
        engine.decide(held, (), REQUEST, NOW).log_row()
        engine.decide(held, OVERLAY, REQUEST, NOW)
        engine.match(held, {"device": "tv"}, NOW)
    engine.fallback(REQUEST, NOW, "deadline")


def test_the_rich_bundle_is_accepted() -> None:
    use(rich().content())


def mutate(value: Any, draw: random.Random) -> Any:
    """One value somewhere inside a decoded bundle replaced by another."""
    if isinstance(value, list) and value:
        place = draw.randrange(len(value) + 1)
        if place == len(value):
            return draw.choice([[], value[:-1], value + value[-1:], value[::-1]])
        return [*value[:place], mutate(value[place], draw), *value[place + 1 :]]
    if isinstance(value, dict) and value:
        key = draw.choice(sorted(value))
        return {**value, key: mutate(value[key], draw)}
    numbers = [
        -(2**63),
        -2,
        -1,
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        15,
        16,
        33,
        1000,
        4096,
        2**31,
        2**32,
        2**63,
        2**64 - 1,
    ]
    others: list[Any] = [
        "",
        "x",
        "context.x",
        True,
        None,
        0.0,
        float("nan"),
        float("inf"),
        1e308,
        [],
        [0],
        {},
    ]
    if isinstance(value, int) and draw.random() < 0.9:
        return draw.choice([*numbers, max(value - 1, -(2**63)), min(value + 1, 2**64 - 1)])
    return draw.choice(numbers + others)


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**48))
@example(0)
def test_a_bundle_with_changed_values_is_refused_or_works(seed: int) -> None:
    draw = random.Random(seed)
    document = msgspec.msgpack.decode(rich().content()[len(b.MAGIC) :])
    for _ in range(draw.randrange(1, 4)):
        document = mutate(document, draw)
    with suppress(BundleError):
        use(b.MAGIC + msgspec.msgpack.encode(document))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**48))
def test_a_bundle_with_changed_bytes_is_refused_or_works(seed: int) -> None:
    draw = random.Random(seed)
    content = bytearray(rich().content())
    for _ in range(draw.randrange(1, 5)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    if draw.random() < 0.2:
        del content[draw.randrange(len(content)) :]
    with suppress(BundleError):
        use(bytes(content))


Change = Callable[[Sketch], object]


def change(items: str, index: int, **fields: Any) -> Change:
    """Replace fields of one object of the sketch."""

    def apply(sketch: Sketch) -> None:
        objects = getattr(sketch, items)
        objects[index] = msgspec.structs.replace(objects[index], **fields)

    return apply


def messages(*way: str | int, **fields: Any) -> Change:
    """Replace fields of one object in the outbound part."""

    def replaced(value: Any, way: tuple[str | int, ...]) -> Any:
        if not way:
            return msgspec.structs.replace(value, **fields)
        first, rest = way[0], way[1:]
        if isinstance(first, str):
            return msgspec.structs.replace(value, **{first: replaced(getattr(value, first), rest)})
        return [*value[:first], replaced(value[first], rest), *value[first + 1 :]]

    def apply(sketch: Sketch) -> None:
        sketch.outbound = replaced(sketch.outbound, way)

    return apply


def step(at: int, **fields: Any) -> Change:
    return messages("journeys", 0, "steps", at, **fields)


def program(*steps: tuple[int, Any]) -> Change:
    return change("conditions", 6, program=list(steps))


@pytest.mark.parametrize(
    ("apply", "path"),
    [
        (change("attributes", 0, type=7), "$.attributes[0].type"),
        (change("attributes", 0, reading=b.READ_SCORE), "$.attributes[0].type"),
        (change("attributes", 0, slot=15), "$.attributes[0].slot"),
        (change("attributes", 0, slot=4096), "$.attributes[0].slot"),
        (change("attributes", 0, default="x"), "$.attributes[0].default"),
        (change("attributes", 0, default=True), "$.attributes[0].default"),
        (change("attributes", 3, slot=0), "$.attributes[3].slot"),
        (change("attributes", 1, name="profile.orders"), "$.attributes"),
        (change("conditions", 0, op=b.OP_HAS), "$.tables.conditions[0]"),
        (change("conditions", 1, op=b.OP_CONSTANT), "$.tables.conditions[1].op"),
        (change("conditions", 0, attribute=-7), "$.tables.conditions[0]"),
        (change("conditions", 6, attribute=-7), "$.tables.conditions[6].attribute"),
        (change("conditions", 1, attribute=4), "$.tables.conditions[1].attribute"),
        (change("conditions", 1, attribute=1), "$.tables.conditions[1].attribute"),
        (change("conditions", 1, hi=2**63), "$.tables.conditions[1].hi"),
        (change("conditions", 5, strings=[]), "$.tables.conditions[5].strings"),
        (program((b.P_INT, 1)), "$.tables.conditions[6].program"),
        (program((b.P_ADD, 0)), "$.tables.conditions[6].program[0]"),
        (program((0, 4)), "$.tables.conditions[6].program[0]"),
        (program((0, -1)), "$.tables.conditions[6].program[0]"),
        (program((8, 0)), "$.tables.conditions[6].program[0]"),
        (program((b.P_INT, True)), "$.tables.conditions[6].program[0]"),
        (program((b.P_STRING, "x"), (b.P_NEG, 0)), "$.tables.conditions[6].program[1]"),
        (program((0, 0), (0, 1), (b.P_EQ, 0)), "$.tables.conditions[6].program[2]"),
        (program((0, 0), (0, 1), (b.P_CONTAINS, 0)), "$.tables.conditions[6].program[2]"),
        (program(*[(b.P_BOOL, True)] * 33), "$.tables.conditions[6].program[32]"),
        (change("nodes", 0, inputs=[]), "$.tables.nodes[0].inputs"),
        (change("nodes", 0, inputs=[16]), "$.tables.nodes[0].inputs"),
        (change("nodes", 1, inputs=[-1]), "$.tables.nodes[1].inputs"),
        (change("nodes", 1, op=2), "$.tables.nodes[1].op"),
        (change("rules", 0, true_ref=19), "$.rules[0].true_ref"),
        (change("rules", 0, attributes=[1]), "$.rules[0].attributes"),
        (change("purposes", 0, slot=5), "$.purposes[0].slot"),
        (change("purposes", 0, id="email2"), "$.purposes"),
        (change("placements", 0, purpose=5), "$.placements[0].purpose"),
        (change("placements", 0, treatments=[1, 0]), "$.placements[0].treatments"),
        (change("placements", 0, treatments=[0, 0]), "$.placements[0].treatments"),
        (change("placements", 0, treatments=[4]), "$.placements[0].treatments"),
        (change("placements", 0, treatments=[5]), "$.placements[0].treatments"),
        (change("placements", 0, fallback=[]), "$.placements[0].fallback"),
        (change("placements", 0, slots=[("headline", b.SLOT_URL)]), "$.treatments[0].blocks"),
        (change("placements", 0, fallback=[2]), "$.placements[0].fallback"),
        (change("placements", 0, id="second"), "$.placements"),
        (change("treatments", 0, blocks=[99]), "$.treatments[0].blocks"),
        (change("treatments", 0, suppressions=[2]), "$.treatments[0].suppressions"),
        (change("treatments", 0, exclusions=[1]), "$.treatments[0].exclusions"),
        (change("treatments", 0, caps=[1, 0]), "$.treatments[0].caps"),
        (change("treatments", 0, offer=-1), "$.treatments[0].offer"),
        (change("offers", 0, id="z"), "$.offers"),
        (change("offers", 0, value=float("nan")), "$.offers[0].value"),
        (change("offers", 0, eligibility=9), "$.offers[0].eligibility"),
        (change("offers", 0, model=4), "$.offers[0].model"),
        (change("offers", 0, exclusive_group=4), "$.offers[0].exclusive_group"),
        (change("treatments", 0, blocks=[-3]), "$.treatments[0].blocks"),
        (change("placements", 0, fallback=[-2]), "$.placements[0].fallback"),
        (change("fills", 0, blocks=[99]), "$.fills[0].blocks"),
        (change("fills", 0, blocks=[0, 0]), "$.fills[0].blocks"),
        (change("fills", 0, blocks=[0]), "$.fills[0].blocks"),
        (change("offers", 0, vector=[0.6, 1.5]), "$.offers[0].vector"),
        (change("offers", 1, vector=[1.0]), "$.offers[1].vector"),
        (change("offers", 0, vector=[0.0, float("nan")]), "$.offers[0].vector"),
        (change("offers", 0, vector=[0.0] * 257), "$.offers[0].vector"),
        (change("placements", 1, diversity=1.5), "$.placements[1].diversity"),
        (change("placements", 1, diversity=float("nan")), "$.placements[1].diversity"),
        (change("placements", 1, diverse_by=2), "$.placements[1].diverse_by"),
        (change("offers", 0, weights=[(9, 1.0)]), "$.offers[0].weights"),
        (change("blocks", 0, value=None), "$.blocks[0].value"),
        (change("blocks", 0, attribute=2), "$.blocks[0].attribute"),
        (change("guards", 0, reason=0), "$.guards[0].reason"),
        (change("guards", 0, block_tags=["x"]), "$.guards[0].block_tags"),
        (change("guards", 1, blocks=[99]), "$.guards[1].blocks"),
        (change("caps", 0, window_minutes=0), "$.caps[0].window_minutes"),
        (change("caps", 0, offers=[4]), "$.caps[0].offers"),
        (change("experiments", 0, variants=[]), "$.experiments[0].variants"),
        (change("experiments", 0, layer_to=1_000_001), "$.experiments[0].layer_to"),
        (change("experiments", 0, placements=[3]), "$.experiments[0].placements"),
        (change("experiments", 0, variants=[b.Variant("a", 999_999, None, {})]), "$.experiments[0].variants"),
        (
            change("experiments", 0, variants=[b.Variant("a", 1_000_000, None, {"link": 0})]),
            "$.experiments[0].variants[0].blocks.link",
        ),
        (change("experiments", 0, sticky_version=-1), "$.experiments[0].sticky_version"),
        (change("experiments", 0, sticky_version=1_000_001), "$.experiments[0].sticky_version"),
        (change("holdouts", 0, share=-1), "$.holdouts[0].share"),
        (change("holdouts", 0, placements=[3]), "$.holdouts[0].placements"),
        (change("holdouts", 0, experiments=[9]), "$.holdouts[0].experiments"),
        (change("holdouts", 0, experiments=[-1]), "$.holdouts[0].experiments"),
        (change("holdouts", 0, journeys=[9]), "$.holdouts[0].journeys"),
        (change("models", 0, intercept=float("inf")), "$.models[0].intercept"),
        (change("models", 0, features=[b.Feature(2, 1.0, 0.0, None)]), "$.models[0].features[0].attribute"),
        (change("models", 0, features=[b.Feature(0, 1.0, 0.0, "x")]), "$.models[0].features[0].attribute"),
        (change("models", 0, kind=5), "$.models[0].kind"),
        (change("models", 0, kind=b.MODEL_TREES), "$.models[0].trees"),
        (change("models", 0, treated=0), "$.models[0].treated"),
        (change("models", 2, treated=2), "$.models[2].treated"),
        (change("models", 2, control=9), "$.models[2].control"),
        (change("models", 1, calibration=b.Calibration(0, 0, [1, 0], [0, 0])), "$.models[1].calibration.x"),
        (change("models", 1, calibration=b.Calibration(0.0, 0.0, [1.0], [])), "$.models[1].calibration.y"),
        (change("models", 1, calibration=b.Calibration(float("nan"), 0.0)), "$.models[1].calibration"),
        (change("models", 3, bandit=None), "$.models[3].bandit"),
        (change("models", 3, bandit=b.Bandit(0, 2, [2, 9], bytes(32))), "$.models[3].bandit.arms"),
        (change("models", 3, bandit=b.Bandit(0, 2, [2, 3], bytes(24))), "$.models[3].bandit.draws"),
        (change("models", 3, bandit=b.Bandit(0, 0, [2, 3], b"")), "$.models[3].bandit.samples"),
        (change("models", 3, bandit=b.Bandit(10**7, 1, [2, 3], bytes(16))), "$.models[3].bandit.floor"),
        (
            change("models", 3, bandit=b.Bandit(0, 1, [2, 3], b"", 1.0, bytes(8), bytes(16))),
            "$.models[3].bandit.weights",
        ),
        (messages(time_scale=0.0), "$.outbound.time_scale"),
        (messages(time_scale=float("nan")), "$.outbound.time_scale"),
        (messages(translations={"gone": {}}), "$.outbound.translations"),
        (messages("templates", 0, locale=""), "$.outbound.templates[0]"),
        (messages("quiet_hours", 0, start=24 * 60), "$.outbound.quiet_hours[0].start"),
        (messages("quiet_hours", 0, end=22 * 60), "$.outbound.quiet_hours[0].end"),
        (messages("journeys", 0, when=9), "$.outbound.journeys[0].when"),
        (messages("journeys", 0, reentry_ms=-2), "$.outbound.journeys[0].reentry_ms"),
        (messages("journeys", 0, steps=[]), "$.outbound.journeys[0].steps"),
        (messages("journeys", 0, "exits", 0, occurrence=None), "$.outbound.journeys[0].exits[0]"),
        (messages("journeys", 0, "exits", 1, rule=9), "$.outbound.journeys[0].exits[1].rule"),
        (step(0, id="who"), "$.outbound.journeys[0].steps"),
        (step(0, kind=5), "$.outbound.journeys[0].steps[0].kind"),
        (step(0, next=5), "$.outbound.journeys[0].steps[0].next"),
        (step(0, duration_ms=0), "$.outbound.journeys[0].steps[0].duration_ms"),
        (step(1, occurrence=None), "$.outbound.journeys[0].steps[1].occurrence"),
        (step(1, then=-2), "$.outbound.journeys[0].steps[1].then"),
        (step(2, branches=[(9, 0)]), "$.outbound.journeys[0].steps[2].branches"),
        (step(2, branches=[(0, 5)]), "$.outbound.journeys[0].steps[2].branches"),
        (step(2, branches=[(0, 3)], next=2), "$.outbound.journeys[0].steps"),
        (step(3, next=2), "$.outbound.journeys[0].steps"),
        (step(3, placement=3), "$.outbound.journeys[0].steps[3].placement"),
        (step(3, placement=0), "$.outbound.journeys[0].steps[3].placement"),
        (step(3, template=-1), "$.outbound.journeys[0].steps[3].template"),
        (change("placements", 2, channel="sms"), "$.outbound.journeys[0].steps[3].template"),
    ],
)
def test_a_fault_is_named_with_its_path(apply: Change, path: str) -> None:
    sketch = rich()
    apply(sketch)
    with pytest.raises(BundleError) as caught:
        Engine(sketch.content(), 1)
    assert caught.value.path == path
    assert caught.value.expected
    assert caught.value.got


def test_foreign_bytes_are_refused() -> None:
    for content in (b"", b.MAGIC, b"OV1B\x02\x00\x00\x00", b.MAGIC + b"\x90", rich().content()[:-1]):
        with pytest.raises(BundleError):
            Engine(content, 1)


def test_offers_of_equal_hash_are_refused() -> None:
    """Impressions are counted by hash; no two ids of a test can collide, so the table is asked directly."""
    from core.caps import Caps

    sketch = Sketch()
    sketch.offer("same")
    with pytest.raises(BundleError):
        Caps([], [sketch.offers[0], sketch.offers[0]])


def test_an_edge_placement_may_not_need_what_edges_lack() -> None:
    sketch = rich()
    document = msgspec.structs.replace(sketch.document(), edge_slots=[17, 18])
    with pytest.raises(BundleError, match=r"profile\.orders"):
        Engine(b.encode_bundle(document), 1)
    at_hub = [msgspec.structs.replace(p, answered_at=b.ANSWERED_AT_HUB) for p in document.placements]
    Engine(b.encode_bundle(msgspec.structs.replace(document, placements=at_hub)), 1)


def test_a_consent_that_edges_lack_is_refused_for_an_edge_placement() -> None:
    sketch = rich()
    sketch.purposes.append(b.Purpose("care", 99, False))
    sketch.placements[0] = msgspec.structs.replace(sketch.placements[0], purpose=5)
    with pytest.raises(BundleError, match="care"):
        Engine(sketch.content(), 1)


def test_as_many_candidates_as_allowed() -> None:
    sketch = Sketch()
    sketch.placement()
    missing = sketch.block("missing", attribute=sketch.attribute("profile.x", b.STRING))
    for i in range(CANDIDATES_MAX):
        sketch.treatment(sketch.offer(f"o{i:04d}"), blocks=[missing])
    decision = Engine(sketch.content(), 1).decide(
        record(), (), Request("d", ("home.hero",), {}, UNIT_KEY), NOW
    )
    assert decision.reasons == ("no_content",)
    [answer] = decision.log_row()[-1]
    assert answer[LOG_PLACEMENT_FIELDS.index("refused_count")] == CANDIDATES_MAX
    sketch.treatment(sketch.offer("p"), blocks=[missing])
    with pytest.raises(BundleError, match="1024"):
        Engine(sketch.content(), 1)


def wide(attributes: int) -> tuple[Engine, bytes, Request]:
    """An engine whose rules read many attributes of record and context, and matching inputs."""
    sketch = Sketch()
    sketch.placement()
    slots = {}
    context: dict[str, Any] = {}
    conditions = []
    for i in range(attributes):
        if i % 2:
            conditions.append(
                sketch.condition(
                    b.OP_STRING_IN, sketch.attribute(f"context.c{i}", b.STRING), strings=[f"value-{i}"]
                )
            )
            context[f"c{i}"] = f"value-{i}"
        else:
            number = sketch.attribute(f"profile.p{i}", b.INT)
            conditions.append(sketch.condition(b.OP_RANGE, number, lo=0, hi=10_000))
            slots[16 + number] = int_slot(1_000 + i)
    sketch.nodes.append(b.Node(b.NODE_AND, [2 * condition for condition in conditions]))
    rule = sketch.formula("all", 2 * len(sketch.conditions), 1)
    sketch.treatment(sketch.offer("a", eligibility=rule))
    return Engine(sketch.content(), 1), record(slots), Request("d", ("home.hero",), context, UNIT_KEY)


def objects_made(attributes: int) -> int:
    """Blocks that Python allocates while it decides once, the Decision and its parts included."""
    engine, held, request = wide(attributes)
    kept = [engine.decide(held, (), request, NOW) for _ in range(8)]
    assert kept[0].reasons == ("ok",)
    tracemalloc.start()
    try:
        before = tracemalloc.take_snapshot()
        kept.append(engine.decide(held, (), request, NOW))
        after = tracemalloc.take_snapshot()
    finally:
        tracemalloc.stop()
    mine = tracemalloc.Filter(False, tracemalloc.__file__)
    differences = after.filter_traces([mine]).compare_to(before.filter_traces([mine]), "filename")
    return sum(difference.count_diff for difference in differences)


def test_objects_allocated_by_a_decision_do_not_depend_on_the_number_of_attributes() -> None:
    few, many = objects_made(10), objects_made(500)
    assert 0 < few < 40
    assert many == few
