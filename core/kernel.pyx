"""The steps of a decision for one placement (docs/decisions/0002-decision.md), over the tables of one bundle.

Every attribute is read at most once a decision and every condition evaluated at most once; no Python object
is made per attribute, rule or candidate. Memory is allocated when the bundle is loaded.
"""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport qsort

from core.answers cimport (
    CAUSE_BLOCK,
    CAUSE_CAP,
    CAUSE_EXCLUSIVITY,
    CAUSE_EXPERIMENT,
    CAUSE_GUARD,
    CAUSE_HOLDOUT,
    CAUSE_NONE,
    CAUSE_OFFER,
    CAUSE_SLOT,
    PLACEMENTS_MAX,
    R_CAPPED,
    R_ERROR,
    R_HOLDOUT,
    R_NO_CONSENT,
    R_NO_CONTENT,
    R_NO_PROFILE,
    R_NOT_ELIGIBLE,
    R_OK,
    R_STALE,
    R_SUPPRESSED,
    STEP_BRAND_SAFETY,
    STEP_CAPS,
    STEP_CONTENT,
    STEP_ELIGIBILITY,
    STEP_EXCLUSIVITY,
    STEP_EXPERIMENT,
    STEP_SUPPRESSION,
    STEP_TAGS,
    Answer,
    Answers,
    Assigned,
    Cause,
    CauseKind,
    Refusal,
    Step,
)
from core.assignment cimport Experiments, Variant, contains
from core.bandits cimport DIMENSIONS_MAX, MILLIONTHS, Bandit, Bandits, arm_value, draw_of
from core.candidates cimport NO_BLOCK, Candidates, Guard, Numbers, Offer, Placement, Purpose, Treatment
from core.caps cimport Caps
from core.content cimport Block, Blocks, write_constant
from core.memory cimport Pool
from core.output cimport Output, Piece
from core.record cimport Consent, consent_at, consent_granted
from core.conditions cimport DECIDE, EXPLAIN, Extent
from core.rules cimport Tables
from core.scoring cimport Models
from core.values cimport Attributes, as_object, ov_value

import msgspec

from core import bundle, check, reasons
from core.rules import early_conditions


@cython.final
cdef class Kernel:
    """The tables of one checked bundle, and scratch memory for one decision at a time."""

    def __cinit__(self, document not None):
        self.document = document
        self._pool = Pool()
        deciding = _deciding(document)
        self.tables = Tables(document, deciding)
        self.attributes = Attributes(
            document.attributes,
            _attributes_used(document, early_conditions(document, deciding)),
            _attributes_used(document, range(len(document.tables.conditions))),
        )
        self.candidates = Candidates(document, self.tables)
        self.blocks = Blocks(document.blocks, self.candidates.block_guards)
        self.candidates.build_placements(document, [self._fallback_blocks(p) for p in document.placements])
        self.experiments = Experiments(document.experiments, document.holdouts, self.candidates.slot_names)
        self.caps = Caps(document.caps, document.offers)
        self.models = Models(document.models, _models_by_placement(document))
        self.bandits = Bandits(document)
        self.out = Output()
        self.answers = Answers()
        self._build_pieces(document)
        self._build_scratch()

    def __reduce__(self):
        raise TypeError("a Kernel holds addresses and cannot be pickled")

    cdef bytes _fallback_blocks(self, placement):
        """The generic blocks of a placement as they stand between the braces."""
        cdef Output out = Output()
        for (name, _), block in zip(placement.slots, placement.fallback, strict=True):
            if block < 0:
                continue
            if out._size:
                out.raw(b",", 1)
            out.string(name)
            out.raw(b":", 1)
            write_constant(&self.blocks.blocks[<size_t>block], out)
        return out.take()

    cdef Piece _piece(self, bytes text) except *:
        cdef Piece piece
        piece.text = self._pool.copy(text)
        piece.length = <uint32_t>len(text)
        return piece

    cdef _build_pieces(self, document):
        self._reasons = <Piece*>self._pool.take(len(reasons.REASONS), sizeof(Piece))
        for i, code in enumerate(reasons.REASONS):
            self._reasons[<size_t>i] = self._piece(msgspec.json.encode(code) + b',"ai":')
        self._experiment_ids = <Piece*>self._pool.take(len(document.experiments), sizeof(Piece))
        self._variant_ids = <Piece**>self._pool.take(len(document.experiments), sizeof(Piece*))
        for i, experiment in enumerate(document.experiments):
            head = b'{"id":' + msgspec.json.encode(experiment.id) + b',"variant":'
            self._experiment_ids[<size_t>i] = self._piece(head)
            self._variant_ids[<size_t>i] = <Piece*>self._pool.take(len(experiment.variants), sizeof(Piece))
            for k, variant in enumerate(experiment.variants):
                self._variant_ids[<size_t>i][<size_t>k] = self._piece(msgspec.json.encode(variant.id) + b"}")

    cdef _build_scratch(self):
        cdef int i
        for i in range(VIEWS):
            self._views[i].values = <ov_value*>self._pool.take(self.attributes.count, sizeof(ov_value))
            self._views[i].literals = <uint8_t*>self._pool.take(self.tables.literal_count, 1)
        self._passing = <Candidate*>self._pool.take(check.CANDIDATES_MAX, sizeof(Candidate))
        self._asked = <int32_t*>self._pool.take(check.CANDIDATES_MAX, sizeof(int32_t))
        self._outputs = <double*>self._pool.take(check.CANDIDATES_MAX, sizeof(double))
        self._wins = <uint32_t*>self._pool.take(self.candidates.offer_count, sizeof(uint32_t))
        self._showable = <uint8_t*>self._pool.take(check.CANDIDATES_MAX, 1)
        self._weights = <double*>self._pool.take(check.CANDIDATES_MAX, sizeof(double))
        self._vector = <double*>self._pool.take(DIMENSIONS_MAX, sizeof(double))
        self._bandit_of = self._placement_bandits()
        self._every = <double*>self._pool.take(self.models.count, sizeof(double))
        self._all_models = <int32_t*>self._pool.take(self.models.count, sizeof(int32_t))
        for i in range(<int>self.models.count):
            self._all_models[i] = i
        self._chosen = <uint32_t*>self._pool.take(PLACEMENTS_MAX, sizeof(uint32_t))
        self._offer_taken = <uint8_t*>self._pool.take(self.candidates.offer_count, 1)
        self._group_taken = <uint8_t*>self._pool.take(self.candidates.offer_count, 1)

    cdef const int32_t* _placement_bandits(self) except NULL:
        """By placement the bandit of its offers; the first, where a bundle has several."""
        cdef int32_t* found = <int32_t*>self._pool.take(len(self.document.placements), sizeof(int32_t))
        for i, models in enumerate(_models_by_placement(self.document)):
            bandits = [at for at in models if self.document.models[at].bandit is not None]
            found[<size_t>i] = bandits[0] if bandits else -1
        return found

    cdef void clear(self) noexcept:
        cdef uint32_t i
        cdef int v
        cdef int32_t group
        for i in range(self._chosen_count):
            self._offer_taken[self._chosen[i]] = 0
            group = self.candidates.offers[self._chosen[i]].group
            if group >= 0:
                self._group_taken[group] = 0
        self._chosen_count = 0
        self.caps.reset()
        self.models.begin()
        for v in range(VIEWS):
            self._views[v].ready = False
        self.scored = None

    cdef View* view(
        self, bint anonymous, const Situation* situation, dict context, Extent extent
    ) except NULL:
        cdef View* view = &self._views[VIEW_ANONYMOUS if anonymous else VIEW_PROFILE]
        if view.ready and view.extent >= extent:
            return view
        view.record = situation.record
        if anonymous:
            view.record = NULL
        self.attributes.load_record(view.record, situation.now_ms, extent > DECIDE, view.values)
        self.attributes.load_context(context, extent > DECIDE, view.values)
        self.tables.evaluate(view.values, situation.now_ms, extent, view.literals)
        view.extent = extent
        view.ready = True
        return view

    cdef const ov_value* context_values(self, dict context) except NULL:
        cdef View* view = &self._views[VIEW_PROFILE]
        view.ready = False
        self.attributes.load_context(context, True, view.values)
        return view.values

    cdef tuple explain(self, bint anonymous, const Situation* situation, dict context):
        cdef const View* view = self.view(anonymous, situation, context, EXPLAIN)
        cdef uint32_t i
        verdicts = []
        for i in range(self.tables.rule_count):
            if view.literals[self.tables.rule_true[i]]:
                verdicts.append("true")
            else:
                verdicts.append("false" if view.literals[self.tables.rule_false[i]] else "error")
        return verdicts, [as_object(&view.values[i]) for i in range(self.attributes.count)]

    cdef list score(self, const Situation* situation, dict context):
        cdef const View* view = self.view(False, situation, context, DECIDE)
        cdef uint32_t i
        cdef list found = []
        self.models.read(<uint32_t>len(self.document.placements), view.values)
        self.models.outputs(self._all_models, self.models.count, view.values, self._every)
        for i in range(self.models.count):
            found.append(self._every[i])
        return found

    cdef int answer(self, Answer* answer, const Situation* situation, dict context) except -1:
        cdef const Placement* placement = &self.candidates.placements[answer.placement]
        cdef size_t mark = self.out._size
        cdef uint32_t refusals = self.answers.refusal_count
        try:
            self._answer(answer, placement, situation, context)
        except Exception:  # never expected; the page still gets an answer, and the reason code is counted
            self.out._size = mark
            self.answers.refusal_count = refusals
            self.answers.assigned_count = answer.assigned_begin
            answer.refusal_count = 0
            answer.assigned_count = 0
            answer.treatment = -1
            answer.ai = False
            answer.bandit = 0
            self.write_fallback(answer, _cause(R_ERROR, CAUSE_NONE, 0))
        return 0

    cdef int _answer(
        self, Answer* answer, const Placement* placement, const Situation* situation, dict context
    ) except -1:
        """Steps 1 to 8."""
        cdef bint anonymous = placement.purpose < 0
        cdef Cause ended = self._ended(answer, placement, situation)
        cdef const View* view
        cdef uint32_t passing, i
        cdef bint ai = False
        if ended.reason != R_OK:
            self.write_fallback(answer, ended)
            return 0
        view = self.view(anonymous, situation, context, DECIDE)
        self._assign(answer, placement, view, situation)
        passing = self._pass(answer, placement, view, situation.now_ms)
        if passing:
            self._ask_models(answer, passing, view)
            if self._bandit_of[answer.placement] >= 0:
                return self._play(answer, placement, passing, view)
        for i in range(passing):
            ai |= self._score(&self._passing[i], self._outputs[i], view)
        for i in range(passing):
            _bring_best_forward(self._passing, i, passing)
            if self._choose(answer, placement, &self._passing[i], view):
                answer.ai = ai
                self._take(self._passing[i].offer)
                return self.write_end(answer)
        self.write_fallback(answer, self._furthest(answer))
        return 0

    # Steps 1 and 2: consent, holdout, staleness.

    cdef Cause _ended(self, Answer* answer, const Placement* placement, const Situation* situation) noexcept:
        """The reason that ends the decision before candidates are looked at, or R_OK."""
        cdef uint32_t i
        if placement.purpose >= 0 and not self._consents(answer, placement, situation):
            if situation.named and situation.starter:
                return _cause(R_NO_PROFILE, CAUSE_NONE, 0)
            return _cause(R_NO_CONSENT, CAUSE_NONE, 0)
        for i in range(placement.holdouts.count):
            if self.experiments.held_out(placement.holdouts.items[i], situation.unit_key):
                return _cause(R_HOLDOUT, CAUSE_HOLDOUT, placement.holdouts.items[i])
        if placement.purpose >= 0 and 0 < placement.max_age_ms < situation.age_ms:
            return _cause(R_STALE, CAUSE_NONE, 0)
        return _cause(R_OK, CAUSE_NONE, 0)

    cdef bint _consents(
        self, Answer* answer, const Placement* placement, const Situation* situation
    ) noexcept:
        cdef const Purpose* purpose = &self.candidates.purposes[placement.purpose]
        cdef Consent consent = consent_at(situation.record, purpose.slot)
        answer.consent_state = consent.state
        answer.consent_at_ms = consent.effective_at_ms if consent.state else 0
        answer.opted_out = purpose.gpc and situation.opted_out
        return consent_granted(situation.record, purpose.slot, situation.now_ms) and not answer.opted_out

    # Step 4 first: an assignment depends on no candidate.

    cdef int _assign(
        self, Answer* answer, const Placement* placement, const View* view, const Situation* situation
    ) except -1:
        cdef uint32_t i, number
        cdef int32_t variant, rule
        for i in range(placement.experiments.count):
            number = placement.experiments.items[i]
            rule = self.experiments.experiments[number].rule
            if rule >= 0 and not view.literals[self.tables.rule_true[rule]]:
                continue
            variant = self.experiments.assign(number, situation.unit_key)
            if variant >= 0:
                self.answers.assign(answer, number, <uint32_t>variant)
                answer.limited |= self.experiments.experiments[number].variants[variant].limited
        return 0

    cdef const Variant* _variant(self, const Answer* answer, uint32_t i) noexcept:
        """The variant of the answer's i-th assignment."""
        cdef const Assigned* assigned = &self.answers.assigned[answer.assigned_begin + i]
        return &self.experiments.experiments[assigned.experiment].variants[assigned.variant]

    # Steps 3 and 4: candidates.

    cdef uint32_t _pass(
        self, Answer* answer, const Placement* placement, const View* view, int64_t now_ms
    ) except? 0xFFFFFFFF:
        """Fill `_passing` with the candidates that no rule, cap or variant refuses; returns how many."""
        cdef uint32_t i, number
        cdef uint32_t count = 0
        cdef const Treatment* treatment
        cdef Step step = STEP_ELIGIBILITY
        cdef Cause cause
        for i in range(placement.treatments.count):
            number = placement.treatments.items[i]
            treatment = &self.candidates.treatments[number]
            cause = self._refusal(answer, treatment, view, now_ms, &step)
            if cause.reason != R_OK:
                self.answers.refuse(answer, treatment.offer, step, cause)
                continue
            self._passing[count].offer = treatment.offer
            self._passing[count].priority = self.candidates.offers[treatment.offer].priority
            self._passing[count].treatment = treatment
            self._passing[count].number = number
            count += 1
        return count

    cdef Cause _refusal(
        self, const Answer* answer, const Treatment* treatment, const View* view, int64_t now_ms, Step* step
    ) noexcept:
        """Why steps 3a to 4 refuse a candidate, and in `step` which of them does; R_OK if none."""
        cdef Cause cause
        cdef const Offer* offer = &self.candidates.offers[treatment.offer]
        step[0] = STEP_ELIGIBILITY
        if now_ms < offer.valid_from or now_ms >= offer.valid_until:
            return _cause(R_NOT_ELIGIBLE, CAUSE_OFFER, treatment.offer)
        if offer.eligibility >= 0 and not view.literals[offer.eligibility]:
            return _cause(R_NOT_ELIGIBLE, CAUSE_OFFER, treatment.offer)
        step[0] = STEP_SUPPRESSION
        cause = self._guarded(&treatment.suppressions, view)
        if cause.reason != R_OK:
            return cause
        step[0] = STEP_CAPS
        cause = self._capped(treatment, view, now_ms)
        if cause.reason != R_OK:
            return cause
        step[0] = STEP_BRAND_SAFETY
        cause = self._guarded(&treatment.brand_safety, view)
        if cause.reason != R_OK:
            return cause
        step[0] = STEP_EXPERIMENT
        return self._left_out(answer, treatment.offer)

    cdef Cause _guarded(self, const Numbers* guards, const View* view) noexcept:
        """A blocking rule lets pass only where it is definitely false."""
        cdef uint32_t i
        cdef const Guard* guard
        for i in range(guards.count):
            guard = &self.candidates.guards[guards.items[i]]
            if not view.literals[guard.passes]:
                return _cause(guard.reason, CAUSE_GUARD, guards.items[i])
        return _cause(R_OK, CAUSE_NONE, 0)

    cdef Cause _capped(self, const Treatment* treatment, const View* view, int64_t now_ms) noexcept:
        cdef uint32_t i, number
        cdef int32_t rule
        for i in range(treatment.caps.count):
            number = treatment.caps.items[i]
            rule = self.caps.caps[number].rule
            if rule >= 0 and view.literals[self.tables.rule_false[rule]]:
                continue
            if rule >= 0 and not view.literals[self.tables.rule_true[rule]]:
                return _cause(R_CAPPED, CAUSE_CAP, number)
            if self.caps.reached(number, treatment.offer, view.record, now_ms):
                return _cause(R_CAPPED, CAUSE_CAP, number)
        return _cause(R_OK, CAUSE_NONE, 0)

    cdef Cause _left_out(self, const Answer* answer, uint32_t offer) noexcept:
        """The first experiment whose variant does not hold the offer."""
        cdef uint32_t i
        cdef const Variant* variant
        cdef const Assigned* assigned = &self.answers.assigned[answer.assigned_begin]
        if not answer.limited:
            return _cause(R_OK, CAUSE_NONE, 0)
        for i in range(answer.assigned_count):
            variant = self._variant(answer, i)
            if variant.limited and not contains(variant.offers, variant.offer_count, offer):
                return _cause(R_NOT_ELIGIBLE, CAUSE_EXPERIMENT, assigned[i].experiment)
        return _cause(R_OK, CAUSE_NONE, 0)

    # Step 5: score.

    cdef void _ask_models(self, const Answer* answer, uint32_t passing, const View* view) noexcept:
        """Outputs of the models of the passing candidates."""
        cdef uint32_t i
        if self._scored_view != view:
            self.models.begin()
            self._scored_view = view
        for i in range(passing):
            self._asked[i] = self.candidates.offers[self._passing[i].offer].model
        self.models.read(<uint32_t>answer.placement, view.values)
        self.models.outputs(self._asked, passing, view.values, self._outputs)

    cdef bint _score(self, Candidate* candidate, double propensity, const View* view) except -1:
        """Score a candidate; returns whether a model took part."""
        cdef const Offer* offer = &self.candidates.offers[candidate.offer]
        candidate.score = propensity * self._context_weight(offer, view) * offer.value * offer.lever
        if candidate.score != candidate.score:
            candidate.score = -INFINITY
        if self.scored is not None:
            self.scored.append((candidate.offer, candidate.score))
        return offer.model >= 0

    cdef double _context_weight(self, const Offer* offer, const View* view) noexcept:
        cdef double weight = 1.0
        cdef uint32_t i
        for i in range(offer.weight_count):
            if view.literals[offer.weights[i].position]:
                weight = weight * offer.weights[i].factor
        return weight

    # Steps 5 to 8 where a bandit has arms (docs/decisions/0008-scoring.md).

    cdef int _play(
        self, Answer* answer, const Placement* placement, uint32_t passing, const View* view
    ) except -1:
        """Choose among the passing candidates by a sample of the bandit, or an arm at random, and note with
        what probability it was to be chosen.
        """
        cdef int32_t number = self._bandit_of[answer.placement]
        cdef const Bandit* bandit = &self.bandits.of_model[number]
        cdef bytes name = self.document.placements[answer.placement].id.encode()
        cdef uint64_t draw = draw_of(bandit, self.decision_id.encode(), name)
        cdef uint64_t low = draw & 0xFFFFFFFF
        cdef uint32_t arms, i
        cdef bint ai = False
        cdef double floor
        cdef const Candidate* candidate
        if bandit.dimensions:
            self.models.vector(<uint32_t>number, self._vector)
        for i in range(passing):
            candidate = &self._passing[i]
            ai |= self.candidates.offers[candidate.offer].model >= 0
            self._weights[i] = self._context_weight(&self.candidates.offers[candidate.offer], view)
            self._showable[i] = self._is_showable(answer, placement, candidate, view)
        arms = self._count_wins(bandit, passing)
        answer.sample = <uint32_t>(low * bandit.samples >> 32)
        self._sample_scores(bandit, passing, answer.sample)
        if self.scored is not None:
            for i in range(passing):
                self.scored.append((self._passing[i].offer, self._passing[i].score))
        answer.explored = arms > 0 and (draw >> 32) * MILLIONTHS >> 32 < bandit.floor
        if answer.explored:
            self._bring_arm_forward(bandit, passing, <uint32_t>(low * arms >> 32))
        for i in range(passing):
            if not answer.explored:
                _bring_best_forward(self._passing, i, passing)
            candidate = &self._passing[i]
            if self._choose(answer, placement, candidate, view):
                floor = bandit.floor / <double>MILLIONTHS if arms else 0.0
                answer.action_probability = (1.0 - floor) * self._wins[candidate.offer] / bandit.samples
                if bandit.arm_of[candidate.offer] >= 0:
                    answer.action_probability += floor / arms
                answer.bandit = <uint32_t>number + 1
                answer.ai = ai
                self._take(candidate.offer)
                return self.write_end(answer)
        self.write_fallback(answer, self._furthest(answer))
        return 0

    cdef bint _is_showable(
        self, Answer* answer, const Placement* placement, const Candidate* candidate, const View* view
    ) except -1:
        """Whether step 6 lets a candidate pass, with nothing written."""
        cdef size_t mark = self.out._size
        cdef Step step = STEP_EXCLUSIVITY
        cdef Cause cause = self._try(answer, placement, candidate, view, &step)
        self.out._size = mark
        return cause.reason == R_OK

    cdef void _sample_scores(self, const Bandit* bandit, uint32_t passing, uint32_t sample) noexcept:
        """Scores of the candidates if the arms are worth what the sample says."""
        cdef uint32_t i
        cdef int32_t arm
        cdef double propensity, score
        cdef const Offer* offer
        for i in range(passing):
            offer = &self.candidates.offers[self._passing[i].offer]
            arm = bandit.arm_of[self._passing[i].offer]
            propensity = self._outputs[i]
            if arm >= 0:
                propensity = arm_value(bandit, <uint32_t>arm, sample, self._vector)
            score = propensity * self._weights[i] * offer.value * offer.lever
            self._passing[i].score = score if score == score else -INFINITY

    cdef uint32_t _count_wins(self, const Bandit* bandit, uint32_t passing) noexcept:
        """Count in `_wins` the samples in which each showable candidate is best; returns showable arms."""
        cdef uint32_t arms = 0, i, sample
        cdef int32_t best
        for i in range(passing):
            self._wins[self._passing[i].offer] = 0
            arms += self._showable[i] and bandit.arm_of[self._passing[i].offer] >= 0
        for sample in range(bandit.samples):
            self._sample_scores(bandit, passing, sample)
            best = -1
            for i in range(passing):
                if not self._showable[i]:
                    continue
                if best < 0 or _order(&self._passing[i], &self._passing[best]) < 0:
                    best = <int32_t>i
            if best >= 0:
                self._wins[self._passing[best].offer] += 1
        return arms

    cdef void _bring_arm_forward(self, const Bandit* bandit, uint32_t passing, uint32_t arm) noexcept:
        """Make the showable arm of this number, in the order of offers, the first candidate."""
        cdef uint32_t i
        for i in range(passing):
            if self._showable[i] and bandit.arm_of[self._passing[i].offer] >= 0:
                if arm == 0:
                    self._passing[0], self._passing[i] = self._passing[i], self._passing[0]
                    return
                arm -= 1

    # Steps 6 to 8: arbitration, content, label.

    cdef bint _choose(
        self, Answer* answer, const Placement* placement, const Candidate* candidate, const View* view
    ) except -1:
        """Write a candidate's answer; False, with the body as before, where it must not be shown."""
        cdef size_t mark = self.out._size
        cdef Step step = STEP_EXCLUSIVITY
        cdef Cause cause = self._try(answer, placement, candidate, view, &step)
        if cause.reason == R_OK:
            answer.treatment = <int32_t>candidate.number
            answer.cause = cause
            return True
        self.out._size = mark
        self.answers.refuse(answer, candidate.offer, step, cause)
        return False

    cdef Cause _try(
        self,
        Answer* answer,
        const Placement* placement,
        const Candidate* candidate,
        const View* view,
        Step* step,
    ) except *:
        cdef int32_t group = self.candidates.offers[candidate.offer].group
        cdef uint32_t i, block
        cdef uint32_t worst = self.candidates.tag_guards.count
        cdef Output out = self.out
        if self._offer_taken[candidate.offer] and not placement.allow_repeat:
            return _cause(R_SUPPRESSED, CAUSE_EXCLUSIVITY, 0)
        if group >= 0 and self._group_taken[group]:
            return _cause(R_SUPPRESSED, CAUSE_EXCLUSIVITY, 0)
        step[0] = STEP_CONTENT
        out.piece(candidate.treatment.head)
        for i in range(placement.slot_count):
            block = self._block(answer, placement, candidate.treatment, i)
            if block == NO_BLOCK:
                return _cause(R_NO_CONTENT, CAUSE_SLOT, i)
            if i:
                out.raw(b",", 1)
            out.piece(placement.slots[i].key)
            if not self.blocks.write(block, view.values, out):
                return _cause(R_NO_CONTENT, CAUSE_BLOCK, block)
            worst = self._first_tag_guard(&self.blocks.blocks[block], view, worst)
        step[0] = STEP_TAGS
        if worst < self.candidates.tag_guards.count:
            i = self.candidates.tag_guards.items[worst]
            return _cause(self.candidates.guards[i].reason, CAUSE_GUARD, i)
        out.literal(b'},"fallback":false,"reason":')
        return _cause(R_OK, CAUSE_NONE, 0)

    cdef uint32_t _block(
        self, const Answer* answer, const Placement* placement, const Treatment* treatment, uint32_t slot
    ) noexcept:
        """The block of a slot: of the latest experiment that overrides it, else the treatment's."""
        cdef uint32_t i, k
        cdef const Variant* variant
        for i in range(answer.assigned_count, 0, -1):
            variant = self._variant(answer, i - 1)
            for k in range(variant.override_count):
                if variant.overrides[k].slot_name == placement.slots[slot].name:
                    return variant.overrides[k].block
        return treatment.blocks.items[slot]

    cdef uint32_t _first_tag_guard(self, const Block* block, const View* view, uint32_t worst) noexcept:
        """The earlier of `worst` and the place of the first rule that a block's tags offend."""
        cdef uint32_t i, place
        for i in range(block.guard_count):
            place = block.guards[i]
            if place >= worst:
                return worst
            if not view.literals[self.candidates.guards[self.candidates.tag_guards.items[place]].passes]:
                return place
        return worst

    cdef void _take(self, uint32_t offer) noexcept:
        cdef int32_t group = self.candidates.offers[offer].group
        self._offer_taken[offer] = 1
        if group >= 0:
            self._group_taken[group] = 1
        self._chosen[self._chosen_count] = offer
        self._chosen_count += 1

    cdef Cause _furthest(self, const Answer* answer) noexcept:
        """The cause of the refused candidate that came furthest; at an equal step the higher priority, then
        the smaller id.
        """
        cdef uint32_t i
        cdef const Refusal* best = NULL
        cdef const Refusal* refusal
        for i in range(answer.refusal_begin, answer.refusal_begin + answer.refusal_count):
            refusal = &self.answers.refusals[i]
            if best == NULL or self._came_further(refusal, best):
                best = refusal
        return best.cause if best != NULL else _cause(R_NO_CONTENT, CAUSE_NONE, 0)

    cdef bint _came_further(self, const Refusal* a, const Refusal* b) noexcept:
        cdef int64_t a_priority = self.candidates.offers[a.offer].priority
        cdef int64_t b_priority = self.candidates.offers[b.offer].priority
        if a.step != b.step:
            return a.step > b.step
        if a_priority != b_priority:
            return a_priority > b_priority
        return a.offer < b.offer

    # Output.

    cdef int write_fallback(self, Answer* answer, Cause cause) except -1:
        answer.cause = cause
        self.out.piece(self.candidates.placements[answer.placement].fallback)
        return self.write_end(answer)

    cdef int write_end(self, const Answer* answer) except -1:
        cdef Output out = self.out
        cdef const Assigned* assigned
        cdef uint32_t i
        out.piece(self._reasons[answer.cause.reason])
        out.boolean(answer.ai)
        out.literal(b',"experiments":[')
        for i in range(answer.assigned_count):
            assigned = &self.answers.assigned[answer.assigned_begin + i]
            if i:
                out.raw(b",", 1)
            out.piece(self._experiment_ids[assigned.experiment])
            out.piece(self._variant_ids[assigned.experiment][assigned.variant])
        return out.raw(b"]}", 2)


cdef inline Cause _cause(int reason, CauseKind kind, uint32_t number) noexcept nogil:
    cdef Cause cause
    cause.reason = <uint8_t>reason
    cause.kind = <uint8_t>kind
    cause.number = <int32_t>number
    return cause


cdef int _order(const void* left, const void* right) noexcept nogil:
    """Score descending, priority descending, offer id ascending (offers are in id order): a total order."""
    cdef const Candidate* a = <const Candidate*>left
    cdef const Candidate* b = <const Candidate*>right
    if a.score != b.score:
        return -1 if a.score > b.score else 1
    if a.priority != b.priority:
        return -1 if a.priority > b.priority else 1
    return -1 if a.offer < b.offer else a.offer > b.offer


cdef void _bring_best_forward(Candidate* candidates, uint32_t i, uint32_t count) noexcept:
    """Make candidates[i] the best of those from i on: usually the first one is shown, so the rest is sorted
    only if it is not.
    """
    cdef uint32_t k
    cdef uint32_t best = 0
    if i == 1:
        qsort(&candidates[1], count - 1, sizeof(Candidate), _order)
    if i > 0:
        return
    for k in range(1, count):
        if _order(&candidates[k], &candidates[best]) < 0:
            best = k
    candidates[0], candidates[best] = candidates[best], candidates[0]


def _deciding(document):
    """The literals that decisions read: one plane of each rule, both of a cap's `when`."""
    rules = document.rules
    true = [offer.eligibility for offer in document.offers]
    true += [rule for offer in document.offers for rule, _ in offer.weights]
    true += [experiment.eligibility for experiment in document.experiments]
    true += [cap.when for cap in document.caps]
    false = [guard.rule for guard in document.guards] + [cap.when for cap in document.caps]
    return frozenset([rules[i].true_ref for i in true if i >= 0]).union(
        [rules[i].false_ref for i in false if i >= 0]
    )


def _models_by_placement(document):
    """By placement, the models of its offers."""
    return [
        sorted({document.offers[document.treatments[at].offer].model for at in placement.treatments} - {-1})
        for placement in document.placements
    ]


def _attributes_used(document, conditions):
    """Indexes of the attributes that one of the conditions, a block or a model reads."""
    used = set()
    for index in conditions:
        used |= bundle.condition_attributes(document.tables.conditions[index], document.tables)
    used |= {block.attribute for block in document.blocks}
    used |= {attribute for model in document.models for attribute in bundle.model_attributes(model)}
    return frozenset(used - {-1})
