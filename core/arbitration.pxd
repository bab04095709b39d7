"""Which of the candidates that passed is shown: order, exclusivity, content and its rules."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from core._types cimport octet_t
from core.answers cimport Answer, Answers, Cause, Filled, Refusal, Step
from core.assignment cimport Experiments
from core.candidates cimport Candidates, Placement, Treatment
from core.content cimport Block, Blocks
from core.diversity cimport Likenesses
from core.memory cimport Pool
from core.output cimport Output
from core.values cimport ov_value

# A candidate that passed steps 3 and 4.
ctypedef struct Candidate:
    double score
    double rank              # where diversity counts: what is left of the score
    int64_t priority
    uint32_t offer
    uint32_t number          # of the treatment
    const Treatment* treatment

# Below zero if the first candidate is the better one.
ctypedef int (*Order)(const void* left, const void* right) noexcept nogil


@cython.final
cdef class Arbitration:
    cdef Pool _pool
    cdef Candidates candidates
    cdef Likenesses likenesses
    cdef Experiments experiments
    cdef Blocks blocks
    cdef Output out              # the body being written
    cdef Answers answers         # what the log will say
    cdef Candidate* passing      # scratch: candidates of one placement
    cdef Answer* answer          # of the placement that is being answered, like the next four
    cdef const Placement* placement
    cdef const ov_value* values
    cdef const uint8_t* literals
    cdef const octet_t* unit_key  # 16 bytes
    cdef Filled* _fills          # scratch: slots that the candidate in hand fills by tags
    cdef uint32_t _fill_count
    cdef bint diverse            # whether diversity counts here
    cdef Order order             # of its candidates
    cdef list ranked             # None, or takes (offer, relevance, similarity, rank) for a trace
    cdef double _scale           # the greatest finite score that may be shown
    cdef double* _similarities   # scratch: by candidate, until they are sorted
    cdef uint8_t* _free          # scratch: by candidate, whether exclusivity lets it pass
    cdef uint32_t* _chosen       # scratch: offers chosen in this decision
    cdef uint32_t _chosen_count
    cdef uint8_t* _offer_taken   # scratch: by offer
    cdef uint8_t* _group_taken   # scratch: by exclusive group

    # Go on to a placement; the pointers stay good until it is answered.
    cdef void begin(
        self,
        Answer* answer,
        const Placement* placement,
        const ov_value* values,
        const uint8_t* literals,
        const octet_t* unit_key,
    ) noexcept nogil
    # Where diversity counts, in this order: compare the first `count` candidates with what was chosen; give
    # them ranks by their scores, as often as those change; tell a trace.
    cdef void compare(self, uint32_t count) noexcept nogil
    cdef void rank(self, uint32_t count) noexcept nogil
    cdef int tell_ranks(self, uint32_t count) except -1 nogil
    # Make the i-th candidate the best of those from i on; those before i were brought forward in turn.
    cdef void bring_best_forward(self, uint32_t i, uint32_t count) noexcept nogil
    # Write the answer of the best of the first `count` candidates that may be shown; False: of none.
    cdef bint choose_best(self, uint32_t count) except -1 nogil
    # Write a candidate's answer; False, with the body as before, where it must not be shown.
    cdef bint choose(self, const Candidate* candidate) except -1 nogil
    # Whether step 6 lets a candidate pass, with nothing written.
    cdef bint is_showable(self, const Candidate* candidate) except -1 nogil
    # The cause of the refused candidate of the placement that came furthest.
    cdef Cause furthest(self) noexcept nogil
    # Forget what the last decision marked.
    cdef void clear(self) noexcept nogil

    cdef int _tell(self, uint32_t count) except -1
    cdef bint _is_taken(self, uint32_t offer) noexcept nogil
    cdef int _try(self, const Candidate* candidate, Step* step, Cause* cause) except -1 nogil
    cdef uint32_t _block(self, const Treatment* treatment, uint32_t slot) noexcept nogil
    cdef uint32_t _filled(self, uint32_t entry, uint32_t slot) except? 0xFFFFFFFE nogil
    cdef bint _gives_value(self, uint32_t block) except -1 nogil
    cdef uint32_t _first_tag_guard(self, const Block* block, uint32_t worst) noexcept nogil
    cdef void _take(self, const Candidate* candidate) noexcept nogil
    cdef bint _came_further(self, const Refusal* a, const Refusal* b) noexcept nogil
