"""Slots and heap entries of a record: how far they reach, and whether they are ones that a packer writes."""

from core._types cimport octet_t
from core.record cimport RecordSlot

# Check every slot and heap entry of a record whose header is in order; FAULT_NONE or the first Fault.
cdef int check_slots(const octet_t* record, size_t size) noexcept nogil

# Bytes of a checked slot's heap entry, padding to 8 included; 0 for a kind without one.
cdef size_t heap_bytes(const octet_t* record, RecordSlot slot) noexcept nogil
