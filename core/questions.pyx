"""Requests, taken apart while the GIL is held: what answers them needs no Python object."""

cimport cython
from cpython.dict cimport PyDict_GetItemWithError
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int32_t, int64_t, uint32_t
from libc.string cimport memset

from core._types cimport octet_t
from core.answering cimport Asked, Question
from core.answers cimport PLACEMENTS_MAX
from core.candidates cimport Candidates
from core.memory cimport Pool
from core.output cimport YEAR_1_MS, YEAR_10000_MS, Piece
from core.record cimport RecordHeader, header_at, unit_key_of

from core.errors import RequestError

cdef enum:
    UNIT_KEY_SIZE = 16


@cython.final
cdef class Questions:
    """Knows the placements of one bundle by name."""

    def __cinit__(self, list names not None, Candidates candidates not None):
        self._pool = Pool()
        self._placements = {name: i for i, name in enumerate(names)}
        self._candidates = candidates
        self.asked = <Asked*>self._pool.take(PLACEMENTS_MAX, sizeof(Asked))

    def __reduce__(self):
        raise TypeError("Questions hold addresses and cannot be pickled")

    cdef int require(self, request, now_ms, Py_ssize_t number) except -1:
        count = len(request.placements)
        if count > PLACEMENTS_MAX:
            path = f"{_path(number)}.placements"
            raise RequestError(path=path, expected=f"at most {PLACEMENTS_MAX}", got=str(count))
        size = len(request.unit_key)
        if size != UNIT_KEY_SIZE:
            path = f"{_path(number)}.unit_key"
            raise RequestError(path=path, expected=f"{UNIT_KEY_SIZE} bytes", got=str(size))
        if not <int64_t>YEAR_1_MS <= now_ms < <int64_t>YEAR_10000_MS:
            path = f"{_path(number)}.now"
            raise RequestError(path=path, expected="a time of the years 1 to 9999", got=str(now_ms))
        return 0

    cdef int take(
        self,
        Question* question,
        Asked* asked,
        const octet_t* record,
        request,
        now_ms,
        bint at_edge,
        Py_ssize_t number,
    ) except -1:
        cdef RecordHeader header
        cdef int i
        cdef bytes unit_key = request.unit_key
        cdef tuple names = request.placements
        cdef dict context = request.context
        cdef PyObject* opted_out = PyDict_GetItemWithError(context, "gpc")
        memset(question, 0, sizeof(Question))
        question.situation.record = record
        question.situation.unit_key = <const octet_t*><const char*>unit_key
        question.situation.now_ms = now_ms
        question.situation.starter = record == NULL
        question.situation.named = request.named
        question.situation.opted_out = opted_out != NULL and <object>opted_out is True
        question.situation.at_edge = at_edge
        question.situation.context = <PyObject*>context
        if record != NULL:
            header = header_at(record)
            question.situation.unit_key = unit_key_of(record)
            question.situation.sequence = header.sequence
            # Both lie within the years that times are checked to, so the difference cannot overflow.
            question.situation.age_ms = max(0, question.situation.now_ms - header.packed_at_ms)
        question.decision_id = _piece(request.decision_id, number, -1)
        question.traced = request.trace
        question.asked = asked
        question.asked_count = <uint32_t>len(names)
        for i in range(<int>len(names)):
            self._ask(&asked[i], names, i, at_edge, number)
        return 0

    cdef int _ask(
        self, Asked* asked, tuple names, int place, bint at_edge, Py_ssize_t number
    ) except -1:
        cdef PyObject* found = PyDict_GetItemWithError(self._placements, names[place])
        memset(asked, 0, sizeof(Asked))
        asked.placement = -1
        if found != NULL:
            asked.placement = <int32_t><object>found
            if not (at_edge and self._candidates.placements[asked.placement].at_hub):
                return 0
            asked.placement = -1
        asked.repeated = names[place] in names[:place]
        asked.name = _piece(names[place], number, place)
        return 0


cdef str _path(Py_ssize_t number):
    """Where a request stands: alone, or in a batch."""
    return "$" if number < 0 else f"$.requests[{number}]"


cdef Piece _piece(str text, Py_ssize_t number, int place) except *:
    """A text that lives as long as its string: the decision's id, or the placement at a place."""
    cdef Piece piece
    cdef Py_ssize_t length = 0
    try:
        piece.text = PyUnicode_AsUTF8AndSize(text, &length)
    except UnicodeEncodeError as error:
        where = "decision_id" if place < 0 else f"placements[{place}]"
        path = f"{_path(number)}.{where}"
        raise RequestError(path=path, expected="text", got="a lone surrogate") from error
    piece.length = <uint32_t>length
    return piece
