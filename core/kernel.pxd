"""The steps of a decision for one placement, over the tables of one bundle."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from core._types cimport octet_t
from core.answers cimport Answer, Answers, Cause, Step
from core.arbitration cimport Arbitration, Candidate
from core.assignment cimport Experiments
from core.candidates cimport Candidates, Numbers, Placement, Treatment
from core.caps cimport Caps
from core.content cimport Blocks
from core.memory cimport Pool
from core.output cimport Output, Piece
from core.play cimport Play
from core.conditions cimport Extent
from core.rules cimport Tables
from core.scoring cimport Models
from core.values cimport Attributes, ov_value

# What expressions see: attribute values and the literals made of them.
ctypedef struct View:
    bint ready
    Extent extent            # nodes that were evaluated
    const octet_t* record    # NULL: no profile
    PyObject* context        # whose values are still there; NULL: nobody's
    bint whole               # so are those that no decision needs
    ov_value* values         # one per attribute, owned by the kernel's pool
    uint8_t* literals        # owned by the kernel's pool

# Views with the profile, and without it for placements that ask for no consent.
cdef enum:
    VIEW_PROFILE = 0
    VIEW_ANONYMOUS = 1
    VIEWS = 2

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
    bint in_batch            # `context` outlives this decision
    PyObject* context        # a dict


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
    cdef Arbitration arbitration
    cdef Play play
    cdef Piece decision_id       # of the request: what a bandit draws from
    cdef Answer* _answering      # the answer at hand, and where the body and the refusals stood before it
    cdef size_t _mark
    cdef uint32_t _refusals
    cdef Output out              # the body being written
    cdef Answers answers         # what the log will say
    cdef list scored             # None, or (offer, score) of the placement's scored candidates, for a trace
    cdef Piece* _reasons         # by reason: "CODE","ai":
    cdef Piece* _experiment_ids  # {"id":ID,"variant":
    cdef Piece** _variant_ids    # by experiment and variant: what follows
    cdef View _views[VIEWS]
    cdef const View* _scored_view  # whose attribute values the models saw last
    cdef int32_t* _asked         # scratch: models of the candidates
    cdef uint32_t* _asked_for    # scratch: and their offers
    cdef double* _outputs        # scratch: what they said
    cdef int32_t* _all_models    # every model's number
    cdef double* _every          # scratch: what they said

    # Answer one placement of the bundle.
    cdef int answer(self, Answer* answer, const Situation* situation) except -1 nogil
    # After an exception of `answer`, which is never expected: the page still gets an answer, `error` and the
    # fallback, and the reason code is counted.
    cdef int fail(self) except -1
    # Answer it with its generic content.
    cdef int write_fallback(self, Answer* answer, Cause cause) except -1 nogil
    # Write the reason and what follows it, up to the closing brace.
    cdef int write_end(self, const Answer* answer) except -1 nogil
    # The attribute values and literals of a decision, evaluated at least as far as `extent`.
    cdef View* view(self, bint anonymous, const Situation* situation, Extent extent) except NULL nogil
    # Values of which those of the context's attributes are set.
    cdef const ov_value* context_values(self, dict context) except NULL
    # For a trace: (verdicts of the rules, values of the attributes), whatever the decision needed.
    cdef tuple explain(self, bint anonymous, const Situation* situation)
    # Outputs of all models.
    cdef list score(self, const Situation* situation)
    # Forget what the last decision marked.
    cdef void clear(self) noexcept nogil

    cdef bytes _fallback_blocks(self, placement)
    cdef Piece _piece(self, bytes text) except *
    cdef _build_pieces(self, document)
    cdef _build_scratch(self)
    cdef int _answer(
        self, Answer* answer, const Placement* placement, const Situation* situation
    ) except -1 nogil
    cdef Cause _ended(
        self, Answer* answer, const Placement* placement, const Situation* situation
    ) noexcept nogil
    cdef bint _consents(
        self, Answer* answer, const Placement* placement, const Situation* situation
    ) noexcept nogil
    cdef int _assign(
        self, Answer* answer, const Placement* placement, const View* view, const Situation* situation
    ) except -1 nogil
    cdef uint32_t _pass(
        self, Answer* answer, const Placement* placement, const View* view, int64_t now_ms
    ) except? 0xFFFFFFFF nogil
    cdef Cause _refusal(
        self, const Answer* answer, const Treatment* treatment, const View* view, int64_t now_ms, Step* step
    ) noexcept nogil
    cdef Cause _guarded(self, const Numbers* guards, const View* view) noexcept nogil
    cdef Cause _capped(self, const Treatment* treatment, const View* view, int64_t now_ms) noexcept nogil
    cdef Cause _left_out(self, const Answer* answer, uint32_t offer) noexcept nogil
    cdef void _ask_models(self, const Answer* answer, uint32_t passing, const View* view) noexcept nogil
    cdef bint _score(self, Candidate* candidate, double propensity, const View* view) except -1 nogil
    cdef int _write_refusal(self, Answer* answer) except -1 nogil
