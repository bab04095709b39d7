"""The fold plan: event names to feeds, and the typed value that a feed takes out of an event."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.math cimport isfinite, rint
from libc.stdint cimport int64_t, uint64_t

from core._types cimport hash64_t, millis_t, octet_t
from core.hashing cimport xxh64_c
from core.mathx cimport floor_div
from core.record cimport (
    BOOL,
    FLOAT,
    INT,
    KEEP_FIRST,
    KEEP_LAST,
    KEEP_MAX,
    KEEP_MIN,
    MILLIONTHS,
    SLOT_CONSENT_ADS,
    SLOT_LIMIT,
    STRING,
    STRINGS,
    SYSTEM_SLOT_COUNT,
    TIME_BITS,
    TIMESTAMP,
    as_bits,
)
from core.slots cimport Plain, Slot, Strings, make_text, text_bytes
from core.tallies cimport Buckets, Total

from core.bundle import F_COUNT as _COUNT
from core.bundle import F_FIRST as _FIRST
from core.bundle import F_LAST as _LAST
from core.bundle import F_MAX as _MAX
from core.bundle import F_MIN as _MIN
from core.bundle import F_STRINGS as _STRINGS
from core.bundle import F_SUM as _SUM
from core.errors import BundleError
from core.sticky import sticky_experiments

cdef extern from "values.h" nogil:
    bint parse_time "ov_parse_time"(const char* text, size_t size, int64_t* moment_ms) noexcept

cdef int F_COUNT = _COUNT
cdef int F_SUM = _SUM
cdef int F_LAST = _LAST
cdef int F_FIRST = _FIRST
cdef int F_MIN = _MIN
cdef int F_MAX = _MAX
cdef int F_STRINGS = _STRINGS

cdef double MILLION = 1e6
# A single value adds at most this much to a sum, in the sum's own unit.
cdef int64_t SUM_LIMIT = <int64_t>1 << 62
cdef int64_t TIME_LIMIT = <int64_t>1 << TIME_BITS
cdef object INT64_LEAST = -(1 << 63)
cdef object INT64_GREATEST = (1 << 63) - 1
cdef str TRAITS = "traits."
# What a rule over traits listens to when it names no event.
cdef str IDENTIFY = "Identify"
cdef dict KEEP = {F_LAST: KEEP_LAST, F_FIRST: KEEP_FIRST, F_MIN: KEEP_MIN, F_MAX: KEEP_MAX}


@cython.final
cdef class FoldPlan:
    """Which events feed which slots: a bundle's fold rules, purposes, aliases, checked and laid out by name.

    Raises
    ------
    BundleError
        A rule that a record cannot hold: slot, function, type, window or granularity out of range.
    """

    def __init__(self, document not None):
        cdef dict feeds = {}
        cdef Feed feed
        for place, rule in enumerate(document.folds):
            check_rule(rule, f"$.folds[{place}]")
            for name, feed in feeds_of(rule):
                feeds.setdefault(name, []).append(feed)
        for place, purpose in enumerate(document.purposes):
            if not (0 <= purpose.slot <= SLOT_CONSENT_ADS or SYSTEM_SLOT_COUNT <= purpose.slot < SLOT_LIMIT):
                refuse("a slot for consents", str(purpose.slot), f"$.purposes[{place}].slot")
        for place, index in enumerate(document.behaviour_purposes):
            if not 0 <= index < len(document.purposes):
                refuse("the index of a purpose", str(index), f"$.behaviour_purposes[{place}]")
        self.aliases = dict(document.aliases)
        self.sticky = sticky_experiments(document.experiments)
        self.feeds = {name: tuple(listed) for name, listed in feeds.items()}
        self.purpose_slots = {purpose.id: purpose.slot for purpose in document.purposes}
        self.behaviour_slots = tuple([document.purposes[index].slot for index in document.behaviour_purposes])

    def __reduce__(self):
        raise TypeError("a fold plan is made from its bundle")

    def canonical(self, str name not None):
        """Return the canonical event name: that of an alias, else the name itself."""
        return self.canonical_name(name)

    cdef str canonical_name(self, str name):
        return self.aliases.get(name, name)


@cython.final
cdef class Feed:
    """What one event name means to one slot."""

    cdef Slot slot_of(self, object event, millis_t at_ms, hash64_t tie):
        cdef Test test
        cdef object value
        if self.sign == 0:
            return reset_slot(self, at_ms)
        for test in self.tests:
            if not test.holds(event):
                return None
        if self.function == F_COUNT or self.function == F_SUM:
            return self.total_of(event, at_ms)
        value = value_at(event.traits if self.from_traits else event.properties, self.path)
        if value is None:
            return None
        if self.function == F_STRINGS:
            return strings_slot(value, at_ms)
        return self.plain_of(value, at_ms, tie)

    cdef Slot total_of(self, object event, millis_t at_ms):
        cdef int64_t amount = 1
        cdef Buckets buckets
        cdef Total total
        if self.function == F_SUM:
            value = value_at(event.traits if self.from_traits else event.properties, self.path)
            if not take_amount(value, self.type == FLOAT, &amount):
                return None
        amount *= self.sign
        if self.granularity_ms > 0:
            buckets = empty_buckets(self)
            buckets.add(floor_div(at_ms, self.granularity_ms), amount)
            return buckets
        total = Total.__new__(Total)
        total.flags = flags_of(self)
        total.value = amount
        return total

    cdef Slot plain_of(self, object value, millis_t at_ms, hash64_t tie):
        cdef Plain plain = Plain.__new__(Plain)
        plain.kind = self.type
        plain.flags = KEEP[self.function]
        if not take_value(plain, value):
            return None
        if plain.flags == KEEP_LAST or plain.flags == KEEP_FIRST:
            plain.at_ms = at_ms
            plain.tie = tie
        return plain


@cython.final
cdef class Test:
    """One condition of a rule's `where`."""

    cdef bint holds(self, object event) except -1:
        cdef object value = value_at(event.traits if self.from_traits else event.properties, self.path)
        cdef object kind = type(value)
        if kind is bool:
            return value in self.bools
        return (kind is str or kind is int or kind is float) and value in self.others


# Slots of a single event.

cdef int flags_of(Feed feed) noexcept:
    return MILLIONTHS if feed.function == F_SUM and feed.type == FLOAT else 0


cdef Buckets empty_buckets(Feed feed):
    cdef Buckets buckets = Buckets.__new__(Buckets)
    buckets.flags = flags_of(feed)
    buckets.granularity_ms = feed.granularity_ms
    buckets.window_granules = feed.window_granules
    buckets.half_life_ms = feed.half_life_ms
    return buckets


cdef Buckets reset_slot(Feed feed, millis_t at_ms):
    cdef Buckets buckets = empty_buckets(feed)
    buckets.reset(floor_div(at_ms, feed.granularity_ms))
    return buckets


cdef Strings strings_slot(object value, millis_t at_ms):
    cdef Strings strings = Strings.__new__(Strings)
    cdef bytes text
    if type(value) is str:
        value = (value,)
    elif type(value) is not list:
        return None
    for one in value:
        text = text_bytes(one) if type(one) is str else None
        if text is not None:
            strings.add(make_text(hash_bytes(text), at_ms, text))
    return strings if strings.entries else None


# Values.

cdef object value_at(object tree, tuple path):
    """The value at the end of a path of keys; None where the path leaves the tree."""
    for key in path:
        if type(tree) is not dict:
            return None
        tree = (<dict>tree).get(key)
    return tree


cdef bint take_value(Plain plain, object value) except -1:
    """Set value and text of a slot whose kind is set; False where the value is not of that type."""
    cdef int64_t whole = 0
    cdef double real = 0.0
    if plain.kind == STRING:
        plain.text = text_bytes(value) if type(value) is str else None
        if plain.text is None:
            return False
        plain.value = hash_bytes(plain.text)
        return True
    if plain.kind == FLOAT:
        if not take_real(value, &real):
            return False
        # Adding zero makes -0.0 the one zero, so equal values have equal bytes.
        plain.value = as_bits(real + 0.0)
        return True
    if plain.kind == BOOL:
        plain.value = value is True
        return type(value) is bool
    if plain.kind == TIMESTAMP:
        return type(value) is str and take_moment(plain, value)
    if not take_whole(value, &whole):
        return False
    plain.value = <uint64_t>whole
    return True


cdef bint take_whole(object value, int64_t* whole) except -1:
    """An int within 64 bits, or a float that is one."""
    cdef double real
    if type(value) is float:
        real = value
        if rint(real) != real or not -9223372036854775808.0 <= real < 9223372036854775808.0:
            return False
        whole[0] = <int64_t>real
        return True
    if type(value) is not int or not INT64_LEAST <= value <= INT64_GREATEST:
        return False
    whole[0] = value
    return True


cdef bint take_real(object value, double* real) except -1:
    """A finite float, or an int that a double can hold (rounded as needed)."""
    if type(value) is int:
        try:
            real[0] = <double>float(value)
        except OverflowError:
            return False
        return True
    if type(value) is not float:
        return False
    real[0] = value
    return isfinite(real[0])


cdef bint take_amount(object value, bint millionths, int64_t* amount) except -1:
    """What a value adds to a sum: itself, or round half even of a million times itself, within SUM_LIMIT."""
    cdef double real = 0.0
    if not millionths:
        if not take_whole(value, amount):
            return False
        amount[0] = max(-SUM_LIMIT, min(amount[0], SUM_LIMIT))
        return True
    if not take_real(value, &real):
        return False
    real = max(-<double>SUM_LIMIT, min(rint(real * MILLION), <double>SUM_LIMIT))
    amount[0] = <int64_t>real
    return True


cdef bint take_moment(Plain plain, str text) except -1:
    """An RFC 3339 time; what is finer than a millisecond is cut."""
    cdef bytes octets = text_bytes(text)
    cdef int64_t moment_ms = 0
    if octets is None or not parse_time(PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets), &moment_ms):
        return False
    plain.value = <uint64_t>moment_ms
    return True


cdef hash64_t hash_bytes(bytes text) noexcept:
    return xxh64_c(<const octet_t*>PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), 0)


# Laying out.

cdef list feeds_of(rule):
    """(event name, Feed) for each event that a rule listens to."""
    cdef list names = list(rule.events)
    if not names and rule.property.startswith(TRAITS):
        names = [IDENTIFY]
    cdef list pairs = [(name, make_feed(rule, 1)) for name in names]
    pairs += [(name, make_feed(rule, -1)) for name in rule.subtract]
    pairs += [(name, make_feed(rule, 0)) for name in rule.resets]
    return pairs


cdef Feed make_feed(rule, int sign):
    cdef Feed feed = Feed.__new__(Feed)
    feed.slot = rule.slot
    feed.function = rule.function
    feed.type = rule.type
    feed.sign = sign
    feed.path, feed.from_traits = parse_path(rule.property)
    feed.tests = tuple([make_test(path, allowed) for path, allowed in rule.where.items()])
    feed.granularity_ms = rule.granularity_ms
    feed.window_granules = rule.window_ms // rule.granularity_ms if rule.granularity_ms else 0
    feed.half_life_ms = rule.half_life_ms
    return feed


cdef Test make_test(str path, list allowed):
    cdef Test test = Test.__new__(Test)
    test.path, test.from_traits = parse_path(path)
    test.bools = frozenset([value for value in allowed if type(value) is bool])
    test.others = frozenset([value for value in allowed if type(value) is not bool])
    return test


cdef tuple parse_path(str path):
    """(keys, whether they start in the event's traits)."""
    cdef bint from_traits = path.startswith(TRAITS)
    if from_traits:
        path = path[len(TRAITS):]
    return (tuple(path.split(".")) if path else (), from_traits)


cdef check_rule(rule, str where):
    totals = rule.function in (F_COUNT, F_SUM)
    if not SYSTEM_SLOT_COUNT <= rule.slot < SLOT_LIMIT:
        refuse("a slot of 16 to 4095", str(rule.slot), where + ".slot")
    if not totals and rule.function not in KEEP and rule.function != F_STRINGS:
        refuse("a fold function", str(rule.function), where + ".function")
    if rule.function == F_STRINGS:
        known = rule.type == STRINGS
    elif totals:
        known = rule.type in (INT, FLOAT)
    else:
        known = BOOL <= rule.type <= TIMESTAMP
    if not known:
        refuse("a type of the fold function", str(rule.type), where + ".type")
    if rule.function != F_COUNT and not rule.property:
        refuse("a property", "none", where + ".property")
    for name in ("granularity_ms", "window_ms", "half_life_ms"):
        if not 0 <= getattr(rule, name) <= TIME_LIMIT:
            refuse("0 to 2^53 ms", str(getattr(rule, name)), f"{where}.{name}")
    if rule.granularity_ms > 0 and not totals:
        refuse("buckets of a count or sum only", "another function", where + ".granularity_ms")
    if rule.granularity_ms == 0 and (rule.half_life_ms or rule.resets or (totals and rule.window_ms)):
        refuse("a granularity for window, half life or resets", "none", where + ".granularity_ms")
    if rule.granularity_ms > 0 and rule.window_ms % rule.granularity_ms:
        refuse("a whole number of granules", f"{rule.window_ms} ms", where + ".window_ms")
    if not set(rule.events).isdisjoint(rule.subtract):
        refuse("events that are not in `events`", "one that is", where + ".subtract")


cdef refuse(str expected, str got, str where):
    raise BundleError(expected=expected, got=got, path=where)
