"""How a bandit chooses among candidates."""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from core.arbitration cimport Arbitration
from core.bandits cimport Bandit, Bandits
from core.candidates cimport Candidates
from core.memory cimport Pool
from core.output cimport Output, Piece
from core.scoring cimport Models


@cython.final
cdef class Play:
    cdef Pool _pool
    cdef Candidates candidates
    cdef Models models
    cdef Bandits bandits
    cdef Arbitration arbitration
    cdef const int32_t* bandit_of  # by placement: the number of its bandit, -1: none
    cdef Piece* _names           # by placement: its id in UTF-8
    cdef Output _key             # scratch: what is hashed for the draw
    cdef uint32_t* _wins         # scratch: by offer, the samples in which it is best
    cdef uint8_t* _showable      # scratch: by candidate, whether step 6 lets it pass
    cdef double* _weights        # scratch: by candidate, its context weight
    cdef double* _vector         # scratch: LinUCB's row

    # Steps 5 to 7 where a bandit has arms, for the arbitration's first `passing` candidates; `outputs`: what
    # their models said, `scored`: takes (offer, score) unless it is None. False: none can be shown.
    cdef bint choose(
        self, uint32_t passing, const double* outputs, Piece decision_id, list scored
    ) except -1 nogil

    cdef const int32_t* _placement_bandits(self, models, list by_placement) except NULL
    cdef uint64_t _draw(self, const Bandit* bandit, Piece decision_id, Piece placement) except? 0 nogil
    cdef int _tell(self, uint32_t passing, list scored) except -1
    cdef bint _weigh(self, uint32_t passing) except -1 nogil
    cdef void _sample_scores(
        self, const Bandit* bandit, uint32_t passing, const double* outputs, uint32_t sample
    ) noexcept nogil
    cdef uint32_t _count_wins(
        self, const Bandit* bandit, uint32_t passing, const double* outputs
    ) noexcept nogil
    cdef void _bring_arm_forward(self, const Bandit* bandit, uint32_t passing, uint32_t arm) noexcept nogil
    cdef int _note(self, uint32_t number, uint32_t offer, uint32_t arms, bint ai) except -1 nogil
