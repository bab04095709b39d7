"""Attribute values of one decision."""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from core._types cimport octet_t
from core.memory cimport Pool

cdef extern from "values.h":
    enum: OV_MISSING, OV_BOOL, OV_INT, OV_FLOAT, OV_STRING, OV_TIMESTAMP, OV_STRINGS, OV_DURATION

    # Owner of `text`: the record, the context's strings or the engine's pool; valid within one decision.
    ctypedef struct ov_value:
        uint8_t type        # OV_MISSING, or the attribute's declared type
        uint8_t held        # 1: the record or context itself holds it
        uint16_t count      # strings: entries at text
        uint32_t length     # string: bytes at text
        int64_t number      # bool, int, timestamp in ms; float: order-preserving key; string: the hash's bits
        double real         # float
        const char* text    # string: UTF-8; strings: first entry
        int64_t cut         # strings: entries last seen at or before this, in ms, are not read

    ctypedef struct ov_entry:
        uint64_t hash
        int64_t seen
        uint32_t length
        const char* text

    int64_t ov_float_key(double x) noexcept nogil
    const char* ov_next_entry(const char* at, ov_entry* out) noexcept nogil
    int64_t ov_code_points(const char* text, uint32_t length) noexcept nogil
    bint ov_parse_time(const char* text, size_t length, int64_t* ms) noexcept nogil
    bint ov_contains(const char* text, size_t length, const char* part, size_t part_length) noexcept nogil
    bint ov_starts(const char* text, size_t length, const char* part, size_t part_length) noexcept nogil
    bint ov_ends(const char* text, size_t length, const char* part, size_t part_length) noexcept nogil


# A value as people read it: a Python object, times in RFC 3339, None where it is missing.
cdef object as_object(const ov_value* value)

# How one attribute is read; the numbers are core.bundle's.
ctypedef struct AttributeSpec:
    uint8_t type             # BOOL ... STRINGS
    uint8_t reading          # READ_*
    uint16_t slot            # record slot; 0 for context
    int64_t window_ms        # strings: 0, or how long an entry is read after it was last seen
    ov_value fallback        # the declared default, or missing; owned by the pool

# A list of strings of the context, laid out as the record does; kept from one decision to the next.
ctypedef struct ListBuffer:
    char* text               # owned
    size_t capacity


@cython.final
cdef class Attributes:
    cdef Pool _pool
    cdef readonly uint32_t count
    cdef AttributeSpec* specs
    # By whether more than deciding is asked for: [0, count) are read.
    cdef uint32_t* _profile            # attributes read from the record
    cdef uint32_t _profile_counts[2]
    cdef uint32_t* _context            # attributes read from the context
    cdef uint32_t _context_counts[2]
    cdef tuple _context_names          # names without "context.", in order of _context
    cdef ListBuffer* _lists            # one for each of _context; used by those of type strings

    cdef void load_record(
        self, const octet_t* record, int64_t now, bint whole, ov_value* values
    ) noexcept nogil
    # Whether any attribute is one of the context's.
    cdef inline bint reads_context(self, bint whole) noexcept nogil:
        return self._context_counts[<size_t>whole] > 0

    cdef int load_context(self, dict context, bint whole, ov_value* values) except -1

    cdef int _describe(self, AttributeSpec* spec, attribute) except -1
    cdef int _set_default_text(self, ov_value* value, bytes text) except -1
    cdef int _set_default_strings(self, ov_value* value, list texts) except -1
