"""Which events feed which slots, taken from a bundle and laid out for folding."""

cimport cython
from core._types cimport hash64_t, millis_t
from core.slots cimport Slot


# What one event name means to one slot.
@cython.final
cdef class Feed:
    cdef unsigned int slot  # record slot, 16 or above
    cdef int function  # F_*
    cdef int type  # BOOL..STRINGS of the value
    cdef int sign  # 1: the event counts; -1: it counts negatively; 0: it resets the buckets
    cdef tuple path  # keys from the property tree down to the value; empty for counts
    cdef bint from_traits  # the tree is the event's traits
    cdef tuple tests  # of Test; all must hold
    cdef millis_t granularity_ms  # > 0: buckets
    cdef long long window_granules  # 0: no window
    cdef millis_t half_life_ms  # 0: no decay
    # The slot that the event alone would make; None if it is not concerned, or has no value of the type.
    cdef Slot slot_of(self, object event, millis_t at_ms, hash64_t tie)
    cdef Slot total_of(self, object event, millis_t at_ms)
    cdef Slot plain_of(self, object value, millis_t at_ms, hash64_t tie)


# One `where`: the value at the path is one of those allowed.
@cython.final
cdef class Test:
    cdef tuple path
    cdef bint from_traits
    cdef frozenset bools  # allowed bools; apart, because True == 1 in Python
    cdef frozenset others  # allowed numbers and strings
    cdef bint holds(self, object event) except -1


@cython.final
cdef class FoldPlan:
    cdef dict aliases  # event alias -> canonical name
    cdef dict feeds  # canonical name -> tuple of Feed
    cdef dict purpose_slots  # purpose id -> record slot
    cdef dict sticky  # id -> Sticky of the experiments that are sticky
    cdef tuple behaviour_slots  # slots of the purposes that let behaviour shape the profile
    cdef str canonical_name(self, str name)
