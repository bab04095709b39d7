"""Offers with their treatments, and the rules and caps that apply to each."""

from collections.abc import Iterator
from typing import Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.types import AppliesTo, Cap, Offer, Rule
from core.compiler.content import slot_blocks
from core.compiler.diversity import check_vectors, unit_vector
from core.compiler.expressions import Rules
from core.compiler.fills import Fills
from core.compiler.scopes import ScopeIndex, check_scope
from core.compiler.work import Work
from core.reasons import INDEX as REASON_INDEX

INT64_MIN: Final = -(2**63)
INT64_MAX: Final = 2**63 - 1
MINUTE_MS: Final = 60_000
CAP_WINDOW_MS_MAX: Final = 3_660 * 86_400_000  # ten years
CANDIDATES_MAX: Final = 1_024
KINDS: Final[dict[str, int]] = {
    "suppression": bundle.SUPPRESSION,
    "exclusion": bundle.EXCLUSION,
    "brand_safety": bundle.BRAND_SAFETY,
}


def compile_offers(work: Work, rules: Rules) -> list[bundle.Offer]:
    """The offers in id order."""
    names = {offer.exclusive_group for offer in work.catalogue.offers if offer.exclusive_group is not None}
    groups = {name: at for at, name in enumerate(sorted(names))}
    check_vectors(work)
    return [_offer(work, rules, groups, path, offer) for path, offer in work.ordered("offers")]


def _offer(work: Work, rules: Rules, groups: dict[str, int], path: Path, offer: Offer) -> bundle.Offer:
    valid_from = work.timestamp(offer.valid_from, (*path, "valid_from"), INT64_MIN)
    valid_until = work.timestamp(offer.valid_until, (*path, "valid_until"), INT64_MAX)
    if valid_from >= valid_until:
        expected = f"a time after valid_from {offer.valid_from}"
        rests = [(*path, "valid_from"), (*path, "valid_until")]
        work.faults.add((*path, "valid_until"), expected, shown(offer.valid_until), of=rests)
    return bundle.Offer(
        id=offer.id,
        tags=sorted(set(offer.tags)),
        priority=offer.priority,
        value=offer.value,
        lever=offer.lever,
        valid_from_ms=valid_from,
        valid_until_ms=valid_until,
        eligibility=rules.index.get(f"eligibility:{offer.id}", -1),
        model=-1 if offer.model is None else work.index("models", offer.model, (*path, "model")),
        weights=[
            (rules.index.get(f"weight:{offer.id}:{at}", -1), one.factor)
            for at, one in enumerate(offer.weights)
        ],
        exclusive_group=-1 if offer.exclusive_group is None else groups[offer.exclusive_group],
        vector=unit_vector(work, (*path, "vector"), offer.vector),
    )


def compile_guards(work: Work, rules: Rules) -> list[bundle.Guard]:
    """The rules that block, in id order."""
    return [_guard(work, rules, path, rule) for path, rule in work.ordered("rules")]


def _guard(work: Work, rules: Rules, path: Path, rule: Rule) -> bundle.Guard:
    scope = rule.applies_to
    check_scope(work, (*path, "applies_to"), scope)
    if scope.block_tags and (scope.offers or scope.tags or scope.placements):
        expected = "`block_tags` alone, or offers, tags and placements"
        work.faults.add((*path, "applies_to", "block_tags"), expected, "both", of=())
    if scope.block_tags and rule.kind == "suppression":
        expected = "`block_tags` in an exclusion or brand_safety rule only"
        kind = [(*path, "kind")]
        work.faults.add((*path, "applies_to", "block_tags"), expected, "a suppression", of=kind)
    if rule.reason is not None and rule.kind != "suppression":
        expected = "`reason` in a suppression only"
        work.faults.add((*path, "reason"), expected, shown(rule.reason), of=[(*path, "kind")])
    reason = "brand_safety" if rule.kind == "brand_safety" else rule.reason or "suppressed"
    tagged = {
        name for name, block in work.objects["blocks"].items() if set(block.tags) & set(scope.block_tags)
    }
    return bundle.Guard(
        id=rule.id,
        kind=KINDS[rule.kind],
        rule=rules.index.get(f"{rule.kind}:{rule.id}", -1),
        reason=REASON_INDEX[reason],
        block_tags=sorted(set(scope.block_tags)),
        blocks=sorted(work.index("blocks", name, path) for name in tagged),
    )


def compile_caps(work: Work, rules: Rules) -> list[bundle.Cap]:
    """The frequency caps in id order."""
    scopes = ScopeIndex((at, cap.applies_to) for at, (_, cap) in enumerate(work.ordered("caps")))
    offers: dict[int, list[int]] = {}
    for number, (_, offer) in enumerate(work.ordered("offers")):
        for at in scopes.applying(offer, [treatment.placement for treatment in offer.treatments]):
            offers.setdefault(at, []).append(number)
    return [
        _cap(work, rules, path, cap, offers.get(at, []))
        for at, (path, cap) in enumerate(work.ordered("caps"))
    ]


def _cap(work: Work, rules: Rules, path: Path, cap: Cap, offers: list[int]) -> bundle.Cap:
    check_scope(work, (*path, "applies_to"), cap.applies_to)
    window_ms = work.duration(cap.window, (*path, "window"), least_ms=MINUTE_MS, most_ms=CAP_WINDOW_MS_MAX)
    if window_ms % MINUTE_MS:
        work.faults.add((*path, "window"), "whole minutes", shown(cap.window))
    return bundle.Cap(
        id=cap.id,
        max=cap.max,
        window_minutes=window_ms // MINUTE_MS,
        per=bundle.PER_OFFER if cap.per == "offer" else bundle.PER_ALL,
        channels=sorted(set(cap.channels)),
        offers=offers,
        when=rules.index.get(f"cap:{cap.id}", -1),
    )


def compile_treatments(work: Work, fills: Fills) -> list[bundle.Treatment]:
    """The treatments in id order, each with what applies to it."""
    overridden, overriding = _overridden_slots(work)
    guards = {kind: ScopeIndex(_scopes(work, kind)) for kind in KINDS}
    caps = ScopeIndex((at, cap.applies_to) for at, (_, cap) in enumerate(work.ordered("caps")))
    treatments = []
    for path, treatment in work.ordered("treatments"):
        offer = work.catalogue.offers[int(path[1])]
        found = work.objects["placements"].get(treatment.placement)
        blocks: list[int] = []
        if found is not None:
            blocks = slot_blocks(work, (*path, "blocks"), found, treatment.blocks, fills, treatment.id)
            for name in found.slots.keys() - treatment.blocks.keys() - overridden.get(found.id, set()):
                expected = f"a block for the slot {name} of {found.id}"
                rests = [(*path, "blocks"), *work.below("placements", found.id, "slots"), *overriding]
                work.faults.add((*path, "blocks"), expected, "none", of=rests)
        treatments.append(
            bundle.Treatment(
                id=treatment.id,
                offer=work.index("offers", offer.id, path),
                placement=work.index("placements", treatment.placement, (*path, "placement")),
                blocks=blocks,
                suppressions=guards["suppression"].applying(offer, [treatment.placement]),
                exclusions=guards["exclusion"].applying(offer, [treatment.placement]),
                caps=caps.applying(offer, [treatment.placement]),
                brand_safety=guards["brand_safety"].applying(offer, [treatment.placement]),
            )
        )
    return treatments


def _scopes(work: Work, kind: str) -> Iterator[tuple[int, AppliesTo]]:
    """The scopes of the rules of a kind; those that look at blocks apply later, in the content step."""
    for at, (_, rule) in enumerate(work.ordered("rules")):
        if rule.kind == kind and not rule.applies_to.block_tags:
            yield at, rule.applies_to


def _overridden_slots(work: Work) -> tuple[dict[str, set[str]], list[Path]]:
    """Slots for which some experiment brings blocks, by placement: a treatment may leave those open. And what
    of that is a stand-in."""
    found: dict[str, set[str]] = {}
    unknown = list(work.unread)
    for at, experiment in enumerate(work.catalogue.experiments):
        rests: list[Path] = [("experiments", at, name) for name in ("placements", "variants")]
        unknown += filter(work.faults.unknown.touches, rests)
        slots = {name for variant in experiment.variants for name in variant.blocks}
        for placement in experiment.placements:
            found.setdefault(placement, set()).update(slots)
    return found, unknown[:1]


def place_treatments(
    work: Work, placements: list[bundle.Placement], treatments: list[bundle.Treatment]
) -> list[bundle.Placement]:
    """The placements with their treatments, by offer id."""
    by_placement: dict[int, dict[int, int]] = {}
    paths = [path for path, _ in work.ordered("treatments")]
    for at, treatment in enumerate(treatments):
        taken = by_placement.setdefault(treatment.placement, {})
        if treatment.placement >= 0 and treatment.offer in taken:
            expected = "one treatment of an offer for a placement"
            got = f"a second one beside {treatments[taken[treatment.offer]].id}"
            work.faults.add((*paths[at], "placement"), expected, got)
        taken[treatment.offer] = at
    for at, (path, placement) in enumerate(work.ordered("placements")):
        count = len(by_placement.get(at, ()))
        if count > CANDIDATES_MAX:
            expected = f"at most {CANDIDATES_MAX} treatments for {placement.id}"
            work.faults.add(path, expected, str(count), of=())
    return [
        _with_treatments(placement, [by for _, by in sorted(by_placement.get(at, {}).items())])
        for at, placement in enumerate(placements)
    ]


def _with_treatments(placement: bundle.Placement, treatments: list[int]) -> bundle.Placement:
    values = {name: getattr(placement, name) for name in placement.__struct_fields__}
    return bundle.Placement(**{**values, "treatments": treatments})
