"""What one slot of a profile holds while it is folded, and how two join (docs/decisions/0001-record.md).

`joined` is the whole algebra: applying an event joins the slot that the event alone would make, so the order
in which events and sources arrive cannot show. Values are here; what adds up is in tallies.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from core._types cimport hash64_t, millis_t, octet_t
from core.record cimport RecordSlot


cdef class Slot:
    cdef uint8_t kind  # Kind
    cdef uint8_t flags  # Keep, or MILLIONTHS
    # Like <=> over kind, flags and what else makes two slots incomparable; of two that differ the greater
    # stays.
    cdef int compare_family(self, Slot other) except? -2
    # Take in another slot of the same family.
    cdef int take(self, Slot other) except -1
    cdef Slot copy(self)
    # Bytes of the heap entry, padding included.
    cdef size_t heap_size(self) noexcept
    # Fill `slot` (its heap offset is set) and the heap entry at `heap`, which is zero.
    cdef void write(self, RecordSlot* slot, octet_t* heap) noexcept


@cython.final
cdef class Plain(Slot):  # BOOL to TIMESTAMP
    cdef uint64_t value  # as in the record
    cdef millis_t at_ms  # of the event the value came from; 0 for min and max
    cdef hash64_t tie  # XXH64 of its message id; 0 for min and max
    cdef bytes text  # STRING: UTF-8; else None
    cdef bint yields_to(self, Plain other) except -1


@cython.final
cdef class Text:  # one entry of Strings, never changed
    cdef hash64_t hash
    cdef millis_t last_seen_ms
    cdef bytes text  # UTF-8


@cython.final
cdef class Strings(Slot):
    cdef list entries  # of Text, ascending by (hash, bytes)
    cdef int add(self, Text entry) except -1


@cython.final
cdef class Consenting(Slot):
    cdef int state  # ConsentState
    cdef millis_t effective_at_ms
    cdef hash64_t tie
    cdef bytes text_version  # UTF-8
    cdef bytes source  # UTF-8


@cython.final
cdef class Scored(Slot):
    cdef double value
    cdef millis_t scored_at_ms
    cdef millis_t ttl_ms


# The slot that stands for both: `mine` (changed) or a copy of `theirs`, which stays as it is.
cdef Slot joined(Slot mine, Slot theirs)

# UTF-8 of a text, cut at a character's border to what a record holds; None for a text that UTF-8 cannot hold.
cdef bytes text_bytes(str text)

cdef Text make_text(hash64_t hash_value, millis_t last_seen_ms, bytes text)

# The slot of a record that check_record has accepted.
cdef Plain read_plain(const octet_t* record, RecordSlot slot)
cdef Strings read_strings(const octet_t* record, RecordSlot slot)
cdef Consenting read_consent(const octet_t* record, RecordSlot slot)
cdef Scored read_score(const octet_t* record, RecordSlot slot)


# Like <=>.
cdef inline int compare(int64_t left, int64_t right) noexcept nogil:
    return (left > right) - (left < right)


cdef inline int compare_unsigned(uint64_t left, uint64_t right) noexcept nogil:
    return (left > right) - (left < right)
