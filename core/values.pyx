"""Attribute values of one decision: one pass over the record and one over the context fill an array of C
values.

Only attributes that something in the bundle refers to are read. No Python object is made: texts are pointers
into the record, into the context's own strings or into the pool.
"""

cimport cython
from cpython.bool cimport PyBool_Check
from cpython.dict cimport PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsDouble, PyLong_AsLongLongAndOverflow, PyLong_Check
from cpython.ref cimport PyObject
from cpython.unicode cimport PyUnicode_AsUTF8AndSize, PyUnicode_Check
from libc.math cimport floor, isfinite
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from core._types cimport octet_t
from core.hashing cimport xxh64_c
from core.memory cimport Pool
from core.output cimport TIMESTAMP_LENGTH, YEAR_1_MS, YEAR_10000_MS, format_timestamp
from core.record cimport (
    BUCKETS,
    SCORE,
    STRING_HEAD_BYTES,
    TOTAL,
    RecordSlot,
    as_double,
    fold_buckets,
    padded,
    read_total,
    score_at,
    slot_at,
    text_of,
)

cdef enum:
    # core.bundle's READ_*.
    READ_PLAIN = 0
    READ_TOTAL = 1
    READ_BUCKETS = 2
    READ_SCORE = 3
    READ_CONTEXT = 4

    CONTEXT_STRINGS_MAX = 1024  # entries of a list in the context; a longer one is of the wrong type
    CONTEXT_TEXT_BYTES_MAX = 1048576

cdef str CONTEXT_PREFIX = "context."


@cython.final
cdef class Attributes:
    """The attributes of one bundle. `deciding`: the indexes that decisions read; `used`: those that anything
    refers to; the others stay missing.
    """

    def __cinit__(self, list attributes not None, frozenset deciding not None, frozenset used not None):
        self._pool = Pool()
        self.count = <uint32_t>len(attributes)
        self.specs = <AttributeSpec*>self._pool.take(self.count, sizeof(AttributeSpec))
        self._profile = <uint32_t*>self._pool.take(self.count, sizeof(uint32_t))
        self._context = <uint32_t*>self._pool.take(self.count, sizeof(uint32_t))
        self._lists = <ListBuffer*>calloc(self.count + 1, sizeof(ListBuffer))
        if self._lists == NULL:
            raise MemoryError
        names = []
        profile_count = 0
        for i, attribute in enumerate(attributes):
            self._describe(&self.specs[<size_t>i], attribute)
        for whole, chosen in enumerate((deciding, used - deciding)):
            for i in sorted(chosen):
                if attributes[i].reading == READ_CONTEXT:
                    self._context[len(names)] = i
                    names.append(attributes[i].name.removeprefix(CONTEXT_PREFIX))
                else:
                    self._profile[profile_count] = i
                    profile_count += 1
            self._profile_counts[<size_t>whole] = profile_count
            self._context_counts[<size_t>whole] = <uint32_t>len(names)
        self._context_names = tuple(names)

    def __dealloc__(self):
        cdef uint32_t i
        if self._lists != NULL:
            for i in range(self.count):
                free(self._lists[i].text)
            free(self._lists)

    def __reduce__(self):
        raise TypeError("Attributes hold addresses and cannot be pickled")

    cdef int _describe(self, AttributeSpec* spec, attribute) except -1:
        spec.type = attribute.type
        spec.reading = attribute.reading
        spec.slot = max(attribute.slot, 0)
        spec.window_ms = attribute.window_ms
        default = attribute.default
        if default is None:
            return 0
        spec.fallback.type = spec.type
        if isinstance(default, str):
            self._set_default_text(&spec.fallback, default.encode())
        elif isinstance(default, list):
            self._set_default_strings(&spec.fallback, [text.encode() for text in default])
        elif isinstance(default, float):
            _set_real(&spec.fallback, default)
        else:
            spec.fallback.number = default
        return 0

    cdef int _set_default_text(self, ov_value* value, bytes text) except -1:
        value.text = self._pool.copy(text)
        value.length = <uint32_t>len(text)
        value.number = <int64_t>xxh64_c(<const octet_t*>value.text, value.length, 0)
        return 0

    cdef int _set_default_strings(self, ov_value* value, list texts) except -1:
        """Lay the list out as the record does."""
        cdef bytes text
        cdef char* at = <char*>self._pool.take(sum([entry_bytes(<size_t>len(text)) for text in texts]), 1)
        value.text = at
        value.count = <uint16_t>len(texts)
        value.cut = INT64_MIN
        for text in texts:
            at += _write_entry(at, text, <uint32_t>len(text))
        return 0

    cdef void load_record(
        self, const octet_t* record, int64_t now, bint whole, ov_value* values
    ) noexcept nogil:
        """Read the profile's attributes.

        Parameters
        ----------
        record : IN, a checked record, or NULL where the profile is absent or must not be used
        now : ms since 1970 UTC
        whole : also read what no decision needs
        values : OUT, one per attribute of the bundle
        """
        cdef uint32_t i, index
        cdef const AttributeSpec* spec
        for i in range(self._profile_counts[<size_t>whole]):
            index = self._profile[i]
            spec = &self.specs[index]
            if not _read_slot(record, spec, now, &values[index]):
                values[index] = spec.fallback

    cdef int load_context(self, dict context, bint whole, ov_value* values) except -1:
        """Read the context's attributes; a value of the wrong type counts as missing."""
        cdef uint32_t i, index
        cdef const AttributeSpec* spec
        cdef PyObject* found
        for i in range(self._context_counts[<size_t>whole]):
            index = self._context[i]
            spec = &self.specs[index]
            found = PyDict_GetItemWithError(context, self._context_names[i])
            if found == NULL or not _read_object(
                <object>found, spec.type, &values[index], &self._lists[i]
            ):
                values[index] = spec.fallback
        return 0


cdef object as_object(const ov_value* value):
    cdef char time[TIMESTAMP_LENGTH]
    cdef const char* at = value.text
    cdef ov_entry entry
    cdef list texts
    cdef uint16_t _i
    if value.type == OV_MISSING:
        return None
    if value.type == OV_BOOL:
        return value.number != 0
    if value.type == OV_FLOAT:
        return value.real
    if value.type == OV_STRING:
        return value.text[:value.length].decode("utf-8", "replace")
    if value.type == OV_STRINGS:
        texts = []
        for _i in range(value.count):
            at = ov_next_entry(at, &entry)
            if entry.seen > value.cut:
                texts.append(entry.text[:entry.length].decode("utf-8", "replace"))
        return sorted(texts)
    if value.type == OV_TIMESTAMP and <int64_t>YEAR_1_MS <= value.number < <int64_t>YEAR_10000_MS:
        format_timestamp(value.number, time)
        return time[:TIMESTAMP_LENGTH].decode("ascii")
    return value.number


cdef inline void _set_real(ov_value* value, double real) noexcept nogil:
    value.real = real
    value.number = ov_float_key(real) if real == real else 0


cdef bint _read_slot(
    const octet_t* record, const AttributeSpec* spec, int64_t now, ov_value* value
) noexcept nogil:
    """The record's value of an attribute; False where the record has none of the declared kind."""
    cdef RecordSlot slot = slot_at(record, spec.slot)
    cdef double real = 0.0
    cdef int64_t whole = 0
    cdef int is_real
    value.type = spec.type
    value.held = 1
    if spec.reading == READ_PLAIN:
        return slot.kind == spec.type and _read_plain(record, slot, spec, now, value)
    if spec.reading == READ_SCORE:
        if slot.kind != SCORE or not score_at(record, slot, now, &real):
            return False
        is_real = 1
    elif spec.reading == READ_TOTAL:
        if slot.kind != TOTAL:
            return False
        is_real = read_total(slot, &real, &whole)
    else:
        if slot.kind != BUCKETS:
            return False
        is_real = fold_buckets(record, slot, now, &real, &whole)
    if is_real != (spec.type == OV_FLOAT):
        return False
    if is_real:
        _set_real(value, real)
    else:
        value.number = whole
    return True


cdef inline bint _read_plain(
    const octet_t* record, RecordSlot slot, const AttributeSpec* spec, int64_t now, ov_value* value
) noexcept nogil:
    if spec.type == OV_STRING:
        value.number = <int64_t>slot.value
        value.text = <const char*>text_of(record, slot, &value.length)
    elif spec.type == OV_STRINGS:
        value.text = <const char*>record + slot.heap
        value.count = slot.count
        value.cut = now - spec.window_ms if spec.window_ms > 0 else INT64_MIN
    elif spec.type == OV_FLOAT:
        _set_real(value, as_double(slot.value))
    else:
        value.number = <int64_t>slot.value
    return True


cdef bint _read_object(object found, uint8_t type, ov_value* value, ListBuffer* buffer) except -1:
    """A plain value of the context, read as `type`; False where it is of another one.

    Strings are hashed here, once.
    """
    value.type = type
    value.held = 1
    if type == OV_STRING:
        if not _read_text(found, &value.text, &value.length):
            return False
        value.number = <int64_t>xxh64_c(<const octet_t*>value.text, value.length, 0)
        return True
    if type == OV_TIMESTAMP:
        if not _read_text(found, &value.text, &value.length):
            return False
        return ov_parse_time(value.text, value.length, &value.number)
    if type == OV_STRINGS:
        return _read_list(found, value, buffer)
    if type == OV_FLOAT:
        return _read_real(found, value)
    if type == OV_BOOL:
        value.number = found is True
        return PyBool_Check(found)
    return _read_whole(found, value)


cdef bint _read_whole(object found, ov_value* value) except -1:
    """A whole number of 64 bits; 3.0 is one, for JSON and gRPC do not tell the two apart."""
    cdef int overflow = 0
    cdef double real
    if PyFloat_Check(found):
        real = PyFloat_AS_DOUBLE(found)
        if not -9223372036854775808.0 <= real < 9223372036854775808.0 or real != floor(real):
            return False
        value.number = <int64_t>real
        return True
    if not PyLong_Check(found) or PyBool_Check(found):
        return False
    value.number = PyLong_AsLongLongAndOverflow(found, &overflow)
    return overflow == 0


cdef bint _read_text(object found, const char** text, uint32_t* length) except -1:
    cdef Py_ssize_t size = 0
    if not PyUnicode_Check(found):
        return False
    try:
        text[0] = PyUnicode_AsUTF8AndSize(found, &size)
    except UnicodeEncodeError:  # a lone surrogate is no text
        return False
    if size > CONTEXT_TEXT_BYTES_MAX:
        return False
    length[0] = <uint32_t>size
    return True


cdef bint _read_real(object found, ov_value* value) except -1:
    cdef double real
    if PyFloat_Check(found):
        real = PyFloat_AS_DOUBLE(found)
    elif PyLong_Check(found) and not PyBool_Check(found):
        try:
            real = PyLong_AsDouble(found)
        except OverflowError:
            return False
    else:
        return False
    _set_real(value, real)
    return isfinite(real)


cdef bint _read_list(object found, ov_value* value, ListBuffer* buffer) except -1:
    """A list of strings, laid out as the record does, each entry seen for ever."""
    cdef const char* text = NULL
    cdef uint32_t length = 0
    cdef size_t size = 0
    cdef Py_ssize_t i
    cdef list items
    if not isinstance(found, list) or len(<list>found) > CONTEXT_STRINGS_MAX:
        return False
    items = <list>found
    for i in range(len(items)):
        if not _read_text(items[i], &text, &length):
            return False
        size += entry_bytes(length)
    if size > buffer.capacity:
        free(buffer.text)
        buffer.capacity = 0
        buffer.text = <char*>malloc(size)
        if buffer.text == NULL:
            raise MemoryError
        buffer.capacity = size
    size = 0
    for i in range(len(items)):
        _read_text(items[i], &text, &length)
        size += _write_entry(buffer.text + size, text, length)
    value.text = buffer.text
    value.count = <uint16_t>len(items)
    value.cut = INT64_MIN
    return True


cdef inline size_t entry_bytes(size_t length) noexcept nogil:
    return padded(STRING_HEAD_BYTES + length)


cdef size_t _write_entry(char* at, const char* text, uint32_t length) noexcept nogil:
    """One entry of a strings value that was never seen before nor will be forgotten; returns its bytes."""
    cdef uint64_t number = xxh64_c(<const octet_t*>text, length, 0)
    cdef int64_t seen = INT64_MAX
    memcpy(at, &number, 8)
    memcpy(at + 8, &seen, 8)
    memcpy(at + 16, &length, 4)
    memcpy(at + STRING_HEAD_BYTES, text, length)
    return entry_bytes(length)
