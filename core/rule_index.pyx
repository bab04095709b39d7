"""The index of rules that few profiles can match (docs/decisions/0004-bundle-and-tables.md).

A rule that is an AND can only hold where each of its members can. For the two attributes that say most about a rule,
the index knows for each class of their values whether the rule may hold, as one bit; 64 rules with the same two
attributes are a block, so a block is one AND of two words, and only rules whose bit is left are looked at. Classes are
wider than conditions, never narrower: a bit that is 0 is a proof, a bit that is 1 is a question that the rule's own
conditions answer. (Lakshman & Stiliadis, SIGCOMM 1998, match packets so; Whang et al., VLDB 2009, and Sadoghi &
Jacobsen, SIGMOD 2011, choose the attributes by what they say.)
"""

from collections import Counter

cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core._types cimport octet_t
from core.conditions cimport (
    PartTest,
    TextGroup,
    build_program,
    find_literal,
    ov_find_hash,
    ov_rank,
    ov_run_program,
    ov_step,
    part_holds,
    take_literals,
)
from core.hashing cimport xxh64_c
from core.memory cimport Pool
from core.values cimport OV_FLOAT, OV_MISSING, ov_entry, ov_next_entry, ov_value

from core import bundle

cdef extern from "bits.h":
    int ov_lowest_bit(uint64_t word) noexcept nogil

#: Below so many rules that are worth it there is no index.
cdef Py_ssize_t INDEX_RULES_MIN = 512
#: The share of values, of both attributes together, that may let a rule of the index pass.
cdef double INDEX_SHARE_MAX = 1.0 / 16.0
#: The share of values of one attribute that is small enough not to ask for a second one.
cdef double LONE_SHARE_MAX = 1.0 / 32.0
#: What is taken for the share of a literal that says nothing about it: such ones come last.
cdef double UNKNOWN_SHARE = 1.0

cdef enum:
    C_OP_CONSTANT = 0
    C_OP_RANGE = 1
    C_OP_STRING_IN = 2
    C_OP_HAS = 3
    C_OP_CONTAINS = 4
    C_OP_STARTS = 5
    C_OP_ENDS = 6
    C_OP_ANY_IN = 7
    C_OP_PROGRAM = 8

    FORMULA_WORDS_MAX = 512  # a rule whose formula is longer is not indexed
    FORMULA_DEPTH_MAX = 8
    FORMULA_ATTRIBUTES_MAX = 32  # more of them are not considered as ways to a rule
    BLOCK_RULES = 64
    LONE_RULES_MIN = 8
    PAIRED_RULES_MIN = 16
    CLASSES = 256
    CLASS_MISSING = 0
    CLASS_NAN = 255
    BOUNDS_MAX = 253
    TEXT_CLASSES_MAX = 254
    TOO_LONG = -1

    # What ends with a literal.
    END_NOTHING = 0
    END_TERM = 1
    END_CLAUSE = 2
    END_FORMULA = 3


@cython.final
cdef class RuleIndex:
    """The index over the rules of one checked bundle. `needed`: the literals that decisions need anyhow, whose rules
    have no use for it.

    While the index is built a formula is words: the number of its clauses, for each clause the number of its terms, for each term the number of its literals, and these.
    A clause holds where one of its terms does, a term where all its literals do.
    """

    def __cinit__(self, document not None, frozenset needed not None):
        cdef size_t number
        cdef int size
        cdef Classes* classes
        rules, conditions = document.rules, document.tables.conditions
        self._pool = Pool()
        self._held = <uint8_t*>self._pool.take(len(rules), 1)
        if len(rules) < INDEX_RULES_MIN:
            return
        building = Pool()  # what only the making of the index needs
        self._first = <uint32_t>(2 * len(conditions))
        self._draft = <uint32_t*>building.take(FORMULA_WORDS_MAX + 1, sizeof(uint32_t))
        self._access_of = <int32_t*>building.take(len(document.attributes), sizeof(int32_t))
        classes = <Classes*>building.take(2 * <size_t>len(rules), sizeof(Classes))
        self._take_nodes(building, document.tables.nodes)
        self._take_conditions(building, conditions)
        self._take_access(document.attributes, conditions)
        self._formulas = <uint32_t**>building.take(len(rules), sizeof(uint32_t*))
        lone, paired = [], []
        for number, rule in enumerate(rules):
            size = TOO_LONG if rule.true_ref in needed else self._conjunction(rule.true_ref, 0, 0)
            if size < 0:
                continue
            found = self._choose(size, &classes[2 * number], &classes[2 * number + 1])
            if found is not None:
                self._formulas[number] = self._ordered(building, size)
                (lone if found[1] < 0 else paired).append((*found, number))
        lone, paired = _crowded(lone, LONE_RULES_MIN), _crowded(paired, PAIRED_RULES_MIN)
        if len(lone) + len(paired) >= INDEX_RULES_MIN:
            self._lay_out(lone, paired, classes)
        self._rows = <const uint64_t**>self._pool.take(self.access_count, sizeof(uint64_t*))
        self._summary = (<size_t>len(rules) + 63) // 64
        self.mark_words = self._summary + (self._summary + 63) // 64
        self._marks = <uint64_t*>self._pool.take(self.mark_words, sizeof(uint64_t))
        self._found = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        self._branches, self._access_of, self._draft = NULL, NULL, NULL
        self._conditions, self._formulas = NULL, NULL

    def __reduce__(self):
        raise TypeError("a RuleIndex holds addresses and cannot be pickled")

    cdef bint holds(self, size_t rule) noexcept nogil:
        return self._held[rule]

    # What the bundle says, as C.

    cdef _take_nodes(self, Pool building, list nodes):
        cdef size_t i, k
        cdef uint32_t* inputs
        cdef size_t total = sum([len(node.inputs) for node in nodes])
        self._branches = <Branch*>building.take(len(nodes), sizeof(Branch))
        inputs = <uint32_t*>building.take(total, sizeof(uint32_t))
        for i, node in enumerate(nodes):
            refs = node.inputs
            self._branches[i].is_or = node.op == bundle.NODE_OR
            self._branches[i].count = <uint32_t>len(refs)
            self._branches[i].inputs = inputs
            for k in range(<size_t>len(refs)):
                inputs[k] = refs[k]
            inputs += len(refs)

    cdef _take_access(self, list attributes, list conditions):
        """The classes of each attribute that ranges or strings are tested on."""
        cdef Access* access
        cdef int64_t* bounds
        cdef uint64_t* hashes
        cdef size_t i
        named = {}
        for condition in conditions:
            found = named.setdefault(condition.attribute, set())
            if condition.op == bundle.OP_RANGE and condition.lo <= condition.hi:
                found.add(condition.lo)
                if condition.hi < INT64_MAX:
                    found.add(condition.hi + 1)
                found.discard(INT64_MIN)
            elif condition.op == bundle.OP_STRING_IN:
                found.update(condition.strings)
        for i in range(<size_t>len(attributes)):
            self._access_of[i] = -1
        self._access = <Access*>self._pool.take(len(named), sizeof(Access))
        for attribute, found in sorted(named.items()):
            if attribute < 0 or not found:
                continue
            self._access_of[<size_t>attribute] = <int32_t>self.access_count
            access = &self._access[self.access_count]
            self.access_count += 1
            access.attribute = attribute
            access.is_text = attributes[attribute].type == bundle.STRING
            if access.is_text:
                numbers = sorted({_hash(text.encode()) for text in found})
                hashes = <uint64_t*>self._pool.take(len(numbers), sizeof(uint64_t))
                for i, one in enumerate(numbers):
                    hashes[i] = one
                access.hashes = hashes
                access.hash_count = <uint32_t>len(numbers)
                access.folded = access.hash_count > TEXT_CLASSES_MAX - 1
                access.class_count = TEXT_CLASSES_MAX if access.folded else access.hash_count + 1
            else:
                ordered = sorted(found)
                if len(ordered) > BOUNDS_MAX:
                    ordered = [ordered[at * len(ordered) // BOUNDS_MAX] for at in range(BOUNDS_MAX)]
                bounds = <int64_t*>self._pool.take(len(ordered), sizeof(int64_t))
                for i, bound in enumerate(ordered):
                    bounds[i] = bound
                access.bounds = bounds
                access.bound_count = <uint32_t>len(ordered)
                access.class_count = access.bound_count + 1

    cdef _take_conditions(self, Pool building, list conditions):
        """Make the conditions ready to be evaluated one by one."""
        cdef Literal* lone
        cdef TextGroup* group
        cdef PartTest* part
        cdef bytes text
        self._conditions = <Literal*>building.take(len(conditions), sizeof(Literal))
        for index, condition in enumerate(conditions):
            lone = &self._conditions[<size_t>index]
            lone.op = condition.op
            lone.attribute = max(condition.attribute, 0)
            lone.lo, lone.hi = condition.lo, condition.hi
            if lone.op == C_OP_STRING_IN or lone.op == C_OP_ANY_IN:
                group = <TextGroup*>self._pool.take(1, sizeof(TextGroup))
                take_literals(self._pool, group, condition.strings)
                lone.data = group
                if group.literal_count == 1:
                    lone.single = 1
                    lone.lo = <int64_t>group.hashes[0]
            elif lone.op == C_OP_PROGRAM:
                lone.data = build_program(self._pool, condition.program)
                lone.hi = len(condition.program)
            elif condition.strings:
                text = condition.strings[0].encode()
                part = <PartTest*>self._pool.take(1, sizeof(PartTest))
                part.op = lone.op
                part.text = self._pool.copy(text)
                part.length = <uint32_t>len(text)
                lone.data = part

    # A rule's formula, into the draft; TOO_LONG where it is too large or too deep.

    cdef int _conjunction(self, uint32_t ref, int depth, int at) noexcept:
        """Write the clauses of an AND at draft[at]; returns where they end."""
        cdef const Branch* branch
        cdef uint32_t i
        cdef int begin = at
        if depth > FORMULA_DEPTH_MAX or at + 3 > FORMULA_WORDS_MAX:
            return TOO_LONG
        if ref < self._first:
            self._draft[at], self._draft[at + 1], self._draft[at + 2] = 1, 1, ref
            return at + 3
        branch = &self._branches[ref - self._first]
        if branch.is_or:
            self._draft[begin] = 0
            return self._disjunction(ref, depth, at + 1, &self._draft[begin])
        for i in range(branch.count):
            at = self._conjunction(branch.inputs[i], depth + 1, at)
            if at < 0:
                return TOO_LONG
        return at

    cdef int _disjunction(self, uint32_t ref, int depth, int at, uint32_t* terms) noexcept:
        """Write the terms of an OR at draft[at], counting them; returns where they end."""
        cdef const Branch* branch
        cdef uint32_t i
        if depth > FORMULA_DEPTH_MAX or at + 2 > FORMULA_WORDS_MAX:
            return TOO_LONG
        if ref < self._first:
            self._draft[at], self._draft[at + 1] = 1, ref
            terms[0] += 1
            return at + 2
        branch = &self._branches[ref - self._first]
        if branch.is_or:
            for i in range(branch.count):
                at = self._disjunction(branch.inputs[i], depth + 1, at, terms)
                if at < 0:
                    return TOO_LONG
            return at
        if at + 1 + <int64_t>branch.count > FORMULA_WORDS_MAX:
            return TOO_LONG
        self._draft[at] = branch.count
        terms[0] += 1
        for i in range(branch.count):
            if branch.inputs[i] >= self._first:
                return TOO_LONG
            self._draft[at + 1 + <int>i] = branch.inputs[i]
        return at + 1 + <int>branch.count

    # What a value's class says about literals, clauses and rules.

    cdef Classes _literal_classes(self, uint32_t ref) noexcept:
        """The classes of the condition's own attribute in which the literal may hold."""
        cdef const Literal* lone = &self._conditions[ref >> 1]
        cdef const Access* access
        cdef const TextGroup* group
        cdef Classes found = _all_classes()
        cdef uint32_t low, high, i
        if lone.op in (C_OP_CONSTANT, C_OP_HAS, C_OP_PROGRAM, C_OP_ANY_IN):
            return found
        found.words[0] &= ~<uint64_t>1  # an error is neither definitely true nor definitely false
        if lone.op == C_OP_RANGE and lone.lo > lone.hi:
            return found if ref & 1 else _no_classes()
        if self._access_of[lone.attribute] < 0:
            return found
        access = &self._access[self._access_of[lone.attribute]]
        if lone.op == C_OP_STRING_IN and not ref & 1:
            group = <const TextGroup*>lone.data
            found = _no_classes()
            for i in range(group.literal_count):
                _add_class(&found, _class_of_hash(access, group.hashes[i]))
            return found
        if lone.op != C_OP_RANGE:
            return found
        low, high = _class_of_key(access, lone.lo), _class_of_key(access, lone.hi)
        if ref & 1:
            # A class is out of the question only where all of it lies inside the range.
            if access.bounds[low - 2] != lone.lo if low > 1 else lone.lo != INT64_MIN:
                low += 1
            if access.bounds[high - 1] - 1 != lone.hi if high <= access.bound_count else lone.hi != INT64_MAX:
                high -= 1
            for i in range(low, high + 1):
                found.words[i >> 6] &= ~(<uint64_t>1 << (i & 63))
            return found
        found = _no_classes()
        for i in range(low, high + 1):
            _add_class(&found, i)
        return found

    cdef Classes _clause_classes(self, const uint32_t* clause, uint32_t attribute) noexcept:
        """The classes of one attribute in which a clause may hold, whatever the others are."""
        cdef Classes found = _no_classes()
        cdef Classes term, literal
        cdef uint32_t _term, i, w
        cdef const uint32_t* at = clause + 1
        for _term in range(clause[0]):
            term = _all_classes()
            for i in range(at[0]):
                if self._conditions[at[1 + i] >> 1].op in (C_OP_CONSTANT, C_OP_PROGRAM):
                    continue
                if self._conditions[at[1 + i] >> 1].attribute == attribute:
                    literal = self._literal_classes(at[1 + i])
                    for w in range(4):
                        term.words[w] &= literal.words[w]
            for w in range(4):
                found.words[w] |= term.words[w]
            at += 1 + at[0]
        return found

    cdef double _share(self, const Classes* classes, const Access* access) noexcept:
        """Which part of the classes that values can have are among these."""
        cdef uint32_t i
        cdef uint32_t count = 0
        for i in range(1, access.class_count + 1):
            count += classes.words[i >> 6] >> (i & 63) & 1
        return <double>count / access.class_count

    cdef double _clause_share(self, const uint32_t* clause) noexcept:
        """How likely a clause is to hold, taking its classes for equally likely."""
        cdef const uint32_t* at = clause + 1
        cdef double total = 0.0
        cdef double term
        cdef Classes classes
        cdef uint32_t _term, i
        cdef int32_t access
        for _term in range(clause[0]):
            term = 1.0
            for i in range(at[0]):
                access = self._access_of[self._conditions[at[1 + i] >> 1].attribute]
                if access < 0 or self._conditions[at[1 + i] >> 1].op == C_OP_PROGRAM:
                    term *= UNKNOWN_SHARE
                else:
                    classes = self._literal_classes(at[1 + i])
                    term *= self._share(&classes, &self._access[access])
            total += term
            at += 1 + at[0]
        return min(total, 1.0)

    cdef tuple _choose(self, int size, Classes* first, Classes* second):
        """The two accesses (ascending) that say most about the drafted rule and their classes; the second is -1 where
        one says enough; None where they say too little.
        """
        cdef double best = 2.0
        cdef double next_best = 2.0
        cdef double share
        cdef int32_t best_access = -1
        cdef int32_t next_access = -1
        cdef int32_t access
        cdef Classes classes
        cdef uint32_t[FORMULA_ATTRIBUTES_MAX] seen
        cdef uint32_t seen_count = self._attributes_of(size, seen)
        cdef uint32_t i
        for i in range(seen_count):
            access = self._access_of[seen[i]]
            if access < 0:
                continue
            classes = self._rule_classes(size, seen[i])
            share = self._share(&classes, &self._access[access])
            if share < best:
                next_best, next_access = best, best_access
                second[0] = first[0]
                best, best_access = share, access
                first[0] = classes
            elif share < next_best:
                next_best, next_access = share, access
                second[0] = classes
        if best_access < 0:
            return None
        if best <= LONE_SHARE_MAX or (next_access < 0 and best <= INDEX_SHARE_MAX):
            return best_access, -1
        if next_access < 0 or best * next_best > INDEX_SHARE_MAX:
            return None
        if best_access > next_access:
            best_access, next_access = next_access, best_access
            first[0], second[0] = second[0], first[0]
        return best_access, next_access

    cdef uint32_t _attributes_of(self, int size, uint32_t* seen) noexcept:
        """The different attributes that the drafted rule names, the first few of them; returns how many."""
        cdef uint32_t count = 0
        cdef uint32_t clauses, terms, i, k, attribute
        cdef const uint32_t* at = self._draft
        cdef const uint32_t* end = at + size
        while at < end:
            terms = at[0]
            at += 1
            for clauses in range(terms):
                for i in range(at[0]):
                    attribute = self._conditions[at[1 + i] >> 1].attribute
                    k = 0
                    while k < count and seen[k] != attribute:
                        k += 1
                    if k == count and count < FORMULA_ATTRIBUTES_MAX:
                        seen[count] = attribute
                        count += 1
                at += 1 + at[0]
        return count

    cdef Classes _rule_classes(self, int size, uint32_t attribute) noexcept:
        cdef Classes found = _all_classes()
        cdef Classes clause
        cdef uint32_t w
        cdef const uint32_t* at = self._draft
        cdef const uint32_t* end = at + size
        while at < end:
            clause = self._clause_classes(at, attribute)
            for w in range(4):
                found.words[w] &= clause.words[w]
            at = _clause_end(at)
        return found

    cdef uint32_t* _ordered(self, Pool building, int size) except NULL:
        """The drafted rule, its clauses counted and those first that hold least often."""
        cdef uint32_t* out = <uint32_t*>building.take(<size_t>size + 1, sizeof(uint32_t))
        cdef uint32_t* to = out + 1
        cdef const uint32_t* at = self._draft
        cdef const uint32_t* begin
        cdef const uint32_t* end = at + size
        clauses = []
        while at < end:
            begin = at
            at = _clause_end(at)
            clauses.append((self._clause_share(begin), begin - self._draft, at - begin))
        out[0] = <uint32_t>len(clauses)
        for _, start, length in sorted(clauses):
            memcpy(to, self._draft + <size_t>start, <size_t>length * sizeof(uint32_t))
            to += <size_t>length
        return out

    cdef _lay_out(self, list lone, list paired, const Classes* classes):
        """Put the rules, [(first access, second access, number)] in that order, into blocks, and fill the rows."""
        cdef Access* access
        cdef Block* block = NULL
        cdef uint32_t i, number, literals
        cdef uint32_t lone_count = <uint32_t>len(lone)
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
            literals += _literal_count(self._formulas[self._places[i]])
        self._literals = <Literal*>self._pool.take(literals, sizeof(Literal))
        literals = 0
        for i in range(self.rule_count):
            literals = self._place_literals(i, literals)

    cdef void _place(self, uint32_t place, uint32_t number) noexcept:
        self._places[place] = number
        self._held[number] = 1

    cdef uint32_t _place_literals(self, uint32_t place, uint32_t begin) noexcept:
        """Write a rule's formula as a row of literals; returns where the next one begins."""
        cdef const uint32_t* at = self._formulas[self._places[place]] + 1
        cdef uint32_t clauses = self._formulas[self._places[place]][0]
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
                    self._literals[begin] = self._conditions[at[1 + i] >> 1]
                    self._literals[begin].negated = at[1 + i] & 1
                    begin += 1
                at += 1 + count
                self._literals[begin - 1].ends = END_TERM
            self._literals[begin - 1].ends = END_CLAUSE
        self._literals[begin - 1].ends = END_FORMULA
        return begin

    # Searching.

    cdef uint32_t add(
        self, const ov_value* values, int64_t now, uint32_t* hits, uint32_t count
    ) noexcept nogil:
        cdef uint32_t found, at, total
        self.search(values, now, self._rows, self._marks)
        found = self.drain(self._marks, self._found)
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

    cdef void search(
        self, const ov_value* values, int64_t now, const uint64_t** rows, uint64_t* marks
    ) noexcept nogil:
        cdef const Access* access
        cdef const Block* block
        cdef uint64_t open_bits
        cdef uint32_t i, column
        for i in range(self.access_count):
            access = &self._access[i]
            rows[i] = access.rows + <size_t>_class_of(access, &values[access.attribute]) * access.columns
            for column in range(access.lone_columns):
                if rows[i][column] != 0:
                    self._look(rows[i][column], access.lone_rules + column * BLOCK_RULES, values, now, marks)
        for i in range(self._block_count):
            block = &self._blocks[i]
            open_bits = rows[block.first][block.first_column] & rows[block.second][block.second_column]
            if open_bits != 0:
                self._look(open_bits, block.rules, values, now, marks)

    cdef void _look(
        self, uint64_t bits, uint32_t place, const ov_value* values, int64_t now, uint64_t* marks
    ) noexcept nogil:
        """Mark those rules of a block whose bit is set and whose formula holds."""
        cdef uint32_t at, number
        while bits != 0:
            at = place + <uint32_t>ov_lowest_bit(bits)
            bits &= bits - 1
            if _formula_holds(&self._literals[self._begins[at]], values, now):
                number = self._places[at]
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


cdef bint _formula_holds(const Literal* literal, const ov_value* values, int64_t now) noexcept nogil:
    """Walk a formula: a literal that fails ends its term, a term that holds ends its clause."""
    while True:
        if _literal_holds(literal, values, now):
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


cdef inline bint _literal_holds(const Literal* literal, const ov_value* values, int64_t now) noexcept nogil:
    """Whether a literal is 1, as the tables would have it."""
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
    """Those of [(first access, second access, number)], in order, that share their accesses with enough others: a
    block costs as much with one rule as with 64.
    """
    counts = Counter([(first, second) for first, second, _ in chosen])
    return sorted([item for item in chosen if counts[item[:2]] >= least])


cdef uint64_t _hash(bytes text):
    return xxh64_c(<const octet_t*><const char*>text, len(text), 0)


cdef inline const uint32_t* _clause_end(const uint32_t* clause) noexcept:
    cdef uint32_t _term
    cdef const uint32_t* at = clause + 1
    for _term in range(clause[0]):
        at += 1 + at[0]
    return at


cdef inline Classes _all_classes() noexcept:
    cdef Classes found
    memset(&found, 0xFF, sizeof(Classes))
    return found


cdef inline Classes _no_classes() noexcept:
    cdef Classes found
    memset(&found, 0, sizeof(Classes))
    return found


cdef inline void _add_class(Classes* classes, uint32_t value) noexcept:
    classes.words[value >> 6] |= <uint64_t>1 << (value & 63)


cdef inline uint32_t _class_of_key(const Access* access, int64_t key) noexcept nogil:
    return 1 + <uint32_t>ov_rank(access.bounds, access.bound_count, key)


cdef inline uint32_t _class_of_hash(const Access* access, uint64_t number) noexcept nogil:
    cdef size_t at
    if access.folded:
        return 1 + <uint32_t>(number % TEXT_CLASSES_MAX)
    at = ov_find_hash(access.hashes, access.hash_count, number)
    if at < access.hash_count and access.hashes[at] != number:
        at = access.hash_count
    return 1 + <uint32_t>at


cdef inline uint32_t _class_of(const Access* access, const ov_value* value) noexcept nogil:
    if value.type == OV_MISSING:
        return CLASS_MISSING
    if access.is_text:
        return _class_of_hash(access, <uint64_t>value.number)
    if value.type == OV_FLOAT and value.real != value.real:
        return CLASS_NAN
    return _class_of_key(access, value.number)


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
