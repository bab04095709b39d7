"""A small bundle made by hand, for tests of what folds events and projects records."""

from core.bundle import (
    F_COUNT,
    F_LAST,
    F_STRINGS,
    F_SUM,
    FLOAT,
    INT,
    READ_BUCKETS,
    READ_PLAIN,
    READ_TOTAL,
    STRING,
    STRINGS,
    Attribute,
    BundleDocument,
    FoldRule,
    Purpose,
    Tables,
    encode_bundle,
)
from hub.decisioning.bundles import SignedBundle, sign_bundle
from tests.hub.keys import SIGNING_KEY

DAY_MS = 86_400_000
VIEWS, ORDERS, SPENT, CITY, BRANDS = 16, 17, 18, 19, 20
TAXONOMY = ["Product Viewed", "Product Added"]


def small_document(*, edge_slots: tuple[int, ...] = (VIEWS, CITY, BRANDS)) -> BundleDocument:
    """Views in 30 days, orders and money of all time, the last city, brands looked at."""
    attributes = [
        Attribute("profile.views_30d", INT, READ_BUCKETS, VIEWS, VIEWS in edge_slots, 0),
        Attribute("profile.orders", INT, READ_TOTAL, ORDERS, ORDERS in edge_slots, 0),
        Attribute("profile.spent", FLOAT, READ_TOTAL, SPENT, SPENT in edge_slots, 0.0),
        Attribute("profile.city", STRING, READ_PLAIN, CITY, CITY in edge_slots, None),
        Attribute("profile.brands", STRINGS, READ_PLAIN, BRANDS, BRANDS in edge_slots, None),
    ]
    folds = [
        FoldRule(VIEWS, F_COUNT, INT, ["Product Viewed"], window_ms=30 * DAY_MS, granularity_ms=DAY_MS),
        FoldRule(ORDERS, F_COUNT, INT, ["Order Completed"]),
        FoldRule(SPENT, F_SUM, FLOAT, ["Order Completed"], property="revenue"),
        FoldRule(CITY, F_LAST, STRING, [], property="traits.city"),
        FoldRule(BRANDS, F_STRINGS, STRINGS, ["Product Viewed"], property="brand"),
    ]
    purposes = [
        Purpose(purpose, slot, purpose == "ads")
        for slot, purpose in enumerate(("personalization", "email", "sms", "analytics", "ads"))
    ]
    return BundleDocument(
        attributes=attributes,
        tables=Tables([], [], 0),
        rules=[],
        purposes=purposes,
        placements=[],
        treatments=[],
        offers=[],
        blocks=[],
        guards=[],
        caps=[],
        experiments=[],
        holdouts=[],
        models=[],
        folds=folds,
        aliases={"PDP_Visit": "Product Viewed"},
        taxonomy=TAXONOMY,
        behaviour_purposes=[0, 3],
        edge_slots=list(edge_slots),
        layout=[(attribute.name, "test", attribute.slot) for attribute in attributes],
        layout_id=7,
        stale_after_ms=30 * DAY_MS,
        sources={},
    )


def signed(document: BundleDocument, revision: int = 1) -> SignedBundle:
    """The document as a published bundle."""
    from core.bundle import content_hash

    content = encode_bundle(document)
    return sign_bundle(SIGNING_KEY, revision, content_hash(content), (), content)
