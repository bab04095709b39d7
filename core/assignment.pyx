"""Experiments and holdouts: who belongs where, by hash (docs/decisions/0002-decision.md, steps 2 and 4)."""

cimport cython
from libc.stdint cimport int32_t, uint32_t

from core._types cimport octet_t
from core.answers cimport Assigned
from core.hashing cimport Salted, salt_take, salted_bucket
from core.memory cimport Pool

cdef enum:
    UNIT_KEY_SIZE = 16
    MILLION = 1000000        # buckets


@cython.final
cdef class Experiments:
    """The experiments and holdouts of one bundle, already checked; `slot_names`: name -> dense number."""

    def __cinit__(self, list experiments not None, list holdouts not None, dict slot_names not None):
        self._pool = Pool()
        self.experiments = <Experiment*>self._pool.take(len(experiments), sizeof(Experiment))
        self.holdouts = <Holdout*>self._pool.take(len(holdouts), sizeof(Holdout))
        self.experiment_count = <uint32_t>len(experiments)
        self.holdout_count = <uint32_t>len(holdouts)
        for i, experiment in enumerate(experiments):
            self._build(&self.experiments[<size_t>i], experiment, slot_names)
        for i, holdout in enumerate(holdouts):
            _take_salt(&self.holdouts[<size_t>i].salt, holdout.salt)
            self.holdouts[<size_t>i].share = holdout.share

    def __reduce__(self):
        raise TypeError("Experiments hold addresses and cannot be pickled")

    def variant(self, uint32_t experiment, bytes unit_key not None):
        """The variant's index that a unit is assigned to, or None where layer or traffic leave it out.

        Whoever analyses assignments draws them here, as decisions do; eligibility is not looked at.
        """
        cdef int32_t found
        if experiment >= self.experiment_count or len(unit_key) != UNIT_KEY_SIZE:
            raise IndexError("expected an experiment of the bundle and a unit key of 16 bytes")
        found = self.assign(experiment, <const octet_t*><const char*>unit_key)
        return None if found < 0 else found

    def variants(self, bytes unit_key not None):
        """The variant's index, or None, of every experiment: as `variant` has it, in the bundle's order."""
        cdef list found = []
        cdef uint32_t i
        cdef int32_t one
        if len(unit_key) != UNIT_KEY_SIZE:
            raise IndexError("expected a unit key of 16 bytes")
        for i in range(self.experiment_count):
            one = self.assign(i, <const octet_t*><const char*>unit_key)
            found.append(None if one < 0 else one)
        return found

    def is_held_out(self, uint32_t holdout, bytes unit_key not None):
        """Whether a unit is in a holdout."""
        if holdout >= self.holdout_count or len(unit_key) != UNIT_KEY_SIZE:
            raise IndexError("expected a holdout of the bundle and a unit key of 16 bytes")
        return bool(self.held_out(holdout, <const octet_t*><const char*>unit_key))

    cdef int _build(self, Experiment* target, experiment, dict slot_names) except -1:
        cdef Variant* variants = <Variant*>self._pool.take(len(experiment.variants), sizeof(Variant))
        _take_salt(&target.salt, experiment.salt)
        _take_salt(&target.traffic_salt, experiment.salt + ":traffic")
        _take_salt(&target.layer, experiment.layer)
        target.layered = experiment.layer != ""
        target.layer_from = experiment.layer_from
        target.layer_to = experiment.layer_to
        target.traffic = experiment.traffic
        target.rule = experiment.eligibility
        target.variants = variants
        target.variant_count = <uint32_t>len(experiment.variants)
        for i, variant in enumerate(experiment.variants):
            self._build_variant(&variants[<size_t>i], variant, slot_names)
        return 0

    cdef int _build_variant(self, Variant* target, variant, dict slot_names) except -1:
        cdef Override* overrides = <Override*>self._pool.take(len(variant.blocks), sizeof(Override))
        cdef uint32_t* offers = <uint32_t*>self._pool.take(len(variant.offers or ()), sizeof(uint32_t))
        target.upper = variant.upper
        target.limited = variant.offers is not None
        for i, offer in enumerate(sorted(variant.offers or ())):
            offers[<size_t>i] = offer
        target.offers = offers
        target.offer_count = <uint32_t>len(variant.offers or ())
        for name, block in sorted(variant.blocks.items()):
            if name in slot_names:  # a slot that no placement has cannot be filled
                overrides[target.override_count].slot_name = slot_names[name]
                overrides[target.override_count].block = <uint32_t><int32_t>block
                target.override_count += 1
        target.overrides = overrides
        return 0

    cdef int32_t assign(self, uint32_t experiment, const octet_t* unit_key) noexcept nogil:
        cdef const Experiment* e = &self.experiments[experiment]
        cdef uint32_t drawn, i
        if e.layered:
            drawn = salted_bucket(&e.layer, unit_key)
            if drawn < e.layer_from or drawn >= e.layer_to:
                return -1
        # No bucket is beyond all of the traffic, so most experiments draw once.
        if e.traffic < MILLION and salted_bucket(&e.traffic_salt, unit_key) >= e.traffic:
            return -1
        drawn = salted_bucket(&e.salt, unit_key)
        for i in range(e.variant_count):
            if drawn < e.variants[i].upper:
                return <int32_t>i
        return -1

    cdef bint held_out(self, uint32_t holdout, const octet_t* unit_key) noexcept nogil:
        return salted_bucket(&self.holdouts[holdout].salt, unit_key) < self.holdouts[holdout].share

    cdef const Variant* variant_of(self, const Assigned* assigned) noexcept nogil:
        return &self.experiments[assigned.experiment].variants[assigned.variant]


cdef int _take_salt(Salted* salted, str text) except -1:
    cdef bytes encoded = text.encode()
    salt_take(salted, <const octet_t*><const char*>encoded, <size_t>len(encoded))
    return 0


cdef bint contains(const uint32_t* ascending, uint32_t count, uint32_t wanted) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = count
    cdef uint32_t middle
    while low < high:
        middle = (low + high) >> 1
        if ascending[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    return low < count and ascending[low] == wanted
