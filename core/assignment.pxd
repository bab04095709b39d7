"""Experiments and holdouts: who belongs where, by hash."""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t

from core._types cimport hash64_t, octet_t
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
    hash64_t name                # XXH64 of its id: as records store it
    const uint32_t* offers       # ascending
    const Override* overrides
    uint32_t offer_count
    uint32_t override_count

# Who takes part at all.
ctypedef struct Limits:
    uint32_t* holdouts           # whoever is in one of them does not
    uint32_t holdout_count
    bint layered                 # without it every unit is in
    uint32_t layer_from          # millionths
    uint32_t layer_to
    Salted layer

# A hundred of them are asked one after the other, so what few of them need is behind a pointer.
ctypedef struct Experiment:
    Salted salt
    Salted traffic_salt
    const Variant* variants
    uint32_t variant_count
    uint32_t traffic
    const Limits* limits         # NULL: none
    int32_t rule                 # eligibility, -1: everyone
    bint sticky                  # what a record holds comes before traffic and weights
    hash64_t sticky_key          # its name in records

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

    # The variant of a unit, or -1 where holdout, layer or traffic leave it out. Eligibility is the caller's.
    cdef int32_t assign(self, uint32_t experiment, const octet_t* unit_key) noexcept nogil
    # The same of a sticky experiment: the variant that the record (or NULL) holds, if there still is one of
    # that name and holdouts and layer let the unit in; *stored says that it was that.
    cdef int32_t assign_sticky(
        self, uint32_t experiment, const octet_t* unit_key, const octet_t* record, bint* stored
    ) noexcept nogil
    # The same of any experiment.
    cdef int32_t assign_by(
        self, uint32_t experiment, const octet_t* unit_key, const octet_t* record, bint* stored
    ) noexcept nogil
    cdef bint held_out(self, uint32_t holdout, const octet_t* unit_key) noexcept nogil
    cdef const Variant* variant_of(self, const Assigned* assigned) noexcept nogil

    cdef bint _takes_part(self, const Limits* limits, const octet_t* unit_key) noexcept nogil
    cdef const Limits* _limits(self, experiment, list holdouts) except? NULL
    cdef int _build(self, Experiment* target, experiment, list holdouts, dict slot_names) except -1
    cdef int _build_variant(self, Variant* target, variant, dict slot_names) except -1

cdef bint contains(const uint32_t* ascending, uint32_t count, uint32_t wanted) noexcept nogil
