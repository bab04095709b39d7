"""What an edge answers must need only what an edge holds: else edge and hub would decide differently."""

from collections.abc import Iterator

from core import bundle as b
from core.check_programs import fail

SYSTEM_SLOTS = 16


def check_edge(document: b.BundleDocument) -> None:
    """Raise BundleError if a placement answered at the edge depends on an attribute or consent that edges
    lack.
    """
    projected = frozenset(document.edge_slots)
    missing = frozenset(
        index
        for index, attribute in enumerate(document.attributes)
        if attribute.reading != b.READ_CONTEXT and attribute.slot not in projected
    )
    for index, placement in enumerate(document.placements):
        if placement.answered_at != b.ANSWERED_AT_EDGE:
            continue
        path = f"$.placements[{index}]"
        if placement.purpose >= 0:
            slot = document.purposes[placement.purpose].slot
            if slot >= SYSTEM_SLOTS and slot not in projected:
                fail(path, "a purpose whose consent edges hold", document.purposes[placement.purpose].id)
        if missing:
            for used in _attributes_used(document, index):
                if used in missing:
                    fail(path, "attributes that edges hold", document.attributes[used].name)


def _attributes_used(document: b.BundleDocument, placement: int) -> Iterator[int]:
    """Every attribute that an answer of the placement may read; some come more than once."""
    entries: set[int] = set()
    for index in document.placements[placement].treatments:
        treatment = document.treatments[index]
        entries.update(treatment.blocks)
        yield from _of_offer(document, document.offers[treatment.offer])
        for guard in (*treatment.suppressions, *treatment.exclusions, *treatment.brand_safety):
            yield from document.rules[document.guards[guard].rule].attributes
        for cap in treatment.caps:
            if document.caps[cap].when >= 0:
                yield from document.rules[document.caps[cap].when].attributes
    for experiment in document.experiments:
        if placement in experiment.placements:
            if experiment.eligibility >= 0:
                yield from document.rules[experiment.eligibility].attributes
            entries.update(entry for variant in experiment.variants for entry in variant.blocks.values())
    blocks = {block for entry in entries for block in b.blocks_of(document, entry)}
    yield from (document.blocks[block].attribute for block in blocks)
    for guard_rule in document.guards:
        if guard_rule.block_tags and not blocks.isdisjoint(guard_rule.blocks):
            yield from document.rules[guard_rule.rule].attributes


def _of_offer(document: b.BundleDocument, offer: b.Offer) -> Iterator[int]:
    if offer.eligibility >= 0:
        yield from document.rules[offer.eligibility].attributes
    for rule, _ in offer.weights:
        yield from document.rules[rule].attributes
    if offer.model >= 0:
        yield from (feature.attribute for feature in document.models[offer.model].features)
