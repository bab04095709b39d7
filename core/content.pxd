"""Blocks and what they put into slots."""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint32_t

from core.memory cimport Pool
from core.output cimport Output, Piece
from core.values cimport ov_value

ctypedef struct Block:
    uint8_t type                 # SLOT_*
    int32_t attribute            # -1: constant
    Piece head                   # {"block":ID,"value":
    Piece constant               # JSON of the value, or of the attribute block's default; empty: none
    bint refused                 # the constant breaks a rule of 0002, so a candidate with it has no content
    Piece prefix                 # UTF-8, not escaped
    Piece suffix
    const uint32_t* guards       # block-tag guards, by their place in the order of step 6c
    uint32_t guard_count


@cython.final
cdef class Blocks:
    cdef Pool _pool
    cdef Output _text            # one dynamic text, before it is escaped
    cdef Block* blocks

    # Write {"block":ID,"value":V}. Returns False, with anything or nothing written, where the block gives no
    # value.
    cdef bint write(self, uint32_t block, const ov_value* values, Output out) except -1 nogil

    cdef Piece _piece(self, bytes text) except *
    cdef int _set_constant(self, Block* block, value) except -1
    cdef bint _write_value(self, const Block* block, const ov_value* value, Output out) except -1 nogil
    cdef bint _write_number(self, const ov_value* value, Output out) except -1 nogil
    cdef bint _append_text(self, const ov_value* value) except -1 nogil
    cdef int _write_real(self, double value, Output out) except -1
    cdef int _append_real(self, double value) except -1

# `{"block":ID,"value":V}` of a block as a fallback: its own value, no attribute.
cdef int write_constant(const Block* block, Output out) except -1 nogil
