"""A buffer that JSON is written into: the bytes are those that msgspec would write, without making its
objects.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, strlen

cdef enum:
    CAPACITY_FIRST = 4096  # bytes; a decision of one placement has about 600

cdef enum:
    DAY_MS = 86400000

cdef const char* DIGITS = b"0123456789abcdef"


@cython.final
cdef class Output:
    """Grows as needed and keeps its memory from one decision to the next."""

    def __cinit__(self):
        self._text = NULL
        self._size = 0
        self._capacity = 0
        self._grow(CAPACITY_FIRST)

    def __dealloc__(self):
        free(self._text)

    def __reduce__(self):
        raise TypeError("an Output holds an address and cannot be pickled")

    cdef int _grow(self, size_t wanted) except -1 nogil:
        cdef size_t capacity = self._capacity * 2 if self._capacity * 2 > wanted else wanted
        cdef char* text = <char*>realloc(self._text, capacity)
        if text == NULL:
            with gil:
                raise MemoryError
        self._text = text
        self._capacity = capacity
        return 0

    cdef void clear(self) noexcept nogil:
        self._size = 0

    cdef bytes take(self):
        """What was written, as bytes."""
        return PyBytes_FromStringAndSize(self._text, <Py_ssize_t>self._size)

    cdef char* room(self, size_t length) except NULL nogil:
        """So many bytes more, for the caller to write; good until the next call."""
        if self._size + length > self._capacity:
            self._grow(self._size + length)
        self._size = self._size + length
        return self._text + self._size - length

    cdef void clear_large(self, size_t kept) noexcept:
        """Clear, and give memory back that is more than `kept` bytes."""
        self._size = 0
        if self._capacity > kept:
            free(self._text)
            self._text = NULL
            self._capacity = 0

    cdef int raw(self, const char* text, size_t length) except -1 nogil:
        if self._size + length > self._capacity:
            self._grow(self._size + length)
        memcpy(self._text + self._size, text, length)
        self._size = self._size + length
        return 0

    cdef int piece(self, Piece piece) except -1 nogil:
        return self.raw(piece.text, piece.length)

    cdef int literal(self, const char* text) except -1 nogil:
        return self.raw(text, strlen(text))

    cdef int integer(self, int64_t number) except -1 nogil:
        """A number in decimal."""
        cdef char digits[20]
        cdef int at = 20
        cdef uint64_t rest = -<uint64_t>number if number < 0 else <uint64_t>number
        while True:
            at -= 1
            digits[at] = <char>(c'0' + rest % 10)
            rest //= 10
            if rest == 0:
                break
        if number < 0:
            self.raw(b"-", 1)
        return self.raw(&digits[at], <size_t>(20 - at))

    cdef int boolean(self, bint value) except -1 nogil:
        return self.raw(b"true", 4) if value else self.raw(b"false", 5)

    cdef int timestamp(self, int64_t ms) except -1 nogil:
        """A time in quotes; the caller has checked that its year has four digits."""
        cdef char text[TIMESTAMP_LENGTH + 2]
        text[0] = c'"'
        format_timestamp(ms, &text[1])
        text[TIMESTAMP_LENGTH + 1] = c'"'
        return self.raw(text, TIMESTAMP_LENGTH + 2)

    cdef int escaped(self, const char* text, size_t length) except -1 nogil:
        """The inside of a JSON string: quotes, backslashes and control characters escaped as msgspec does."""
        cdef size_t begin = 0
        cdef size_t i
        cdef unsigned char c
        cdef char code[6]
        for i in range(length):
            c = <unsigned char>text[i]
            if c >= 32 and c != c'"' and c != c'\\':
                continue
            self.raw(text + begin, i - begin)
            begin = i + 1
            code[0] = c'\\'
            code[1] = _short_escape(c)
            if code[1]:
                self.raw(code, 2)
                continue
            memcpy(&code[1], b"u00", 3)
            code[4] = DIGITS[c >> 4]
            code[5] = DIGITS[c & 15]
            self.raw(code, 6)
        return self.raw(text + begin, length - begin)

    cdef int string(self, str text) except -1:
        """A JSON string in quotes. Raises UnicodeEncodeError for a lone surrogate."""
        cdef Py_ssize_t length = 0
        cdef const char* utf8 = PyUnicode_AsUTF8AndSize(text, &length)
        return self.utf8(utf8, <size_t>length)

    cdef int utf8(self, const char* text, size_t length) except -1 nogil:
        """A JSON string in quotes."""
        self.raw(b'"', 1)
        self.escaped(text, length)
        return self.raw(b'"', 1)


cdef inline char _short_escape(unsigned char c) noexcept nogil:
    """The letter of a two-character escape, or 0."""
    if c == c'"' or c == c'\\':
        return <char>c
    if c == 8:
        return c'b'
    if c == 9:
        return c't'
    if c == 10:
        return c'n'
    if c == 12:
        return c'f'
    if c == 13:
        return c'r'
    return 0


cdef inline void _digits(char* out, int64_t number, int width) noexcept nogil:
    cdef int i
    for i in range(width - 1, -1, -1):
        out[i] = <char>(c'0' + number % 10)
        number //= 10


cdef void format_timestamp(int64_t ms, char* out) noexcept nogil:
    """RFC 3339 in UTC with milliseconds, 24 bytes.

    Days to a civil date after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
    (civil_from_days): years begin on 1 March, eras have 146,097 days. `ms` lies in [YEAR_1_MS,
    YEAR_10000_MS).
    """
    cdef int64_t shifted = ms - <int64_t>YEAR_1_MS
    cdef int64_t rest = shifted % DAY_MS
    # Days since 0000-03-01, which is 306 days before 0001-01-01.
    cdef int64_t days = shifted // DAY_MS + 306
    cdef int64_t era = days // 146097
    cdef int64_t day_of_era = days % 146097
    cdef int64_t year_of_era = (
        day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096
    ) // 365
    cdef int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    cdef int64_t month = (5 * day_of_year + 2) // 153
    cdef int64_t day = day_of_year - (153 * month + 2) // 5 + 1
    cdef int64_t year = era * 400 + year_of_era
    month = month + 3 if month < 10 else month - 9
    if month <= 2:
        year += 1
    memcpy(out, b"0000-00-00T00:00:00.000Z", TIMESTAMP_LENGTH)
    _digits(out, year, 4)
    _digits(out + 5, month, 2)
    _digits(out + 8, day, 2)
    _digits(out + 11, rest // 3600000, 2)
    _digits(out + 14, rest // 60000 % 60, 2)
    _digits(out + 17, rest // 1000 % 60, 2)
    _digits(out + 20, rest % 1000, 3)
