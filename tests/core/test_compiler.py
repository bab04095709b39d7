"""From a catalogue without faults to its bundle."""

from pathlib import Path
from typing import Any

import pytest

from core import bundle
from core.authoring import Catalogue
from core.check import check_bundle
from core.compiler import compile_catalogue
from core.compiler.layout import Layout
from core.reasons import REASONS
from hub.decisioning.authoring import read_catalogue
from tests.catalogues import files_of, small

ROOT = Path(__file__).resolve().parent.parent.parent
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


def compiled(files: dict[str, str], layout: Layout | None = None) -> bundle.BundleDocument:
    content, _ = compile_catalogue(read_catalogue(files), layout or [])
    return bundle.decode_bundle(content)


def changed(files: dict[str, str], name: str, old: str, new: str) -> dict[str, str]:
    assert files[name].count(old) == 1, f"{old!r} is not once in {name}"
    return {**files, name: files[name].replace(old, new)}


@pytest.fixture(scope="module")
def document() -> bundle.BundleDocument:
    return compiled(small())


def by_id(items: list[Any]) -> dict[str, Any]:
    return {item.id: item for item in items}


def rule(document: bundle.BundleDocument, name: str) -> bundle.Rule:
    return by_id(document.rules)[name]


def names(document: bundle.BundleDocument, indexes: list[int]) -> list[str]:
    return [document.attributes[index].name for index in indexes]


# ---- The whole


@pytest.mark.parametrize(
    "folder",
    [
        "tests/catalogues/small",
        "examples/shop/catalogue",
        "examples/catalogues/complete_journey",
        "examples/catalogues/online_retail",
    ],
)
def test_catalogues_compile_to_bundles_that_an_engine_accepts(folder: str) -> None:
    check_bundle(compiled(files_of(ROOT / folder)))


def test_equal_input_gives_equal_bytes() -> None:
    files = small()
    content, layout = compile_catalogue(read_catalogue(files), [])
    assert compile_catalogue(read_catalogue(files), []) == (content, layout)
    assert compile_catalogue(read_catalogue(dict(reversed(files.items()))), []) == (content, layout)
    assert compile_catalogue(read_catalogue(files), layout) == (content, layout)


def test_objects_may_be_anywhere_in_any_file() -> None:
    files = small()
    for kind in ("caps:", "rules:"):
        assert kind in files["rules.yaml"]
    moved = {**files, "rules.yaml": "", "a.yaml": files["rules.yaml"]}
    before, after = compiled(files), compiled(moved)
    assert before.sources["cap:hero-offer-weekly"].startswith("rules.yaml:")
    assert after.sources["cap:hero-offer-weekly"].startswith("a.yaml:")
    after.sources.clear()
    before.sources.clear()
    assert before == after


def test_lists_are_in_id_order(document: bundle.BundleDocument) -> None:
    for name in (
        "rules",
        "placements",
        "treatments",
        "offers",
        "blocks",
        "guards",
        "caps",
        "experiments",
        "holdouts",
        "models",
    ):
        found = [item.id for item in getattr(document, name)]
        assert found == sorted(found)
        assert found
    attributes = [attribute.name for attribute in document.attributes]
    assert attributes == sorted(attributes)


def test_sources_say_where_each_object_was_written(document: bundle.BundleDocument) -> None:
    lines = {name: text.splitlines() for name, text in small().items()}
    for source in (
        "offer:wine",
        "treatment:wine-hero",
        "rule:dry-hours",
        "segment:vips",
        "event:Size Guide Opened",
        "model:basket-value",
    ):
        file, line = document.sources[source].split(":")
        assert source.split(":")[1] in lines[file][int(line) - 1]
    assert set(compiled_without_places().sources) == {"catalogue"}


def compiled_without_places() -> bundle.BundleDocument:
    read = read_catalogue(small())
    bare = Catalogue(
        **{
            name: getattr(read, name)
            for name in read.__struct_fields__
            if name not in ("places", "faults", "unknown")
        }
    )
    return bundle.decode_bundle(compile_catalogue(bare, [])[0])


# ---- Attributes, folds, slots


@pytest.mark.parametrize(
    ("name", "kind", "reading", "edge", "default", "window_ms"),
    [
        ("profile.orders_90d", bundle.INT, bundle.READ_BUCKETS, True, 0, 0),
        ("profile.revenue_90d", bundle.FLOAT, bundle.READ_BUCKETS, True, 0.0, 0),
        ("profile.orders", bundle.INT, bundle.READ_TOTAL, True, 0, 0),
        ("profile.interest", bundle.FLOAT, bundle.READ_BUCKETS, True, 0.0, 0),
        ("profile.categories", bundle.STRINGS, bundle.READ_PLAIN, True, None, 30 * DAY_MS),
        ("profile.first_name", bundle.STRING, bundle.READ_PLAIN, True, None, 0),
        ("profile.age", bundle.INT, bundle.READ_PLAIN, False, None, 0),
        ("profile.vip", bundle.BOOL, bundle.READ_PLAIN, True, False, 0),
        ("profile.tier", bundle.STRING, bundle.READ_PLAIN, True, "none", 0),
        ("profile.birthday", bundle.TIMESTAMP, bundle.READ_PLAIN, True, None, 0),
        ("profile.churn_risk", bundle.FLOAT, bundle.READ_SCORE, True, None, 0),
        ("context.store", bundle.STRING, bundle.READ_CONTEXT, True, "web", 0),
        ("context.temperature", bundle.FLOAT, bundle.READ_CONTEXT, True, None, 0),
        ("context.device", bundle.STRING, bundle.READ_CONTEXT, True, None, 0),
        ("context.gpc", bundle.BOOL, bundle.READ_CONTEXT, True, None, 0),
    ],
)
def test_attributes_are_read_as_declared(
    document: bundle.BundleDocument,
    name: str,
    kind: int,
    reading: int,
    edge: bool,
    default: object,
    window_ms: int,
) -> None:
    [found] = [attribute for attribute in document.attributes if attribute.name == name]
    assert (found.type, found.reading, found.edge, found.window_ms) == (kind, reading, edge, window_ms)
    assert (found.default, type(found.default)) == (default, type(default))
    assert (found.slot == -1) == (reading == bundle.READ_CONTEXT)


def fold_of(document: bundle.BundleDocument, name: str) -> bundle.FoldRule:
    [slot] = [attribute.slot for attribute in document.attributes if attribute.name == name]
    [found] = [fold for fold in document.folds if fold.slot == slot]
    return found


def test_folds_feed_the_slots(document: bundle.BundleDocument) -> None:
    assert [fold.slot for fold in document.folds] == sorted(fold.slot for fold in document.folds)
    cart = fold_of(document, "profile.cart_items")
    assert (cart.function, cart.type, cart.events) == (bundle.F_COUNT, bundle.INT, ["Product Added"])
    assert (cart.subtract, cart.resets) == (["Product Removed"], ["Order Completed"])
    assert (cart.window_ms, cart.granularity_ms) == (14 * DAY_MS, 6 * HOUR_MS)
    interest = fold_of(document, "profile.interest")
    assert interest.where == {"category": ["shoes", "boots"]}
    assert (interest.type, interest.half_life_ms, interest.granularity_ms) == (bundle.INT, 7 * DAY_MS, DAY_MS)
    revenue = fold_of(document, "profile.revenue_90d")
    assert (revenue.function, revenue.type, revenue.property) == (bundle.F_SUM, bundle.FLOAT, "revenue")
    tier = fold_of(document, "profile.tier")
    assert (tier.function, tier.events, tier.property) == (bundle.F_LAST, ["Identify"], "traits.loyalty.tier")
    categories = fold_of(document, "profile.categories")
    assert (categories.function, categories.window_ms, categories.granularity_ms) == (bundle.F_STRINGS, 0, 0)
    assert fold_of(document, "profile.lowest_price").function == bundle.F_MIN


def slots_of(layout: Layout) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for name, _, slot in layout:
        found.setdefault(name, []).append(slot)
    return found


def test_slots_are_append_only() -> None:
    files = small()
    first = compiled(files)
    slots = [slot for _, _, slot in first.layout]
    assert slots == list(range(16, 16 + len(slots)))

    more = changed(
        files,
        "attributes.yaml",
        "attributes:\n",
        "attributes:\n  - {id: aaa, owner: ada, type: bool, source: {trait: a}}\n",
    )
    second = compiled(more, first.layout)
    assert second.layout[:-1] == first.layout
    assert slots_of(second.layout)["aaa"] == [slots[-1] + 1]
    assert second.layout_id != first.layout_id

    # Gone and back again: the same slot. What was in between is never given to another.
    third = compiled(files, second.layout)
    assert third.layout == second.layout
    assert compiled(more, third.layout).layout == second.layout


@pytest.mark.parametrize(
    ("old", "new", "is_new"),
    [
        ("window: 90d}\n  - id: revenue_90d", "window: 60d}\n  - id: revenue_90d", True),
        ("type: int\n    source: {trait: age}", "type: int\n    edge: true\n    source: {trait: age}", False),
        ("category, window: 30d}", "category, window: 10d}", False),
        ("type: int\n    source: {trait: age}", "type: float\n    source: {trait: age}", True),
        ("default: false", "default: true", False),
        ("[shoes, boots]", "[shoes]", True),
    ],
)
def test_a_changed_type_or_aggregation_takes_a_new_slot(old: str, new: str, is_new: bool) -> None:
    first = compiled(small())
    second = compiled(changed(small(), "attributes.yaml", old, new), first.layout)
    assert len(second.layout) == len(first.layout) + is_new
    assert second.layout[: len(first.layout)] == first.layout


@pytest.mark.parametrize(
    ("window", "granularity_ms"),
    [
        ("1s", 1_000),
        ("1m", 1_000),
        ("1h", 60_000),
        ("24h", 30 * 60_000),
        ("7d", 3 * HOUR_MS),
        ("30d", 12 * HOUR_MS),
        ("90d", 2 * DAY_MS),
        ("100d", 2 * DAY_MS),
        ("365d", 146 * HOUR_MS),
        ("10d", 4 * HOUR_MS),
    ],
)
def test_granularity_follows_from_the_window(window: str, granularity_ms: int) -> None:
    files = changed(
        small(),
        "attributes.yaml",
        "window: 90d}\n  - id: revenue_90d",
        f"window: {window}}}\n  - id: revenue_90d",
    )
    fold = fold_of(compiled(files), "profile.orders_90d")
    assert fold.granularity_ms == granularity_ms
    assert fold.window_ms % granularity_ms == 0
    assert fold.window_ms // granularity_ms <= 60


# ---- Purposes, events, settings


def test_built_in_purposes_come_first(document: bundle.BundleDocument) -> None:
    found = [(purpose.id, purpose.slot, purpose.gpc) for purpose in document.purposes]
    assert found[:5] == [
        ("personalization", 0, False),
        ("email", 1, False),
        ("sms", 2, False),
        ("analytics", 3, False),
        ("ads", 4, True),
    ]
    assert found[5:] == [("recommendations", slots_of(document.layout)["recommendations"][0], False)]
    assert [document.purposes[index].id for index in document.behaviour_purposes] == [
        "personalization",
        "analytics",
    ]
    assert document.stale_after_ms == 30 * DAY_MS


def test_edge_slots_are_those_of_edge_attributes_and_declared_consents(
    document: bundle.BundleDocument,
) -> None:
    slots = {name: slot for name, [slot] in slots_of(document.layout).items()}
    assert set(slots.values()) - set(document.edge_slots) == {slots["age"]}
    assert document.edge_slots == sorted(document.edge_slots)


def test_the_taxonomy_knows_segments_events_and_the_catalogues(document: bundle.BundleDocument) -> None:
    for name in (
        "Product List Viewed",
        "Checkout Step Completed",
        "Product Reviewed",
        "Email Marked as Spam",
        "Page Viewed",
        "Identify",
        "Impression",
        "Ticket Closed",
        "Size Guide Opened",
    ):
        assert name in document.taxonomy
    assert document.aliases == {
        "PDP_Visit": "Product Viewed",
        "product_view": "Product Viewed",
        "size_guide": "Size Guide Opened",
    }


# ---- Content


def test_placements_hold_slots_fallback_and_treatments(document: bundle.BundleDocument) -> None:
    hero = by_id(document.placements)["home.hero"]
    assert hero.slots == [
        ("headline", bundle.SLOT_TEXT),
        ("image", bundle.SLOT_URL),
        ("discount", bundle.SLOT_NUMBER),
    ]
    assert [document.blocks[index].id if index >= 0 else None for index in hero.fallback] == [
        "hero-generic",
        "hero-image",
        None,
    ]
    assert (hero.channel, document.purposes[hero.purpose].id, hero.deadline_ms, hero.max_age_ms) == (
        "web",
        "personalization",
        80,
        0,
    )
    offers = [document.offers[document.treatments[index].offer].id for index in hero.treatments]
    assert offers == ["spring-shoes", "vip-lounge", "wine"]
    notice = by_id(document.placements)["home.notice"]
    assert (notice.purpose, notice.allow_repeat, notice.deadline_ms) == (-1, True, 100)
    email = by_id(document.placements)["email.hero"]
    assert (email.answered_at, hero.answered_at) == (bundle.ANSWERED_AT_HUB, bundle.ANSWERED_AT_EDGE)


def test_blocks_name_their_attribute(document: bundle.BundleDocument) -> None:
    shoes = by_id(document.blocks)["hero-shoes"]
    assert names(document, [shoes.attribute]) == ["profile.first_name"]
    assert (shoes.value, shoes.prefix, shoes.suffix) == ("friend", "Spring shoes for you, ", "!")
    assert by_id(document.blocks)["discount-10"].value == 10


def test_treatments_know_the_rules_and_caps_that_apply(document: bundle.BundleDocument) -> None:
    def guards(indexes: list[int]) -> list[str]:
        return [document.guards[index].id for index in indexes]

    hero, email, wine, returns = (
        by_id(document.treatments)[name]
        for name in ("spring-shoes-hero", "spring-shoes-email", "wine-hero", "free-returns-banner")
    )
    assert guards(hero.suppressions) == ["just-bought", "open-ticket"]
    assert guards(wine.suppressions) == ["open-ticket"]
    assert guards(wine.exclusions) == ["no-alcohol-on-hero"]
    assert (guards(hero.brand_safety), guards(email.brand_safety)) == (["calm-weather"], [])
    assert [document.caps[index].id for index in hero.caps] == ["hero-offer-weekly", "promotions-daily"]
    assert (returns.suppressions, returns.exclusions, returns.caps, returns.brand_safety) == ([], [], [], [])


def test_guards_hold_reason_and_tagged_blocks(document: bundle.BundleDocument) -> None:
    guards = by_id(document.guards)
    assert {name: REASONS[guard.reason] for name, guard in guards.items()} == {
        "open-ticket": "open_ticket",
        "just-bought": "suppressed",
        "no-alcohol-on-hero": "suppressed",
        "dry-hours": "brand_safety",
        "calm-weather": "brand_safety",
    }
    assert guards["dry-hours"].block_tags == ["alcohol"]
    assert [document.blocks[index].id for index in guards["dry-hours"].blocks] == ["wine-image"]
    assert document.rules[guards["dry-hours"].rule].id == "brand_safety:dry-hours"


def test_caps_count_the_offers_they_apply_to(document: bundle.BundleDocument) -> None:
    weekly, daily = (by_id(document.caps)[name] for name in ("hero-offer-weekly", "promotions-daily"))
    assert (weekly.max, weekly.window_minutes, weekly.per, weekly.channels, weekly.when) == (
        3,
        7 * 1440,
        bundle.PER_OFFER,
        ["web"],
        -1,
    )
    assert [document.offers[index].id for index in daily.offers] == ["spring-shoes", "wine"]
    assert document.rules[daily.when].id == "cap:promotions-daily"


def test_offers_hold_validity_groups_weights(document: bundle.BundleDocument) -> None:
    shoes, wine, returns = (by_id(document.offers)[name] for name in ("spring-shoes", "wine", "free-returns"))
    assert shoes.exclusive_group == wine.exclusive_group == 0
    assert (shoes.valid_from_ms, shoes.valid_until_ms) == (1_767_225_600_000, 1_798_761_600_000)
    assert (returns.valid_from_ms, returns.valid_until_ms, returns.eligibility) == (INT64_MIN, INT64_MAX, -1)
    assert [(document.rules[index].id, factor) for index, factor in shoes.weights] == [
        ("weight:spring-shoes:0", 1.5),
        ("weight:spring-shoes:1", 1.1),
    ]
    assert document.models[shoes.model].id == "shoes-propensity"


def test_models_hold_their_features_in_order(document: bundle.BundleDocument) -> None:
    model = by_id(document.models)["shoes-propensity"]
    assert (model.kind, model.intercept) == (bundle.MODEL_LOGISTIC, -2.0)
    assert names(document, [feature.attribute for feature in model.features]) == [
        "profile.orders_90d", "profile.vip", "profile.churn_risk", "context.device",
    ]  # fmt: skip
    assert [feature.equals for feature in model.features] == [None, None, None, "mobile"]
    assert model.features[2].missing == 0.5


def test_experiments_have_cumulative_bounds_and_layers(document: bundle.BundleDocument) -> None:
    headline, vip = (by_id(document.experiments)[name] for name in ("hero-headline", "only-vip"))
    assert (headline.salt, headline.layer, headline.layer_from, headline.layer_to) == (
        "hero-headline-1",
        "homepage-2026",
        0,
        500_000,
    )
    assert (vip.salt, vip.layer_from, vip.layer_to, vip.traffic) == (
        "only-vip",
        500_000,
        1_000_000,
        1_000_000,
    )
    assert headline.traffic == 800_000
    assert [(variant.id, variant.upper) for variant in vip.variants] == [
        ("control", 750_000),
        ("vip", 1_000_000),
    ]
    assert [document.offers[index].id for index in vip.variants[1].offers or []] == ["vip-lounge"]
    assert {slot: document.blocks[index].id for slot, index in headline.variants[1].blocks.items()} == {
        "headline": "hero-shoes-b"
    }
    assert rule(document, "experiment:only-vip").true_ref == 0
    assert [(one.salt, one.share) for one in document.holdouts] == [
        ("global-2026", 50_000),
        ("hero-programme", 20_000),
    ]


def test_thirds_are_floored() -> None:
    files = changed(
        small(),
        "experiments.yaml",
        "{id: control, weight: 3}",
        "{id: control, weight: 1}\n      - {id: second, weight: 1}",
    )
    assert [variant.upper for variant in by_id(compiled(files).experiments)["only-vip"].variants] == [
        333_333,
        666_666,
        1_000_000,
    ]


# ---- Rules and tables


def below(document: bundle.BundleDocument, ref: int) -> set[int]:
    """The nodes that a literal rests on."""
    first = 2 * len(document.tables.conditions)
    if ref < first:
        return set()
    return {ref - first}.union(*(below(document, one) for one in document.tables.nodes[ref - first].inputs))


def test_nodes_that_decide_come_first(document: bundle.BundleDocument) -> None:
    tables = document.tables
    assert 0 < tables.hot < len(tables.nodes)
    hot = set()
    for found in document.rules:
        kind = found.id.split(":")[0]
        if kind in ("eligibility", "segment", "weight", "experiment", "cap"):
            hot |= below(document, found.true_ref)
        if kind in ("suppression", "exclusion", "brand_safety", "cap"):
            hot |= below(document, found.false_ref)
    assert hot == set(range(tables.hot))


def test_rules_carry_text_and_attributes(document: bundle.BundleDocument) -> None:
    assert rule(document, "suppression:open-ticket").text == "profile.open_tickets > 0"
    assert names(document, rule(document, "segment:loyal_vips").attributes) == [
        "profile.orders",
        "profile.tier",
        "profile.vip",
    ]
    assert rule(document, "eligibility:wine").text.count("\n") == 2


def test_a_segment_is_its_expression_wherever_it_is_named(document: bundle.BundleDocument) -> None:
    weight, segment = rule(document, "weight:spring-shoes:1"), rule(document, "segment:explorers")
    assert (weight.true_ref, weight.false_ref) == (segment.true_ref, segment.false_ref)


def test_conditions_are_shared_between_rules(document: bundle.BundleDocument) -> None:
    seen = [
        (one.op, one.attribute, one.lo, one.hi, tuple(one.strings), tuple(one.program))
        for one in document.tables.conditions
    ]
    assert len(seen) == len(set(seen))
    assert seen[0][0] == bundle.OP_CONSTANT
    assert [one[1] for one in seen[1:]] == sorted(one[1] for one in seen[1:])


# ---- Messages


def test_templates_and_translations_are_compiled(document: bundle.BundleDocument) -> None:
    outbound = document.outbound
    assert [template.id for template in outbound.templates] == ["shop-email", "short-note"]
    [master, note] = outbound.templates
    assert (master.sender, master.reply_to) == ("Small Shop <shop@shop.example>", "help@shop.example")
    assert (master.locale, sorted(master.strings)) == ("en", ["de", "en"])
    assert master.mjml.startswith("<mjml>")
    assert (note.channel, note.reply_to, note.text) == ("sms", "", "{{ slots.text }}")
    assert outbound.translations == {
        "hero-generic": {"": ("Welcome to the shop", "", ""), "de": ("Willkommen im Laden", None, None)},
        "hero-shoes": {
            "": ("friend", "Spring shoes for you, ", "!"),
            "de": ("Freund", "Frühlingsschuhe für dich, ", None),
            "de-AT": (None, None, "."),
        },
    }


def test_the_settings_of_messages_are_compiled(document: bundle.BundleDocument) -> None:
    outbound = document.outbound
    assert (outbound.time_zone, outbound.time_scale) == ("Europe/Berlin", 24.0)
    assert outbound.quiet_hours == [
        bundle.QuietHours(["email"], 22 * 60, 7 * 60 + 30),
        bundle.QuietHours(["push", "sms"], 12 * 60, 13 * 60),
    ]


def test_a_journey_is_compiled_to_steps_by_index(document: bundle.BundleDocument) -> None:
    """Durations are divided by the time scale of 24."""
    [cart, welcome] = document.outbound.journeys
    placement = [one.id for one in document.placements].index("email.hero")
    named = {one.id: at for at, one in enumerate(document.rules)}
    bought = bundle.Occurrence("Order Completed", {"shop": ["web"]})
    assert cart.trigger == bundle.Occurrence("Product Added", {"shop": ["web", "app"]})
    assert cart.when == named["journey:cart:when"]
    assert cart.reentry_ms == 7 * HOUR_MS
    assert cart.exits == [
        bundle.Exit(bundle.Occurrence("Order Completed", {}), -1),
        bundle.Exit(None, named["journey:cart:exit:1"]),
    ]
    remind = {"placement": placement, "template": 0}
    assert cart.steps == [
        bundle.Step("pause", bundle.STEP_WAIT, 1, HOUR_MS // 24),
        bundle.Step("bought", bundle.STEP_WAIT_FOR, 2, 2 * HOUR_MS, bought, then=7, otherwise=2),
        bundle.Step(
            "who",
            bundle.STEP_BRANCH,
            5,
            branches=[(named["journey:cart:who:0"], 4), (named["journey:cart:who:1"], 3)],
        ),
        bundle.Step("remind", bundle.STEP_SEND, 5, **remind),
        bundle.Step("calm", bundle.STEP_SEND, 5, **remind),
        bundle.Step("again", bundle.STEP_WAIT, 6, 3 * HOUR_MS),
        bundle.Step("still", bundle.STEP_BRANCH, 7, branches=[(named["journey:cart:still:0"], 0)]),
        bundle.Step("thanks", bundle.STEP_END),
    ]
    assert (welcome.when, welcome.reentry_ms, welcome.exits) == (-1, 0, [])
    assert [step.next for step in welcome.steps] == [-1]


def test_the_conditions_of_journeys_are_rules_that_no_decision_evaluates() -> None:
    files = small()
    with_journeys = compiled(files)
    bare = compiled({**files, "outbound.yaml": ""})
    added = {one.id for one in with_journeys.rules} - {one.id for one in bare.rules}
    assert {name.split(":")[0] for name in added} == {"journey"}
    assert with_journeys.tables.hot == bare.tables.hot
    assert names(with_journeys, rule(with_journeys, "journey:cart:who:0").attributes) == ["profile.age"], (
        "an attribute that edges do not have"
    )


def test_sticky_experiments_and_holdouts_of_programmes_reach_the_bundle() -> None:
    shown = "  - {id: also, owner: ben, placements: [home.hero], variants: [{id: a, weight: 1}], %s}\n"
    files = {**small(), "more.yaml": "experiments:\n" + shown % "sticky: true, sticky_version: 7" + HOLDOUTS}
    document = compiled(files)
    also, headline = (by_id(document.experiments)[name] for name in ("also", "hero-headline"))
    assert (also.sticky, also.sticky_version) == (True, 7)
    assert (headline.sticky, headline.sticky_version) == (False, 0)
    programme, whole = (by_id(document.holdouts)[name] for name in ("programme", "global"))
    assert [document.experiments[index].id for index in programme.experiments] == ["also", "hero-headline"]
    assert [document.outbound.journeys[index].id for index in programme.journeys] == ["greeting"]
    assert programme.placements == []
    assert (programme.is_global, whole.is_global) == (False, True)


HOLDOUTS = """
holdouts:
  - {id: programme, owner: ben, share: 0.1, experiments: [hero-headline, also], journeys: [greeting]}
journeys:
  - id: greeting
    owner: ben
    trigger: {event: Product Viewed}
    steps: [{id: done, end: true}]
"""
