"""Tables that turn attribute values into literals, and literals into rules
(docs/decisions/0004-bundle-and-tables.md).

`core.conditions` evaluates each distinct condition once; nodes are evaluated in groups of equal level,
operator and arity. The plane of literals is laid out anew here, so that a group writes consecutive bytes:
conditions' true literals, their false literals, nodes. Rules that `core.rule_index` holds have no nodes of
their own in a match.
"""

cimport cython
from cpython.list cimport PyList_New, PyList_SET_ITEM
from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint8_t, uint32_t

from core.conditions cimport DECIDE, EXPLAIN, EXTENTS, MATCH, Conditions, Extent, GeneralTest
from core.generals cimport G_FALSE, G_TRUE, Generals
from core.memory cimport Pool
from core.rule_index cimport RuleIndex
from core.values cimport ov_value

from core import bundle

#: A literal that rests on more general conditions than this counts as resting on all.
cdef Py_ssize_t RESTING_MAX = 64

cdef extern from "tables.h":
    void ov_run_nodes(const ov_node_group* groups, size_t group_count, uint8_t* lit) noexcept nogil
    uint32_t ov_collect(
        const uint32_t* numbers, const uint32_t* refs, uint32_t count, const uint8_t* lit, uint32_t* hits
    ) noexcept nogil


@cython.final
cdef class Tables:
    """The tables of one bundle, already checked by `core.check`. `deciding`: literals that decisions read.

    Nodes that neither a decision nor a match needs are evaluated for a trace only; conditions that no
    decision needs are left out of it, so that what only the hub matches (journeys) costs an edge nothing.
    """

    def __cinit__(self, document not None, frozenset deciding not None):
        cdef size_t i
        conditions, nodes, rules = document.tables.conditions, document.tables.nodes, document.rules
        first = 2 * len(conditions)
        self._pool = Pool()
        self.rule_count = <uint32_t>len(rules)
        self.index = RuleIndex(document, _needed(document, deciding))
        matching = frozenset([rule.true_ref for i, rule in enumerate(rules) if not self.index.holds(i)])
        extents = _extents(nodes, first, deciding, matching)
        resting = _resting(conditions, nodes)
        self.conditions = Conditions(conditions, extents[:first:2])
        self.literal_count = self.conditions.width * 2 + <uint32_t>len(nodes)
        self.positions = <uint32_t*>self._pool.take(first + len(nodes), sizeof(uint32_t))
        for i in range(<size_t>len(conditions)):
            self.positions[2 * i] = self.conditions.positions[i]
            self.positions[2 * i + 1] = self.conditions.positions[i] + self.conditions.width
        self._place_nodes(nodes, <uint32_t>first, extents, resting)
        self._place_rules(rules)
        self.generals = Generals(document.tables.generals, len(document.attributes))
        self._place_roots(document, resting, {DECIDE: deciding, MATCH: matching})

    def __reduce__(self):
        raise TypeError("Tables hold addresses and cannot be pickled")

    cdef _place_nodes(self, list nodes, uint32_t first, list extents, list resting):
        """Group the nodes by (needed for what, on general conditions or not, level, operator, arity); their
        positions follow the groups.
        """
        cdef uint32_t position = self.conditions.width * 2
        cdef ov_node_group* group
        cdef uint32_t* inputs
        cdef size_t k = 0
        levels = [0] * len(nodes)
        groups = {}
        for i, node in enumerate(nodes):
            level = 0
            for ref in node.inputs:
                if ref >= first and levels[ref - first] > level:
                    level = levels[ref - first]
            levels[i] = level + 1
            key = (extents[first + i], bool(resting[first + i]), level, node.op, len(node.inputs))
            groups.setdefault(key, []).append(i)
        self.groups = <ov_node_group*>self._pool.take(len(groups), sizeof(ov_node_group))
        ordered = sorted(groups.items())
        for extent in range(EXTENTS):
            self.group_counts[<size_t>extent] = sum([key[0] <= extent for key, _ in ordered])
            self.open_groups[<size_t>extent] = sum([key[:2] < (extent, True) for key, _ in ordered])
        for g, ((_, _, _, op, arity), members) in enumerate(ordered):
            group = &self.groups[<size_t>g]
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

    cdef _place_rules(self, list rules):
        cdef size_t i
        self.rule_true = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        self.rule_false = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        self.eager = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        self.eager_true = <uint32_t*>self._pool.take(self.rule_count, sizeof(uint32_t))
        # One more than rules, for what is written and not kept.
        self._hits = <uint32_t*>self._pool.take(<size_t>self.rule_count + 1, sizeof(uint32_t))
        self._numbers = list(range(self.rule_count))
        self._objects = <PyObject**>self._pool.take(self.rule_count, sizeof(PyObject*))
        for i, rule in enumerate(rules):
            self.rule_true[i] = self.positions[<size_t>rule.true_ref]
            self.rule_false[i] = self.positions[<size_t>rule.false_ref]
            self._objects[i] = <PyObject*>self._numbers[i]
            if not self.index.holds(i):
                self.eager[self.eager_count] = <uint32_t>i
                self.eager_true[self.eager_count] = self.rule_true[i]
                self.eager_count += 1

    cdef _place_roots(self, document, list resting, dict readers):
        """The literals that each extent reads, where they rest on general conditions. `readers`: by extent
        the literals that are read; EXPLAIN reads both of every rule.
        """
        cdef size_t i, k
        cdef uint32_t* tests
        cdef dict places = {}
        cdef dict laid_out = {}  # general conditions -> address of their places
        cdef set known = set()
        cdef list roots = []
        for i in range(self.conditions.general_counts[<size_t>EXPLAIN]):
            places[self.conditions.generals[i].condition] = i
        both = [ref for rule in document.rules for ref in (rule.true_ref, rule.false_ref)]
        for extent in range(EXTENTS):
            read = {ref for ref in readers.get(extent, both) if resting[ref]} - known
            known |= read
            roots += sorted(read)
            self.root_counts[<size_t>extent] = <size_t>len(roots)
        self.roots = <Root*>self._pool.take(len(roots), sizeof(Root))
        self._least = <uint8_t*>self._pool.take(len(roots), 1)
        self._wanted = <uint8_t*>self._pool.take(len(places), 1)
        for i, ref in enumerate(roots):
            if resting[ref] not in laid_out:
                tests = <uint32_t*>self._pool.take(len(resting[ref]), sizeof(uint32_t))
                for k, condition in enumerate(sorted(resting[ref])):
                    tests[k] = places[condition]
                laid_out[resting[ref]] = <size_t>tests
            self.roots[i].position = self.positions[<size_t>ref]
            self.roots[i].test_count = <uint32_t>len(resting[ref])
            self.roots[i].tests = <const uint32_t*><size_t>laid_out[resting[ref]]

    cdef int evaluate(
        self, const ov_value* values, int64_t now, Extent extent, uint8_t* literals
    ) except -1 nogil:
        """Fill the plane of literals from the values of the attributes.

        Parameters
        ----------
        values : IN, one per attribute of the bundle
        now : ms since 1970 UTC
        extent : which conditions and nodes to evaluate; the literals of the others stay as they were
        literals : OUT, `literal_count` bytes
        """
        cdef const GeneralTest* tests = self.conditions.generals
        cdef size_t count = self.conditions.general_counts[<size_t>extent]
        cdef size_t i
        self.conditions.evaluate(values, now, extent, literals)
        for i in range(count):
            literals[tests[i].position] = literals[tests[i].position + self.conditions.width] = 0
        self.run_nodes(extent, literals)
        if self.generals.count > 0:
            with gil:
                self.generals.begin(values, now)
                if count > 0:
                    self._settle(extent, literals)
        return 0

    cdef int _settle(self, Extent extent, uint8_t* literals) except -1:
        """Evaluate the general conditions on which a literal that is read depends for these values: where all
        of them at 0, as they are now, and all at 1 make a difference.
        """
        cdef uint32_t n = self.conditions.width
        cdef size_t count = self.conditions.general_counts[<size_t>extent]
        cdef size_t roots = self.root_counts[<size_t>extent]
        cdef const GeneralTest* tests = self.conditions.generals
        cdef size_t i, k
        cdef uint8_t state
        for i in range(roots):
            self._least[i] = literals[self.roots[i].position]
        for i in range(count):
            self._wanted[i] = 0
            literals[tests[i].position] = literals[tests[i].position + n] = 1
        self._open_nodes(extent, literals)
        for i in range(roots):
            if literals[self.roots[i].position] and not self._least[i]:
                for k in range(self.roots[i].test_count):
                    self._wanted[self.roots[i].tests[k]] = 1
        for i in range(count):
            state = self.generals.ask(tests[i].number) if self._wanted[i] else 0
            literals[tests[i].position] = state == G_TRUE
            literals[tests[i].position + n] = state == G_FALSE
        self._open_nodes(extent, literals)
        return 0

    cdef void _open_nodes(self, Extent extent, uint8_t* literals) noexcept nogil:
        """Run the nodes of an extent that rest on general conditions."""
        cdef size_t i, begin
        for i in range(<size_t>extent + 1):
            begin = self.open_groups[i]
            ov_run_nodes(&self.groups[begin], self.group_counts[i] - begin, literals)

    cdef void run_nodes(self, Extent extent, uint8_t* literals) noexcept nogil:
        ov_run_nodes(self.groups, self.group_counts[<size_t>extent], literals)

    cdef list matching(self, const ov_value* values, int64_t now, const uint8_t* literals):
        """Indexes of the rules that are definitely true in a plane evaluated from these values as far as
        MATCH or further, ascending.
        """
        cdef uint32_t count = ov_collect(self.eager, self.eager_true, self.eager_count, literals, self._hits)
        cdef list result
        cdef uint32_t i
        if self.index.rule_count > 0:
            count = self.index.add(values, now, self.generals, self._hits, count)
        result = PyList_New(count)
        for i in range(count):
            Py_INCREF(<object>self._objects[self._hits[i]])
            PyList_SET_ITEM(result, i, <object>self._objects[self._hits[i]])
        return result


def _resting(conditions, nodes):
    """By literal the general conditions on which it rests, all of them where they are many; None where there
    are none.
    """
    general = [frozenset([i]) if one.op == bundle.OP_GENERAL else None for i, one in enumerate(conditions)]
    resting = [general[i >> 1] for i in range(2 * len(conditions))]
    if not any(general):
        return resting + [None] * len(nodes)
    every = frozenset([i for i, one in enumerate(general) if one])
    for node in nodes:
        below = {resting[ref] for ref in node.inputs if resting[ref]}
        joined = frozenset.union(*below) if below else None
        resting.append(every if joined and len(joined) > RESTING_MAX else joined)
    return resting


def early_conditions(document, frozenset deciding):
    """The indexes of the conditions on which the literals that decisions read rest."""
    first = 2 * len(document.tables.conditions)
    return frozenset([ref >> 1 for ref in _needed(document, deciding) if ref < first])


def _needed(document, frozenset refs):
    """The given literals and all that they rest on."""
    first = 2 * len(document.tables.conditions)
    nodes = document.tables.nodes
    needed = set(refs)
    for i in range(len(nodes) - 1, -1, -1):  # inputs come before
        if first + i in needed:
            needed.update(nodes[i].inputs)
    return frozenset(needed)


def _extents(nodes, first, deciding, matching):
    """For each literal the smallest extent that needs it; both literals of a condition get the smaller one.

    Nodes come after their inputs, so one pass backwards marks all.
    """
    extents = [EXPLAIN] * (first + len(nodes))
    for extent, refs in ((MATCH, matching), (DECIDE, deciding)):
        for ref in refs:
            extents[ref] = min(extents[ref], extent)
    for i in range(len(nodes) - 1, -1, -1):
        extent = extents[first + i]
        if extent < EXPLAIN:
            for ref in nodes[i].inputs:
                if extents[ref] > extent:
                    extents[ref] = extent
    for at in range(0, first, 2):
        extents[at] = extents[at + 1] = min(extents[at], extents[at + 1])
    return extents
