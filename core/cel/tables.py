"""The tables' builder: distinct conditions, shared and-or nodes, and their final order
(docs/decisions/0004-bundle-and-tables.md).

While the tables are built, a ref is an int: 2c and 2c + 1 are the literals of condition c, as in the
bundle, and -1 - n is node n.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from core import bundle
from core.bundle import NODE_AND, NODE_OR

TRUE: Final = 0  # the literals of condition 0, which is always there
FALSE: Final = 1
_encoder: Final = msgspec.msgpack.Encoder()

#: A pair of refs: definitely true, definitely false. An error is neither.
Planes = tuple[int, int]


class Test(NamedTuple):
    """What a condition tests; equal tests are one condition. Floats of a program are kept apart by their
    bits."""

    op: int
    attribute: int = -1
    low: int = 0
    high: int = 0
    strings: tuple[str, ...] = ()
    program: tuple[tuple[int, int | float | str | bool], ...] = ()
    general: bundle.General | None = None

    def order(self) -> tuple[object, ...]:
        program = tuple((code, _exact(argument)) for code, argument in self.program)
        return (
            self.op != bundle.OP_CONSTANT,
            self.attribute,
            self.op,
            self.low,
            self.high,
            self.strings,
            program,
            b"" if self.general is None else _encoder.encode(self.general),
        )


class TableBuilder:
    """Collects conditions and nodes; `finish` lays them out."""

    def __init__(self) -> None:
        self._tests: list[Test] = []
        self._test_index: dict[tuple[object, ...], int] = {}
        self._nodes: list[tuple[int, tuple[int, ...]]] = []
        self._node_index: dict[tuple[int, tuple[int, ...]], int] = {}
        self._whole: set[int] = set()
        self.literal(Test(bundle.OP_CONSTANT))

    def literal(self, test: Test) -> int:
        """The ref of "definitely true" of a test; the next one is "definitely false"."""
        key = test.order()
        index = self._test_index.get(key)
        if index is None:
            index = self._test_index[key] = len(self._tests)
            self._tests.append(test)
        return 2 * index

    def conjunction(self, refs: Iterable[int]) -> int:
        return self._join(NODE_AND, refs)

    def disjunction(self, refs: Iterable[int]) -> int:
        return self._join(NODE_OR, refs)

    def keep_whole(self, ref: int) -> None:
        """Let a node be referred to, not copied into others: many rules share it."""
        self._whole.add(ref)

    def _join(self, op: int, refs: Iterable[int]) -> int:
        neutral, absorbing = (TRUE, FALSE) if op == NODE_AND else (FALSE, TRUE)
        inputs: set[int] = set()
        for ref in refs:
            inputs.update(self._nodes[-1 - ref][1] if self._can_flatten(ref, op) else (ref,))
        inputs.discard(neutral)
        # No condition is definitely true and definitely false at once.
        contradiction = op == NODE_AND and any(ref >= 0 and ref ^ 1 in inputs for ref in inputs)
        if absorbing in inputs or contradiction:
            return absorbing
        if len(inputs) <= 1:
            return inputs.pop() if inputs else neutral
        return self._node(op, tuple(sorted(inputs)))

    def _can_flatten(self, ref: int, op: int) -> bool:
        return ref < 0 and ref not in self._whole and self._nodes[-1 - ref][0] == op

    def _node(self, op: int, inputs: tuple[int, ...]) -> int:
        index = self._node_index.get((op, inputs))
        if index is None:
            index = self._node_index[op, inputs] = len(self._nodes)
            self._nodes.append((op, inputs))
        return -1 - index

    def finish(self, hot: Iterable[int], cold: Iterable[int]) -> tuple[bundle.Tables, dict[int, int]]:
        """Lay out what the given refs need, and only that.

        Parameters
        ----------
        hot : refs that decisions read; their nodes come first
        cold : refs that only a trace reads

        Returns
        -------
        The tables, and the literal index of each given ref and of everything below it.
        """
        hot, cold = list(hot), list(cold)
        hot_nodes = self._reachable(hot)
        cold_nodes = self._reachable(cold) - hot_nodes
        final = self._number_literals({*hot, *cold, *self._inputs(hot_nodes), *self._inputs(cold_nodes)})
        conditions = sorted({ref >> 1 for ref in final}, key=lambda index: final[2 * index])
        nodes: list[bundle.Node] = []
        levels: dict[int, int] = {}
        for group in (hot_nodes, cold_nodes):
            self._place(group, final, levels, 2 * len(conditions), nodes)
        generals: list[bundle.General] = []
        laid_out = [_condition(self._tests[index], generals) for index in conditions]
        return bundle.Tables(laid_out, nodes, len(hot_nodes), generals), final

    def _reachable(self, refs: Iterable[int]) -> set[int]:
        found: set[int] = set()
        stack = [ref for ref in refs if ref < 0]
        while stack:
            ref = stack.pop()
            if ref not in found:
                found.add(ref)
                stack += [below for below in self._nodes[-1 - ref][1] if below < 0]
        return found

    def _inputs(self, nodes: Iterable[int]) -> set[int]:
        return {ref for node in nodes for ref in self._nodes[-1 - node][1]}

    def _number_literals(self, refs: set[int]) -> dict[int, int]:
        used = {0, *(ref >> 1 for ref in refs if ref >= 0)}
        ordered = sorted(used, key=lambda index: self._tests[index].order())
        return {2 * index + plane: 2 * at + plane for at, index in enumerate(ordered) for plane in (0, 1)}

    def _place(
        self,
        group: set[int],
        final: dict[int, int],
        levels: dict[int, int],
        base: int,
        nodes: list[bundle.Node],
    ) -> None:
        """Append a group's nodes by level, operator and arity, each after its inputs."""
        by_level: dict[int, list[int]] = {}
        for ref in sorted(group, reverse=True):  # as they were made, so inputs first
            level = 1 + max(levels.get(below, 0) for below in self._nodes[-1 - ref][1])
            levels[ref] = level
            by_level.setdefault(level, []).append(ref)
        for level in sorted(by_level):
            made = [
                (self._nodes[-1 - ref][0], sorted(final[i] for i in self._nodes[-1 - ref][1]), ref)
                for ref in by_level[level]
            ]
            for op, inputs, ref in sorted(made, key=lambda node: (node[0], len(node[1]), node[1])):
                final[ref] = base + len(nodes)
                nodes.append(bundle.Node(op, inputs))


def _condition(test: Test, generals: list[bundle.General]) -> bundle.Condition:
    """The condition of a test; what the general evaluator runs is appended to `generals`."""
    if test.general is not None:
        generals.append(test.general)
        return bundle.Condition(test.op, lo=len(generals) - 1)
    return bundle.Condition(
        test.op, test.attribute, test.low, test.high, list(test.strings), list(test.program)
    )


def _exact(argument: int | float | str | bool) -> str:
    return f"f{argument.hex()}" if isinstance(argument, float) else f"{type(argument).__name__}{argument}"
