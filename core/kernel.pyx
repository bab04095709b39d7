"""The steps of a decision for one placement (docs/decisions/0002-decision.md), over the tables of one bundle.

Every attribute is read at most once a decision and every condition evaluated at most once; no Python object
is made per attribute, rule or candidate. Memory is allocated when the bundle is loaded.
"""

cimport cython
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from core.answers cimport (
    CAUSE_CAP,
    CAUSE_EXPERIMENT,
    CAUSE_GUARD,
    CAUSE_HOLDOUT,
    CAUSE_NONE,
    CAUSE_OFFER,
    R_CAPPED,
    R_ERROR,
    R_HOLDOUT,
    R_NO_CONSENT,
    R_NO_PROFILE,
    R_NOT_ELIGIBLE,
    R_OK,
    R_STALE,
    STEP_BRAND_SAFETY,
    STEP_CAPS,
    STEP_ELIGIBILITY,
    STEP_EXPERIMENT,
    STEP_SUPPRESSION,
    Answer,
    Answers,
    Assigned,
    Cause,
    Step,
    cause_of,
)
from core.arbitration cimport Arbitration, Candidate
from core.assignment cimport Experiments, Variant, contains
from core.candidates cimport Candidates, Guard, Numbers, Offer, Placement, Purpose, Treatment, context_weight
from core.caps cimport Caps
from core.content cimport Blocks, write_constant
from core.diversity cimport Likenesses
from core.memory cimport Pool
from core.output cimport Output, Piece
from core.play cimport Play
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
        self.models = Models(document.models, _models_by_placement(document), document.offers)
        self.out = Output()
        self.answers = Answers()
        diverse = any(placement.diversity for placement in document.placements)
        self.arbitration = Arbitration(
            self.candidates,
            Likenesses(document.offers if diverse else []),
            self.experiments,
            self.blocks,
            self.out,
            self.answers,
        )
        self.play = Play(
            document, _models_by_placement(document), self.candidates, self.models, self.arbitration
        )
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
            # Who is shown a variant of a sticky experiment says so with the version that it was drawn in.
            tail = b',"sticky_version":%d}' % experiment.sticky_version if experiment.sticky else b"}"
            for k, variant in enumerate(experiment.variants):
                self._variant_ids[<size_t>i][<size_t>k] = self._piece(msgspec.json.encode(variant.id) + tail)

    cdef _build_scratch(self):
        cdef int i
        for i in range(VIEWS):
            self._views[i].values = <ov_value*>self._pool.take(self.attributes.count, sizeof(ov_value))
            self._views[i].literals = <uint8_t*>self._pool.take(self.tables.literal_count, 1)
        self._asked = <int32_t*>self._pool.take(check.CANDIDATES_MAX, sizeof(int32_t))
        self._asked_for = <uint32_t*>self._pool.take(check.CANDIDATES_MAX, sizeof(uint32_t))
        self._outputs = <double*>self._pool.take(check.CANDIDATES_MAX, sizeof(double))
        self._every = <double*>self._pool.take(self.models.count, sizeof(double))
        self._all_models = <int32_t*>self._pool.take(self.models.count, sizeof(int32_t))
        for i in range(<int>self.models.count):
            self._all_models[i] = i

    cdef void clear(self) noexcept nogil:
        cdef int v
        self.arbitration.clear()
        self.caps.reset()
        self.models.begin()
        for v in range(VIEWS):
            self._views[v].ready = False

    cdef View* view(self, bint anonymous, const Situation* situation, Extent extent) except NULL nogil:
        cdef View* view = &self._views[VIEW_ANONYMOUS if anonymous else VIEW_PROFILE]
        cdef bint whole = extent > DECIDE
        if view.ready and view.extent >= extent:
            return view
        view.record = situation.record
        if anonymous:
            view.record = NULL
        self.attributes.load_record(view.record, situation.now_ms, whole, view.values)
        if self.attributes.reads_context(whole):
            # A batch asks in one context mostly, and need not wait for the GIL to read it again.
            if situation.context != view.context or view.whole < whole:
                self._views[VIEW_PROFILE].context = self._views[VIEW_ANONYMOUS].context = NULL
                with gil:
                    self.attributes.load_context(<dict>situation.context, whole, view.values)
                view.context = situation.context if situation.in_batch else NULL
                view.whole = whole
        self.tables.evaluate(view.values, situation.now_ms, extent, view.literals)
        view.extent = extent
        view.ready = True
        return view

    cdef const ov_value* context_values(self, dict context) except NULL:
        cdef View* view = &self._views[VIEW_PROFILE]
        view.ready = False
        view.context = NULL
        self.attributes.load_context(context, True, view.values)
        return view.values

    cdef tuple explain(self, bint anonymous, const Situation* situation):
        cdef const View* view = self.view(anonymous, situation, EXPLAIN)
        cdef uint32_t i
        verdicts = []
        for i in range(self.tables.rule_count):
            if view.literals[self.tables.rule_true[i]]:
                verdicts.append("true")
            else:
                verdicts.append("false" if view.literals[self.tables.rule_false[i]] else "error")
        return verdicts, [as_object(&view.values[i]) for i in range(self.attributes.count)]

    cdef list score(self, const Situation* situation):
        cdef const View* view = self.view(False, situation, DECIDE)
        cdef uint32_t i
        cdef list found = PyList_New(self.models.count)
        cdef object output
        self.models.read(self.candidates.placement_count, view.values)
        self.models.outputs(self._all_models, NULL, self.models.count, view.values, self._every)
        for i in range(self.models.count):
            output = self._every[i]
            Py_INCREF(output)
            PyList_SET_ITEM(found, i, output)
        return found

    cdef int answer(self, Answer* answer, const Situation* situation) except -1 nogil:
        cdef const Placement* placement = &self.candidates.placements[answer.placement]
        self._answering = answer
        self._mark = self.out._size
        self._refusals = self.answers.refusal_count
        return self._answer(answer, placement, situation)

    cdef int fail(self) except -1:
        cdef Answer* answer = self._answering
        self.out._size = self._mark
        self.answers.refusal_count = self._refusals
        self.answers.assigned_count = answer.assigned_begin
        answer.refusal_count = 0
        answer.assigned_count = 0
        answer.treatment = -1
        answer.ai = False
        answer.bandit = 0
        answer.diverse = False
        self.answers.filled_count = answer.filled_begin
        answer.filled_count = 0
        return self.write_fallback(answer, cause_of(R_ERROR, CAUSE_NONE, 0))

    cdef int _answer(
        self, Answer* answer, const Placement* placement, const Situation* situation
    ) except -1 nogil:
        """Steps 1 to 8."""
        cdef bint anonymous = placement.purpose < 0
        cdef Cause ended = self._ended(answer, placement, situation)
        cdef const View* view
        cdef uint32_t passing, i
        cdef bint ai = False
        if ended.reason != R_OK:
            self.write_fallback(answer, ended)
            return 0
        view = self.view(anonymous, situation, DECIDE)
        self._assign(answer, placement, view, situation)
        self.arbitration.begin(answer, placement, view.values, view.literals, situation.unit_key)
        passing = self._pass(answer, placement, view, situation.now_ms)
        if passing:
            self._ask_models(answer, passing, view)
            if self.play.bandit_of[answer.placement] >= 0:
                if self.play.choose(passing, self._outputs, self.decision_id, self.scored):
                    return self.write_end(answer)
                return self._write_refusal(answer)
        for i in range(passing):
            ai |= self._score(&self.arbitration.passing[i], self._outputs[i], view)
        if self.arbitration.choose_best(passing):
            answer.ai |= ai
            return self.write_end(answer)
        return self._write_refusal(answer)

    # Steps 1 and 2: consent, holdout, staleness.

    cdef Cause _ended(
        self, Answer* answer, const Placement* placement, const Situation* situation
    ) noexcept nogil:
        """The reason that ends the decision before candidates are looked at, or R_OK."""
        cdef uint32_t i
        if placement.purpose >= 0 and not self._consents(answer, placement, situation):
            if situation.named and situation.starter:
                return cause_of(R_NO_PROFILE, CAUSE_NONE, 0)
            return cause_of(R_NO_CONSENT, CAUSE_NONE, 0)
        for i in range(placement.holdouts.count):
            if self.experiments.held_out(placement.holdouts.items[i], situation.unit_key):
                return cause_of(R_HOLDOUT, CAUSE_HOLDOUT, placement.holdouts.items[i])
        if placement.purpose >= 0 and 0 < placement.max_age_ms < situation.age_ms:
            return cause_of(R_STALE, CAUSE_NONE, 0)
        return cause_of(R_OK, CAUSE_NONE, 0)

    cdef bint _consents(
        self, Answer* answer, const Placement* placement, const Situation* situation
    ) noexcept nogil:
        cdef const Purpose* purpose = &self.candidates.purposes[placement.purpose]
        cdef Consent consent = consent_at(situation.record, purpose.slot)
        answer.consent_state = consent.state
        answer.consent_at_ms = consent.effective_at_ms if consent.state else 0
        answer.opted_out = purpose.gpc and situation.opted_out
        return consent_granted(situation.record, purpose.slot, situation.now_ms) and not answer.opted_out

    # Step 4 first: an assignment depends on no candidate.

    cdef int _assign(
        self, Answer* answer, const Placement* placement, const View* view, const Situation* situation
    ) except -1 nogil:
        cdef uint32_t i, number
        cdef int32_t variant, rule
        cdef bint stored
        for i in range(placement.experiments.count):
            number = placement.experiments.items[i]
            rule = self.experiments.experiments[number].rule
            if rule >= 0 and not view.literals[self.tables.rule_true[rule]]:
                continue
            variant = self.experiments.assign_by(number, situation.unit_key, view.record, &stored)
            if variant >= 0:
                self.answers.assign(answer, number, <uint32_t>variant, stored)
                answer.limited |= self.experiments.experiments[number].variants[variant].limited
        return 0

    # Steps 3 and 4: candidates.

    cdef uint32_t _pass(
        self, Answer* answer, const Placement* placement, const View* view, int64_t now_ms
    ) except? 0xFFFFFFFF nogil:
        """Fill `arbitration.passing` with the candidates that no rule, cap or variant refuses, and count
        them.
        """
        cdef uint32_t i, number
        cdef uint32_t count = 0
        cdef const Treatment* treatment
        cdef Candidate* candidate
        cdef Step step = STEP_ELIGIBILITY
        cdef Cause cause
        for i in range(placement.treatments.count):
            number = placement.treatments.items[i]
            treatment = &self.candidates.treatments[number]
            cause = self._refusal(answer, treatment, view, now_ms, &step)
            if cause.reason != R_OK:
                self.answers.refuse(answer, treatment.offer, step, cause)
                continue
            candidate = &self.arbitration.passing[count]
            candidate.offer = treatment.offer
            candidate.priority = self.candidates.offers[treatment.offer].priority
            candidate.treatment = treatment
            candidate.number = number
            count += 1
        return count

    cdef Cause _refusal(
        self, const Answer* answer, const Treatment* treatment, const View* view, int64_t now_ms, Step* step
    ) noexcept nogil:
        """Why steps 3a to 4 refuse a candidate, and in `step` which of them does; R_OK if none."""
        cdef Cause cause
        cdef const Offer* offer = &self.candidates.offers[treatment.offer]
        step[0] = STEP_ELIGIBILITY
        if now_ms < offer.valid_from or now_ms >= offer.valid_until:
            return cause_of(R_NOT_ELIGIBLE, CAUSE_OFFER, treatment.offer)
        if offer.eligibility >= 0 and not view.literals[offer.eligibility]:
            return cause_of(R_NOT_ELIGIBLE, CAUSE_OFFER, treatment.offer)
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

    cdef Cause _guarded(self, const Numbers* guards, const View* view) noexcept nogil:
        """A blocking rule lets pass only where it is definitely false."""
        cdef uint32_t i
        cdef const Guard* guard
        for i in range(guards.count):
            guard = &self.candidates.guards[guards.items[i]]
            if not view.literals[guard.passes]:
                return cause_of(guard.reason, CAUSE_GUARD, guards.items[i])
        return cause_of(R_OK, CAUSE_NONE, 0)

    cdef Cause _capped(self, const Treatment* treatment, const View* view, int64_t now_ms) noexcept nogil:
        cdef uint32_t i, number
        cdef int32_t rule
        for i in range(treatment.caps.count):
            number = treatment.caps.items[i]
            rule = self.caps.caps[number].rule
            if rule >= 0 and view.literals[self.tables.rule_false[rule]]:
                continue
            if rule >= 0 and not view.literals[self.tables.rule_true[rule]]:
                return cause_of(R_CAPPED, CAUSE_CAP, number)
            if self.caps.reached(number, treatment.offer, view.record, now_ms):
                return cause_of(R_CAPPED, CAUSE_CAP, number)
        return cause_of(R_OK, CAUSE_NONE, 0)

    cdef Cause _left_out(self, const Answer* answer, uint32_t offer) noexcept nogil:
        """The first experiment whose variant does not hold the offer."""
        cdef uint32_t i
        cdef const Variant* variant
        cdef const Assigned* assigned = &self.answers.assigned[answer.assigned_begin]
        if not answer.limited:
            return cause_of(R_OK, CAUSE_NONE, 0)
        for i in range(answer.assigned_count):
            variant = self.experiments.variant_of(&assigned[i])
            if variant.limited and not contains(variant.offers, variant.offer_count, offer):
                return cause_of(R_NOT_ELIGIBLE, CAUSE_EXPERIMENT, assigned[i].experiment)
        return cause_of(R_OK, CAUSE_NONE, 0)

    # Step 5: score.

    cdef void _ask_models(self, const Answer* answer, uint32_t passing, const View* view) noexcept nogil:
        """Outputs of the models of the passing candidates."""
        cdef uint32_t i
        if self._scored_view != view:
            self.models.begin()
            self._scored_view = view
        for i in range(passing):
            self._asked_for[i] = self.arbitration.passing[i].offer
            self._asked[i] = self.candidates.offers[self._asked_for[i]].model
        self.models.read(<uint32_t>answer.placement, view.values)
        self.models.outputs(self._asked, self._asked_for, passing, view.values, self._outputs)

    cdef bint _score(self, Candidate* candidate, double propensity, const View* view) except -1 nogil:
        """Score a candidate; returns whether a model took part."""
        cdef const Offer* offer = &self.candidates.offers[candidate.offer]
        candidate.score = propensity * context_weight(offer, view.literals) * offer.value * offer.lever
        if candidate.score != candidate.score:
            candidate.score = -INFINITY
        if self.scored is not None:
            with gil:
                self.scored.append((candidate.offer, candidate.score))
        return offer.model >= 0

    # Output.

    cdef int write_fallback(self, Answer* answer, Cause cause) except -1 nogil:
        answer.cause = cause
        self.out.piece(self.candidates.placements[answer.placement].fallback)
        return self.write_end(answer)

    cdef int _write_refusal(self, Answer* answer) except -1 nogil:
        return self.write_fallback(answer, self.arbitration.furthest())

    cdef int write_end(self, const Answer* answer) except -1 nogil:
        cdef const Assigned* assigned
        cdef uint32_t i
        self.out.piece(self._reasons[answer.cause.reason])
        self.out.boolean(answer.ai)
        self.out.literal(b',"experiments":[')
        for i in range(answer.assigned_count):
            assigned = &self.answers.assigned[answer.assigned_begin + i]
            if i:
                self.out.raw(b",", 1)
            self.out.piece(self._experiment_ids[assigned.experiment])
            self.out.piece(self._variant_ids[assigned.experiment][assigned.variant])
        return self.out.raw(b"]}", 2)


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
