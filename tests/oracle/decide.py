"""A decision, step by step, as docs/decisions/0002-decision.md defines it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from core.reasons import REASONS
from tests.oracle import bandits, content, diversity, fold
from tests.oracle.catalogue import (
    Catalogue,
    applies,
    applies_somewhere,
    condition,
    instant_ms,
    share,
    span_ms,
)
from tests.oracle.cel import Node, parse
from tests.oracle.content import NoContentError
from tests.oracle.evaluate import Error, Value, evaluate
from tests.oracle.hashing import bucket, xxh64
from tests.oracle.numbers import MILLION
from tests.oracle.output import to_json
from tests.oracle.profile import Profile, View
from tests.oracle.score import score
from tests.oracle.times import timestamp_text

#: How far a refused candidate came; the placement's reason is that of the one that came furthest.
STEPS: Final = ("3a", "3b", "3c", "3d", "4", "6a", "6b", "6c")


@dataclass(frozen=True)
class Request:
    decision_id: str
    placements: Sequence[str]
    context: Mapping[str, Any]
    unit_key: bytes
    named: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why a candidate was refused: the offer, the step, the reason code and the id of the cause."""

    offer: str
    step: str
    reason: str
    cause: str


@dataclass
class Answer:
    """One placement answered. `cause`: of a refusal that gave the reason, or the holdout."""

    reason: str
    cause: str = ""
    offer: str | None = None
    treatment: str | None = None
    blocks: dict[str, dict[str, Any]] = field(default_factory=dict)
    ai: bool = False
    experiments: list[dict[str, Any]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    bandit: tuple[str, float, bool, int] | None = None
    diversity: tuple[float, float, float] | None = None
    ranks: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    filled: list[tuple[str, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        assert self.reason in REASONS


@dataclass(frozen=True)
class Decision:
    body: bytes
    answers: dict[str, Answer]


def decide(
    authored: Mapping[str, Any],
    profile: Profile | None,
    overlay: Sequence[fold.Event],
    request: Request,
    now_ms: int,
    *,
    revision: int,
    content_hash: str,
    at_edge: bool = True,
) -> Decision:
    """Answer every placement of the request in order.

    `revision` and `content_hash` only name the bundle in the output.
    """
    decider = _Decider(Catalogue(authored), profile, overlay, request, now_ms, at_edge)
    answers = {placement: decider.answer(placement) for placement in dict.fromkeys(request.placements)}
    return Decision(decider.body(answers, revision, content_hash), answers)


def fallback(
    authored: Mapping[str, Any],
    request: Request,
    now_ms: int,
    reason: str,
    *,
    revision: int,
    content_hash: str,
    at_edge: bool = True,
) -> Decision:
    """What a node answers instead of deciding: generic content for one reason, as if nothing were known."""
    decider = _Decider(Catalogue(authored), None, [], request, now_ms, at_edge)
    answers = {
        placement: decider.fallback(placement, reason) for placement in dict.fromkeys(request.placements)
    }
    return Decision(decider.body(answers, revision, content_hash), answers)


def verdict(
    authored: Mapping[str, Any],
    profile: Profile | None,
    overlay: Sequence[fold.Event],
    request: Request,
    now_ms: int,
    placement: str,
    expression: str,
) -> str:
    """What an expression comes to for a placement's question, as a trace says it: true, false or error."""
    decider = _Decider(Catalogue(authored), profile, overlay, request, now_ms, at_edge=False)
    view = _Placement(decider, decider.catalogue.placements[placement]).view
    value = evaluate(parse(expression), view)
    return "error" if isinstance(value, Error) else "true" if value else "false"


def _shown(answer: Answer) -> dict[str, Any]:
    return {
        "offer": answer.offer,
        "treatment": answer.treatment,
        "blocks": answer.blocks,
        "fallback": answer.reason != "ok",
        "reason": answer.reason,
        "ai": answer.ai,
        "experiments": answer.experiments,
    }


@dataclass(frozen=True)
class Candidate:
    offer: Mapping[str, Any]
    treatment: Mapping[str, Any]

    @property
    def rank(self) -> tuple[int, bytes]:
        """Higher priority first, then smaller id."""
        return -self.offer.get("priority", 0), self.offer["id"].encode()


class _Decider:
    def __init__(
        self,
        catalogue: Catalogue,
        profile: Profile | None,
        overlay: Sequence[fold.Event],
        request: Request,
        now_ms: int,
        at_edge: bool,
    ) -> None:
        self.catalogue = catalogue
        self.request = request
        self.now_ms = now_ms
        self.at_edge = at_edge
        stored = list(profile.events) if profile else []
        self.events = [{**event, "name": catalogue.canonical(event["name"])} for event in [*stored, *overlay]]
        self.scores = profile.scores if profile else {}
        self.starter = profile is None and not overlay
        self.sequence = profile.sequence if profile else 0
        self.unit_key = profile.unit_key if profile else request.unit_key
        self.age_ms = max(0, now_ms - profile.packed_at_ms) if profile else 0
        self.chosen_offers: list[Mapping[str, Any]] = []
        self.taken_groups: set[str] = set()

    def body(self, answers: Mapping[str, Answer], revision: int, content_hash: str) -> bytes:
        return to_json(
            {
                "id": self.request.decision_id,
                "now": timestamp_text(self.now_ms),
                "bundle": {"revision": revision, "hash": content_hash},
                "profile": {
                    "sequence": self.sequence,
                    "age_ms": self.age_ms,
                    "stale": self.age_ms > self.catalogue.stale_after_ms,
                    "starter": self.starter,
                },
                "placements": {placement: _shown(answer) for placement, answer in answers.items()},
            }
        )

    # Step 0.
    def _placement(self, placement_id: str) -> Mapping[str, Any] | None:
        """The placement, if it is known here: an edge does not know those of the hub."""
        placement: Mapping[str, Any] | None = self.catalogue.placements.get(placement_id)
        if placement and self.at_edge and placement.get("answered_at", "edge") == "hub":
            return None
        return placement

    def fallback(self, placement_id: str, reason: str) -> Answer:
        placement = self._placement(placement_id)
        if placement is None:
            return Answer("unknown_placement")
        return Answer(reason, blocks=content.fallback(self.catalogue, placement))

    def answer(self, placement_id: str) -> Answer:
        placement = self._placement(placement_id)
        if placement is None:
            return Answer("unknown_placement")
        ended = self._consent(placement) or self._holdout(placement) or self._staleness(placement)
        if ended:
            ended.blocks = content.fallback(self.catalogue, placement)
            return ended
        return _Placement(self, placement).answer()

    # Step 1.
    def _consent(self, placement: Mapping[str, Any]) -> Answer | None:
        purpose = placement["purpose"]
        if purpose == "none":
            return None
        state, since_ms = fold.consent_at(purpose, self.events) or ("missing", 0)
        opted_out = self.catalogue.purposes_gpc[purpose] and self.request.context.get("gpc") is True
        if state == "granted" and since_ms <= self.now_ms and not opted_out:
            return None
        return Answer("no_profile" if self.request.named and self.starter else "no_consent")

    # Step 2.
    def _holdout(self, placement: Mapping[str, Any]) -> Answer | None:
        for holdout in self.catalogue.holdouts.values():
            held_out = self.is_held_out(holdout)
            everywhere = not any(holdout.get(kind) for kind in ("placements", "experiments", "journeys"))
            if held_out and (everywhere or placement["id"] in holdout.get("placements", [])):
                return Answer("holdout", holdout["id"])
        return None

    def is_held_out(self, holdout: Mapping[str, Any]) -> bool:
        return bucket(holdout.get("salt") or holdout["id"], self.unit_key) < share(holdout["share"])

    def _staleness(self, placement: Mapping[str, Any]) -> Answer | None:
        limit = placement.get("max_age")
        if limit and placement["purpose"] != "none" and self.age_ms > span_ms(limit):
            return Answer("stale")
        return None


@dataclass(frozen=True)
class _Played:
    """How a bandit chooses: candidates in the order in which they are tried."""

    model: Mapping[str, Any]
    ranked: list[Candidate]
    explored: bool
    sample: int
    wins: Mapping[str, int]
    arms: Sequence[str]

    def told(self, chosen: Candidate) -> tuple[str, float, bool, int]:
        """Model, action probability, whether taken at random, sample."""
        floor = share(self.model["floor"]) / MILLION if self.arms else 0.0
        won = self.wins.get(chosen.offer["id"], 0)
        probability = (1.0 - floor) * won / bandits.samples_of(self.model)
        if chosen.offer["id"] in self.arms:
            probability = probability + floor / len(self.arms)
        return self.model["id"], probability, self.explored, self.sample


class _Placement:
    """Steps 3 to 8 for one placement."""

    def __init__(self, decider: _Decider, placement: Mapping[str, Any]) -> None:
        self.decider = decider
        self.catalogue = decider.catalogue
        self.placement = placement
        self.id = placement["id"]
        self.now_ms = decider.now_ms
        # Without a purpose there is no permission, so there is no profile.
        anonymous = placement["purpose"] == "none"
        self.events = [] if anonymous else decider.events
        scores = {} if anonymous else decider.scores
        self.view = View(self.catalogue, self.events, scores, decider.request.context, self.now_ms)
        self.refused: list[Refusal] = []
        self.ranks: dict[str, tuple[int, bytes]] = {}
        self.strength = 0.0
        self.similarities: dict[str, float] = {}
        self.free: set[str] = set()
        self.told_diversity: dict[str, tuple[float, float, float]] = {}

    def answer(self) -> Answer:
        candidates = self._passing(self._candidates(), self._refusal_before_experiments)
        assigned = list(self._assignments())
        candidates = self._passing(candidates, lambda candidate: _refusal_by_variant(candidate, assigned))
        experiments = [_reported(experiment, variant) for experiment, variant in assigned]
        # A later experiment's block wins over an earlier one's, and both over the treatment's own.
        overrides = [
            content.Choice(f"{experiment['id']}/{variant['id']}", variant.get("blocks") or {})
            for experiment, variant in reversed(assigned)
        ]

        ai = any(candidate.offer.get("model") for candidate in candidates)
        self._compare(candidates)
        played = self._play(candidates, overrides)
        ranked = played.ranked if played else self._ranked(candidates)
        for candidate in ranked:
            shown = self._content_unless_refused(candidate, overrides)
            if shown is not None:
                answer = self._chosen(candidate, shown, ai, experiments)
                answer.bandit = played.told(candidate) if played else None
                answer.ranks = self.told_diversity
                answer.diversity = self.told_diversity.get(candidate.offer["id"])
                return answer
        return self._fallback(experiments)

    def _compare(self, candidates: Sequence[Candidate]) -> None:
        """Where diversity counts (0010): how like the candidates are to what the page shows already."""
        wanted = self.placement.get("diversity") or {"strength": 0.0}
        chosen = list(self.decider.chosen_offers)
        self.strength = float(wanted["strength"]) if chosen else 0.0
        if self.strength:
            alike = {c.offer["id"]: diversity.similarity(c.offer, chosen, wanted["by"]) for c in candidates}
            self.similarities = alike
            self.free = {c.offer["id"] for c in candidates if not self._is_taken(c.offer)}

    def _ranked(self, candidates: Sequence[Candidate], sample: int = 0) -> list[Candidate]:
        """All candidates in the order in which they are tried."""
        scores = {c.offer["id"]: score(self.catalogue, c.offer, self.view, sample) for c in candidates}
        if not self.strength:
            return sorted(candidates, key=lambda c: (-scores[c.offer["id"]], *c.rank))
        relevances = diversity.relevances(scores, self.free)
        self.told_diversity = {
            name: (relevance, likeness, diversity.rank(self.strength, relevance, likeness))
            for name, relevance in relevances.items()
            for likeness in [self.similarities[name]]
        }
        ranks = {name: told[2] for name, told in self.told_diversity.items()}
        return sorted(candidates, key=lambda c: (-ranks[c.offer["id"]], -scores[c.offer["id"]], *c.rank))

    def _play(self, candidates: list[Candidate], overrides: list[content.Choice]) -> "_Played | None":
        """Where a bandit has arms at this placement: what it takes first, and how likely each was (0008)."""
        model = self._bandit()
        if model is None or not candidates:
            return None
        refused = list(self.refused)
        showable = [c for c in candidates if self._content_unless_refused(c, overrides) is not None]
        self.refused = refused
        arms = [c for c in showable if c.offer.get("model") == model["id"]]
        samples = bandits.samples_of(model)
        wins: dict[str, int] = {}
        names = {c.offer["id"] for c in showable}
        for sample in range(samples if showable else 0):
            best = next(c.offer["id"] for c in self._ranked(candidates, sample) if c.offer["id"] in names)
            wins[best] = wins.get(best, 0) + 1
        bucket_drawn, low = bandits.decision_draw(self.decider.request.decision_id, self.id, model["id"])
        ranked = self._ranked(candidates, low * samples >> 32)
        explored = bool(arms) and bucket_drawn < share(model["floor"])
        if explored:
            ranked = [arms[low * len(arms) >> 32]]
        return _Played(model, ranked, explored, low * samples >> 32, wins, [c.offer["id"] for c in arms])

    def _bandit(self) -> Mapping[str, Any] | None:
        for candidate in list(self._candidates()):
            model = self.catalogue.models.get(candidate.offer.get("model") or "")
            if model and model["kind"] == "bandit":
                return model
        return None

    def _candidates(self) -> Iterator[Candidate]:
        for offer in self.catalogue.offers.values():
            for treatment in offer.get("treatments", []):
                if treatment["placement"] == self.id:
                    self.ranks[offer["id"]] = Candidate(offer, treatment).rank
                    yield Candidate(offer, treatment)

    def _passing(self, candidates: Any, refusal: Any) -> list[Candidate]:
        """The candidates that are not refused; the refusals are kept."""
        passing = []
        for candidate in candidates:
            found = refusal(candidate)
            if found:
                self._refuse(candidate, *found)
            else:
                passing.append(candidate)
        return passing

    def _refuse(self, candidate: Candidate, step: str, reason: str, cause: str) -> None:
        self.refused.append(Refusal(candidate.offer["id"], step, reason, cause))

    # Step 3.
    def _refusal_before_experiments(self, candidate: Candidate) -> tuple[str, str, str] | None:
        offer = candidate.offer
        if not self._eligible(offer):
            return "3a", "not_eligible", offer["id"]
        for kind in ("suppression", "exclusion"):
            for rule in self._rules(kind, offer):
                if self._blocks(condition(rule)):
                    return "3b", rule.get("reason") or "suppressed", rule["id"]
        for cap in self.catalogue.caps.values():
            if applies(cap, offer, self.id) and self._capped(cap, offer):
                return "3c", "capped", cap["id"]
        for rule in self._rules("brand_safety", offer):
            if self._blocks(condition(rule)):
                return "3d", "brand_safety", rule["id"]
        return None

    def _eligible(self, offer: Mapping[str, Any]) -> bool:
        begins, ends = instant_ms(offer.get("valid_from")), instant_ms(offer.get("valid_until"))
        if (begins is not None and self.now_ms < begins) or (ends is not None and self.now_ms >= ends):
            return False
        return self._matches(condition(offer, "eligibility"))

    def _matches(self, expression: Node | None) -> bool:
        """Whether a rule that lets pass is true; an error is not."""
        return expression is None or evaluate(expression, self.view) is True

    def _blocks(self, expression: Node | None) -> bool:
        """Whether a rule that blocks is anything but false; an error blocks."""
        return expression is None or evaluate(expression, self.view) is not False

    def _rules(self, kind: str, offer: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Rules of one kind that apply by offer, in id order; those by block tags come in step 6c."""
        for rule in self.catalogue.rules.values():
            if rule["kind"] == kind and not _block_tags(rule) and applies(rule, offer, self.id):
                yield rule

    def _capped(self, cap: Mapping[str, Any], offer: Mapping[str, Any]) -> bool:
        verdict: Value = True
        if (when := condition(cap)) is not None:
            verdict = evaluate(when, self.view)
        if verdict is False:
            return False
        return isinstance(verdict, Error) or self._shown_count(cap, offer) >= cap["max"]

    def _shown_count(self, cap: Mapping[str, Any], offer: Mapping[str, Any]) -> int:
        """Impressions within the cap's window of this offer, or of all that the cap applies to."""
        offers = [offer]
        if cap.get("per", "offer") == "all":
            offers = [other for other in self.catalogue.offers.values() if applies_somewhere(cap, other)]
        offer_hashes = {xxh64(o["id"].encode()) for o in offers}
        channel_hashes = {xxh64(channel.encode()) for channel in cap.get("channels") or []}
        minute = self.now_ms // fold.MINUTE_MS
        window = span_ms(cap["window"]) // fold.MINUTE_MS
        return sum(
            count
            for shown_at, offer_hash, channel_hash, count in fold.impressions(self.events)
            if minute - window < shown_at <= minute
            and offer_hash in offer_hashes
            and (not channel_hashes or channel_hash in channel_hashes)
        )

    # Step 4.
    def _assignments(self) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
        """Experiments the unit takes part in here, with its variant, in id order."""
        key = self.decider.unit_key
        for experiment in self.catalogue.experiments.values():
            if self.id not in experiment["placements"] or not self._matches(
                condition(experiment, "eligibility")
            ):
                continue
            holdouts = self.catalogue.holdouts.values()
            if any(
                experiment["id"] in h.get("experiments", []) and self.decider.is_held_out(h) for h in holdouts
            ):
                continue
            salt = experiment.get("salt") or experiment["id"]
            if experiment.get("layer"):
                layer = self.catalogue.layers[experiment["layer"]]
                begins, ends = (share(bound) for bound in experiment.get("range", [0, 1]))
                if not begins <= bucket(layer.get("salt") or layer["id"], key) < ends:
                    continue
            stored = self._stored_variant(experiment)
            if stored is not None:
                yield experiment, stored
            elif bucket(salt + ":traffic", key) < share(experiment.get("traffic", 1)):
                yield experiment, _variant(experiment["variants"], bucket(salt, key))

    def _stored_variant(self, experiment: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """What the unit key's own source was shown first, else what any was; None if that variant is gone."""
        if not experiment.get("sticky"):
            return None
        name, own = fold.assignment_name(experiment), int.from_bytes(self.decider.unit_key[:8], "little")
        every = fold.assignments(self.catalogue.experiments, self.events)
        by_source = {source: found for (shown, source), found in every.items() if shown == name}
        first = by_source.get(own) or min(by_source.values(), default=None)
        variants = {xxh64(variant["id"].encode()): variant for variant in experiment["variants"]}
        return None if first is None else variants.get(first[1])

    # Step 6.
    def _content_unless_refused(
        self, candidate: Candidate, overrides: list[content.Choice]
    ) -> content.Content | None:
        if self._is_taken(candidate.offer):
            self._refuse(candidate, "6a", "suppressed", "exclusivity")
            return None
        try:
            own = content.Choice(candidate.treatment["id"], candidate.treatment.get("blocks", {}))
            found = content.resolve(
                self.catalogue,
                self.placement["slots"],
                [*overrides, own],
                self.view,
                lambda block: self._tag_refusal([block]) is not None,
                self.decider.unit_key,
            )
        except NoContentError as refusal:
            self._refuse(candidate, "6b", "no_content", refusal.cause)
            return None
        refused = self._tag_refusal([self.catalogue.blocks[one["block"]] for one in found.slots.values()])
        if refused is not None:
            self._refuse(candidate, "6c", *refused)
            return None
        return found

    def _tag_refusal(self, used: list[Mapping[str, Any]]) -> tuple[str, str] | None:
        """Reason and id of the first rule that the tags of the blocks offend."""
        tags = {tag for block in used for tag in block.get("tags", [])}
        for kind, reason in (("exclusion", "suppressed"), ("brand_safety", "brand_safety")):
            for rule in self.catalogue.rules.values():
                if rule["kind"] == kind and tags & _block_tags(rule) and self._blocks(condition(rule)):
                    return reason, rule["id"]
        return None

    def _is_taken(self, offer: Mapping[str, Any]) -> bool:
        repeated = any(offer["id"] == chosen["id"] for chosen in self.decider.chosen_offers)
        if repeated and not self.placement.get("allow_repeat", False):
            return True
        return offer.get("exclusive_group") in self.decider.taken_groups

    # Steps 7 and 8.
    def _chosen(
        self, candidate: Candidate, shown: content.Content, ai: bool, experiments: list[dict[str, Any]]
    ) -> Answer:
        self.decider.chosen_offers.append(candidate.offer)
        if candidate.offer.get("exclusive_group"):
            self.decider.taken_groups.add(candidate.offer["exclusive_group"])
        return Answer(
            "ok",
            offer=candidate.offer["id"],
            treatment=candidate.treatment["id"],
            blocks=shown.slots,
            ai=ai or any(drawn for _, _, drawn in shown.filled),
            experiments=experiments,
            refused=self.refused,
            filled=shown.filled,
        )

    def _fallback(self, experiments: list[dict[str, Any]]) -> Answer:
        reason, cause = "no_content", ""
        if self.refused:
            furthest = min(self.refused, key=lambda r: (-STEPS.index(r.step), self.ranks[r.offer]))
            reason, cause = furthest.reason, furthest.cause
        blocks = content.fallback(self.catalogue, self.placement)
        return Answer(reason, cause, blocks=blocks, experiments=experiments, refused=self.refused)


def _refusal_by_variant(
    candidate: Candidate, assigned: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]
) -> tuple[str, str, str] | None:
    for experiment, variant in assigned:
        if variant.get("offers") is not None and candidate.offer["id"] not in variant["offers"]:
            return "4", "not_eligible", experiment["id"]
    return None


def _reported(experiment: Mapping[str, Any], variant: Mapping[str, Any]) -> dict[str, Any]:
    found = {"id": experiment["id"], "variant": variant["id"]}
    if experiment.get("sticky"):
        found["sticky_version"] = experiment.get("sticky_version", 0)
    return found


def _variant(variants: Sequence[Mapping[str, Any]], position: int) -> Mapping[str, Any]:
    """The first variant whose share, added to those before it, passes the unit's bucket."""
    total = sum(variant["weight"] for variant in variants)
    reached = 0
    for variant in variants:
        reached += variant["weight"]
        if position < MILLION * reached // total:
            return variant
    raise AssertionError("the last bound is the whole range")


def _block_tags(rule: Mapping[str, Any]) -> set[str]:
    return set((rule.get("applies_to") or {}).get("block_tags", []))
