"""Experiments in their layers, and holdouts."""

from typing import Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.text import MILLION, millionths
from core.authoring.types import Experiment, Fill, Holdout, Variant
from core.compiler.content import SLOT_TYPES
from core.compiler.expressions import Rules
from core.compiler.fills import Fills
from core.compiler.work import Work

EXPERIMENTS_PER_PLACEMENT_MAX: Final = 64


def compile_experiments(work: Work, rules: Rules, fills: Fills) -> list[bundle.Experiment]:
    """The experiments in id order."""
    _check_overlaps(work)
    _check_crowds(work)
    return [
        _experiment(work, rules, fills, path, experiment) for path, experiment in work.ordered("experiments")
    ]


def _experiment(
    work: Work, rules: Rules, fills: Fills, path: Path, experiment: Experiment
) -> bundle.Experiment:
    placements = work.indexes("placements", experiment.placements, (*path, "placements"))
    work.repeated([variant.id for variant in experiment.variants], (*path, "variants"), "variant")
    layer, (low, high) = _layer(work, path, experiment)
    total = sum(variant.weight for variant in experiment.variants)
    variants, cumulated = [], 0
    for at, variant in enumerate(experiment.variants):
        cumulated += variant.weight
        where = (*path, "variants", at)
        variants.append(_variant(work, fills, where, experiment, variant, MILLION * cumulated // total))
    return bundle.Experiment(
        id=experiment.id,
        salt=experiment.salt or experiment.id,
        layer=layer,
        layer_from=low,
        layer_to=high,
        traffic=millionths(experiment.traffic),
        eligibility=rules.index.get(f"experiment:{experiment.id}", -1),
        placements=placements,
        variants=variants,
        sticky=experiment.sticky,
        sticky_version=experiment.sticky_version,
    )


def _layer(work: Work, path: Path, experiment: Experiment) -> tuple[str, tuple[int, int]]:
    """The layer's salt, empty without a layer, and the range in millionths."""
    if experiment.layer is None:
        if experiment.range is not None:
            got = shown(list(experiment.range))
            work.faults.add((*path, "range"), "`range` with a `layer` only", got, of=[(*path, "layer")])
        return "", (0, MILLION)
    work.index("layers", experiment.layer, (*path, "layer"))
    if experiment.range is None:
        expected = "`range`, the part of the layer that the experiment takes"
        work.faults.add(path, expected, "none", of=[(*path, "range"), (*path, "layer")])
        return "", (0, MILLION)
    low, high = (millionths(share) for share in experiment.range)
    if low >= high:
        expected = "a range [from, to) that is not empty"
        work.faults.add((*path, "range"), expected, shown(list(experiment.range)))
    layer = work.objects["layers"].get(experiment.layer)
    return ("" if layer is None else layer.salt or layer.id), (low, high)


def _variant(
    work: Work, fills: Fills, path: Path, experiment: Experiment, variant: Variant, upper: int
) -> bundle.Variant:
    offers = None if variant.offers is None else work.indexes("offers", variant.offers, (*path, "offers"))
    blocks = {}
    for name, block in sorted(variant.blocks.items()):
        where = (*path, "blocks", name)
        if not isinstance(block, Fill):
            blocks[name] = work.index("blocks", block, where)
        kinds = _check_slot(work, where, experiment, name, block)
        if isinstance(block, Fill) and kinds:
            blocks[name] = fills.add(where, block, kinds.pop(), f"{experiment.id}/{variant.id}/{name}")
    return bundle.Variant(variant.id, upper, offers, blocks)


def _check_slot(work: Work, path: Path, experiment: Experiment, name: str, block: str | Fill) -> set[str]:
    """A variant's block fits the slot wherever one of the experiment's placements has it, and one has; the
    types of those slots."""
    placements = [work.objects["placements"].get(one) for one in experiment.placements]
    rests = [one for name in experiment.placements for one in work.below("placements", name, "slots")]
    rests.append((*path[:2], "placements"))
    kinds = {one.slots[name] for one in placements if one is not None and name in one.slots}
    if not kinds and None not in placements:
        work.faults.add(path, "a slot of one of the experiment's placements", shown(name), of=rests)
    if isinstance(block, Fill):
        if len(kinds) > 1:
            work.faults.add(path, f"the slot {name} of one type", " and ".join(sorted(kinds)), of=rests)
        return kinds
    found = work.objects["blocks"].get(block)
    if found is not None and kinds - {found.type}:
        expected = f"a block of type {' and '.join(sorted(kinds))} for the slot {name}"
        rests += work.below("blocks", block, "type")
        work.faults.add(path, expected, f"{shown(block)} of type {found.type}", of=rests)
    return kinds


def _check_overlaps(work: Work) -> None:
    """Experiments of one layer have ranges apart from each other."""
    by_layer: dict[str, list[tuple[int, int, str]]] = {}
    for _, experiment in work.ordered("experiments"):
        if experiment.layer is not None and experiment.range is not None:
            low, high = (millionths(share) for share in experiment.range)
            by_layer.setdefault(experiment.layer, []).append((low, high, experiment.id))
    for layer, ranges in by_layer.items():
        reached, holder = 0, ""
        for low, high, name in sorted(ranges):
            if low < reached:
                path = (*work.paths["experiments"][name], "range")
                expected = f"a range apart from that of {holder} in the layer {layer}"
                rests = [
                    place
                    for one in (name, holder)
                    for place in work.below("experiments", one, "range", "layer")
                ]
                work.faults.add(path, expected, f"[{low / MILLION}, {high / MILLION})", of=rests)
            if high > reached:
                reached, holder = high, name


def _check_crowds(work: Work) -> None:
    counts: dict[str, int] = {}
    for path, experiment in work.ordered("experiments"):
        for at, placement in enumerate(experiment.placements):
            counts[placement] = counts.get(placement, 0) + 1
            if counts[placement] == EXPERIMENTS_PER_PLACEMENT_MAX + 1:
                expected = f"at most {EXPERIMENTS_PER_PLACEMENT_MAX} experiments on {placement}"
                work.faults.add((*path, "placements", at), expected, "more", of=())


def compile_holdouts(work: Work) -> list[bundle.Holdout]:
    """The holdouts in id order."""
    return [_holdout(work, path, holdout) for path, holdout in work.ordered("holdouts")]


def _holdout(work: Work, path: Path, holdout: Holdout) -> bundle.Holdout:
    return bundle.Holdout(
        holdout.id,
        holdout.salt or holdout.id,
        millionths(holdout.share),
        work.indexes("placements", holdout.placements, (*path, "placements")),
        work.indexes("experiments", holdout.experiments, (*path, "experiments")),
        work.indexes("journeys", holdout.journeys, (*path, "journeys")),
    )


__all__ = ["SLOT_TYPES", "compile_experiments", "compile_holdouts"]
