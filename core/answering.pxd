"""One answer at a time: the body from its first byte to the last placement, without the GIL."""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from core.answers cimport Answer, Cause
from core.kernel cimport Kernel, Situation
from core.memory cimport Pool
from core.output cimport Piece

# A placement that is asked for.
ctypedef struct Asked:
    int32_t placement        # -1: not known here
    bint repeated            # an unknown name that was asked before
    Piece name               # of an unknown one

# A request. Pointers: owned by the caller, valid while it is answered.
ctypedef struct Question:
    Situation situation
    Piece decision_id
    const Asked* asked
    uint32_t asked_count
    bint traced
    bint is_fallback         # every placement gets its generic content,
    Cause cause              # for this reason


@cython.final
cdef class Answering:
    cdef Pool _pool
    cdef Kernel kernel
    cdef Piece _head             # ,"bundle":{...},"profile":{"sequence":
    cdef int64_t _stale_after_ms
    cdef uint8_t* _answered      # scratch: by placement
    cdef uint32_t _next          # the next one that is asked for
    cdef bint _inside            # a placement is being answered
    cdef list scores             # None, or by answer what the trace says of its candidates

    # Answer every placement of a question: the body up to the last placement is in `kernel.out`, the rest in
    # `kernel.answers`.
    cdef int answer(self, const Question* question) except -1
    # The same in two steps that need no GIL. After an exception of `go_on` inside a placement, `fail` answers
    # it with `error`, and `go_on` goes on.
    cdef int begin(self, const Question* question) except -1 nogil
    cdef int go_on(self, const Question* question) except -1 nogil
    cdef int fail(self) except -1
    # Whether the exception came from inside a placement.
    cdef bint is_inside(self) noexcept nogil
    # Forget what the last question marked, so that the next one begins clean whatever happened.
    cdef void clear(self) noexcept nogil
    cdef bint is_stale(self, const Situation* situation) noexcept nogil

    cdef Answer* _begin_answer(self, uint32_t number, const Asked* asked) except? NULL nogil
    cdef int _begin_scores(self) except -1
