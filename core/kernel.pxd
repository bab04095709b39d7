"""The steps of a decision for one placement, over the tables of one bundle."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from core._types cimport octet_t
from core.answers cimport Answer, Answers, Cause, Refusal, Step
from core.assignment cimport Experiments, Variant
from core.bandits cimport Bandit, Bandits
from core.candidates cimport Candidates, Numbers, Offer, Placement, Treatment
from core.caps cimport Caps
from core.content cimport Block, Blocks
from core.memory cimport Pool
from core.output cimport Output, Piece
from core.conditions cimport Extent
from core.rules cimport Tables
from core.scoring cimport Models
from core.values cimport Attributes, ov_value

# What expressions see: attribute values and the literals made of them.
ctypedef struct View:
    bint ready
    Extent extent            # nodes that were evaluated
    const octet_t* record    # NULL: no profile
    ov_value* values         # one per attribute, owned by the kernel's pool
    uint8_t* literals        # owned by the kernel's pool

# Views with the profile, and without it for placements that ask for no consent.
cdef enum:
    VIEW_PROFILE = 0
    VIEW_ANONYMOUS = 1
    VIEWS = 2

# A candidate that passed steps 3 and 4.
ctypedef struct Candidate:
    double score
    int64_t priority
    uint32_t offer
    uint32_t number          # of the treatment
    const Treatment* treatment

# What is the same for every placement of a request. Pointers: valid during one decision.
ctypedef struct Situation:
    const octet_t* record    # a checked record, NULL: neither record nor overlay
    const octet_t* unit_key  # 16 bytes
    int64_t now_ms
    int64_t age_ms           # of the record
    uint64_t sequence
    bint starter             # neither record nor overlay
    bint named               # the caller named a person
    bint opted_out           # context.gpc is true
    bint at_edge


@cython.final
cdef class Kernel:
    cdef object document
    cdef Pool _pool
    cdef Tables tables
    cdef Attributes attributes
    cdef Candidates candidates
    cdef Experiments experiments
    cdef Caps caps
    cdef Blocks blocks
    cdef Models models
    cdef Bandits bandits
    cdef const int32_t* _bandit_of  # by placement: the number of its bandit, -1: none
    cdef object decision_id      # of the request, text: what a bandit draws from
    cdef uint32_t* _wins         # scratch: by offer, the samples in which it is best
    cdef uint8_t* _showable      # scratch: by candidate, whether step 6 lets it pass
    cdef double* _weights        # scratch: by candidate, its context weight
    cdef double* _vector         # scratch: LinUCB's row
    cdef Output out              # the body being written
    cdef Answers answers         # what the log will say
    cdef list scored             # None, or (offer, score) of the placement's scored candidates, for a trace
    cdef Piece* _reasons         # by reason: "CODE","ai":
    cdef Piece* _experiment_ids  # {"id":ID,"variant":
    cdef Piece** _variant_ids    # by experiment and variant: what follows
    cdef View _views[VIEWS]
    cdef const View* _scored_view  # whose attribute values the models saw last
    cdef Candidate* _passing     # scratch: candidates of one placement
    cdef int32_t* _asked         # scratch: models of the candidates
    cdef double* _outputs        # scratch: what they said
    cdef int32_t* _all_models    # every model's number
    cdef double* _every          # scratch: what they said
    cdef uint32_t* _chosen       # scratch: offers chosen in this decision
    cdef uint32_t _chosen_count
    cdef uint8_t* _offer_taken   # scratch: by offer
    cdef uint8_t* _group_taken   # scratch: by exclusive group

    # Answer one placement of the bundle; a fault inside gives `error` and the fallback.
    cdef int answer(self, Answer* answer, const Situation* situation, dict context) except -1
    # Answer it with its generic content.
    cdef int write_fallback(self, Answer* answer, Cause cause) except -1
    # Write the reason and what follows it, up to the closing brace.
    cdef int write_end(self, const Answer* answer) except -1
    # The attribute values and literals of a decision, evaluated at least as far as `extent`.
    cdef View* view(self, bint anonymous, const Situation* situation, dict context, Extent extent) except NULL
    # Values of which those of the context's attributes are set.
    cdef const ov_value* context_values(self, dict context) except NULL
    # For a trace: (verdicts of the rules, values of the attributes), whatever the decision needed.
    cdef tuple explain(self, bint anonymous, const Situation* situation, dict context)
    # Outputs of all models.
    cdef list score(self, const Situation* situation, dict context)
    # Forget what the last decision marked.
    cdef void clear(self) noexcept

    cdef bytes _fallback_blocks(self, placement)
    cdef Piece _piece(self, bytes text) except *
    cdef _build_pieces(self, document)
    cdef _build_scratch(self)
    cdef const int32_t* _placement_bandits(self) except NULL
    cdef int _answer(
        self, Answer* answer, const Placement* placement, const Situation* situation, dict context
    ) except -1
    cdef Cause _ended(self, Answer* answer, const Placement* placement, const Situation* situation) noexcept
    cdef bint _consents(self, Answer* answer, const Placement* placement, const Situation* situation) noexcept
    cdef int _assign(
        self, Answer* answer, const Placement* placement, const View* view, const Situation* situation
    ) except -1
    cdef const Variant* _variant(self, const Answer* answer, uint32_t i) noexcept
    cdef uint32_t _pass(
        self, Answer* answer, const Placement* placement, const View* view, int64_t now_ms
    ) except? 0xFFFFFFFF
    cdef Cause _refusal(
        self, const Answer* answer, const Treatment* treatment, const View* view, int64_t now_ms, Step* step
    ) noexcept
    cdef Cause _guarded(self, const Numbers* guards, const View* view) noexcept
    cdef Cause _capped(self, const Treatment* treatment, const View* view, int64_t now_ms) noexcept
    cdef Cause _left_out(self, const Answer* answer, uint32_t offer) noexcept
    cdef void _ask_models(self, const Answer* answer, uint32_t passing, const View* view) noexcept
    cdef bint _score(self, Candidate* candidate, double propensity, const View* view) except -1
    cdef double _context_weight(self, const Offer* offer, const View* view) noexcept
    cdef int _play(
        self, Answer* answer, const Placement* placement, uint32_t passing, const View* view
    ) except -1
    cdef void _sample_scores(self, const Bandit* bandit, uint32_t passing, uint32_t sample) noexcept
    cdef bint _is_showable(
        self, Answer* answer, const Placement* placement, const Candidate* candidate, const View* view
    ) except -1
    cdef uint32_t _count_wins(self, const Bandit* bandit, uint32_t passing) noexcept
    cdef void _bring_arm_forward(self, const Bandit* bandit, uint32_t passing, uint32_t arm) noexcept
    cdef bint _choose(
        self, Answer* answer, const Placement* placement, const Candidate* candidate, const View* view
    ) except -1
    cdef Cause _try(
        self,
        Answer* answer,
        const Placement* placement,
        const Candidate* candidate,
        const View* view,
        Step* step,
    ) except *
    cdef uint32_t _block(
        self, const Answer* answer, const Placement* placement, const Treatment* treatment, uint32_t slot
    ) noexcept
    cdef uint32_t _first_tag_guard(self, const Block* block, const View* view, uint32_t worst) noexcept
    cdef void _take(self, uint32_t offer) noexcept
    cdef Cause _furthest(self, const Answer* answer) noexcept
    cdef bint _came_further(self, const Refusal* a, const Refusal* b) noexcept
