"""Steps 6 and 7 of a decision (docs/decisions/0002-decision.md): which candidate is shown.

One object serves one decision at a time: it remembers the offers and groups that its placements took.
"""

cimport cython
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport qsort

from core._types cimport octet_t
from core.answers cimport (
    CAUSE_BLOCK,
    CAUSE_EXCLUSIVITY,
    CAUSE_GUARD,
    CAUSE_NONE,
    CAUSE_SLOT,
    PLACEMENTS_MAX,
    R_NO_CONTENT,
    R_OK,
    R_SUPPRESSED,
    STEP_CONTENT,
    STEP_EXCLUSIVITY,
    STEP_TAGS,
    Answer,
    Answers,
    Cause,
    Filled,
    Refusal,
    Step,
    cause_of,
)
from core.assignment cimport Experiments, Variant
from core.bandits cimport MILLIONTHS
from core.candidates cimport FILL_BLOCKS_MAX, FILLS, NO_BLOCK, Candidates, Fill, Placement, Treatment
from core.content cimport Block, Blocks
from core.diversity cimport Likenesses, relevance_of
from core.hashing cimport salted_bucket
from core.memory cimport Pool
from core.output cimport Output
from core.values cimport ov_value

from core import check


@cython.final
cdef class Arbitration:
    """Arbitration over the tables of one bundle; it writes to the body that is being made."""

    def __cinit__(
        self,
        Candidates candidates not None,
        Likenesses likenesses not None,
        Experiments experiments not None,
        Blocks blocks not None,
        Output out not None,
        Answers answers not None,
    ):
        self.candidates = candidates
        self.likenesses = likenesses
        self.experiments = experiments
        self.blocks = blocks
        self.out = out
        self.answers = answers
        self._pool = Pool()
        self.passing = <Candidate*>self._pool.take(check.CANDIDATES_MAX, sizeof(Candidate))
        self._fills = <Filled*>self._pool.take(check.SLOTS_PER_PLACEMENT_MAX, sizeof(Filled))
        self._similarities = <double*>self._pool.take(check.CANDIDATES_MAX, sizeof(double))
        self._free = <uint8_t*>self._pool.take(check.CANDIDATES_MAX, 1)
        self._chosen = <uint32_t*>self._pool.take(PLACEMENTS_MAX, sizeof(uint32_t))
        self._offer_taken = <uint8_t*>self._pool.take(candidates.offer_count, 1)
        self._group_taken = <uint8_t*>self._pool.take(candidates.offer_count, 1)

    def __reduce__(self):
        raise TypeError("Arbitration holds addresses and cannot be pickled")

    cdef void begin(
        self,
        Answer* answer,
        const Placement* placement,
        const ov_value* values,
        const uint8_t* literals,
        const octet_t* unit_key,
    ) noexcept nogil:
        self.answer = answer
        self.placement = placement
        self.values = values
        self.literals = literals
        self.unit_key = unit_key
        self.diverse = placement.diversity > 0.0 and self._chosen_count > 0
        self.order = _by_rank if self.diverse else _by_score

    cdef void compare(self, uint32_t count) noexcept nogil:
        cdef uint32_t i
        if not self.diverse:
            return
        for i in range(count):
            self._free[i] = not self._is_taken(self.passing[i].offer)
            self._similarities[i] = self.likenesses.to_chosen(
                self.passing[i].offer, self._chosen, self._chosen_count, self.placement.diverse_by
            )

    cdef void rank(self, uint32_t count) noexcept nogil:
        """Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998)."""
        cdef double strength = self.placement.diversity
        cdef double score
        cdef uint32_t i
        if not self.diverse:
            return
        self._scale = 0.0
        for i in range(count):
            score = self.passing[i].score
            if self._free[i] and score > self._scale and isfinite(score):
                self._scale = score
        for i in range(count):
            self.passing[i].rank = (
                (1.0 - strength) * relevance_of(self.passing[i].score, self._scale)
                - strength * self._similarities[i]
            )

    cdef int tell_ranks(self, uint32_t count) except -1 nogil:
        if self.diverse and self.ranked is not None:
            with gil:
                self._tell(count)
        return 0

    cdef int _tell(self, uint32_t count) except -1:
        cdef const Candidate* candidate
        cdef double relevance
        cdef uint32_t i
        for i in range(count):
            candidate = &self.passing[i]
            relevance = relevance_of(candidate.score, self._scale)
            self.ranked.append((candidate.offer, relevance, self._similarities[i], candidate.rank))
        return 0

    cdef void bring_best_forward(self, uint32_t i, uint32_t count) noexcept nogil:
        """Usually the first one is shown, so the rest is sorted only if it is not."""
        cdef Candidate* candidates = self.passing
        cdef uint32_t k
        cdef uint32_t best = 0
        if i == 1:
            qsort(&candidates[1], count - 1, sizeof(Candidate), self.order)
        if i > 0:
            return
        if self.diverse:
            for k in range(1, count):
                if _by_rank(&candidates[k], &candidates[best]) < 0:
                    best = k
        else:
            for k in range(1, count):
                if _by_score(&candidates[k], &candidates[best]) < 0:
                    best = k
        candidates[0], candidates[best] = candidates[best], candidates[0]

    cdef bint choose_best(self, uint32_t count) except -1 nogil:
        cdef uint32_t i
        self.compare(count)
        self.rank(count)
        self.tell_ranks(count)
        for i in range(count):
            self.bring_best_forward(i, count)
            if self.choose(&self.passing[i]):
                return True
        return False

    cdef bint choose(self, const Candidate* candidate) except -1 nogil:
        cdef size_t mark = self.out._size
        cdef Step step = STEP_EXCLUSIVITY
        cdef Cause cause
        cdef uint32_t i
        self._try(candidate, &step, &cause)
        if cause.reason == R_OK:
            self.answer.treatment = <int32_t>candidate.number
            self.answer.cause = cause
            self._take(candidate)
            for i in range(self._fill_count):
                self.answer.ai = self.answer.ai or self._fills[i].drawn
                self.answers.fill(self.answer, self._fills[i])
            return True
        self.out._size = mark
        self.answers.refuse(self.answer, candidate.offer, step, cause)
        return False

    cdef bint is_showable(self, const Candidate* candidate) except -1 nogil:
        cdef size_t mark = self.out._size
        cdef Step step = STEP_EXCLUSIVITY
        cdef Cause cause
        self._try(candidate, &step, &cause)
        self.out._size = mark
        return cause.reason == R_OK

    cdef bint _is_taken(self, uint32_t offer) noexcept nogil:
        """Whether exclusivity refuses an offer."""
        cdef int32_t group = self.candidates.offers[offer].group
        if self._offer_taken[offer] and not self.placement.allow_repeat:
            return True
        return group >= 0 and self._group_taken[group]

    cdef int _try(self, const Candidate* candidate, Step* step, Cause* cause) except -1 nogil:
        """Steps 6a to 6c, writing the answer on the way."""
        cdef uint32_t i, block
        cdef uint32_t worst = self.candidates.tag_guards.count
        if self._is_taken(candidate.offer):
            cause[0] = cause_of(R_SUPPRESSED, CAUSE_EXCLUSIVITY, 0)
            return 0
        step[0] = STEP_CONTENT
        self._fill_count = 0
        self.out.piece(candidate.treatment.head)
        for i in range(self.placement.slot_count):
            block = self._block(candidate.treatment, i)
            if block > FILLS:
                block = self._filled(block, i)
            if block == NO_BLOCK:
                cause[0] = cause_of(R_NO_CONTENT, CAUSE_SLOT, i)
                return 0
            if i:
                self.out.raw(b",", 1)
            self.out.piece(self.placement.slots[i].key)
            if not self.blocks.write(block, self.values, self.out):
                cause[0] = cause_of(R_NO_CONTENT, CAUSE_BLOCK, block)
                return 0
            worst = self._first_tag_guard(&self.blocks.blocks[block], worst)
        step[0] = STEP_TAGS
        if worst < self.candidates.tag_guards.count:
            i = self.candidates.tag_guards.items[worst]
            cause[0] = cause_of(self.candidates.guards[i].reason, CAUSE_GUARD, i)
            return 0
        self.out.literal(b'},"fallback":false,"reason":')
        cause[0] = cause_of(R_OK, CAUSE_NONE, 0)
        return 0

    cdef uint32_t _block(self, const Treatment* treatment, uint32_t slot) noexcept nogil:
        """The block or fill of a slot: of the latest experiment that overrides it, else the treatment's."""
        cdef uint32_t i, k
        cdef const Variant* variant
        for i in range(self.answer.assigned_count, 0, -1):
            variant = self.experiments.variant_of(&self.answers.assigned[self.answer.assigned_begin + i - 1])
            for k in range(variant.override_count):
                if variant.overrides[k].slot_name == self.placement.slots[slot].name:
                    return variant.overrides[k].block
        return treatment.blocks.items[slot]

    cdef uint32_t _filled(self, uint32_t entry, uint32_t slot) except? 0xFFFFFFFE nogil:
        """The block that a fill puts into a slot (docs/decisions/0010), whose tags step 6c looks at as ever;
        NO_BLOCK where none gives a value, and for NO_BLOCK.
        """
        cdef const Fill* fill
        cdef uint32_t showable[FILL_BLOCKS_MAX]
        cdef uint32_t none = self.candidates.tag_guards.count
        cdef uint32_t chosen = NO_BLOCK
        cdef uint32_t count = 0, i, block
        if entry == NO_BLOCK:
            return NO_BLOCK
        fill = &self.candidates.fills[NO_BLOCK - 1 - entry]
        for i in range(fill.blocks.count):
            block = fill.blocks.items[i]
            if not self._gives_value(block):
                continue
            if chosen == NO_BLOCK:
                chosen = block
            if self._first_tag_guard(&self.blocks.blocks[block], none) < none:
                continue
            showable[count] = block
            count += 1
            if not fill.sampled:
                break
        if count > 0:
            chosen = showable[0]
        if fill.sampled and count > 1:
            chosen = showable[salted_bucket(&fill.salt, self.unit_key) * count / <uint32_t>MILLIONTHS]
        self._fills[self._fill_count].slot = slot
        self._fills[self._fill_count].block = chosen
        self._fills[self._fill_count].drawn = fill.sampled and count > 1
        self._fill_count = self._fill_count + 1
        return chosen

    cdef bint _gives_value(self, uint32_t block) except -1 nogil:
        cdef size_t mark = self.out._size
        cdef bint given = self.blocks.write(block, self.values, self.out)
        self.out._size = mark
        return given

    cdef uint32_t _first_tag_guard(self, const Block* block, uint32_t worst) noexcept nogil:
        """The earlier of `worst` and the place of the first rule that a block's tags offend."""
        cdef uint32_t i, place
        for i in range(block.guard_count):
            place = block.guards[i]
            if place >= worst:
                return worst
            if not self.literals[self.candidates.guards[self.candidates.tag_guards.items[place]].passes]:
                return place
        return worst

    cdef void _take(self, const Candidate* candidate) noexcept nogil:
        cdef uint32_t offer = candidate.offer
        cdef int32_t group = self.candidates.offers[offer].group
        if self.diverse:
            self.answer.diverse = True
            self.answer.relevance = relevance_of(candidate.score, self._scale)
            self.answer.similarity = self.likenesses.to_chosen(
                offer, self._chosen, self._chosen_count, self.placement.diverse_by
            )
            self.answer.rank = candidate.rank
        self._offer_taken[offer] = 1
        if group >= 0:
            self._group_taken[group] = 1
        self._chosen[self._chosen_count] = offer
        self._chosen_count = self._chosen_count + 1

    cdef void clear(self) noexcept nogil:
        cdef uint32_t i
        cdef int32_t group
        for i in range(self._chosen_count):
            self._offer_taken[self._chosen[i]] = 0
            group = self.candidates.offers[self._chosen[i]].group
            if group >= 0:
                self._group_taken[group] = 0
        self._chosen_count = 0

    cdef Cause furthest(self) noexcept nogil:
        """At an equal step the one of higher priority, then of the smaller id."""
        cdef uint32_t i
        cdef const Refusal* best = NULL
        cdef const Refusal* refusal
        for i in range(self.answer.refusal_begin, self.answer.refusal_begin + self.answer.refusal_count):
            refusal = &self.answers.refusals[i]
            if best == NULL or self._came_further(refusal, best):
                best = refusal
        return best.cause if best != NULL else cause_of(R_NO_CONTENT, CAUSE_NONE, 0)

    cdef bint _came_further(self, const Refusal* a, const Refusal* b) noexcept nogil:
        cdef int64_t a_priority = self.candidates.offers[a.offer].priority
        cdef int64_t b_priority = self.candidates.offers[b.offer].priority
        if a.step != b.step:
            return a.step > b.step
        if a_priority != b_priority:
            return a_priority > b_priority
        return a.offer < b.offer


cdef int _by_score(const void* left, const void* right) noexcept nogil:
    """Score descending, priority descending, offer id ascending (offers are in id order): a total order."""
    cdef const Candidate* a = <const Candidate*>left
    cdef const Candidate* b = <const Candidate*>right
    if a.score != b.score:
        return -1 if a.score > b.score else 1
    if a.priority != b.priority:
        return -1 if a.priority > b.priority else 1
    return -1 if a.offer < b.offer else a.offer > b.offer


cdef int _by_rank(const void* left, const void* right) noexcept nogil:
    """Rank descending, then by score."""
    cdef double a = (<const Candidate*>left).rank
    cdef double b = (<const Candidate*>right).rank
    if a != b:
        return -1 if a > b else 1
    return _by_score(left, right)
