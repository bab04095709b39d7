"""The index of rules that few profiles can match (docs/decisions/0004-bundle-and-tables.md).

A rule that is an AND can only hold where each of its members can. For the two attributes that say most
about a rule, the index knows for each class of their values whether the rule may hold, as one bit; 64 rules
with the same two attributes are a block, so a block is one AND of two words, and only rules whose bit is
left are looked at. Classes are wider than conditions, never narrower: a bit that is 0 is a proof, a bit
that is 1 is a question that the rule's own conditions answer. (Lakshman & Stiliadis, SIGCOMM 1998, match
packets so; Whang et al., VLDB 2009, and Sadoghi & Jacobsen, SIGMOD 2011, choose the attributes by what they
say.)
"""

from collections import Counter

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from core.conditions cimport PartTest, TextGroup, find_literal, ov_run_program, ov_step, part_holds
from core.generals cimport G_FALSE, G_TRUE, G_UNKNOWN, Generals
from core.index_plan cimport (
    C_OP_ANY_IN,
    C_OP_CONSTANT,
    C_OP_GENERAL,
    C_OP_HAS,
    C_OP_PROGRAM,
    C_OP_RANGE,
    C_OP_STRING_IN,
    CLASSES,
    Access,
    Classes,
    IndexPlan,
    Literal,
    class_of,
)
from core.memory cimport Pool
from core.values cimport OV_FLOAT, OV_MISSING, ov_entry, ov_next_entry, ov_value

cdef extern from "bits.h":
    int ov_lowest_bit(uint64_t word) noexcept nogil
    void ov_prefetch(const void* at) noexcept nogil

#: Below so many rules that are worth it there is no index: a thousand cost 3 us as tables, and planning an
#: index for them took a quarter of the time in which a bundle is loaded.
cdef Py_ssize_t INDEX_RULES_MIN = 1024

cdef enum:
    BLOCK_RULES = 64
    LONE_RULES_MIN = 8
    PAIRED_RULES_MIN = 16
    AHEAD = 16  # rules between asking for memory and reading it

    # What `_held` says of a rule of the index: all is C, or a general condition is asked too.
    HOLDS = 1
    RESTS = 2

    # What ends with a literal.
    END_NOTHING = 0
    END_TERM = 1
    END_CLAUSE = 2
    END_FORMULA = 3


@cython.final
cdef class RuleIndex:
    """The index over the rules of one checked bundle. `needed`: the literals that decisions need anyhow,
    whose rules have no use for it.
    """

    def __cinit__(self, document not None, frozenset needed not None):
        cdef IndexPlan plan
        cdef size_t rules = len(document.rules)
        self._pool = Pool()
        self._held = <uint8_t*>self._pool.take(rules, 1)
        self._place_of = <uint32_t*>self._pool.take(rules, sizeof(uint32_t))
        if rules < <size_t>INDEX_RULES_MIN:
            return
        plan = IndexPlan(document, needed)
        lone, paired = _crowded(plan.lone, LONE_RULES_MIN), _crowded(plan.paired, PAIRED_RULES_MIN)
        if len(lone) + len(paired) < INDEX_RULES_MIN:
            return
        self._kept, self._access, self.access_count = plan.kept, plan.access, plan.access_count
        self._lay_out(lone, paired, plan)
        self._rows = <const uint64_t**>self._pool.take(self.access_count, sizeof(uint64_t*))
        self._summary = (rules + 63) // 64
        self.mark_words = self._summary + (self._summary + 63) // 64
        self._marks = <uint64_t*>self._pool.take(self.mark_words, sizeof(uint64_t))
        self._found = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))

    def __reduce__(self):
        raise TypeError("a RuleIndex holds addresses and cannot be pickled")

    cdef bint holds(self, size_t rule) noexcept nogil:
        return self._held[rule] != 0

    cdef bint rests_on_general(self, size_t rule) noexcept nogil:
        return self._held[rule] == RESTS

    cdef _lay_out(self, list lone, list paired, IndexPlan plan):
        """Put the rules, [(first access, second access, number)] in that order, into blocks, and fill
        the rows.
        """
        cdef Access* access
        cdef Block* block = NULL
        cdef uint32_t i, number, literals
        cdef uint32_t lone_count = <uint32_t>len(lone)
        cdef const Classes* classes = plan.classes
        cdef int32_t first, second
        self.rule_count = lone_count + <uint32_t>len(paired)
        self._places = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        self._begins = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        self._blocks = <Block*>self._pool.take(len(paired), sizeof(Block))
        for i in range(lone_count):
            first, _, number = lone[i]
            access = &self._access[first]
            if access.lone_columns == 0:
                access.lone_rules = i
            access.lone_columns = access.columns = (i - access.lone_rules) // BLOCK_RULES + 1
            self._place(i, number)
        for i in range(lone_count, self.rule_count):
            first, second, number = paired[i - lone_count]
            if (
                block == NULL
                or i - block.rules == BLOCK_RULES
                or block.first != <uint32_t>first
                or block.second != <uint32_t>second
            ):
                block = &self._blocks[self._block_count]
                self._block_count += 1
                block.first, block.second, block.rules = first, second, i
                block.first_column = self._access[first].columns
                self._access[first].columns += 1
                block.second_column = self._access[second].columns
                self._access[second].columns += 1
            self._place(i, number)
        for i in range(self.access_count):
            access = &self._access[i]
            access.rows = <uint64_t*>self._pool.take(CLASSES * <size_t>access.columns, sizeof(uint64_t))
        for i in range(lone_count):
            access = &self._access[<size_t>lone[i][0]]
            number = i - access.lone_rules
            _fill(access, number // BLOCK_RULES, number % BLOCK_RULES, &classes[2 * <size_t>self._places[i]])
        for i in range(self._block_count):
            block = &self._blocks[i]
            number = block.rules
            literals = self._blocks[i + 1].rules if i + 1 < self._block_count else self.rule_count
            for number in range(block.rules, literals):
                first = <int32_t>(number - block.rules)
                _fill(&self._access[block.first], block.first_column, first,
                      &classes[2 * <size_t>self._places[number]])
                _fill(&self._access[block.second], block.second_column, first,
                      &classes[2 * <size_t>self._places[number] + 1])
        literals = 0
        for i in range(self.rule_count):
            literals += _literal_count(plan.formulas[self._places[i]])
        self._literals = <Literal*>self._pool.take(literals, sizeof(Literal))
        literals = 0
        for i in range(self.rule_count):
            literals = self._place_literals(plan, i, literals)

    cdef void _place(self, uint32_t place, uint32_t number) noexcept:
        self._places[place] = number
        self._place_of[number] = place
        self._held[number] = HOLDS

    cdef uint32_t _place_literals(self, IndexPlan plan, uint32_t place, uint32_t begin) noexcept:
        """Write a rule's formula as a row of literals; returns where the next one begins."""
        cdef const uint32_t* at = plan.formulas[self._places[place]] + 1
        cdef uint32_t clauses = plan.formulas[self._places[place]][0]
        cdef uint32_t terms, i, count
        self._begins[place] = begin
        while clauses > 0:
            clauses -= 1
            terms = at[0]
            at += 1
            while terms > 0:
                terms -= 1
                count = at[0]
                for i in range(count):
                    self._literals[begin] = plan.conditions[at[1 + i] >> 1]
                    self._literals[begin].negated = at[1 + i] & 1
                    if self._literals[begin].op == C_OP_GENERAL:
                        self.rests = True
                        self._held[self._places[place]] = RESTS
                    begin += 1
                at += 1 + count
                self._literals[begin - 1].ends = END_TERM
            self._literals[begin - 1].ends = END_CLAUSE
        self._literals[begin - 1].ends = END_FORMULA
        return begin

    # Searching.

    cdef uint32_t add(
        self, const ov_value* values, int64_t now, Generals generals, uint32_t* hits, uint32_t count
    ) except? 0xFFFFFFFF:
        cdef uint32_t found, at, total
        self.search(values, now, generals.states, self._rows, self._marks, self._found)
        found = self.drain(self._marks, self._found)
        if self.rests:
            found = self.settle(values, now, generals, self._found, found)
        total = at = count + found
        # Two ascending lists are joined from their ends, in the room that the hits have.
        while found > 0:
            at -= 1
            if count > 0 and hits[count - 1] > self._found[found - 1]:
                count -= 1
                hits[at] = hits[count]
            else:
                found -= 1
                hits[at] = self._found[found]
        return total

    cdef uint32_t settle(
        self, const ov_value* values, int64_t now, Generals generals, uint32_t* found, uint32_t count
    ) except? 0xFFFFFFFF:
        cdef const Literal* literals
        cdef const Literal* literal
        cdef uint32_t i
        cdef uint32_t kept = 0
        cdef bint holds
        for i in range(count):
            if not self.rests_on_general(found[i]):
                found[kept] = found[i]
                kept += 1
                continue
            literals = literal = &self._literals[self._begins[self._place_of[found[i]]]]
            holds = True
            while holds:
                if literal.op == C_OP_GENERAL and generals.states[literal.lo] == G_UNKNOWN:
                    generals.ask(<uint32_t>literal.lo)
                    holds = _formula_holds(literals, values, now, generals.states)
                if literal.ends == END_FORMULA:
                    break
                literal += 1
            found[kept] = found[i]
            kept += holds
        return kept

    cdef void search(
        self, const ov_value* values, int64_t now, const uint8_t* states, const uint64_t** rows,
        uint64_t* marks, uint32_t* asked
    ) noexcept nogil:
        cdef const Access* access
        cdef const Block* block
        cdef uint32_t i, column, number
        cdef uint32_t count = 0
        for i in range(self.access_count):
            access = &self._access[i]
            if access.columns == 0:
                continue
            rows[i] = access.rows + <size_t>class_of(access, &values[access.attribute]) * access.columns
            for column in range(access.lone_columns):
                count = _note(rows[i][column], access.lone_rules + column * BLOCK_RULES, asked, count)
        for i in range(self._block_count):
            block = &self._blocks[i]
            count = _note(
                rows[block.first][block.first_column] & rows[block.second][block.second_column],
                block.rules, asked, count,
            )
        # The rules that are left lie anywhere in a large memory: each is asked for some time before it is
        # read.
        for i in range(min(count, <uint32_t>AHEAD)):
            ov_prefetch(&self._literals[self._begins[asked[i]]])
        for i in range(count):
            if i + AHEAD < count:
                ov_prefetch(&self._literals[self._begins[asked[i + AHEAD]]])
            if _formula_holds(&self._literals[self._begins[asked[i]]], values, now, states):
                number = self._places[asked[i]]
                marks[number >> 6] |= <uint64_t>1 << (number & 63)
                marks[self._summary + (number >> 12)] |= <uint64_t>1 << (number >> 6 & 63)

    cdef uint32_t drain(self, uint64_t* marks, uint32_t* found) noexcept nogil:
        cdef uint64_t* summary = marks + self._summary
        cdef size_t i, word
        cdef uint32_t count = 0
        for i in range(self.mark_words - self._summary):
            while summary[i] != 0:
                word = i << 6 | <size_t>ov_lowest_bit(summary[i])
                summary[i] &= summary[i] - 1
                while marks[word] != 0:
                    found[count] = <uint32_t>(word << 6) | <uint32_t>ov_lowest_bit(marks[word])
                    marks[word] &= marks[word] - 1
                    count += 1
        return count


cdef inline uint32_t _note(uint64_t bits, uint32_t place, uint32_t* asked, uint32_t count) noexcept nogil:
    """Note the places of the rules of a block whose bit is set; returns how many are noted then."""
    while bits != 0:
        asked[count] = place + <uint32_t>ov_lowest_bit(bits)
        bits &= bits - 1
        count += 1
    return count


cdef bint _formula_holds(
    const Literal* literal, const ov_value* values, int64_t now, const uint8_t* states
) noexcept nogil:
    """Walk a formula: a literal that fails ends its term, a term that holds ends its clause."""
    while True:
        if _literal_holds(literal, values, now, states):
            if literal.ends == END_NOTHING:
                literal += 1
                continue
            while literal.ends < END_CLAUSE:
                literal += 1
            if literal.ends == END_FORMULA:
                return True
        else:
            while literal.ends == END_NOTHING:
                literal += 1
            if literal.ends >= END_CLAUSE:
                return False
        literal += 1


cdef inline bint _literal_holds(
    const Literal* literal, const ov_value* values, int64_t now, const uint8_t* states
) noexcept nogil:
    """Whether a literal is 1, as the tables would have it; a general one that is not known may be."""
    cdef const ov_value* value = &values[literal.attribute]
    cdef bint negated = literal.negated
    cdef int verdict
    if literal.op == C_OP_CONSTANT:
        return not negated
    if literal.op == C_OP_HAS:
        return value.held != negated
    if literal.op == C_OP_PROGRAM:
        verdict = ov_run_program(<const ov_step*>literal.data, <size_t>literal.hi, values, now)
        return verdict == (0 if negated else 1)
    if literal.op == C_OP_GENERAL:
        verdict = states[literal.lo]
        return verdict == G_UNKNOWN or verdict == (G_FALSE if negated else G_TRUE)
    if value.type == OV_MISSING:
        return False
    if literal.op == C_OP_RANGE:
        if value.type == OV_FLOAT and value.real != value.real:
            return negated
        return (literal.lo <= value.number <= literal.hi) != negated
    if literal.op == C_OP_STRING_IN:
        if literal.single and literal.lo != value.number:
            return negated
        return _is_literal(<const TextGroup*>literal.data, value) != negated
    if literal.op == C_OP_ANY_IN:
        return _has_literal(<const TextGroup*>literal.data, value) != negated
    return part_holds(<const PartTest*>literal.data, value.text, value.length) != negated


cdef uint32_t _literal_count(const uint32_t* formula) noexcept:
    """Literals of a formula of words."""
    cdef uint32_t count = 0
    cdef uint32_t clauses = formula[0]
    cdef uint32_t terms
    cdef const uint32_t* at = formula + 1
    while clauses > 0:
        clauses -= 1
        terms = at[0]
        at += 1
        while terms > 0:
            terms -= 1
            count += at[0]
            at += 1 + at[0]
    return count


cdef void _fill(const Access* access, uint32_t column, uint32_t bit, const Classes* classes) noexcept:
    """Set the bit of a rule in the rows of the classes that let it pass."""
    cdef uint32_t value
    cdef uint32_t end = CLASSES
    for value in range(end):
        if classes.words[value >> 6] >> (value & 63) & 1:
            access.rows[<size_t>value * access.columns + column] |= <uint64_t>1 << bit


def _crowded(chosen, least):
    """Those of [(first access, second access, number)], in order, that share their accesses with enough
    others: a block costs as much with one rule as with 64.
    """
    counts = Counter([(first, second) for first, second, _ in chosen])
    return sorted([item for item in chosen if counts[item[:2]] >= least])


cdef inline bint _is_literal(const TextGroup* group, const ov_value* value) noexcept nogil:
    return find_literal(group, <uint64_t>value.number, value.text, value.length) < group.literal_count


cdef inline bint _has_literal(const TextGroup* group, const ov_value* value) noexcept nogil:
    cdef const char* at = value.text
    cdef ov_entry entry
    cdef uint16_t _i
    for _i in range(value.count):
        at = ov_next_entry(at, &entry)
        if entry.seen > value.cut:
            if find_literal(group, entry.hash, entry.text, entry.length) < group.literal_count:
                return True
    return False
