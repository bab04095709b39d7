"""The general conditions of a bundle: what the tables do not hold, evaluated one by one, with the GIL."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from core.memory cimport Pool
from core.values cimport ov_value

# What is known of a general condition.
cdef enum:
    G_UNKNOWN = 0
    G_TRUE = 1
    G_FALSE = 2
    G_ERROR = 3


# The values of one profile and context as expressions see them; each is made once, when it is asked for.
@cython.final
cdef class Values:
    cdef const ov_value* _values   # one per attribute; owner: the view, or the batch's scratch
    cdef int64_t _now              # ms since 1970 UTC
    cdef list _blank               # UNREAD for each attribute
    cdef list _made                # by attribute: UNREAD, MISSING or the value
    cdef object _value(self, Py_ssize_t index)


@cython.final
cdef class Generals:
    cdef Pool _pool
    cdef readonly uint32_t count
    cdef list _codes               # by condition: its code
    cdef list _needed              # by condition: the attributes without which it is an error
    cdef uint32_t** _needs         # the same, and how many
    cdef uint32_t* _need_counts
    cdef object _run               # core.cel.general.run.Run, used again and again
    cdef Values _values
    cdef _take(self, list codes, list wanted, Py_ssize_t attribute_count)
    cdef uint8_t* states           # by condition: what is known of it

    # Forget what was known: the values are of another profile, context or moment.
    cdef int begin(self, const ov_value* values, int64_t now) except -1
    # What a condition comes to, evaluated at most once after `begin`. Whatever goes wrong inside is G_ERROR.
    cdef uint8_t ask(self, uint32_t number) except? 255
    # Another one over the same conditions, for another thread.
    cdef Generals twin(self)
