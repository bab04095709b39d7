"""Requests as C sees them."""

cimport cython

from core._types cimport octet_t
from core.answering cimport Asked, Question
from core.candidates cimport Candidates
from core.memory cimport Pool


@cython.final
cdef class Questions:
    cdef Pool _pool
    cdef dict _placements        # id -> index
    cdef Candidates _candidates
    cdef Asked* asked            # scratch: PLACEMENTS_MAX, for one question at a time

    # Refuse what no decision can be made of; `number`: of the request in a batch, -1: it is alone.
    cdef int require(self, request, now_ms, Py_ssize_t number) except -1
    # A request that was not refused. It points into record and request, and to `asked`, which has room for
    # its placements.
    cdef int take(
        self,
        Question* question,
        Asked* asked,
        const octet_t* record,
        request,
        now_ms,
        bint at_edge,
        Py_ssize_t number,
    ) except -1

    cdef int _ask(
        self, Asked* asked, tuple names, int place, bint at_edge, Py_ssize_t number
    ) except -1
