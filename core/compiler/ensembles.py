"""Trees as the libraries' files say them, and their tables (docs/decisions/0008-scoring.md).

lightgbm.py, xgboost.py -> Ensemble -> Tables -> core.bundle.Trees
"""

import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from core import bundle
from core.trees import ENTRIES_MAX, LEAVES_MAX, TREES_MAX

WORD_BITS: Final = 64
WORD_ONES: Final = 2**64 - 1

__all__ = ["LEAVES_MAX", "TREES_MAX", "ArtifactError", "Ensemble", "Node", "Tree", "make_trees", "used"]


class ArtifactError(Exception):
    """A model file that cannot be taken. `line` counts from 1, 0 where the file has no lines to speak of."""

    def __init__(self, line: int, expected: str, got: str) -> None:
        super().__init__(f"{line}: expected {expected}, got {got}")
        self.line = line
        self.expected = expected
        self.got = got


class Node(NamedTuple):
    """An inner node: the row goes right (it fails) if its value is above the threshold, or by its category.

    `left`, `right`: a node's number, or `~number` of a leaf.
    """

    feature: int
    threshold: float
    categories: tuple[int, ...] | None  # words of 32; None: by threshold
    missing_fails: bool
    zero_fails: bool | None  # None: zero is a value as any other
    left: int
    right: int


@dataclass(frozen=True)
class Tree:
    nodes: list[Node]
    leaves: list[float]


@dataclass(frozen=True)
class Ensemble:
    """A model file's content. `objective`: its name there; `link`, `scale`: how it makes an output of the raw
    score, link None where the core does not know how."""

    library: int
    features: list[str]
    trees: list[Tree]
    base: float
    objective: str
    link: int | None
    scale: float = 1.0


class _Entry(NamedTuple):
    word: int
    keeps: int


@dataclass
class _Lists:
    """The entries of one column."""

    numeric: list[tuple[float, _Entry]] = field(default_factory=list)
    category: list[tuple[tuple[int, ...], _Entry]] = field(default_factory=list)
    missing: list[_Entry] = field(default_factory=list)
    zero: list[_Entry] = field(default_factory=list)
    zero_is_missing: bool = False


def used(ensemble: Ensemble) -> list[int]:
    """The features that some node asks for, ascending."""
    return sorted({node.feature for tree in ensemble.trees for node in tree.nodes})


def make_trees(ensemble: Ensemble, inputs: Sequence[bundle.TreeInput], link: int) -> bundle.Trees:
    """The tables; `inputs`: one for each of `used`, in its order."""
    lists = {feature: _Lists() for feature in used(ensemble)}
    leaves: list[float] = []
    word = 0
    for tree in ensemble.trees:
        order, spans = _walk(tree)
        leaves += [tree.leaves[at] for at in order]
        for node, (first, end) in zip(tree.nodes, spans, strict=True):
            _note(lists[node.feature], node, _entries(word, first, end))
        word += -(-len(order) // WORD_BITS)
    for one in lists.values():
        one.numeric.sort(key=lambda pair: pair[0])
    return _packed(ensemble, list(inputs), link, list(lists.values()), leaves)


def _walk(tree: Tree) -> tuple[list[int], list[tuple[int, int]]]:
    """The leaves from left to right, and by node the places [first, end) of those below its left child."""
    order: list[int] = []
    firsts, ends = [0] * len(tree.nodes), [0] * len(tree.nodes)
    #: Numbers of nodes and leaves, and `None, node` where the left side of the node is done.
    todo: list[tuple[int | None, int]] = [(0 if tree.nodes else -1, 0)]
    while todo:
        at, of = todo.pop()
        if at is None:
            ends[of] = len(order)
        elif at < 0:
            order.append(~at)
        else:
            node = tree.nodes[at]
            firsts[at] = len(order)
            todo += [(node.right, 0), (None, at), (node.left, 0)]
    return order, list(zip(firsts, ends, strict=True))


def _entries(word: int, first: int, end: int) -> list[_Entry]:
    """What rules out the leaves [first, end) of a tree that begins at a word."""
    found = []
    for at in range(first // WORD_BITS, (end - 1) // WORD_BITS + 1):
        low, high = max(first - at * WORD_BITS, 0), min(end - at * WORD_BITS, WORD_BITS)
        found.append(_Entry(word + at, WORD_ONES ^ (1 << high) - (1 << low)))
    return found


def _note(lists: _Lists, node: Node, entries: list[_Entry]) -> None:
    if node.categories is not None:
        lists.category += [(node.categories, entry) for entry in entries]
    else:
        lists.numeric += [(node.threshold, entry) for entry in entries]
        lists.zero_is_missing |= node.zero_fails is not None
        if node.zero_fails if node.zero_fails is not None else node.threshold < 0.0:
            lists.zero += entries
    if node.missing_fails:
        lists.missing += entries


def _packed(
    ensemble: Ensemble,
    inputs: list[bundle.TreeInput],
    link: int,
    lists: list[_Lists],
    leaves: list[float],
) -> bundle.Trees:
    sets, bits = _sets(categories for one in lists for categories, _ in one.category)
    entries = [
        *(entry for one in lists for _, entry in one.numeric),
        *(entry for one in lists for _, entry in one.category),
        *(entry for one in lists for entry in one.missing),
        *(entry for one in lists if one.zero_is_missing for entry in one.zero),
    ]
    if len(entries) > ENTRIES_MAX:
        raise ArtifactError(1, f"trees that come to at most {ENTRIES_MAX} entries", str(len(entries)))
    return bundle.Trees(
        library=ensemble.library,
        base=ensemble.base,
        link=link,
        scale=ensemble.scale,
        inputs=inputs,
        columns=[
            bundle.TreeColumn(
                numeric=len(one.numeric),
                category=len(one.category),
                missing=len(one.missing),
                zero=len(one.zero) if one.zero_is_missing else 0,
                zero_is_missing=one.zero_is_missing,
            )
            for one in lists
        ],
        leaf_counts=[len(tree.leaves) for tree in ensemble.trees],
        leaves=_array("d", leaves),
        thresholds=_array("d", [threshold for one in lists for threshold, _ in one.numeric]),
        words=_array("I", [entry.word for entry in entries]),
        keeps=_array("Q", [entry.keeps for entry in entries]),
        sets=_array("I", sets),
        bits=_array("I", bits),
    )


def _sets(categories: Iterable[tuple[int, ...]]) -> tuple[list[int], list[int]]:
    """(first, count) by entry, one after the other, and the words they point to, each different set once."""
    places: dict[tuple[int, ...], int] = {}
    sets: list[int] = []
    bits: list[int] = []
    for words in categories:
        if words not in places:
            places[words] = len(bits)
            bits += words
        sets += (places[words], len(words))
    return sets, bits


def _array(code: str, values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}{code}", *values)


def check_tree(nodes: Sequence[Node], leaves: int, line: int) -> None:
    """Every node but the root and every leaf is below exactly one node, which rules out cycles too."""
    children = list(itertools.chain.from_iterable((node.left, node.right) for node in nodes))
    expected = [*range(-leaves, 0), *range(1, len(nodes))]
    if sorted(children) != (expected if nodes else []) or not leaves or len(nodes) != leaves - 1:
        raise ArtifactError(line, "a tree whose nodes and leaves are each below one node", "another shape")
    if len(list(_reached(nodes))) != len(nodes):
        raise ArtifactError(line, "a tree whose nodes are all below its root", "a cycle")


def _reached(nodes: Sequence[Node]) -> Iterator[int]:
    todo = [0] if nodes else []
    while todo:
        at = todo.pop()
        yield at
        todo += [child for child in (nodes[at].left, nodes[at].right) if child >= 0]
