"""Sticky assignments: which variant a person was shown first (docs/decisions/0011-sticky-assignments.md)."""

cimport cython

from core._types cimport hash64_t, millis_t, octet_t
from core.record cimport Assignment, RecordSlot
from core.slots cimport Slot


@cython.final
cdef class Assignments(Slot):
    cdef unsigned int count, capacity
    cdef Assignment* entries  # ascending by (experiment, source); owned, freed by __dealloc__
    cdef int add(self, Assignment one) except -1
    cdef int reserve(self, unsigned int count) except -1
    cdef unsigned int latest(self) noexcept


# One experiment that remembers whom it assigned, as the fold needs it.
@cython.final
cdef class Sticky:
    cdef object version  # int
    cdef hash64_t key  # experiment_key
    cdef dict variants  # id -> XXH64 of it


# What an exposure says of the sticky experiments (id -> Sticky); None: nothing.
cdef Assignments exposed(dict experiments, object event, millis_t at_ms)

# The slot of a record that check_record has accepted.
cdef Assignments read_assignments(const octet_t* record, RecordSlot slot)

# The variant that is stored for a unit, its hash in *variant; False where none is. `record` may be NULL.
cdef bint stored_variant(
    const octet_t* record, hash64_t experiment, const octet_t* unit_key, hash64_t* variant
) noexcept nogil
