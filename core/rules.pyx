"""Tables that turn attribute values into literals, and literals into rules
(docs/decisions/0004-bundle-and-tables.md).

Each distinct condition is evaluated once, grouped by attribute; nodes are evaluated in groups of equal level,
operator and arity. The plane of literals is laid out anew here, so that a group writes consecutive bytes:
conditions' true literals, their false literals, nodes.
"""

cimport cython
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
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

cdef enum:
    # core.bundle's numbers, as C constants.
    C_OP_CONTAINS = 4
    C_OP_STARTS = 5

# The kinds of conditions, in the order of their positions in the plane.
cdef enum:
    CONSTANT
    RANGES
    SINGLES
    MANY
    HAS
    PARTS
    PROGRAMS
    KINDS

cdef dict KIND_OF_OP = {
    bundle.OP_RANGE: RANGES,
    bundle.OP_STRING_IN: SINGLES,
    bundle.OP_ANY_IN: MANY,
    bundle.OP_HAS: HAS,
    bundle.OP_CONTAINS: PARTS,
    bundle.OP_STARTS: PARTS,
    bundle.OP_ENDS: PARTS,
    bundle.OP_PROGRAM: PROGRAMS,
}

cdef dict CONSTANT_TYPES = {
    bundle.P_INT: OV_INT,
    bundle.P_FLOAT: OV_FLOAT,
    bundle.P_STRING: OV_STRING,
    bundle.P_BOOL: OV_BOOL,
    bundle.P_TIMESTAMP: OV_TIMESTAMP,
    bundle.P_DURATION: OV_DURATION,
}


@cython.final
cdef class Tables:
    """The tables of one bundle, already checked by `core.check`.

    `deciding`: literals that decisions read; `matching`: those that `match` reads. Nodes neither needs are
    evaluated for a trace only; conditions that no decision needs are left out of it, so that what only the
    hub matches (journeys) costs an edge nothing.
    """

    def __cinit__(self, document not None, frozenset deciding not None):
        conditions = document.tables.conditions
        self._pool = Pool()
        self.condition_count = <uint32_t>len(conditions)
        self.literal_count = self.condition_count * 2 + <uint32_t>len(document.tables.nodes)
        self.rule_count = <uint32_t>len(document.rules)
        self.positions = <uint32_t*>self._pool.take(self.literal_count, sizeof(uint32_t))
        self._numbers = list(range(len(document.rules)))
        self._hits = <uint32_t*>self._pool.take(self.rule_count + 1, sizeof(uint32_t))
        self._place_conditions(conditions, early_conditions(document, deciding))
        matching = frozenset([rule.true_ref for rule in document.rules])
        self._place_nodes(document.tables.nodes, deciding, matching)
        self.rule_true = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        self.rule_false = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        for i, rule in enumerate(document.rules):
            self.rule_true[<size_t>i] = self.positions[<size_t>rule.true_ref]
            self.rule_false[<size_t>i] = self.positions[<size_t>rule.false_ref]

    def __reduce__(self):
        raise TypeError("Tables hold addresses and cannot be pickled")

    cdef _place_conditions(self, list conditions, frozenset early):
        """Give every condition a position: the constant first, then kind by kind, within a kind the early
        ones first, and then attribute by attribute.
        """
        cdef uint32_t position = 0
        kinds = {}
        for i, condition in enumerate(conditions):
            kinds.setdefault(_kind(condition), []).append(i)
        ordered = {
            kind: sorted(members, key=lambda i: (i not in early, conditions[i].attribute))
            for kind, members in kinds.items()
        }
        for kind in range(KINDS):
            for i in ordered.get(kind, ()):
                self.positions[<size_t>i * 2] = position
                self.positions[<size_t>i * 2 + 1] = position + self.condition_count
                position += 1
        self._build_ranges(_groups(conditions, ordered.get(RANGES, ()), early))
        texts = [*ordered.get(SINGLES, ()), *ordered.get(MANY, ())]
        self._build_texts(sorted(_groups(conditions, texts, early), key=lambda group: group[0]))
        self._build_tests(conditions, ordered, early)

    cdef _build_ranges(self, list groups):
        cdef RangeGroup* group
        cdef int64_t* lo
        cdef uint64_t* span
        cdef size_t i
        self._range_counts = [sum([not late for late, _, _ in groups]), len(groups)]
        self._ranges = <RangeGroup*>self._pool.take(len(groups), sizeof(RangeGroup))
        for g, (_, attribute, members) in enumerate(groups):
            group = &self._ranges[<size_t>g]
            lo = <int64_t*>self._pool.take(len(members), sizeof(int64_t))
            span = <uint64_t*>self._pool.take(len(members), sizeof(uint64_t))
            for i, (_, condition) in enumerate(members):
                lo[i] = condition.lo
                span[i] = <uint64_t>(condition.hi - condition.lo)
            group.attribute = attribute
            group.begin = self.positions[<size_t>members[0][0] * 2]
            group.count = <uint32_t>len(members)
            group.lo = lo
            group.span = span

    cdef _build_texts(self, list groups):
        self._text_counts = [sum([not late for late, _, _ in groups]), len(groups)]
        self._texts = <TextGroup*>self._pool.take(len(groups), sizeof(TextGroup))
        for g, (_, attribute, members) in enumerate(groups):
            self._build_text(&self._texts[<size_t>g], attribute, members)

    cdef int _build_text(self, TextGroup* group, attribute, list members) except -1:
        cdef TextLiteral* literal
        cdef uint32_t* hits
        cdef bytes text
        cdef size_t i
        wanted = {}
        for index, condition in members:
            for string in dict.fromkeys(condition.strings):
                wanted.setdefault(string.encode(), []).append(self.positions[<size_t>index * 2])
        literals = <TextLiteral*>self._pool.take(len(wanted), sizeof(TextLiteral))
        for i, (number, text) in enumerate(sorted((_hash(text), text) for text in wanted)):
            literal = &literals[i]
            positions = wanted[text]
            hits = <uint32_t*>self._pool.take(len(positions), sizeof(uint32_t))
            for k, position in enumerate(positions):
                hits[<size_t>k] = position
            literal.hash = number
            literal.text = self._pool.copy(text)
            literal.length = <uint32_t>len(text)
            literal.hit_count = <uint32_t>len(positions)
            literal.hits = hits
        group.attribute = attribute
        group.begin = self.positions[<size_t>members[0][0] * 2]
        group.count = <uint32_t>len(members)
        group.many = _kind(members[0][1]) == MANY
        group.literal_count = <uint32_t>len(wanted)
        group.literals = literals
        return 0

    cdef _build_tests(self, list conditions, dict ordered, frozenset early):
        """The tests that are evaluated one by one: has, parts of strings, programs."""
        cdef size_t i
        cdef bytes text
        self._has_counts = _counts(ordered.get(HAS, ()), early)
        self._part_counts = _counts(ordered.get(PARTS, ()), early)
        self._program_counts = _counts(ordered.get(PROGRAMS, ()), early)
        self._has = <HasTest*>self._pool.take(self._has_counts[1], sizeof(HasTest))
        for i, index in enumerate(ordered.get(HAS, ())):
            self._has[i].attribute = conditions[index].attribute
            self._has[i].position = self.positions[<size_t>index * 2]
        self._parts = <PartTest*>self._pool.take(self._part_counts[1], sizeof(PartTest))
        for i, index in enumerate(ordered.get(PARTS, ())):
            text = conditions[index].strings[0].encode()
            self._parts[i].attribute = conditions[index].attribute
            self._parts[i].position = self.positions[<size_t>index * 2]
            self._parts[i].op = conditions[index].op
            self._parts[i].text = self._pool.copy(text)
            self._parts[i].length = <uint32_t>len(text)
        self._programs = <ProgramTest*>self._pool.take(self._program_counts[1], sizeof(ProgramTest))
        for i, index in enumerate(ordered.get(PROGRAMS, ())):
            self._programs[i].position = self.positions[<size_t>index * 2]
            self._programs[i].step_count = <uint32_t>len(conditions[index].program)
            self._programs[i].steps = self._build_program(conditions[index].program)

    cdef const ov_step* _build_program(self, list program) except NULL:
        cdef ov_step* steps = <ov_step*>self._pool.take(len(program), sizeof(ov_step))
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
                    step.constant.text = self._pool.copy(text)
                    step.constant.length = <uint32_t>len(text)
                elif op == bundle.P_FLOAT:
                    step.constant.real = argument
                else:
                    step.constant.number = argument
        return steps

    cdef _place_nodes(self, list nodes, frozenset deciding, frozenset matching):
        """Group the nodes by (needed for what, level, operator, arity); their positions follow the groups."""
        cdef uint32_t position = self.condition_count * 2
        cdef ov_node_group* group
        cdef uint32_t* inputs
        cdef size_t k = 0
        first = self.condition_count * 2
        extents = _extents(nodes, first, deciding, matching)
        levels = [0] * len(nodes)
        groups = {}
        for i, node in enumerate(nodes):
            levels[i] = 1 + max([levels[ref - first] for ref in node.inputs if ref >= first], default=0)
            groups.setdefault((extents[i], levels[i], node.op, len(node.inputs)), []).append(i)
        self._groups = <ov_node_group*>self._pool.take(len(groups), sizeof(ov_node_group))
        ordered = sorted(groups.items())
        for extent in range(3):
            self._group_counts[<size_t>extent] = sum(1 for key, _ in ordered if key[0] <= extent)
        for g, ((_, _, op, arity), members) in enumerate(ordered):
            group = &self._groups[<size_t>g]
            inputs = <uint32_t*>self._pool.take(len(members) * arity, sizeof(uint32_t))
            group.is_or = op == bundle.NODE_OR
            group.arity = arity
            group.count = <uint32_t>len(members)
            group.output = position
            group.inputs = inputs
            k = 0
            for i in members:
                self.positions[<size_t>(first + i)] = position
                position += 1
                for ref in nodes[i].inputs:
                    inputs[k] = self.positions[<size_t>ref]
                    k += 1

    cdef void evaluate(
        self, const ov_value* values, int64_t now, Extent extent, uint8_t* literals
    ) noexcept nogil:
        """Fill the plane of literals from the values of the attributes.

        Parameters
        ----------
        values : IN, one per attribute of the bundle
        now : ms since 1970 UTC
        extent : which conditions and nodes to evaluate; the literals of the others stay as they were
        literals : OUT, `literal_count` bytes
        """
        cdef uint32_t n = self.condition_count
        cdef size_t whole = extent > DECIDE
        cdef size_t i
        cdef const HasTest* has
        literals[0] = 1
        literals[n] = 0
        for i in range(self._range_counts[whole]):
            _run_range(&self._ranges[i], &values[self._ranges[i].attribute], literals, n)
        for i in range(self._text_counts[whole]):
            _run_text(&self._texts[i], &values[self._texts[i].attribute], literals, n)
        for i in range(self._has_counts[whole]):
            has = &self._has[i]
            literals[has.position] = values[has.attribute].held
            literals[has.position + n] = values[has.attribute].held ^ 1
        for i in range(self._part_counts[whole]):
            _run_part(&self._parts[i], &values[self._parts[i].attribute], literals, n)
        for i in range(self._program_counts[whole]):
            _run_program(&self._programs[i], values, now, literals, n)
        ov_run_nodes(self._groups, self._group_counts[<size_t>extent], literals)

    cdef list matching(self, const uint8_t* literals):
        """Indexes of the rules that are definitely true in an evaluated plane of extent MATCH or more."""
        cdef uint32_t i
        cdef uint32_t count = 0
        cdef list result
        # Written always and kept if it holds: a branch on a rule's outcome would often be mispredicted.
        for i in range(self.rule_count):
            self._hits[count] = i
            count += literals[self.rule_true[i]]
        result = PyList_New(count)
        for i in range(count):
            number = self._numbers[self._hits[i]]
            Py_INCREF(number)
            PyList_SET_ITEM(result, i, number)
        return result


def _kind(condition):
    """An empty range is a test that no value passes: a string test without literals says the same."""
    if condition.op == bundle.OP_RANGE and condition.lo > condition.hi:
        return SINGLES
    return KIND_OF_OP.get(condition.op, CONSTANT)


def _groups(conditions, members, early):
    """[(late, attribute, [(condition index, condition)])] of members that are in that order already."""
    groups = {}
    for i in members:
        key = (i not in early, _kind(conditions[i]), conditions[i].attribute)
        groups.setdefault(key, []).append((i, conditions[i]))
    return [(late, attribute, found) for (late, _, attribute), found in groups.items()]


def _counts(members, early):
    """How many are needed for deciding, and how many there are."""
    return [sum([i in early for i in members]), len(members)]


def early_conditions(document, frozenset deciding):
    """The indexes of the conditions on which the literals that decisions read rest."""
    first = 2 * len(document.tables.conditions)
    needed = set(deciding)
    for i in range(len(document.tables.nodes) - 1, -1, -1):  # inputs come before
        if first + i in needed:
            needed.update(document.tables.nodes[i].inputs)
    return frozenset([ref >> 1 for ref in needed if ref < first])


def _extents(nodes, first, deciding, matching):
    """For each node the smallest extent that needs it: nodes come after their inputs, so one pass backwards
    marks all.
    """
    extents = [EXPLAIN] * len(nodes)
    for extent, refs in ((MATCH, matching), (DECIDE, deciding)):
        for ref in refs:
            if ref >= first:
                extents[ref - first] = extent
    for i in range(len(nodes) - 1, -1, -1):
        for ref in nodes[i].inputs:
            if ref >= first:
                extents[ref - first] = min(extents[ref - first], extents[i])
    return extents


cdef uint64_t _hash(bytes text):
    return xxh64_c(<const octet_t*><const char*>text, len(text), 0)


cdef inline void _run_range(
    const RangeGroup* group, const ov_value* value, uint8_t* literals, uint32_t n
) noexcept nogil:
    cdef uint8_t* is_true = literals + group.begin
    if value.type == OV_MISSING:
        memset(is_true, 0, group.count)
        memset(is_true + n, 0, group.count)
    elif value.type == OV_FLOAT and value.real != value.real:
        memset(is_true, 0, group.count)
        memset(is_true + n, 1, group.count)
    else:
        ov_range_tests(value.number, group.lo, group.span, group.count, is_true, is_true + n)


cdef inline void _hit(
    const TextGroup* group, uint64_t number, const char* text, uint32_t length, uint8_t* literals, uint32_t n
) noexcept nogil:
    """Look one string up by hash, compare the bytes, and make the conditions that ask for it true."""
    cdef const TextLiteral* literal
    cdef uint32_t low = 0
    cdef uint32_t high = group.literal_count
    cdef uint32_t middle, i
    while low < high:
        middle = (low + high) >> 1
        if group.literals[middle].hash < number:
            low = middle + 1
        else:
            high = middle
    while low < group.literal_count and group.literals[low].hash == number:
        literal = &group.literals[low]
        if literal.length == length and memcmp(literal.text, text, length) == 0:
            for i in range(literal.hit_count):
                literals[literal.hits[i]] = 1
                literals[literal.hits[i] + n] = 0
            return
        low += 1


cdef inline void _run_text(
    const TextGroup* group, const ov_value* value, uint8_t* literals, uint32_t n
) noexcept nogil:
    cdef uint8_t* is_true = literals + group.begin
    cdef const char* at = value.text
    cdef ov_entry entry
    cdef uint16_t _i
    memset(is_true, 0, group.count)
    memset(is_true + n, value.type != OV_MISSING, group.count)
    if value.type == OV_MISSING or group.literal_count == 0:
        return
    if not group.many:
        _hit(group, <uint64_t>value.number, value.text, value.length, literals, n)
        return
    for _i in range(value.count):
        at = ov_next_entry(at, &entry)
        if entry.seen > value.cut:
            _hit(group, entry.hash, entry.text, entry.length, literals, n)


cdef inline void _run_part(
    const PartTest* test, const ov_value* value, uint8_t* literals, uint32_t n
) noexcept nogil:
    cdef bint hit
    if value.type == OV_MISSING:
        literals[test.position] = 0
        literals[test.position + n] = 0
        return
    if test.op == C_OP_CONTAINS:
        hit = ov_contains(value.text, value.length, test.text, test.length)
    elif test.op == C_OP_STARTS:
        hit = ov_starts(value.text, value.length, test.text, test.length)
    else:
        hit = ov_ends(value.text, value.length, test.text, test.length)
    literals[test.position] = hit
    literals[test.position + n] = not hit


cdef inline void _run_program(
    const ProgramTest* test, const ov_value* values, int64_t now, uint8_t* literals, uint32_t n
) noexcept nogil:
    cdef int verdict = ov_run_program(test.steps, test.step_count, values, now)
    literals[test.position] = verdict == 1
    literals[test.position + n] = verdict == 0
