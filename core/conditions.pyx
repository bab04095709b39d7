"""The distinct conditions of a bundle, laid out by attribute, and their evaluation into a plane of literals
(docs/decisions/0004-bundle-and-tables.md).

Each condition is evaluated once. Numbers are compared by rank: one search among the bounds that an
attribute's conditions name turns its value into a small number, and each condition is one compare of small
numbers, many to a vector register. A string is looked up once; a literal's verdicts are a row that was made
when the bundle was loaded.
"""

cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from core._types cimport octet_t
from core.hashing cimport xxh64_c
from core.memory cimport Pool
from core.values cimport (
    OV_BOOL,
    OV_DURATION,
    OV_FLOAT,
    OV_INT,
    OV_MISSING,
    OV_STRING,
    OV_TIMESTAMP,
    ov_contains,
    ov_ends,
    ov_entry,
    ov_next_entry,
    ov_starts,
    ov_value,
)

from core import bundle

cdef extern from "tables.h":
    void ov_range_tests_8(
        uint8_t rank, const uint8_t* low, const uint8_t* span, size_t count, uint8_t valid, uint8_t known,
        uint8_t* is_true, uint8_t* is_false,
    ) noexcept nogil
    void ov_range_tests_16(
        uint16_t rank, const uint16_t* low, const uint16_t* span, size_t count, uint8_t valid, uint8_t known,
        uint8_t* is_true, uint8_t* is_false,
    ) noexcept nogil
    void ov_range_tests_32(
        uint32_t rank, const uint32_t* low, const uint32_t* span, size_t count, uint8_t valid, uint8_t known,
        uint8_t* is_true, uint8_t* is_false,
    ) noexcept nogil
    void ov_copy_row(const uint8_t* row, size_t count, uint8_t* is_true, uint8_t* is_false) noexcept nogil

cdef enum:
    # core.bundle's numbers, as C constants.
    C_OP_CONTAINS = 4
    C_OP_STARTS = 5

    # Bytes of a group's rows of verdicts; a larger group lists the conditions that each string makes true.
    ROWS_BYTES_MAX = 262144

# The kinds of conditions, in the order of their positions in the plane.
cdef enum:
    CONSTANT
    RANGES
    TEXTS
    MANY
    HAS
    PROGRAMS
    GENERALS
    KINDS

cdef dict KIND_OF_OP = {
    bundle.OP_RANGE: RANGES,
    bundle.OP_STRING_IN: TEXTS,
    bundle.OP_ANY_IN: MANY,
    bundle.OP_HAS: HAS,
    bundle.OP_CONTAINS: TEXTS,
    bundle.OP_STARTS: TEXTS,
    bundle.OP_ENDS: TEXTS,
    bundle.OP_PROGRAM: PROGRAMS,
    bundle.OP_GENERAL: GENERALS,
}

cdef frozenset PARTS = frozenset({bundle.OP_CONTAINS, bundle.OP_STARTS, bundle.OP_ENDS})

cdef dict CONSTANT_TYPES = {
    bundle.P_INT: OV_INT,
    bundle.P_FLOAT: OV_FLOAT,
    bundle.P_STRING: OV_STRING,
    bundle.P_BOOL: OV_BOOL,
    bundle.P_TIMESTAMP: OV_TIMESTAMP,
    bundle.P_DURATION: OV_DURATION,
}


@cython.final
cdef class Conditions:
    """The conditions of one bundle, already checked by `core.check`; `extents`: the smallest `Extent` that
    needs each of them.
    """

    def __cinit__(self, list conditions not None, list extents not None):
        cdef uint32_t position = OV_LANES  # the constant has a group of its own
        cdef size_t i
        self._pool = Pool()
        self.positions = <uint32_t*>self._pool.take(len(conditions), sizeof(uint32_t))
        groups = _grouped(conditions, extents)
        ranges, texts, has, programs, generals = [], [], [], [], []
        for (extent, kind, attribute), members in groups:
            position = self._place(members, position)
            if kind == RANGES:
                ranges.append((extent, attribute, members))
            elif kind == HAS:
                has += [(extent, attribute, i) for i in members]
            elif kind == PROGRAMS:
                programs += [(extent, attribute, i) for i in members]
            elif kind == GENERALS:
                generals += [(extent, attribute, i) for i in members]
            else:
                texts.append((extent, attribute, members))
        self.width = position
        self.ranges = <RangeGroup*>self._pool.take(len(ranges), sizeof(RangeGroup))
        self.texts = <TextGroup*>self._pool.take(len(texts), sizeof(TextGroup))
        self.has = <HasTest*>self._pool.take(len(has), sizeof(HasTest))
        self.programs = <ProgramTest*>self._pool.take(len(programs), sizeof(ProgramTest))
        self.range_counts, self.text_counts = _counts(ranges), _counts(texts)
        self.has_counts, self.program_counts = _counts(has), _counts(programs)
        self.generals = <GeneralTest*>self._pool.take(len(generals), sizeof(GeneralTest))
        self.general_counts = _counts(generals)
        for i, (_, _, index) in enumerate(generals):
            self.generals[i].position = self.positions[<size_t>index]
            self.generals[i].number = conditions[index].lo
            self.generals[i].condition = index
        for i, (_, attribute, members) in enumerate(ranges):
            self._build_range(&self.ranges[i], conditions, attribute, members)
        for i, (_, attribute, members) in enumerate(texts):
            self._build_text(&self.texts[i], conditions, attribute, members)
        for i, (_, attribute, index) in enumerate(has):
            self.has[i].attribute = attribute
            self.has[i].position = self.positions[<size_t>index]
        for i, (_, _, index) in enumerate(programs):
            self.programs[i].position = self.positions[<size_t>index]
            self.programs[i].step_count = <uint32_t>len(conditions[index].program)
            self.programs[i].steps = build_program(self._pool, conditions[index].program)

    def __reduce__(self):
        raise TypeError("Conditions hold addresses and cannot be pickled")

    cdef uint32_t _place(self, list members, uint32_t position):
        """Give a group consecutive positions; returns where the next group begins."""
        cdef uint32_t lanes = OV_LANES
        for i in members:
            self.positions[<size_t>i] = position
            position += 1
        return (position + lanes - 1) // lanes * lanes

    cdef int _build_range(self, RangeGroup* group, list conditions, attribute, list members) except -1:
        cdef uint32_t lanes = OV_LANES
        cdef int64_t* bounds
        cdef int64_t least, most
        cdef uint32_t low, span
        cdef size_t i
        chosen = set()
        for index in members:
            condition = conditions[index]
            chosen.add(condition.lo)
            if condition.hi < INT64_MAX:
                chosen.add(condition.hi + 1)
        chosen.discard(INT64_MIN)
        group.attribute = attribute
        group.begin = self.positions[<size_t>members[0]]
        group.members = <uint32_t>len(members)
        group.count = (group.members + lanes - 1) // lanes * lanes
        group.bound_count = <uint32_t>len(chosen)
        group.width = 1 if group.bound_count < 1 << 8 else 2 if group.bound_count < 1 << 16 else 4
        bounds = <int64_t*>self._pool.take(len(chosen), sizeof(int64_t))
        for i, bound in enumerate(sorted(chosen)):
            bounds[i] = bound
        group.bounds = bounds
        group.low = self._pool.take(group.count, group.width)
        group.span = self._pool.take(group.count, group.width)
        for i, index in enumerate(members):
            least, most = conditions[index].lo, conditions[index].hi
            low = <uint32_t>ov_rank(bounds, group.bound_count, least)
            span = <uint32_t>ov_rank(bounds, group.bound_count, most) - low
            _set_rank(group, i, low, span)
        return 0

    cdef int _build_text(self, TextGroup* group, list conditions, attribute, list members) except -1:
        cdef uint32_t lanes = OV_LANES
        cdef PartTest* parts
        cdef bytes text
        cdef size_t i
        wanted, parted = {}, []
        for index in members:
            condition = conditions[index]
            if condition.op in PARTS:
                parted.append(index)
                continue
            if condition.op == bundle.OP_RANGE:  # an empty one: nothing passes
                continue
            for string in dict.fromkeys(condition.strings):
                wanted.setdefault(string, []).append(self.positions[<size_t>index])
        group.attribute = attribute
        group.begin = self.positions[<size_t>members[0]]
        group.count = (<uint32_t>len(members) + lanes - 1) // lanes * lanes
        group.many = _kind(conditions[members[0]]) == MANY
        group.part_count = <uint32_t>len(parted)
        take_literals(self._pool, group, wanted)
        parts = <PartTest*>self._pool.take(len(parted), sizeof(PartTest))
        for i, index in enumerate(parted):
            text = conditions[index].strings[0].encode()
            parts[i].position = self.positions[<size_t>index]
            parts[i].op = conditions[index].op
            parts[i].text = self._pool.copy(text)
            parts[i].length = <uint32_t>len(text)
        group.parts = parts
        group.blank = <const uint8_t*>self._pool.take(group.count, 1)
        return self._build_rows(group)

    cdef int _build_rows(self, TextGroup* group) except -1:
        """What each literal makes of every condition of the group."""
        cdef uint8_t* rows
        cdef uint8_t* row
        cdef const TextLiteral* literal
        cdef size_t i, k
        if group.many or group.literal_count * <size_t>group.count > ROWS_BYTES_MAX:
            return 0
        rows = <uint8_t*>self._pool.take(group.literal_count, group.count)
        for i in range(group.literal_count):
            literal = &group.literals[i]
            row = rows + i * group.count
            for k in range(literal.hit_count):
                row[literal.hits[k] - group.begin] = 1
            for k in range(group.part_count):
                row[group.parts[k].position - group.begin] = part_holds(
                    &group.parts[k], literal.text, literal.length
                )
        group.rows = rows
        return 0

    cdef void evaluate(
        self, const ov_value* values, int64_t now, Extent extent, uint8_t* literals
    ) noexcept nogil:
        cdef uint32_t n = self.width
        cdef size_t i
        cdef const HasTest* has
        cdef const ProgramTest* program
        cdef int verdict
        literals[0] = 1
        literals[n] = 0
        for i in range(self.range_counts[<size_t>extent]):
            _run_range(&self.ranges[i], &values[self.ranges[i].attribute], literals, n)
        for i in range(self.text_counts[<size_t>extent]):
            if self.texts[i].many:
                _run_many(&self.texts[i], &values[self.texts[i].attribute], literals, n)
            else:
                _run_text(&self.texts[i], &values[self.texts[i].attribute], literals, n)
        for i in range(self.has_counts[<size_t>extent]):
            has = &self.has[i]
            literals[has.position] = values[has.attribute].held
            literals[has.position + n] = values[has.attribute].held ^ 1
        for i in range(self.program_counts[<size_t>extent]):
            program = &self.programs[i]
            verdict = ov_run_program(program.steps, program.step_count, values, now)
            literals[program.position] = verdict == 1
            literals[program.position + n] = verdict == 0


def _kind(condition):
    """An empty range is a test that no value passes: a string test without literals says the same."""
    if condition.op == bundle.OP_RANGE and condition.lo > condition.hi:
        return TEXTS
    return KIND_OF_OP.get(condition.op, CONSTANT)


def _grouped(conditions, extents):
    """[((extent, kind, attribute), condition indexes)], by extent first; what has no attribute is one
    group.
    """
    groups = {}
    for i, condition in enumerate(conditions):
        kind = _kind(condition)
        if kind != CONSTANT:
            groups.setdefault((extents[i], kind, condition.attribute), []).append(i)
    return sorted(groups.items())


def _counts(items):
    """How many of the items each extent evaluates; items come by extent."""
    return [sum([item[0] <= extent for item in items]) for extent in range(EXTENTS)]


cdef uint64_t _hash(bytes text):
    return xxh64_c(<const octet_t*><const char*>text, len(text), 0)


cdef int take_literals(Pool pool, TextGroup* group, wanted) except -1:
    """Make strings ready to be found; a dict gives each the positions of the conditions that it makes
    true.
    """
    cdef uint64_t* hashes = <uint64_t*>pool.take(len(wanted), sizeof(uint64_t))
    cdef TextLiteral* literals = <TextLiteral*>pool.take(len(wanted), sizeof(TextLiteral))
    cdef uint32_t* hits
    cdef bytes text
    cdef size_t i, k
    encoded = {string.encode(): string for string in wanted}
    for i, (number, text) in enumerate(sorted([(_hash(text), text) for text in encoded])):
        hashes[i] = number
        literals[i].text = pool.copy(text)
        literals[i].length = <uint32_t>len(text)
        if isinstance(wanted, dict):
            positions = wanted[encoded[text]]
            hits = <uint32_t*>pool.take(len(positions), sizeof(uint32_t))
            for k in range(<size_t>len(positions)):
                hits[k] = positions[k]
            literals[i].hits = hits
            literals[i].hit_count = <uint32_t>len(positions)
    group.hashes = hashes
    group.literals = literals
    group.literal_count = <uint32_t>len(encoded)
    return 0


cdef const ov_step* build_program(Pool pool, list program) except NULL:
    cdef ov_step* steps = <ov_step*>pool.take(len(program), sizeof(ov_step))
    cdef ov_step* step
    cdef bytes text
    for i, (op, argument) in enumerate(program):
        step = &steps[<size_t>i]
        step.op = op
        if op == bundle.P_ATTRIBUTE:
            step.attribute = argument
        elif op in CONSTANT_TYPES:
            step.constant.type = CONSTANT_TYPES[op]
            if op == bundle.P_STRING:
                text = argument.encode()
                step.constant.text = pool.copy(text)
                step.constant.length = <uint32_t>len(text)
            elif op == bundle.P_FLOAT:
                step.constant.real = argument
            else:
                step.constant.number = argument
    return steps


cdef inline void _set_rank(RangeGroup* group, size_t i, uint32_t low, uint32_t span) noexcept:
    if group.width == 1:
        (<uint8_t*>group.low)[i] = <uint8_t>low
        (<uint8_t*>group.span)[i] = <uint8_t>span
    elif group.width == 2:
        (<uint16_t*>group.low)[i] = <uint16_t>low
        (<uint16_t*>group.span)[i] = <uint16_t>span
    else:
        (<uint32_t*>group.low)[i] = low
        (<uint32_t*>group.span)[i] = span


cdef inline void _run_range(
    const RangeGroup* group, const ov_value* value, uint8_t* literals, uint32_t n
) noexcept nogil:
    cdef uint8_t* is_true = literals + group.begin
    cdef uint8_t known = value.type != OV_MISSING
    cdef uint8_t valid = known & (value.type != OV_FLOAT or value.real == value.real)
    cdef uint32_t rank = <uint32_t>ov_rank(group.bounds, group.bound_count, value.number)
    if group.width == 1:
        ov_range_tests_8(
            <uint8_t>rank, <const uint8_t*>group.low, <const uint8_t*>group.span, group.count, valid, known,
            is_true, is_true + n,
        )
    elif group.width == 2:
        ov_range_tests_16(
            <uint16_t>rank, <const uint16_t*>group.low, <const uint16_t*>group.span, group.count, valid,
            known, is_true, is_true + n,
        )
    else:
        ov_range_tests_32(
            rank, <const uint32_t*>group.low, <const uint32_t*>group.span, group.count, valid, known,
            is_true, is_true + n,
        )


cdef uint32_t find_literal(
    const TextGroup* group, uint64_t number, const char* text, uint32_t length
) noexcept nogil:
    """Look one string up by hash, and compare the bytes."""
    cdef size_t at = ov_find_hash(group.hashes, group.literal_count, number)
    cdef const TextLiteral* literal
    while at < group.literal_count and group.hashes[at] == number:
        literal = &group.literals[at]
        if literal.length == length and memcmp(literal.text, text, length) == 0:
            return <uint32_t>at
        at += 1
    return group.literal_count


cdef bint part_holds(const PartTest* test, const char* text, uint32_t length) noexcept nogil:
    if test.op == C_OP_CONTAINS:
        return ov_contains(text, length, test.text, test.length)
    if test.op == C_OP_STARTS:
        return ov_starts(text, length, test.text, test.length)
    return ov_ends(text, length, test.text, test.length)


cdef inline void _hit(const TextLiteral* literal, uint8_t* literals, uint32_t n) noexcept nogil:
    """Make the conditions true that ask for this string."""
    cdef uint32_t i
    for i in range(literal.hit_count):
        literals[literal.hits[i]] = 1
        literals[literal.hits[i] + n] = 0


cdef inline void _run_text(
    const TextGroup* group, const ov_value* value, uint8_t* literals, uint32_t n
) noexcept nogil:
    cdef uint8_t* is_true = literals + group.begin
    cdef const PartTest* part
    cdef uint32_t found, i
    cdef bint holds
    if value.type == OV_MISSING:
        memset(is_true, 0, group.count)
        memset(is_true + n, 0, group.count)
        return
    if value.type != OV_STRING:  # empty ranges alone
        ov_copy_row(group.blank, group.count, is_true, is_true + n)
        return
    found = find_literal(group, <uint64_t>value.number, value.text, value.length)
    if group.rows != NULL and found < group.literal_count:
        ov_copy_row(group.rows + <size_t>found * group.count, group.count, is_true, is_true + n)
        return
    ov_copy_row(group.blank, group.count, is_true, is_true + n)
    if found < group.literal_count:
        _hit(&group.literals[found], literals, n)
    for i in range(group.part_count):
        part = &group.parts[i]
        holds = part_holds(part, value.text, value.length)
        literals[part.position] = holds
        literals[part.position + n] = not holds


cdef inline void _run_many(
    const TextGroup* group, const ov_value* value, uint8_t* literals, uint32_t n
) noexcept nogil:
    cdef uint8_t* is_true = literals + group.begin
    cdef const char* at = value.text
    cdef ov_entry entry
    cdef uint16_t _i
    cdef uint32_t found
    memset(is_true, 0, group.count)
    memset(is_true + n, value.type != OV_MISSING, group.count)
    if value.type == OV_MISSING or group.literal_count == 0:
        return
    for _i in range(value.count):
        at = ov_next_entry(at, &entry)
        if entry.seen > value.cut:
            found = find_literal(group, entry.hash, entry.text, entry.length)
            if found < group.literal_count:
                _hit(&group.literals[found], literals, n)
