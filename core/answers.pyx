"""The answer to a request, and the row that the decision log keeps of it."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

from core import reasons, trace

LOG_FIELDS = (
    "decision_id",
    "now_ms",
    "revision",
    "content_hash",
    "sequence",
    "age_ms",
    "starter",
    "stale",
    "fallbacks",
    "placements",
)
LOG_PLACEMENT_FIELDS = (
    "placement",
    "offer",
    "treatment",
    "reason",
    "cause",
    "fallback",
    "ai",
    "experiments",
    "consent",
    "refused",
    "refused_count",
    "bandit",
    "diversity",
    "filled",
)

CONSENT_STATES = ("missing", "granted", "denied", "withdrawn")
# Written for a consent that the visitor's Global Privacy Control overrules.
OPTED_OUT = "gpc"
# By Step.
STEPS = ("3a", "3b", "3c", "3d", "4", "6a", "6b", "6c")

cdef enum:
    CAPACITY_FIRST = 256
    LOGGED_MAX = 32

REFUSED_LOGGED_MAX = LOGGED_MAX


@cython.final
cdef class Answers:
    """What one decision found out; cleared, not freed, between decisions."""

    def __cinit__(self):
        self.answers = <Answer*>calloc(PLACEMENTS_MAX, sizeof(Answer))
        self.refusals = <Refusal*>calloc(CAPACITY_FIRST, sizeof(Refusal))
        self.assigned = <Assigned*>calloc(CAPACITY_FIRST, sizeof(Assigned))
        self.filled = <Filled*>calloc(CAPACITY_FIRST, sizeof(Filled))
        self._refusal_capacity = CAPACITY_FIRST
        self._filled_capacity = CAPACITY_FIRST
        self._assigned_capacity = CAPACITY_FIRST
        if self.answers == NULL or self.refusals == NULL or self.assigned == NULL or self.filled == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.answers)
        free(self.refusals)
        free(self.assigned)
        free(self.filled)

    def __reduce__(self):
        raise TypeError("Answers hold addresses and cannot be pickled")

    cdef void clear(self) noexcept nogil:
        self.answer_count = 0
        self.refusal_count = 0
        self.assigned_count = 0
        self.filled_count = 0

    cdef Answer* begin(self, uint32_t asked) noexcept nogil:
        """The next placement's answer; the request was checked to have at most PLACEMENTS_MAX."""
        cdef Answer* answer = &self.answers[self.answer_count]
        memset(answer, 0, sizeof(Answer))
        answer.asked = asked
        answer.placement = -1
        answer.treatment = -1
        answer.refusal_begin = self.refusal_count
        answer.assigned_begin = self.assigned_count
        answer.filled_begin = self.filled_count
        self.answer_count = self.answer_count + 1
        return answer

    cdef int refuse(self, Answer* answer, uint32_t offer, Step step, Cause cause) except -1 nogil:
        cdef void* grown
        if self.refusal_count == self._refusal_capacity:
            grown = realloc(self.refusals, <size_t>self._refusal_capacity * 2 * sizeof(Refusal))
            if grown == NULL:
                with gil:
                    raise MemoryError
            self.refusals = <Refusal*>grown
            self._refusal_capacity = self._refusal_capacity * 2
        self.refusals[self.refusal_count].offer = offer
        self.refusals[self.refusal_count].step = step
        self.refusals[self.refusal_count].cause = cause
        self.refusal_count = self.refusal_count + 1
        answer.refusal_count = answer.refusal_count + 1
        return 0

    cdef int assign(self, Answer* answer, uint32_t experiment, uint32_t variant, bint sticky) except -1 nogil:
        cdef void* grown
        if self.assigned_count == self._assigned_capacity:
            grown = realloc(self.assigned, <size_t>self._assigned_capacity * 2 * sizeof(Assigned))
            if grown == NULL:
                with gil:
                    raise MemoryError
            self.assigned = <Assigned*>grown
            self._assigned_capacity = self._assigned_capacity * 2
        self.assigned[self.assigned_count].experiment = experiment
        self.assigned[self.assigned_count].variant = variant
        self.assigned[self.assigned_count].sticky = sticky
        self.assigned_count = self.assigned_count + 1
        answer.assigned_count = answer.assigned_count + 1
        return 0

    cdef int fill(self, Answer* answer, Filled filled) except -1 nogil:
        cdef void* grown
        if self.filled_count == self._filled_capacity:
            grown = realloc(self.filled, <size_t>self._filled_capacity * 2 * sizeof(Filled))
            if grown == NULL:
                with gil:
                    raise MemoryError
            self.filled = <Filled*>grown
            self._filled_capacity = self._filled_capacity * 2
        self.filled[self.filled_count] = filled
        self.filled_count = self.filled_count + 1
        answer.filled_count = answer.filled_count + 1
        return 0

    cdef size_t packed_size(self) noexcept nogil:
        return (
            self.answer_count * sizeof(Answer)
            + self.refusal_count * sizeof(Refusal)
            + self.assigned_count * sizeof(Assigned)
            + self.filled_count * sizeof(Filled)
        )

    cdef void copy_to(self, char* target) noexcept nogil:
        """The lists one after the other, to where there is room for them."""
        cdef size_t answers = self.answer_count * sizeof(Answer)
        cdef size_t refusals = self.refusal_count * sizeof(Refusal)
        cdef size_t assigned = self.assigned_count * sizeof(Assigned)
        memcpy(target, self.answers, answers)
        memcpy(target + answers, self.refusals, refusals)
        memcpy(target + answers + refusals, self.assigned, assigned)
        memcpy(target + answers + refusals + assigned, self.filled, self.filled_count * sizeof(Filled))

    cdef bytes pack(self):
        cdef bytes packed = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>self.packed_size())
        self.copy_to(PyBytes_AS_STRING(packed))
        return packed


@cython.final
cdef class Names:
    """What numbers of a decision stand for, made once a bundle."""

    def __cinit__(self, document not None):
        self.causes = [
            None,
            [offer.id for offer in document.offers],
            [guard.id for guard in document.guards],
            [cap.id for cap in document.caps],
            [experiment.id for experiment in document.experiments],
            None,
            [block.id for block in document.blocks],
            None,
            [holdout.id for holdout in document.holdouts],
        ]
        self.versions = [one.sticky_version if one.sticky else None for one in document.experiments]
        self.has_sticky = any([one.sticky for one in document.experiments])
        priorities = [offer.priority for offer in document.offers]
        order = sorted(range(len(priorities)), key=lambda number: (-priorities[number], number))
        self.ranks = [0] * len(order)
        for rank, number in enumerate(order):
            self.ranks[number] = rank
        self.assignments = [
            [(one.id, variant.id, sticky) for variant in one.variants for sticky in (False, True)]
            for one in document.experiments
        ]


@cython.final
cdef class Decision:
    """The answer: `body` is the JSON under `decision`; `known` counts placements of the bundle, `fallbacks`
    generic answers.
    """

    def __reduce__(self):
        raise TypeError("a Decision refers to its engine and cannot be pickled")

    cdef int fill(
        self, bytes packed, uint32_t answer_count, uint32_t refusal_count, uint32_t assigned_count
    ) except -1:
        """Take what a decision found out, as Answers packs it."""
        cdef uint32_t i
        self._packed = packed
        self._answer_count = answer_count
        self._refusal_count = refusal_count
        self._assigned_count = assigned_count
        for i in range(answer_count):
            self.known += self.answer(i).placement >= 0
            self.fallbacks += self.answer(i).cause.reason != R_OK
        return 0

    cdef int belong(self, engine, Names names, request) except -1:
        """Take whose decision it is."""
        self._engine = engine
        self._names = names
        self._request = request
        return 0

    cdef void note(
        self, int64_t now_ms, uint64_t sequence, int64_t age_ms, bint starter, bint stale
    ) noexcept:
        """Take when it was made, and of which record."""
        self._now_ms = now_ms
        self._sequence = sequence
        self._age_ms = age_ms
        self._starter = starter
        self._stale = stale

    cdef const Answer* answer(self, uint32_t i) noexcept:
        return &(<const Answer*>PyBytes_AS_STRING(self._packed))[i]

    @property
    def reasons(self):
        """Reason codes of the placements, in the order of the answer."""
        cdef uint32_t i
        return tuple([reasons.REASONS[self.answer(i).cause.reason] for i in range(self._answer_count)])

    def log_row(self):
        """The row of the decision log (LOG_FIELDS): plain values that say what was chosen and refused, and
        why.
        """
        cdef uint32_t i
        return (
            self._request.decision_id,
            self._now_ms,
            self._engine.revision,
            self._engine.content_hash,
            self._sequence,
            self._age_ms,
            self._starter,
            self._stale,
            self.fallbacks,
            [self._placement_row(self.answer(i)) for i in range(self._answer_count)],
        )

    def exposures(self):
        """(placement, [(experiment id, variant id, sticky version or None)]) of each placement at which a
        sticky experiment assigned: what a client tells once it has displayed it.
        """
        cdef const Answer* answer
        cdef uint32_t i
        cdef list found = []
        if not self._names.has_sticky:
            return found
        for i in range(self._answer_count):
            answer = self.answer(i)
            assigned = self.versioned(answer)
            if any([version is not None for _, _, version in assigned]):
                found.append((self._request.placements[answer.asked], assigned))
        return found

    cdef list versioned(self, const Answer* answer):
        """(experiment id, variant id, sticky version or None) of each assignment."""
        cdef const Refusal* refusals = <const Refusal*>self.answer(self._answer_count)
        cdef const Assigned* assigned = <const Assigned*>&refusals[self._refusal_count]
        cdef uint32_t i
        cdef list rows = []
        for i in range(answer.assigned_begin, answer.assigned_begin + answer.assigned_count):
            experiment, variant, _ = self._names.assignments[assigned[i].experiment][2 * assigned[i].variant]
            rows.append((experiment, variant, self._names.versions[assigned[i].experiment]))
        return rows

    cdef tuple _placement_row(self, const Answer* answer):
        cdef list offers = self._names.causes[CAUSE_OFFER]
        document = self._engine.document
        offer = treatment = None
        if answer.treatment >= 0:
            treatment = document.treatments[answer.treatment]
            offer = offers[treatment.offer]
            treatment = treatment.id
        return (
            self._request.placements[answer.asked],
            offer,
            treatment,
            reasons.REASONS[answer.cause.reason],
            self._cause(answer, answer.cause),
            answer.cause.reason != R_OK,
            bool(answer.ai),
            self.experiments(answer),
            self.consent(answer),
            self.logged(answer),
            answer.refusal_count,
            self.bandit(answer),
            self.diversity(answer),
            self.filled(answer),
        )

    cdef object answered(self, uint32_t i, tuple scored):
        """What the trace needs to know of the i-th answer; `scored`: a list of (offer number, score) and one
        of (offer number, relevance, similarity, rank).
        """
        cdef const Answer* answer = self.answer(i)
        row = self._placement_row(answer)
        return trace.Answered(
            placement=answer.placement,
            name=row[0],
            reason=row[3],
            cause=row[4],
            offer=row[1],
            ai=row[6],
            experiments=row[7],
            consent=row[8],
            refused=self.refusals(answer),
            scores=scored[0],
            bandit=row[11],
            ranks=scored[1],
            filled=row[13],
        )

    cdef list refusals(self, const Answer* answer):
        """(offer number, reason, cause id, step) of each refused candidate."""
        cdef const Refusal* refusals = <const Refusal*>self.answer(self._answer_count)
        cdef uint32_t i
        cdef list rows = []
        for i in range(answer.refusal_begin, answer.refusal_begin + answer.refusal_count):
            cause = self._cause(answer, refusals[i].cause)
            reason = reasons.REASONS[refusals[i].cause.reason]
            rows.append((refusals[i].offer, reason, cause, STEPS[refusals[i].step]))
        return rows

    cdef list logged(self, const Answer* answer):
        """(offer id, reason, cause id, step) of the refused candidates of highest priority, then by id.

        A row is made for every decision and most candidates of most decisions are refused, so only those that
        are kept become objects: an insertion into the best so far, which ends at once for all others.
        """
        cdef const Refusal* refusals = <const Refusal*>self.answer(self._answer_count)
        cdef list ranks = self._names.ranks, offers = self._names.causes[CAUSE_OFFER], rows = []
        cdef uint64_t best[LOGGED_MAX]  # rank above, number of the refusal below
        cdef uint64_t entry
        cdef uint32_t kept = 0, i, at
        for i in range(answer.refusal_begin, answer.refusal_begin + answer.refusal_count):
            entry = <uint64_t><uint32_t>ranks[refusals[i].offer] << 32 | i
            if kept == LOGGED_MAX:
                if entry > best[kept - 1]:
                    continue
                kept -= 1
            at = kept
            while at > 0 and best[at - 1] > entry:
                best[at] = best[at - 1]
                at -= 1
            best[at] = entry
            kept += 1
        for at in range(kept):
            i = <uint32_t>best[at]
            reason = reasons.REASONS[refusals[i].cause.reason]
            cause = self._cause(answer, refusals[i].cause)
            rows.append((offers[refusals[i].offer], reason, cause, STEPS[refusals[i].step]))
        return rows

    cdef list experiments(self, const Answer* answer):
        """(experiment id, variant id, whether it was stored) of each assignment."""
        cdef const Refusal* refusals = <const Refusal*>self.answer(self._answer_count)
        cdef const Assigned* assigned = <const Assigned*>&refusals[self._refusal_count]
        cdef list names = self._names.assignments
        cdef uint32_t i
        cdef list rows = []
        for i in range(answer.assigned_begin, answer.assigned_begin + answer.assigned_count):
            rows.append(names[assigned[i].experiment][2 * assigned[i].variant + assigned[i].sticky])
        return rows

    cdef tuple bandit(self, const Answer* answer):
        """(model id, action probability, taken at random, sample), or None where no bandit chose."""
        if answer.bandit == 0 or answer.treatment < 0:
            return None
        model = self._engine.document.models[answer.bandit - 1].id
        return model, answer.action_probability, bool(answer.explored), answer.sample

    cdef tuple diversity(self, const Answer* answer):
        """(relevance, similarity, rank) of the chosen offer, or None where diversity did not count."""
        if not answer.diverse or answer.treatment < 0:
            return None
        return answer.relevance, answer.similarity, answer.rank

    cdef list filled(self, const Answer* answer):
        """(slot, block id, drawn) of each slot that was filled by tags."""
        cdef const Refusal* refusals = <const Refusal*>self.answer(self._answer_count)
        cdef const Assigned* assigned = <const Assigned*>&refusals[self._refusal_count]
        cdef const Filled* filled = <const Filled*>&assigned[self._assigned_count]
        cdef list rows = []
        cdef uint32_t i
        for i in range(answer.filled_begin, answer.filled_begin + answer.filled_count):
            slot = self._engine.document.placements[answer.placement].slots[filled[i].slot][0]
            rows.append((slot, self._names.causes[CAUSE_BLOCK][filled[i].block], bool(filled[i].drawn)))
        return rows

    cdef object consent(self, const Answer* answer):
        """(purpose, state, effective at ms), or None where no purpose was asked for."""
        document = self._engine.document
        if answer.placement < 0 or document.placements[answer.placement].purpose < 0:
            return None
        purpose = document.purposes[document.placements[answer.placement].purpose].id
        state = OPTED_OUT if answer.opted_out else CONSENT_STATES[answer.consent_state]
        return purpose, state, answer.consent_at_ms

    cdef object _cause(self, const Answer* answer, Cause cause):
        """The id of what caused a refusal."""
        if cause.kind == CAUSE_NONE:
            return None
        if cause.kind == CAUSE_EXCLUSIVITY:
            return "exclusivity"
        if cause.kind == CAUSE_SLOT:
            return self._engine.document.placements[answer.placement].slots[cause.number][0]
        return (<list>self._names.causes[cause.kind])[cause.number]
