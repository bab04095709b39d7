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

from core.conditions cimport DECIDE, EXPLAIN, EXTENTS, MATCH, Conditions, Extent
from core.memory cimport Pool
from core.rule_index cimport RuleIndex
from core.values cimport ov_value

from core import bundle

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
        self.conditions = Conditions(conditions, extents[:first:2])
        self.literal_count = self.conditions.width * 2 + <uint32_t>len(nodes)
        self.positions = <uint32_t*>self._pool.take(first + len(nodes), sizeof(uint32_t))
        for i in range(<size_t>len(conditions)):
            self.positions[2 * i] = self.conditions.positions[i]
            self.positions[2 * i + 1] = self.conditions.positions[i] + self.conditions.width
        self._place_nodes(nodes, <uint32_t>first, extents)
        self._place_rules(rules)

    def __reduce__(self):
        raise TypeError("Tables hold addresses and cannot be pickled")

    cdef _place_nodes(self, list nodes, uint32_t first, list extents):
        """Group the nodes by (needed for what, level, operator, arity); their positions follow the groups."""
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
            key = (extents[first + i], level, node.op, len(node.inputs))
            groups.setdefault(key, []).append(i)
        self.groups = <ov_node_group*>self._pool.take(len(groups), sizeof(ov_node_group))
        ordered = sorted(groups.items())
        for extent in range(EXTENTS):
            self.group_counts[<size_t>extent] = sum([key[0] <= extent for key, _ in ordered])
        for g, ((_, _, op, arity), members) in enumerate(ordered):
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
        self.conditions.evaluate(values, now, extent, literals)
        self.run_nodes(extent, literals)

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
            count = self.index.add(values, now, self._hits, count)
        result = PyList_New(count)
        for i in range(count):
            Py_INCREF(<object>self._objects[self._hits[i]])
            PyList_SET_ITEM(result, i, <object>self._objects[self._hits[i]])
        return result


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
