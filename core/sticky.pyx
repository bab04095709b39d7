"""Sticky assignments: the first variant that each source was shown, as a slot of the record.

Joining takes the earlier exposure per (experiment, source) and keeps the earliest of all beyond the limit, so
the order in which events and sources arrive cannot show (docs/decisions/0011-sticky-assignments.md).
"""

cimport cython
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.string cimport memcpy, memmove

from core._types cimport hash64_t, millis_t, octet_t
from core.record cimport (
    ASSIGNMENT_BYTES,
    ASSIGNMENTS,
    ASSIGNMENTS_LIMIT,
    SLOT_ASSIGNMENTS,
    Assignment,
    RecordSlot,
    assignment_at,
    load64,
    slot_at,
)
from core.slots cimport Slot, compare, compare_unsigned

from core.bundle import experiment_key
from core.hashing import xxh64


def sticky_experiments(experiments not None):
    """Return id -> Sticky of those of a bundle's experiments that are sticky."""
    return {one.id: make_sticky(one) for one in experiments if one.sticky}


cdef Sticky make_sticky(experiment):
    cdef Sticky sticky = Sticky.__new__(Sticky)
    sticky.version = experiment.sticky_version
    sticky.key = experiment_key(experiment.id, experiment.sticky_version)
    sticky.variants = {variant.id: xxh64(variant.id.encode()) for variant in experiment.variants}
    return sticky


@cython.final
cdef class Sticky:
    """What a fold knows of a sticky experiment."""

    def __reduce__(self):
        raise TypeError("made from a bundle")


cdef Assignments exposed(dict experiments, object event, millis_t at_ms):
    cdef Assignments slot = None
    cdef Assignment one
    cdef Sticky sticky
    cdef object shown = event.properties.get("experiments")
    if type(shown) is not list:
        return None
    one.source = source_of(event)
    one.at_ms = at_ms
    for named in shown:
        sticky = sticky_of(experiments, named)
        variant = named.get("variant") if sticky is not None else None
        if type(variant) is not str or variant not in sticky.variants:
            continue
        one.experiment = sticky.key
        one.variant = sticky.variants[variant]
        if slot is None:
            slot = Assignments.__new__(Assignments)
        slot.add(one)
    return slot


cdef Sticky sticky_of(dict experiments, object named):
    """The sticky experiment that an entry of an exposure names, of the version that is in force."""
    cdef Sticky sticky
    if type(named) is not dict:
        return None
    name, version = named.get("id"), named.get("sticky_version")
    if type(name) is not str or (type(version) is not int and type(version) is not float):
        return None
    sticky = experiments.get(name)
    return sticky if sticky is not None and sticky.version == version else None


cdef hash64_t source_of(object event) except? 0:
    """The source that an event belongs to, by its strongest verified identifier, which stands first."""
    cdef bytes digest
    for identifier in event.identifiers:
        if identifier.verified:
            digest = identifier.hash
            return <hash64_t>load64(<const octet_t*><const char*>digest) if len(digest) >= 8 else 0
    return 0


cdef inline int compare_keys(const Assignment* left, const Assignment* right) noexcept nogil:
    return compare_unsigned(left.experiment, right.experiment) or compare_unsigned(left.source, right.source)


cdef inline bint is_earlier(const Assignment* left, const Assignment* right) noexcept nogil:
    """Whether `left` is what was shown first; of two variants at one moment, that of the smaller hash."""
    return (compare(left.at_ms, right.at_ms) or compare_unsigned(left.variant, right.variant)) < 0


cdef inline bint is_later(const Assignment* left, const Assignment* right) noexcept nogil:
    """Whether `left` is the one to go where both cannot stay."""
    return (compare(left.at_ms, right.at_ms) or compare_keys(left, right)) > 0


@cython.final
cdef class Assignments(Slot):
    """The first variant that each source was shown of each experiment; ASSIGNMENTS_LIMIT stay."""

    def __cinit__(self):
        self.kind = ASSIGNMENTS

    def __dealloc__(self):
        PyMem_Free(self.entries)

    cdef int reserve(self, unsigned int count) except -1:
        cdef Assignment* larger
        if count > self.capacity:
            count = max(count, min(2 * self.capacity, <unsigned int>ASSIGNMENTS_LIMIT))
            larger = <Assignment*>PyMem_Realloc(self.entries, ASSIGNMENT_BYTES * <size_t>count)
            if larger == NULL:
                raise MemoryError
            self.entries = larger
            self.capacity = count
        return 0

    cdef int add(self, Assignment one) except -1:
        cdef unsigned int place = self.count
        cdef unsigned int gone
        cdef int order = 1
        while place > 0:
            order = compare_keys(&one, &self.entries[place - 1])
            if order >= 0:
                break
            place -= 1
        if place > 0 and order == 0:
            if is_earlier(&one, &self.entries[place - 1]):
                self.entries[place - 1] = one
            return 0
        if self.count == ASSIGNMENTS_LIMIT:
            gone = self.latest()
            if is_later(&one, &self.entries[gone]):
                return 0
            self.count -= 1
            memmove(
                &self.entries[gone], &self.entries[gone + 1], ASSIGNMENT_BYTES * <size_t>(self.count - gone)
            )
            place -= gone < place
        self.reserve(self.count + 1)
        memmove(
            &self.entries[place + 1], &self.entries[place], ASSIGNMENT_BYTES * <size_t>(self.count - place)
        )
        self.entries[place] = one
        self.count += 1
        return 0

    cdef unsigned int latest(self) noexcept:
        cdef unsigned int place
        cdef unsigned int found = 0
        for place in range(1, self.count):
            if is_later(&self.entries[place], &self.entries[found]):
                found = place
        return found

    cdef int take(self, Slot other) except -1:
        cdef Assignments theirs = other
        cdef unsigned int place
        for place in range(theirs.count):
            self.add(theirs.entries[place])
        return 0

    cdef Slot copy(self):
        cdef Assignments twin = Assignments.__new__(Assignments)
        twin.reserve(self.count)
        twin.count = self.count
        memcpy(twin.entries, self.entries, ASSIGNMENT_BYTES * <size_t>self.count)
        return twin

    cdef size_t heap_size(self) noexcept:
        return ASSIGNMENT_BYTES * <size_t>self.count

    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept:
        slot.kind = ASSIGNMENTS
        slot.count = self.count
        memcpy(heap, self.entries, ASSIGNMENT_BYTES * <size_t>self.count)


cdef Assignments read_assignments(const octet_t* record, RecordSlot slot):
    cdef Assignments assignments = Assignments.__new__(Assignments)
    assignments.reserve(slot.count)
    assignments.count = slot.count
    memcpy(assignments.entries, record + slot.heap, ASSIGNMENT_BYTES * <size_t>slot.count)
    return assignments


cdef bint stored_variant(
    const octet_t* record, hash64_t experiment, const octet_t* unit_key, hash64_t* variant
) noexcept nogil:
    cdef RecordSlot slot = slot_at(record, SLOT_ASSIGNMENTS)
    cdef Assignment one, best
    cdef hash64_t own = <hash64_t>load64(unit_key)
    cdef unsigned int low = 0
    cdef unsigned int high = slot.count if slot.kind == ASSIGNMENTS else 0
    cdef unsigned int end = high
    cdef unsigned int middle
    cdef bint found = False
    while low < high:
        middle = (low + high) >> 1
        if assignment_at(record, slot, middle).experiment < experiment:
            low = middle + 1
        else:
            high = middle
    while low < end:
        one = assignment_at(record, slot, low)
        if one.experiment != experiment:
            break
        # What the source of the unit key was shown counts before what others were; among those, the first.
        if one.source == own:
            variant[0] = one.variant
            return True
        if not found or is_earlier(&one, &best):
            best = one
            found = True
        low += 1
    if found:
        variant[0] = best.variant
    return found
