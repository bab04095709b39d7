"""Experiments and holdouts: who belongs where, by hash (docs/decisions/0002-decision.md, steps 2 and 4)."""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport int32_t, uint32_t

from core._types cimport hash64_t, octet_t
from core.answers cimport Assigned
from core.hashing cimport Salted, salt_take, salted_bucket
from core.memory cimport Pool
from core.record cimport require_record
from core.sticky cimport stored_variant

from core.bundle import experiment_key
from core.hashing import xxh64

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
            held = [number for number, holdout in enumerate(holdouts) if i in holdout.experiments]
            self._build(&self.experiments[<size_t>i], experiment, held, slot_names)
        for i, holdout in enumerate(holdouts):
            _take_salt(&self.holdouts[<size_t>i].salt, holdout.salt)
            self.holdouts[<size_t>i].share = holdout.share

    def __reduce__(self):
        raise TypeError("Experiments hold addresses and cannot be pickled")

    def variant(self, uint32_t experiment, bytes unit_key not None, record=None):
        """The variant's index that a unit is assigned to, or None where something leaves it out.

        Holdouts, the layer and traffic may. Whoever analyses assignments draws them here, as decisions do;
        eligibility is not looked at. `record`: the packed record whose sticky assignments count, or None.
        Raises RecordError for a damaged one.
        """
        cdef const octet_t* key
        cdef int32_t found
        cdef bint stored
        cdef Py_buffer view
        if experiment >= self.experiment_count or len(unit_key) != UNIT_KEY_SIZE:
            raise IndexError("expected an experiment of the bundle and a unit key of 16 bytes")
        key = <const octet_t*><const char*>unit_key
        if record is None:
            found = self.assign(experiment, key)
        else:
            PyObject_GetBuffer(record, &view, PyBUF_SIMPLE)
            try:
                require_record(<const octet_t*>view.buf, <size_t>view.len)
                found = self.assign_by(experiment, key, <const octet_t*>view.buf, &stored)
            finally:
                PyBuffer_Release(&view)
        return None if found < 0 else found

    def variants(self, bytes unit_key not None):
        """The variant's index, or None, of every experiment: as `variant` has it, in the bundle's order."""
        cdef list found = []
        cdef const octet_t* key = <const octet_t*><const char*>unit_key
        cdef uint32_t i
        cdef int32_t one
        if len(unit_key) != UNIT_KEY_SIZE:
            raise IndexError("expected a unit key of 16 bytes")
        for i in range(self.experiment_count):
            one = self.assign(i, key)
            found.append(None if one < 0 else one)
        return found

    def is_held_out(self, uint32_t holdout, bytes unit_key not None):
        """Whether a unit is in a holdout."""
        if holdout >= self.holdout_count or len(unit_key) != UNIT_KEY_SIZE:
            raise IndexError("expected a holdout of the bundle and a unit key of 16 bytes")
        return bool(self.held_out(holdout, <const octet_t*><const char*>unit_key))

    cdef int _build(self, Experiment* target, experiment, list holdouts, dict slot_names) except -1:
        cdef Variant* variants = <Variant*>self._pool.take(len(experiment.variants), sizeof(Variant))
        _take_salt(&target.salt, experiment.salt)
        _take_salt(&target.traffic_salt, experiment.salt + ":traffic")
        target.limits = self._limits(experiment, holdouts)
        target.traffic = experiment.traffic
        target.sticky = experiment.sticky
        target.sticky_key = experiment_key(experiment.id, experiment.sticky_version)
        target.rule = experiment.eligibility
        target.variants = variants
        target.variant_count = <uint32_t>len(experiment.variants)
        for i, variant in enumerate(experiment.variants):
            self._build_variant(&variants[<size_t>i], variant, slot_names)
        return 0

    cdef const Limits* _limits(self, experiment, list holdouts) except? NULL:
        """Of an experiment that has any; NULL for others."""
        cdef Limits* limits
        if not experiment.layer and not holdouts:
            return NULL
        limits = <Limits*>self._pool.take(1, sizeof(Limits))
        limits.holdouts = <uint32_t*>self._pool.take(len(holdouts), sizeof(uint32_t))
        limits.holdout_count = <uint32_t>len(holdouts)
        for i, number in enumerate(holdouts):
            limits.holdouts[<size_t>i] = number
        limits.layered = experiment.layer != ""
        limits.layer_from = experiment.layer_from
        limits.layer_to = experiment.layer_to
        _take_salt(&limits.layer, experiment.layer)
        return limits

    cdef int _build_variant(self, Variant* target, variant, dict slot_names) except -1:
        cdef Override* overrides = <Override*>self._pool.take(len(variant.blocks), sizeof(Override))
        cdef uint32_t* offers = <uint32_t*>self._pool.take(len(variant.offers or ()), sizeof(uint32_t))
        target.upper = variant.upper
        target.name = xxh64(variant.id.encode())
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
        if e.limits != NULL and not self._takes_part(e.limits, unit_key):
            return -1
        return _drawn(e, unit_key)

    cdef int32_t assign_sticky(
        self, uint32_t experiment, const octet_t* unit_key, const octet_t* record, bint* stored
    ) noexcept nogil:
        cdef const Experiment* e = &self.experiments[experiment]
        cdef hash64_t name
        cdef uint32_t i
        stored[0] = False
        if e.limits != NULL and not self._takes_part(e.limits, unit_key):
            return -1
        if stored_variant(record, e.sticky_key, unit_key, &name):
            for i in range(e.variant_count):
                if e.variants[i].name == name:
                    stored[0] = True
                    return <int32_t>i
        return _drawn(e, unit_key)

    cdef int32_t assign_by(
        self, uint32_t experiment, const octet_t* unit_key, const octet_t* record, bint* stored
    ) noexcept nogil:
        stored[0] = False
        if self.experiments[experiment].sticky:
            return self.assign_sticky(experiment, unit_key, record, stored)
        return self.assign(experiment, unit_key)

    cdef bint _takes_part(self, const Limits* limits, const octet_t* unit_key) noexcept nogil:
        cdef uint32_t drawn, i
        for i in range(limits.holdout_count):
            if self.held_out(limits.holdouts[i], unit_key):
                return False
        if not limits.layered:
            return True
        drawn = salted_bucket(&limits.layer, unit_key)
        return limits.layer_from <= drawn < limits.layer_to

    cdef bint held_out(self, uint32_t holdout, const octet_t* unit_key) noexcept nogil:
        return salted_bucket(&self.holdouts[holdout].salt, unit_key) < self.holdouts[holdout].share

    cdef const Variant* variant_of(self, const Assigned* assigned) noexcept nogil:
        return &self.experiments[assigned.experiment].variants[assigned.variant]


cdef inline int32_t _drawn(const Experiment* experiment, const octet_t* unit_key) noexcept nogil:
    """The variant of a unit by traffic and weights alone, or -1."""
    cdef uint32_t drawn, i
    # No bucket is beyond all of the traffic, so most experiments draw once.
    cdef uint32_t traffic = experiment.traffic
    if traffic < MILLION and salted_bucket(&experiment.traffic_salt, unit_key) >= traffic:
        return -1
    drawn = salted_bucket(&experiment.salt, unit_key)
    for i in range(experiment.variant_count):
        if drawn < experiment.variants[i].upper:
            return <int32_t>i
    return -1


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
