"""The trace of a decision: each step's verdict with the values it saw, built after the decision if asked for.

Rows are `{"placement", "step", "id", "verdict", "detail"}`. A rule's verdict is `true`, `false` or `error`,
read from both planes of its literals; its detail holds the attributes that it reads, "missing" where one is
missing. A rule's row stands once a placement, where a candidate first met it; a refused candidate's row has
the reason, the step and the cause.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from core.bundle import BundleDocument, Guard, Offer, Placement, Treatment, model_attributes

ROWS_MAX: Final = 2_000
MISSING: Final = "missing"

Row = dict[str, Any]


class Answered(msgspec.Struct, frozen=True):
    """What the log holds of one placement, refusals complete."""

    placement: int  # -1: unknown here
    name: str
    reason: str
    cause: str | None
    offer: str | None
    ai: bool
    experiments: list[tuple[str, str, bool]]  # (experiment, variant, whether it was stored)
    consent: tuple[str, str, int] | None
    refused: list[tuple[int, str, str | None, str]]  # (offer, reason, cause, step)
    scores: list[tuple[int, float]]  # (offer, score)
    bandit: tuple[str, float, bool, int] | None  # (model, action probability, taken at random, sample)
    ranks: list[tuple[int, float, float, float]]  # (offer, relevance, similarity, rank)
    filled: list[tuple[str, str, bool]]  # (slot, block, drawn)


class Seen(msgspec.Struct, frozen=True):
    """What expressions saw: a verdict per rule and a value per attribute, None where it is missing."""

    verdicts: Sequence[str]
    values: Sequence[Any]


def trace_rows(
    document: BundleDocument, answers: Sequence[Answered], see: Callable[[bool], Seen], now_ms: int
) -> list[Row]:
    """The rows of a whole decision; `see(anonymous)` evaluates every rule with or without the profile."""
    rows: list[Row] = []
    for answered in answers:
        for step, name, verdict, detail in _placement_rows(document, answered, see, now_ms):
            rows.append(_row(answered.name, step, name, verdict, detail))
            if len(rows) == ROWS_MAX:
                return [*rows, _row(answered.name, "trace", "", "cut", {"rows": ROWS_MAX})]
    return rows


def _row(placement: str, step: str, name: str, verdict: str, detail: dict[str, Any]) -> Row:
    return {"placement": placement, "step": step, "id": name, "verdict": verdict, "detail": detail}


def views_needed(document: BundleDocument, answers: Sequence[Answered]) -> set[bool]:
    """The views that `see` will be asked for: without the profile (True), with it (False)."""
    return {
        document.placements[answered.placement].purpose < 0
        for answered in answers
        if answered.reason not in _ENDED_EARLY
    }


_Part = tuple[str, str, str, dict[str, Any]]  # step, id, verdict, detail

#: Reasons of placements that were not decided on, and of those that ended before candidates were looked at.
_UNDECIDED: Final = frozenset({"deadline", "overload", "error", "unknown_placement"})
_ENDED_EARLY: Final = _UNDECIDED | {"no_consent", "no_profile", "holdout", "stale"}


def _placement_rows(
    document: BundleDocument, answered: Answered, see: Callable[[bool], Seen], now_ms: int
) -> Iterator[_Part]:
    if answered.reason not in _UNDECIDED:
        placement = document.placements[answered.placement]
        yield from _consent_rows(document, placement, answered)
        if answered.reason not in _ENDED_EARLY:
            walk = _Walk(document, placement, answered, see(placement.purpose < 0), now_ms)
            yield from walk.rows()
    detail = {"offer": answered.offer, "cause": answered.cause, "ai": answered.ai}
    yield "result", answered.name, answered.reason, detail


def _consent_rows(document: BundleDocument, placement: Placement, answered: Answered) -> Iterator[_Part]:
    """Steps 1 and 2, as far as they were asked."""
    if answered.consent is None:
        yield "consent", "none", "true", {}
    else:
        purpose, state, at_ms = answered.consent
        yield "consent", purpose, state, {"at_ms": at_ms} if at_ms else {}
    if answered.reason in ("no_consent", "no_profile"):
        return
    for holdout in sorted(document.holdouts, key=lambda holdout: holdout.id):
        if not holdout.is_global and answered.placement not in holdout.placements:
            continue
        held_out = answered.reason == "holdout" and answered.cause == holdout.id
        yield "holdout", holdout.id, "true" if held_out else "false", {}
        if held_out:
            return
    if placement.purpose >= 0 and placement.max_age_ms:
        yield "staleness", placement.id, "true" if answered.reason == "stale" else "false", {}


class _Walk:
    """Steps 3 to 6 of one placement, candidate by candidate."""

    def __init__(
        self, document: BundleDocument, placement: Placement, answered: Answered, seen: Seen, now_ms: int
    ) -> None:
        self.document = document
        self.placement = placement
        self.answered = answered
        self.seen = seen
        self.now_ms = now_ms
        self.refused = {refusal[0]: refusal for refusal in answered.refused}
        self.shown: set[str] = set()  # guards that have their row

    def rows(self) -> Iterator[_Part]:
        treatments = [self.document.treatments[index] for index in self.placement.treatments]
        for treatment in treatments:
            yield from self._candidate(treatment)
        yield from self._experiments()
        for number, reason, cause, step in self.answered.refused:
            if step == "4":
                yield self._refused(number, reason, cause, step)
        yield from self._scores()
        for number, relevance, similarity, rank in self.answered.ranks:
            told = {"relevance": relevance, "similarity": similarity, "rank": rank}
            yield "diversity", self.document.offers[number].id, "true", told
        if self.answered.bandit is not None:
            model, probability, explored, sample = self.answered.bandit
            detail = {"offer": self.answered.offer, "action_probability": probability, "sample": sample}
            yield "bandit", model, "explored" if explored else "drawn", detail
        for slot, block, drawn in self.answered.filled:
            yield "fill", slot, "drawn" if drawn else "taken", {"offer": self.answered.offer, "block": block}
        yield from self._tag_guards()
        for number, reason, cause, step in self.answered.refused:
            if step.startswith("6"):
                yield self._refused(number, reason, cause, step)

    def _candidate(self, treatment: Treatment) -> Iterator[_Part]:
        """Step 3: the rules that the candidate met, up to the one that refused it."""
        document = self.document
        offer = document.offers[treatment.offer]
        refusal = self.refused.get(treatment.offer)
        cause, step = (refusal[2], refusal[3]) if refusal else (None, "")
        yield self._eligibility(offer)
        if step == "3a":
            return
        for index in (*treatment.suppressions, *treatment.exclusions):
            yield from self._guard("suppression", document.guards[index])
            if step == "3b" and document.guards[index].id == cause:
                break
        if step != "3b":
            yield from self._caps(treatment, cause if step == "3c" else None)
        if step not in ("3b", "3c"):
            for index in treatment.brand_safety:
                yield from self._guard("brand_safety", document.guards[index])
                if step == "3d" and document.guards[index].id == cause:
                    break
        if refusal and step.startswith("3"):
            yield self._refused(*refusal)

    def _eligibility(self, offer: Offer) -> _Part:
        if not offer.valid_from_ms <= self.now_ms < offer.valid_until_ms:
            return "eligibility", offer.id, "false", {"valid": False}
        if offer.eligibility < 0:
            return "eligibility", offer.id, "true", {}
        return "eligibility", offer.id, self.seen.verdicts[offer.eligibility], self._values(offer.eligibility)

    def _caps(self, treatment: Treatment, reached: str | None) -> Iterator[_Part]:
        offer = self.document.offers[treatment.offer].id
        for index in treatment.caps:
            cap = self.document.caps[index]
            detail = {"offer": offer, "max": cap.max}
            if cap.when >= 0:
                detail |= {"when": self.seen.verdicts[cap.when], **self._values(cap.when)}
            yield "caps", cap.id, "reached" if cap.id == reached else "passed", detail
            if cap.id == reached:
                return

    def _guard(self, step: str, guard: Guard) -> Iterator[_Part]:
        if guard.id not in self.shown:
            self.shown.add(guard.id)
            yield step, guard.id, self.seen.verdicts[guard.rule], self._values(guard.rule)

    def _tag_guards(self) -> Iterator[_Part]:
        """Step 6c: the rules that look at the tags of blocks, if any candidate came as far."""
        if self.answered.offer is None and not any(refusal[3] == "6c" for refusal in self.answered.refused):
            return
        for guard in sorted(self.document.guards, key=lambda guard: (guard.kind, guard.id)):
            if guard.block_tags:
                yield from self._guard("block_tags", guard)

    def _experiments(self) -> Iterator[_Part]:
        assigned = {name: (variant, sticky) for name, variant, sticky in self.answered.experiments}
        for experiment in sorted(self.document.experiments, key=lambda experiment: experiment.id):
            if self.answered.placement in experiment.placements:
                detail = self._values(experiment.eligibility) if experiment.eligibility >= 0 else {}
                variant, sticky = assigned.get(experiment.id, ("not assigned", False))
                if experiment.id in assigned:
                    detail = {"assigned_by": "sticky" if sticky else "hash", **detail}
                yield "experiment", experiment.id, variant, detail

    def _scores(self) -> Iterator[_Part]:
        for number, score in self.answered.scores:
            offer = self.document.offers[number]
            detail: dict[str, Any] = {"score": score}
            if offer.model >= 0:
                model = self.document.models[offer.model]
                detail["model"] = model.id
                parts = [self.document.models[part] for part in (model.treated, model.control) if part >= 0]
                read = itertools.chain.from_iterable(map(model_attributes, (model, *parts)))
                detail |= self._named(list(read))
                names = [name for one in (model, *parts) for name in one.columns]
                detail |= {
                    name: None if math.isnan(x) else x for name, x in zip(names, offer.columns, strict=True)
                }
            for rule, factor in offer.weights:
                yield "weight", offer.id, self.seen.verdicts[rule], {"factor": factor, **self._values(rule)}
            yield "score", offer.id, "true", detail

    def _refused(self, number: int, reason: str, cause: str | None, step: str) -> _Part:
        return "candidate", self.document.offers[number].id, reason, {"step": step, "cause": cause}

    def _values(self, rule: int) -> dict[str, Any]:
        return self._named(self.document.rules[rule].attributes)

    def _named(self, attributes: Sequence[int]) -> dict[str, Any]:
        values = {}
        for index in attributes:
            value = self.seen.values[index]
            values[self.document.attributes[index].name] = MISSING if value is None else value
        return values
