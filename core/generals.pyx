"""The general conditions of a bundle (docs/decisions/0009-general-conditions.md).

Code is made of each when the bundle is loaded. An evaluation ends as an error where it takes too long, sees
a text that is too long, or meets anything else that it cannot go on from; a decision goes on.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memset

from core.memory cimport Pool
from core.values cimport (
    OV_BOOL,
    OV_FLOAT,
    OV_MISSING,
    OV_STRING,
    OV_STRINGS,
    OV_TIMESTAMP,
    ov_entry,
    ov_next_entry,
    ov_value,
)

from core.bundle import GENERAL_SLOTS_MAX as _SLOTS_MAX
from core.cel.general.loading import NOW as _NOW
from core.cel.general.loading import load, needed
from core.cel.general.run import CONDITION_WORK_MAX as _WORK_MAX
from core.cel.general.run import Run, no_zones
from core.cel.general.values import TIMESTAMP_NS_MAX as _NS_MAX
from core.cel.general.values import TIMESTAMP_NS_MIN as _NS_MIN
from core.cel.general.values import Timestamp

#: Longer texts, and lists of more bytes in all, are errors to whoever reads them.
TEXT_BYTES_MAX = 65_536
LIST_BYTES_MAX = 262_144

cdef uint32_t C_TEXT_BYTES_MAX = TEXT_BYTES_MAX
cdef size_t C_LIST_BYTES_MAX = LIST_BYTES_MAX
cdef int64_t MS_MIN = _NS_MIN // 1_000_000
cdef int64_t MS_MAX = _NS_MAX // 1_000_000
cdef int64_t MS_NS = 1_000_000
cdef object UNREAD = object()
cdef object MISSING = object()
cdef str MOMENT = _NOW
cdef object WORK_MAX = _WORK_MAX


@cython.final
cdef class Values:
    """The variables of a run: an attribute under its index, whether it is held itself under ~index, and the
    moment. What is missing, or too long, raises KeyError.
    """

    def __getitem__(self, key):
        cdef Py_ssize_t index
        if key is MOMENT:
            return moment(self._now)
        index = key
        if index < 0:
            return self._values[~index].held != 0
        found = self._made[index]
        if found is UNREAD:
            found = self._value(index)
            self._made[index] = found
        if found is MISSING:
            raise KeyError(key)
        return found

    cdef object _value(self, Py_ssize_t index):
        cdef const ov_value* value = &self._values[index]
        if value.type == OV_MISSING:
            return MISSING
        if value.type == OV_STRING:
            if value.length > C_TEXT_BYTES_MAX:
                return MISSING
            return value.text[:value.length].decode("utf-8", "replace")
        if value.type == OV_BOOL:
            return value.number != 0
        if value.type == OV_FLOAT:
            return value.real
        if value.type == OV_STRINGS:
            return strings(value)
        if value.type == OV_TIMESTAMP:
            return moment(value.number) if MS_MIN <= value.number <= MS_MAX else MISSING
        return value.number

    def __reduce__(self):
        raise TypeError("Values hold addresses and cannot be pickled")


cdef object moment(int64_t at_ms):
    return Timestamp(<object>at_ms * MS_NS)


cdef object strings(const ov_value* value):
    """A list in ascending order: a strings attribute has no order of its own."""
    cdef const char* at = value.text
    cdef ov_entry entry
    cdef uint16_t _i
    cdef size_t size = 0
    cdef list texts = []
    for _i in range(value.count):
        at = ov_next_entry(at, &entry)
        if entry.seen > value.cut:
            size += entry.length
            if size > C_LIST_BYTES_MAX:
                return MISSING
            texts.append(entry.text[:entry.length].decode("utf-8", "replace"))
    texts.sort()
    return texts


@cython.final
cdef class Generals:
    """The general conditions of one checked bundle, and what is known of them for one set of values."""

    def __cinit__(self, generals not None, attribute_count):
        codes = [load(general) for general in generals]
        self._take(codes, [needed(general) for general in generals], attribute_count)

    cdef _take(self, list codes, list wanted, Py_ssize_t attribute_count):
        self._pool = Pool()
        self._codes, self._needed = codes, wanted
        self.count = <uint32_t>len(codes)
        self.states = <uint8_t*>self._pool.take(self.count, 1)
        self._needs = <uint32_t**>self._pool.take(self.count, sizeof(uint32_t*))
        self._need_counts = <uint32_t*>self._pool.take(self.count, sizeof(uint32_t))
        for i, attributes in enumerate(wanted):
            self._needs[<size_t>i] = <uint32_t*>self._pool.take(len(attributes), sizeof(uint32_t))
            self._need_counts[<size_t>i] = <uint32_t>len(attributes)
            for k, attribute in enumerate(attributes):
                self._needs[<size_t>i][<size_t>k] = attribute
        self._values = Values.__new__(Values)
        self._values._blank = [UNREAD] * attribute_count
        self._run = Run(self._values, _SLOTS_MAX, no_zones, work_max=WORK_MAX)

    def __reduce__(self):
        raise TypeError("Generals hold addresses and cannot be pickled")

    cdef int begin(self, const ov_value* values, int64_t now) except -1:
        self._values._values, self._values._now = values, now
        self._values._made = None
        memset(self.states, G_UNKNOWN, self.count)
        return 0

    cdef uint8_t ask(self, uint32_t number) except? 255:
        cdef uint8_t state = self.states[number]
        cdef uint32_t i
        if state != G_UNKNOWN:
            return state
        for i in range(self._need_counts[number]):
            if self._values._values[self._needs[number][i]].type == OV_MISSING:
                self.states[number] = G_ERROR
                return G_ERROR
        if self._values._made is None:
            self._values._made = self._values._blank.copy()
        run = self._run
        run.work_left = WORK_MAX
        if run.kept:
            run.kept.clear()
        try:
            outcome = self._codes[number](run)
            state = G_TRUE if outcome is True else G_FALSE if outcome is False else G_ERROR
        except Exception:  # CEL's errors, work without end, or a fault of ours: none ends a decision
            state = G_ERROR
        self.states[number] = state
        return state

    cdef Generals twin(self):
        cdef Generals other = Generals.__new__(Generals, [], 0)
        other._take(self._codes, self._needed, len(self._values._blank))
        return other
