"""What a decision leaves behind for its log row: C arrays while it is made, one block of bytes afterwards."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

# Reason codes: indexes into core.reasons.REASONS.
cdef enum Reason:
    R_OK = 0
    R_NO_CONSENT = 1
    R_NO_PROFILE = 2
    R_HOLDOUT = 3
    R_NOT_ELIGIBLE = 4
    R_SUPPRESSED = 5
    R_OPEN_TICKET = 6
    R_CAPPED = 7
    R_BRAND_SAFETY = 8
    R_DEADLINE = 9
    R_OVERLOAD = 10
    R_STALE = 11
    R_NO_CONTENT = 12
    R_UNKNOWN_PLACEMENT = 13
    R_ERROR = 14

# What a cause number indexes.
cdef enum CauseKind:
    CAUSE_NONE = 0
    CAUSE_OFFER = 1
    CAUSE_GUARD = 2
    CAUSE_CAP = 3
    CAUSE_EXPERIMENT = 4
    CAUSE_EXCLUSIVITY = 5
    CAUSE_BLOCK = 6
    CAUSE_SLOT = 7           # a slot of the placement
    CAUSE_HOLDOUT = 8

# How far a candidate came; the order decides which refusal gives a placement's reason.
cdef enum Step:
    STEP_ELIGIBILITY = 0     # 3a
    STEP_SUPPRESSION = 1     # 3b
    STEP_CAPS = 2            # 3c
    STEP_BRAND_SAFETY = 3    # 3d
    STEP_EXPERIMENT = 4      # 4
    STEP_EXCLUSIVITY = 5     # 6a
    STEP_CONTENT = 6         # 6b
    STEP_TAGS = 7            # 6c

ctypedef struct Cause:
    int32_t number
    uint8_t kind             # CauseKind
    uint8_t reason           # Reason

cdef inline Cause cause_of(int reason, CauseKind kind, uint32_t number) noexcept nogil:
    cdef Cause cause
    cause.reason = <uint8_t>reason
    cause.kind = <uint8_t>kind
    cause.number = <int32_t>number
    return cause


# A refused candidate.
ctypedef struct Refusal:
    uint32_t offer
    uint8_t step             # Step
    Cause cause

ctypedef struct Assigned:
    uint32_t experiment
    uint32_t variant
    bint sticky              # stored, not drawn

# A block that a slot of the chosen treatment took by its tags.
ctypedef struct Filled:
    uint32_t slot            # of the placement
    uint32_t block
    bint drawn               # one of several, at random

ctypedef struct Answer:
    int32_t placement        # -1: not known here
    uint32_t asked           # its place in the request
    int32_t treatment        # -1: none chosen
    Cause cause              # with the reason of the whole placement
    bint ai
    bint limited             # some assigned variant holds only some offers
    int32_t consent_state    # core.record's ConsentState, 0: none recorded
    int64_t consent_at_ms
    bint opted_out           # Global Privacy Control denied it
    uint32_t refusal_begin
    uint32_t refusal_count
    uint32_t assigned_begin
    uint32_t assigned_count
    uint32_t filled_begin
    uint32_t filled_count
    uint32_t bandit          # 1 + the number of the bandit that chose, 0: none
    uint32_t sample          # the draw that it took
    bint explored            # an arm was taken at random
    double action_probability
    bint diverse             # diversity counted; the next three are the chosen candidate's
    double relevance
    double similarity
    double rank


# Growable lists of one decision, owned by the engine and used again by the next decision.
@cython.final
cdef class Answers:
    cdef Answer* answers
    cdef uint32_t answer_count
    cdef Refusal* refusals
    cdef uint32_t refusal_count
    cdef uint32_t _refusal_capacity
    cdef Assigned* assigned
    cdef uint32_t assigned_count
    cdef uint32_t _assigned_capacity
    cdef Filled* filled
    cdef uint32_t filled_count
    cdef uint32_t _filled_capacity

    cdef void clear(self) noexcept nogil
    cdef Answer* begin(self, uint32_t asked) noexcept nogil
    cdef int refuse(self, Answer* answer, uint32_t offer, Step step, Cause cause) except -1 nogil
    cdef int assign(self, Answer* answer, uint32_t experiment, uint32_t variant, bint sticky) except -1 nogil
    cdef size_t packed_size(self) noexcept nogil
    cdef void copy_to(self, char* target) noexcept nogil
    cdef int fill(self, Answer* answer, Filled filled) except -1 nogil
    cdef bytes pack(self)


@cython.final
cdef class Names:
    cdef list causes             # by CauseKind: ids by number
    cdef list assignments        # by experiment, twice its variant and sticky: the row's entry
    cdef list versions           # by experiment: its sticky version, None where it is not sticky
    cdef bint has_sticky
    cdef list ranks              # by offer: its place by falling priority, then id


cdef enum:
    PLACEMENTS_MAX = 64      # in one request


@cython.final
cdef class Decision:
    cdef readonly bytes body
    cdef readonly int known
    cdef readonly int fallbacks
    cdef object _engine
    cdef Names _names
    cdef object _request
    cdef bytes _packed           # Answer, then Refusal, then Assigned, then Filled
    cdef uint32_t _answer_count
    cdef uint32_t _refusal_count
    cdef uint32_t _assigned_count
    cdef int64_t _now_ms
    cdef uint64_t _sequence
    cdef int64_t _age_ms
    cdef bint _starter
    cdef bint _stale

    cdef int fill(
        self, bytes packed, uint32_t answer_count, uint32_t refusal_count, uint32_t assigned_count
    ) except -1
    cdef int belong(self, engine, Names names, request) except -1
    cdef void note(
        self, int64_t now_ms, uint64_t sequence, int64_t age_ms, bint starter, bint stale
    ) noexcept
    cdef const Answer* answer(self, uint32_t i) noexcept
    cdef tuple _placement_row(self, const Answer* answer)
    cdef object answered(self, uint32_t i, tuple scored)
    cdef list refusals(self, const Answer* answer)
    cdef list logged(self, const Answer* answer)
    cdef list experiments(self, const Answer* answer)
    cdef list versioned(self, const Answer* answer)
    cdef tuple bandit(self, const Answer* answer)
    cdef tuple diversity(self, const Answer* answer)
    cdef list filled(self, const Answer* answer)
    cdef object consent(self, const Answer* answer)
    cdef object _cause(self, const Answer* answer, Cause cause)
