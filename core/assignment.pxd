"""Experiments and holdouts: who belongs where, by hash."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from core._types cimport octet_t
from core.answers cimport Assigned
from core.hashing cimport Salted
from core.memory cimport Pool

# A block that a variant puts into a slot, by the dense number of the slot's name.
ctypedef struct Override:
    uint32_t slot_name
    uint32_t block               # or a fill (core.candidates)

ctypedef struct Variant:
    uint32_t upper               # cumulative bound, millionths
    bint limited                 # only `offers` pass
    const uint32_t* offers       # ascending
    uint32_t offer_count
    const Override* overrides
    uint32_t override_count

ctypedef struct Experiment:
    Salted salt
    Salted traffic_salt
    Salted layer
    bint layered                 # without it every unit is in
    uint32_t layer_from          # millionths
    uint32_t layer_to
    uint32_t traffic
    int32_t rule                 # eligibility, -1: everyone
    const Variant* variants
    uint32_t variant_count

ctypedef struct Holdout:
    Salted salt
    uint32_t share               # millionths


@cython.final
cdef class Experiments:
    cdef Pool _pool
    cdef Experiment* experiments
    cdef Holdout* holdouts
    cdef uint32_t experiment_count
    cdef uint32_t holdout_count

    # The variant of a unit, or -1 where layer or traffic leave it out. Eligibility is the caller's.
    cdef int32_t assign(self, uint32_t experiment, const octet_t* unit_key) noexcept nogil
    cdef bint held_out(self, uint32_t holdout, const octet_t* unit_key) noexcept nogil
    cdef const Variant* variant_of(self, const Assigned* assigned) noexcept nogil

    cdef int _build(self, Experiment* target, experiment, dict slot_names) except -1
    cdef int _build_variant(self, Variant* target, variant, dict slot_names) except -1

cdef bint contains(const uint32_t* ascending, uint32_t count, uint32_t wanted) noexcept nogil
