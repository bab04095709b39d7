"""Which rules an index takes, and through what it reaches them (docs/decisions/0004-bundle-and-tables.md).

For each rule: its formula, and for each attribute that it names the classes of values in which it may hold.
"""

cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from core._types cimport octet_t
from core.conditions cimport PartTest, TextGroup, build_program, take_literals
from core.hashing cimport xxh64_c
from core.memory cimport Pool

from core import bundle

#: The share of values, of both attributes together, that may let a rule of the index pass.
cdef double INDEX_SHARE_MAX = 1.0 / 16.0
#: The share of values of one attribute that is small enough not to ask for a second one.
cdef double LONE_SHARE_MAX = 1.0 / 32.0
#: What is taken for the share of a literal that says nothing about it: such ones come last.
cdef double UNKNOWN_SHARE = 1.0

cdef enum:
    FORMULA_WORDS_MAX = 512  # a rule whose formula is longer is not indexed
    FORMULA_DEPTH_MAX = 8
    FORMULA_ATTRIBUTES_MAX = 32  # more of them are not considered as ways to a rule
    BOUNDS_MAX = 253
    TOO_LONG = -1


@cython.final
cdef class IndexPlan:
    """The rules of one checked bundle as an index sees them. `needed`: the literals that decisions need
    anyhow, whose rules have no use for an index.

    A formula is words: the number of its clauses, for each clause the number of its terms, for each term
    the number of its literals, and these. A clause holds where one of its terms does, a term where all its
    literals do.
    """

    def __cinit__(self, document not None, frozenset needed not None):
        cdef size_t number
        cdef int size
        rules, conditions = document.rules, document.tables.conditions
        self.kept, self._pool = Pool(), Pool()
        self._first = <uint32_t>(2 * len(conditions))
        self._draft = <uint32_t*>self._pool.take(FORMULA_WORDS_MAX + 1, sizeof(uint32_t))
        self._access_of = <int32_t*>self._pool.take(len(document.attributes), sizeof(int32_t))
        self.classes = <Classes*>self._pool.take(2 * <size_t>len(rules), sizeof(Classes))
        self.formulas = <uint32_t**>self._pool.take(len(rules), sizeof(uint32_t*))
        self._take_nodes(document.tables.nodes)
        self._take_conditions(conditions)
        self._take_access(document.attributes, conditions)
        self.lone, self.paired = [], []
        for number, rule in enumerate(rules):
            size = TOO_LONG if rule.true_ref in needed else self._conjunction(rule.true_ref, 0, 0)
            if size < 0:
                continue
            found = self._choose(size, &self.classes[2 * number], &self.classes[2 * number + 1])
            if found is not None:
                self.formulas[number] = self._ordered(size)
                (self.lone if found[1] < 0 else self.paired).append((*found, number))

    def __reduce__(self):
        raise TypeError("an IndexPlan holds addresses and cannot be pickled")

    # What the bundle says, as C.

    cdef _take_nodes(self, list nodes):
        cdef size_t i, k
        cdef uint32_t* inputs
        cdef size_t total = sum([len(node.inputs) for node in nodes])
        self._branches = <Branch*>self._pool.take(len(nodes), sizeof(Branch))
        inputs = <uint32_t*>self._pool.take(total, sizeof(uint32_t))
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
        self.access = <Access*>self.kept.take(len(named), sizeof(Access))
        for attribute, found in sorted(named.items()):
            if attribute < 0 or not found:
                continue
            self._access_of[<size_t>attribute] = <int32_t>self.access_count
            access = &self.access[self.access_count]
            self.access_count += 1
            access.attribute = attribute
            access.is_text = attributes[attribute].type == bundle.STRING
            if access.is_text:
                numbers = sorted({_hash(text.encode()) for text in found})
                hashes = <uint64_t*>self.kept.take(len(numbers), sizeof(uint64_t))
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
                bounds = <int64_t*>self.kept.take(len(ordered), sizeof(int64_t))
                for i, bound in enumerate(ordered):
                    bounds[i] = bound
                access.bounds = bounds
                access.bound_count = <uint32_t>len(ordered)
                access.class_count = access.bound_count + 1

    cdef _take_conditions(self, list conditions):
        """Make the conditions ready to be evaluated one by one."""
        cdef Literal* lone
        cdef TextGroup* group
        cdef PartTest* part
        cdef bytes text
        self.conditions = <Literal*>self._pool.take(len(conditions), sizeof(Literal))
        for index, condition in enumerate(conditions):
            lone = &self.conditions[<size_t>index]
            lone.op = condition.op
            lone.attribute = max(condition.attribute, 0)
            lone.lo, lone.hi = condition.lo, condition.hi
            if lone.op == C_OP_STRING_IN or lone.op == C_OP_ANY_IN:
                group = <TextGroup*>self.kept.take(1, sizeof(TextGroup))
                take_literals(self.kept, group, condition.strings)
                lone.data = group
                if group.literal_count == 1:
                    lone.single = 1
                    lone.lo = <int64_t>group.hashes[0]
            elif lone.op == C_OP_PROGRAM:
                lone.data = build_program(self.kept, condition.program)
                lone.hi = len(condition.program)
            elif condition.strings:
                text = condition.strings[0].encode()
                part = <PartTest*>self.kept.take(1, sizeof(PartTest))
                part.op = lone.op
                part.text = self.kept.copy(text)
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
        cdef const Literal* lone = &self.conditions[ref >> 1]
        cdef const Access* access
        cdef const TextGroup* group
        cdef Classes found = _all_classes()
        cdef uint32_t low, high, i
        if lone.op in (C_OP_CONSTANT, C_OP_HAS, C_OP_PROGRAM, C_OP_GENERAL, C_OP_ANY_IN):
            return found
        found.words[0] &= ~<uint64_t>1  # an error is neither definitely true nor definitely false
        if lone.op == C_OP_RANGE and lone.lo > lone.hi:
            return found if ref & 1 else _no_classes()
        if self._access_of[lone.attribute] < 0:
            return found
        access = &self.access[self._access_of[lone.attribute]]
        if lone.op == C_OP_STRING_IN and not ref & 1:
            group = <const TextGroup*>lone.data
            found = _no_classes()
            for i in range(group.literal_count):
                _add_class(&found, class_of_hash(access, group.hashes[i]))
            return found
        if lone.op != C_OP_RANGE:
            return found
        low, high = class_of_key(access, lone.lo), class_of_key(access, lone.hi)
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
                if self.conditions[at[1 + i] >> 1].op in (C_OP_CONSTANT, C_OP_PROGRAM, C_OP_GENERAL):
                    continue
                if self.conditions[at[1 + i] >> 1].attribute == attribute:
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
                access = self._access_of[self.conditions[at[1 + i] >> 1].attribute]
                if access < 0 or self.conditions[at[1 + i] >> 1].op in (C_OP_PROGRAM, C_OP_GENERAL):
                    term *= UNKNOWN_SHARE
                else:
                    classes = self._literal_classes(at[1 + i])
                    term *= self._share(&classes, &self.access[access])
            total += term
            at += 1 + at[0]
        return min(total, 1.0)

    cdef tuple _choose(self, int size, Classes* first, Classes* second):
        """The two accesses (ascending) that say most about the drafted rule and their classes; the second
        is -1 where one says enough; None where they say too little.
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
            share = self._share(&classes, &self.access[access])
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
        cdef uint32_t _clause, terms, i, k, attribute
        cdef const uint32_t* at = self._draft
        cdef const uint32_t* end = at + size
        while at < end:
            terms = at[0]
            at += 1
            for _clause in range(terms):
                for i in range(at[0]):
                    attribute = self.conditions[at[1 + i] >> 1].attribute
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
        cdef int at = 0
        while at < size:
            clause = self._clause_classes(self._draft + at, attribute)
            for w in range(4):
                found.words[w] &= clause.words[w]
            at = _clause_end(self._draft, at)
        return found

    cdef uint32_t* _ordered(self, int size) except NULL:
        """The drafted rule, its clauses counted and those first that hold least often."""
        cdef uint32_t* out = <uint32_t*>self._pool.take(<size_t>size + 1, sizeof(uint32_t))
        cdef uint32_t* to = out + 1
        cdef int at = 0
        cdef int begin
        clauses = []
        while at < size:
            begin = at
            at = _clause_end(self._draft, at)
            clauses.append((self._clause_share(self._draft + begin), begin, at - begin))
        out[0] = <uint32_t>len(clauses)
        for _, start, length in sorted(clauses):
            memcpy(to, self._draft + <size_t>start, <size_t>length * sizeof(uint32_t))
            to += <size_t>length
        return out


cdef uint64_t _hash(bytes text):
    return xxh64_c(<const octet_t*><const char*>text, len(text), 0)


cdef inline int _clause_end(const uint32_t* words, int at) noexcept:
    """Where the clause at words[at] ends."""
    cdef uint32_t terms = words[at]
    at += 1
    while terms > 0:
        terms -= 1
        at += 1 + <int>words[at]
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
