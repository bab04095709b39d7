"""Bandits: draws of what is known of each offer, made once, so that a decision only picks one
(docs/decisions/0008-scoring.md)."""

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.types import DIMENSIONS_MAX, Arm, Model
from core.compiler.sampling import beta_draw, gaussian_draw
from core.compiler.work import Work

SAMPLES: Final = 128
MILLIONTHS: Final = 1_000_000
#: Farther from the mean no draw of the method can lie.
DEVIATIONS_MAX: Final = 16.0
THOMPSON: Final = ("alpha", "beta", "mean", "deviation")
LINUCB: Final = ("weights", "inverse")


def check_bandits(work: Work) -> None:
    """One bandit decides a placement: the action probability is of one policy."""
    found: dict[str, str] = {}
    for at, offer in enumerate(work.catalogue.offers):
        model = work.objects["models"].get(offer.model or "")
        if model is None or model.kind != "bandit":
            continue
        for treatment in offer.treatments:
            first = found.setdefault(treatment.placement, model.id)
            if first != model.id:
                expected = f"one bandit at {treatment.placement}, which has {first}"
                rests = [one for name in (first, model.id) for one in work.below("models", name, "kind")]
                work.faults.add(("offers", at, "model"), expected, model.id, of=rests)


def compile_bandit(work: Work, path: Path, model: Model) -> bundle.Bandit | None:
    """The tables of a bandit; None after faults."""
    before = work.faults.seen
    offers = sorted(name for name, offer in work.objects["offers"].items() if offer.model == model.id)
    for name in sorted(model.arms.keys() - {*offers}):
        rests = work.below("offers", name, "model") or work.unnamed["offers"]
        work.faults.add((*path, "arms", name), f"an offer whose model is {model.id}", shown(name), of=rests)
    arms = [_arm(work, path, model, name) for name in offers]
    linucb = model.policy == "linucb"
    if linucb and len(model.features) + 1 > DIMENSIONS_MAX:
        expected = f"at most {DIMENSIONS_MAX - 1} features"
        work.faults.add((*path, "features"), expected, str(len(model.features)), of=[(*path, "policy")])
    if not linucb and (model.features or model.intercept or model.width is not None):
        expected = "features, intercept and width with the policy linucb only"
        rests = [(*path, name) for name in ("policy", "features", "intercept", "width")]
        work.faults.add(path, expected, str(model.policy), of=rests)
    if work.faults.seen > before or model.policy is None or work.faults.unknown.touches(path):
        return None
    numbers = [work.index("offers", name, path) for name in offers]
    floor = round((model.floor or 0.0) * MILLIONTHS)
    known = [arm for arm in arms if arm is not None]
    if linucb:
        width = 1.0 if model.width is None else model.width
        weights = _packed(value for arm in known for value in arm.weights or ())
        inverses = _packed(value for arm in known for row in arm.inverse or () for value in row)
        return bundle.Bandit(floor, 1, numbers, b"", width, weights, inverses)
    draws = _packed(
        draw for arm, name in zip(known, offers, strict=True) for draw in _draws(model.id, name, arm)
    )
    return bundle.Bandit(floor, SAMPLES, numbers, draws)


def _arm(work: Work, path: Path, model: Model, name: str) -> Arm | None:
    """What is known of an offer, checked: its own, else what is known of none."""
    own = name in model.arms
    arm = model.arms.get(name, model.prior)
    where = (*path, "arms", name) if own else (*path, "prior")
    if arm is None:
        expected = f"what is known of {name}, or a `prior`"
        work.faults.add((*path, "arms"), expected, "neither", of=[(*path, "arms"), (*path, "prior")])
        return None
    given = {key for key in (*THOMPSON, *LINUCB) if getattr(arm, key) is not None}
    if model.policy == "linucb":
        rests = [where, (*path, "policy"), (*path, "features")]
        _check_linear(work, where, arm, given, len(model.features) + 1, rests)
    elif given not in ({"alpha", "beta"}, {"mean", "deviation"}):
        expected = "alpha and beta, or mean and deviation"
        got = ", ".join(sorted(given)) or "none"
        work.faults.add(where, expected, got, of=[where, (*path, "policy")])
    elif not _draws_finitely(arm.mean or 0.0, arm.deviation or 0.0):
        expected = "a deviation of at least 0, and numbers whose draws are finite"
        work.faults.add(where, expected, str(arm.deviation))
    return arm


def _draws_finitely(mean: float, deviation: float) -> bool:
    return deviation >= 0.0 and math.isfinite(abs(mean) + DEVIATIONS_MAX * deviation)


def _check_linear(work: Work, path: Path, arm: Arm, given: set[str], size: int, rests: list[Path]) -> None:
    rows = arm.inverse or []
    if given != set(LINUCB):
        work.faults.add(path, "weights and inverse", ", ".join(sorted(given)) or "none", of=rests)
    elif len(arm.weights or []) != size or len(rows) != size or any(len(row) != size for row in rows):
        expected = f"{size} weights and {size} rows of {size}, the intercept first"
        work.faults.add(path, expected, "others", of=rests)
    elif not all(map(math.isfinite, (*(arm.weights or []), *(value for row in rows for value in row)))):
        work.faults.add(path, "finite numbers", "others")


def _draws(model: str, offer: str, arm: Arm) -> Iterator[float]:
    for sample in range(SAMPLES):
        if arm.alpha is not None and arm.beta is not None:
            yield beta_draw(model, offer, sample, arm.alpha, arm.beta)
        else:
            assert arm.mean is not None
            assert arm.deviation is not None
            yield gaussian_draw(model, offer, sample, arm.mean, arm.deviation)


def _packed(values: Iterator[float]) -> bytes:
    listed: Sequence[float] = list(values)
    return struct.pack(f"<{len(listed)}d", *listed)
