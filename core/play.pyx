"""How a bandit chooses among candidates, and with what probability (docs/decisions/0008-scoring.md)."""

cimport cython
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from core._types cimport octet_t
from core.answers cimport Answer
from core.arbitration cimport Arbitration, Candidate, Order
from core.bandits cimport DIMENSIONS_MAX, MILLIONTHS, Bandit, Bandits, arm_value
from core.candidates cimport Candidates, Offer, context_weight
from core.hashing cimport xxh64_c
from core.memory cimport Pool
from core.output cimport Output, Piece
from core.scoring cimport Models

from core import check


@cython.final
cdef class Play:
    """The bandits of one bundle at its placements, and scratch memory for one decision at a time.

    `by_placement`: by placement the models of its offers.
    """

    def __cinit__(
        self,
        document not None,
        list by_placement not None,
        Candidates candidates not None,
        Models models not None,
        Arbitration arbitration not None,
    ):
        self.candidates = candidates
        self.models = models
        self.bandits = Bandits(document)
        self.arbitration = arbitration
        self._pool = Pool()
        self.bandit_of = self._placement_bandits(document.models, by_placement)
        self._names = <Piece*>self._pool.take(len(document.placements), sizeof(Piece))
        for i, placement in enumerate(document.placements):
            name = placement.id.encode()
            self._names[<size_t>i].text = self._pool.copy(name)
            self._names[<size_t>i].length = <uint32_t>len(name)
        self._key = Output()
        self._wins = <uint32_t*>self._pool.take(candidates.offer_count, sizeof(uint32_t))
        self._showable = <uint8_t*>self._pool.take(check.CANDIDATES_MAX, 1)
        self._weights = <double*>self._pool.take(check.CANDIDATES_MAX, sizeof(double))
        self._vector = <double*>self._pool.take(DIMENSIONS_MAX, sizeof(double))

    def __reduce__(self):
        raise TypeError("Play holds addresses and cannot be pickled")

    cdef const int32_t* _placement_bandits(self, models, list by_placement) except NULL:
        """By placement the bandit of its offers; the first, where a bundle has several."""
        cdef int32_t* found = <int32_t*>self._pool.take(len(by_placement), sizeof(int32_t))
        for i, numbers in enumerate(by_placement):
            bandits = [at for at in numbers if models[at].bandit is not None]
            found[<size_t>i] = bandits[0] if bandits else -1
        return found

    cdef bint choose(
        self, uint32_t passing, const double* outputs, Piece decision_id, list scored
    ) except -1 nogil:
        cdef Answer* answer = self.arbitration.answer
        cdef Candidate* candidates = self.arbitration.passing
        cdef uint32_t number = <uint32_t>self.bandit_of[answer.placement]
        cdef const Bandit* bandit = &self.bandits.of_model[number]
        cdef uint64_t draw = self._draw(bandit, decision_id, self._names[answer.placement])
        cdef uint64_t low = <uint32_t>draw
        cdef uint32_t arms, i
        cdef bint ai
        if bandit.dimensions:
            self.models.vector(number, self._vector)
        ai = self._weigh(passing)
        self.arbitration.compare(passing)
        arms = self._count_wins(bandit, passing, outputs)
        answer.sample = <uint32_t>(low * bandit.samples >> 32)
        self._sample_scores(bandit, passing, outputs, answer.sample)
        self.arbitration.rank(passing)
        self.arbitration.tell_ranks(passing)
        if scored is not None:
            with gil:
                self._tell(passing, scored)
        answer.explored = arms > 0 and (draw >> 32) * MILLIONTHS >> 32 < bandit.floor
        if answer.explored:
            self._bring_arm_forward(bandit, passing, <uint32_t>(low * arms >> 32))
        for i in range(passing):
            if not answer.explored:
                self.arbitration.bring_best_forward(i, passing)
            if self.arbitration.choose(&candidates[i]):
                self._note(number, candidates[i].offer, arms, ai)
                return True
        return False

    cdef uint64_t _draw(self, const Bandit* bandit, Piece decision_id, Piece placement) except? 0 nogil:
        """What a decision draws from: XXH64(decision id, 0, placement id, 0, model id), each in UTF-8."""
        self._key.clear()
        self._key.piece(decision_id)
        self._key.raw(b"\0", 1)
        self._key.piece(placement)
        self._key.raw(b"\0", 1)
        self._key.raw(bandit.id, bandit.id_length)
        return xxh64_c(<const octet_t*>self._key._text, self._key._size, 0)

    cdef int _tell(self, uint32_t passing, list scored) except -1:
        cdef uint32_t i
        for i in range(passing):
            scored.append((self.arbitration.passing[i].offer, self.arbitration.passing[i].score))
        return 0

    cdef bint _weigh(self, uint32_t passing) except -1 nogil:
        """Context weights and showable candidates; returns whether a candidate has a model."""
        cdef const Candidate* candidate
        cdef const Offer* offer
        cdef bint ai = False
        cdef uint32_t i
        for i in range(passing):
            candidate = &self.arbitration.passing[i]
            offer = &self.candidates.offers[candidate.offer]
            ai = ai or offer.model >= 0
            self._weights[i] = context_weight(offer, self.arbitration.literals)
            self._showable[i] = self.arbitration.is_showable(candidate)
        return ai

    cdef void _sample_scores(
        self, const Bandit* bandit, uint32_t passing, const double* outputs, uint32_t sample
    ) noexcept nogil:
        """Scores of the candidates if the arms are worth what the sample says."""
        cdef Candidate* candidates = self.arbitration.passing
        cdef uint32_t i
        cdef int32_t arm
        cdef double propensity, score
        cdef const Offer* offer
        for i in range(passing):
            offer = &self.candidates.offers[candidates[i].offer]
            arm = bandit.arm_of[candidates[i].offer]
            propensity = outputs[i]
            if arm >= 0:
                propensity = arm_value(bandit, <uint32_t>arm, sample, self._vector)
            score = propensity * self._weights[i] * offer.value * offer.lever
            candidates[i].score = score if score == score else -INFINITY

    cdef uint32_t _count_wins(
        self, const Bandit* bandit, uint32_t passing, const double* outputs
    ) noexcept nogil:
        """Count in `_wins` the samples in which each showable candidate is best; returns showable arms."""
        cdef const Candidate* candidates = self.arbitration.passing
        cdef Order order = self.arbitration.order
        cdef uint32_t arms = 0, i, sample
        cdef int32_t best
        for i in range(passing):
            self._wins[candidates[i].offer] = 0
            if self._showable[i] and bandit.arm_of[candidates[i].offer] >= 0:
                arms = arms + 1
        for sample in range(bandit.samples):
            self._sample_scores(bandit, passing, outputs, sample)
            self.arbitration.rank(passing)
            best = -1
            for i in range(passing):
                if not self._showable[i]:
                    continue
                if best < 0 or order(&candidates[i], &candidates[best]) < 0:
                    best = <int32_t>i
            if best >= 0:
                self._wins[candidates[best].offer] = self._wins[candidates[best].offer] + 1
        return arms

    cdef void _bring_arm_forward(self, const Bandit* bandit, uint32_t passing, uint32_t arm) noexcept nogil:
        """Make the showable arm of this number, in the order of offers, the first candidate."""
        cdef Candidate* candidates = self.arbitration.passing
        cdef uint32_t i
        for i in range(passing):
            if self._showable[i] and bandit.arm_of[candidates[i].offer] >= 0:
                if arm == 0:
                    candidates[0], candidates[i] = candidates[i], candidates[0]
                    return
                arm = arm - 1

    cdef int _note(self, uint32_t number, uint32_t offer, uint32_t arms, bint ai) except -1 nogil:
        """Note in the answer how likely its choice was."""
        cdef const Bandit* bandit = &self.bandits.of_model[number]
        cdef Answer* answer = self.arbitration.answer
        cdef double floor = bandit.floor / <double>MILLIONTHS if arms else 0.0
        answer.action_probability = (1.0 - floor) * self._wins[offer] / bandit.samples
        if bandit.arm_of[offer] >= 0:
            answer.action_probability = answer.action_probability + floor / arms
        answer.bandit = number + 1
        answer.ai |= ai
        return 0
