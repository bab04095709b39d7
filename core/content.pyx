"""Blocks and what they put into slots (docs/decisions/0002-decision.md, step 6b).

Values come from outside, so they stay data: numbers are written as CEL's `string()` does, texts are bounded,
URLs checked. What does not depend on the profile is written once, when the bundle is loaded.
"""

cimport cython
from cpython.mem cimport PyMem_Free
from libc.math cimport isfinite
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcmp, strlen

from core.memory cimport Pool
from core.output cimport TIMESTAMP_LENGTH, YEAR_1_MS, YEAR_10000_MS, Output, Piece, format_timestamp
from core.values cimport (
    OV_BOOL,
    OV_FLOAT,
    OV_INT,
    OV_MISSING,
    OV_STRING,
    OV_TIMESTAMP,
    ov_code_points,
    ov_value,
)

import msgspec

cdef extern from "Python.h":
    char* PyOS_double_to_string(double value, char code, int precision, int flags, int* kind) except NULL

cdef enum:
    TEXT_LENGTH_MAX = 2048  # code points
    # core.bundle's SLOT_*.
    SLOT_TEXT = 0
    SLOT_URL = 1
    SLOT_NUMBER = 2
    SLOT_BOOL = 3


@cython.final
cdef class Blocks:
    """The blocks of one bundle, already checked. `guards`: per block the places of the guards that look at
    its tags.
    """

    def __cinit__(self, list blocks not None, list guards not None):
        cdef Block* block
        cdef uint32_t* places
        self._pool = Pool()
        self._text = Output()
        self.blocks = <Block*>self._pool.take(len(blocks), sizeof(Block))
        for i, (source, own) in enumerate(zip(blocks, guards, strict=True)):
            block = &self.blocks[<size_t>i]
            block.type = source.type
            block.attribute = source.attribute
            block.head = self._piece(b'{"block":' + msgspec.json.encode(source.id) + b',"value":')
            block.prefix = self._piece(source.prefix.encode())
            block.suffix = self._piece(source.suffix.encode())
            places = <uint32_t*>self._pool.take(len(own), sizeof(uint32_t))
            for k, place in enumerate(own):
                places[<size_t>k] = place
            block.guards = places
            block.guard_count = <uint32_t>len(own)
            if source.value is not None:
                self._set_constant(block, source.value)

    def __reduce__(self):
        raise TypeError("Blocks hold addresses and cannot be pickled")

    cdef Piece _piece(self, bytes text) except *:
        cdef Piece piece
        piece.text = self._pool.copy(text)
        piece.length = <uint32_t>len(text)
        return piece

    cdef int _set_constant(self, Block* block, value) except -1:
        """Resolve a constant by the same code that resolves an attribute's value."""
        cdef ov_value typed
        cdef bytes text = b""
        cdef Output out = Output()
        typed.text = NULL
        if isinstance(value, str):
            text = value.encode()
            typed.type = OV_STRING
            typed.text = text
            typed.length = <uint32_t>len(text)
        elif isinstance(value, bool):
            typed.type = OV_BOOL
            typed.number = value
        elif isinstance(value, int):
            typed.type = OV_INT
            typed.number = value
        else:
            typed.type = OV_FLOAT
            typed.real = value
        block.refused = not self._write_value(block, &typed, out)
        block.constant = self._piece(out.take())
        return 0

    cdef bint write(self, uint32_t block, const ov_value* values, Output out) except -1 nogil:
        cdef const Block* b = &self.blocks[block]
        if b.attribute < 0 or values[b.attribute].type == OV_MISSING:
            if b.constant.length == 0 or b.refused:
                return False
            write_constant(b, out)
            return True
        out.piece(b.head)
        if not self._write_value(b, &values[b.attribute], out):
            return False
        out.raw(b"}", 1)
        return True

    cdef bint _write_value(self, const Block* block, const ov_value* value, Output out) except -1 nogil:
        """The value as JSON; False where it must not be shown."""
        if block.type == SLOT_BOOL:
            out.boolean(value.number != 0)
            return True
        if block.type == SLOT_NUMBER:
            return self._write_number(value, out)
        self._text.clear()
        self._text.piece(block.prefix)
        if not self._append_text(value):
            return False
        self._text.piece(block.suffix)
        if ov_code_points(self._text._text, <uint32_t>self._text._size) > TEXT_LENGTH_MAX:
            return False
        if block.type == SLOT_URL and not is_url(self._text._text, self._text._size):
            return False
        out.raw(b'"', 1)
        out.escaped(self._text._text, self._text._size)
        out.raw(b'"', 1)
        return True

    cdef bint _write_number(self, const ov_value* value, Output out) except -1 nogil:
        if value.type != OV_FLOAT:
            out.integer(value.number)
            return True
        if not isfinite(value.real):
            return False
        with gil:
            self._write_real(value.real, out)
        return True

    cdef int _write_real(self, double value, Output out) except -1:
        """A finite double as msgspec writes it."""
        cdef bytes text = msgspec.json.encode(value)
        return out.raw(text, <size_t>len(text))

    cdef bint _append_text(self, const ov_value* value) except -1 nogil:
        """The value as CEL's `string()` writes it; False where it has no text."""
        cdef char time[TIMESTAMP_LENGTH]
        if value.type == OV_STRING:
            self._text.raw(value.text, value.length)
        elif value.type == OV_BOOL:
            self._text.boolean(value.number != 0)
        elif value.type == OV_INT:
            self._text.integer(value.number)
        elif value.type == OV_TIMESTAMP:
            if not <int64_t>YEAR_1_MS <= value.number < <int64_t>YEAR_10000_MS:
                return False
            format_timestamp(value.number, time)
            self._text.raw(time, TIMESTAMP_LENGTH)
        elif isfinite(value.real):
            with gil:
                self._append_real(value.real)
        else:
            return False
        return True

    cdef int _append_real(self, double value) except -1:
        """A finite double as Python's `repr` has it, without a trailing `.0`."""
        cdef char* digits = PyOS_double_to_string(value, c'r', 0, 0, NULL)
        try:
            return self._text.raw(digits, strlen(digits))
        finally:
            PyMem_Free(digits)


cdef int write_constant(const Block* block, Output out) except -1 nogil:
    out.piece(block.head)
    out.piece(block.constant)
    return out.raw(b"}", 1)


cdef bint is_url(const char* text, size_t length) noexcept nogil:
    """Whether a page may follow it: http(s), or a path of the same site.

    Browsers read a backslash as a slash and drop tabs and newlines, so `/\\host` and `/<tab>/host` would
    leave the site.
    """
    cdef size_t i
    for i in range(length):
        if <unsigned char>text[i] < 32 or text[i] == c'\\':
            return False
    if length and text[0] == c'/':
        return length == 1 or text[1] != c'/'
    return _begins(text, length, b"https://", 8) or _begins(text, length, b"http://", 7)


cdef inline bint _begins(
    const char* text, size_t length, const char* start, size_t start_length
) noexcept nogil:
    return length >= start_length and memcmp(text, start, start_length) == 0
