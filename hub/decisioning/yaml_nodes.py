"""YAML text to nodes that know their line: composed from libyaml's events, without recursion, within limits.

Plain scalars mean what YAML 1.2 says (`NO` is a text, not false). Anchors, aliases and `<<` are allowed;
tags are not.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

DEPTH_MAX: Final = 32
#: Nodes of one file, those that `<<` copies included.
NODES_MAX: Final = 1_000_000
NUMBER_LENGTH_MAX: Final = 64

Scalar = bool | int | float | str | None

_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_FLOATS: Final = {
    **{f"{sign}{name}": float(f"{sign}inf") for sign in ("", "+", "-") for name in (".inf", ".Inf", ".INF")},
    **{name: float("nan") for name in (".nan", ".NaN", ".NAN")},
}
_INT = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NUMERIC_START: Final = frozenset("+-.0123456789")


class YamlError(Exception):
    """The text is no YAML that a catalogue may be written in."""

    def __init__(self, line: int, column: int, expected: str, got: str) -> None:
        super().__init__(f"line {line}: expected {expected}, got {got}")
        self.line = line
        self.column = column
        self.expected = expected
        self.got = got


@dataclass(slots=True, eq=False)
class Node:
    """Line and column count from 1."""

    line: int
    column: int


@dataclass(slots=True, eq=False)
class ScalarNode(Node):
    """`style`: the quote or the sign of a block scalar, empty if plain."""

    value: Scalar
    text: str
    style: str


@dataclass(slots=True, eq=False)
class ListNode(Node):
    items: list[Node]
    is_open: bool = True


@dataclass(slots=True, eq=False)
class MapNode(Node):
    """Keys in order, each with the node of the key and of the value. `merges` wait for the end: what `<<`
    copies."""

    entries: dict[str, tuple[Node, Node]]
    merges: list[tuple[Node, Node]]
    is_open: bool = True


def compose(text: str) -> tuple[Node | None, list[YamlError]]:
    """The node of a file (None if it is empty) and faults that leave the rest readable, such as a key that
    comes twice.

    Raises
    ------
    YamlError
        The text is not one YAML document within the limits.
    """
    composer = _Composer()
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = error.problem or error.context or "another text"
        raise YamlError(line, column, "YAML", problem) from None
    except yaml.YAMLError as error:
        raise YamlError(1, 1, "YAML", " ".join(str(error).split())) from None
    return composer.root, composer.faults


#: libyaml where PyYAML was built with it (its wheels are), else PyYAML's own, slower parser.
_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Composer:
    """Builds the tree from events; `stack` holds the collections that are not closed yet, `keys` the key
    that waits for its value."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.faults: list[YamlError] = []
        self._stack: list[ListNode | MapNode] = []
        self._keys: list[ScalarNode | None] = []
        self._anchors: dict[str, Node] = {}
        self._count = 0

    def take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._check_node(event)
                self._add(self._scalar(event), event.anchor)
            case yaml.MappingStartEvent():
                self._open(MapNode(*_place(event), {}, []), event)
            case yaml.SequenceStartEvent():
                self._open(ListNode(*_place(event), []), event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self._close()
            case yaml.AliasEvent():
                self._add(self._alias(event), None)
            case yaml.DocumentStartEvent() if self.root is not None:
                raise YamlError(*_place(event), "one YAML document a file", "a second one")

    def _check_node(self, event: Any) -> None:
        self._count_nodes(1, event)
        if event.tag is not None:
            raise YamlError(*_place(event), "no tags", event.tag)

    def _count_nodes(self, count: int, event: Any) -> None:
        self._count += count
        if self._count > NODES_MAX:
            raise YamlError(*_place(event), f"a file of at most {NODES_MAX} values", "more")

    def _open(self, node: ListNode | MapNode, event: Any) -> None:
        self._check_node(event)
        if len(self._stack) >= DEPTH_MAX:
            raise YamlError(node.line, node.column, f"values nested at most {DEPTH_MAX} deep", "deeper ones")
        self._add(node, event.anchor)
        self._stack.append(node)
        self._keys.append(None)

    def _close(self) -> None:
        node = self._stack.pop()
        self._keys.pop()
        node.is_open = False
        if isinstance(node, MapNode):
            for key, value in node.merges:
                self._merge(node, key, value)

    def _add(self, node: Node, anchor: str | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1]
        if isinstance(parent, ListNode):
            parent.items.append(node)
        elif self._keys[-1] is None:
            self._keys[-1] = self._key(node)
        else:
            assert isinstance(parent, MapNode)
            self._enter(parent, self._keys[-1], node)
            self._keys[-1] = None

    def _key(self, node: Node) -> ScalarNode:
        if isinstance(node, ScalarNode):
            return node
        raise YamlError(node.line, node.column, "a text as the key", "a list or mapping")

    def _enter(self, parent: MapNode, key: ScalarNode, value: Node) -> None:
        if key.text == "<<" and not key.style:
            parent.merges.append((key, value))
        elif key.text in parent.entries:
            first = parent.entries[key.text][0].line
            fault = YamlError(
                key.line, key.column, "each key once", f"{key.text!r} again, first in line {first}"
            )
            self.faults.append(fault)
        else:
            parent.entries[key.text] = (key, value)

    def _merge(self, parent: MapNode, key: Node, value: Node) -> None:
        """Copy what is not there yet; of several mappings the first has precedence."""
        for one in value.items if isinstance(value, ListNode) else [value]:
            if not isinstance(one, MapNode):
                raise YamlError(
                    key.line, key.column, "a mapping, or a list of them, after `<<`", "something else"
                )
            self._count += len(one.entries)
            if self._count > NODES_MAX:
                raise YamlError(
                    key.line, key.column, f"a file of at most {NODES_MAX} values", "more, by `<<`"
                )
            for name, entry in one.entries.items():
                parent.entries.setdefault(name, entry)

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            raise YamlError(*_place(event), "an anchor written before", f"*{event.anchor}")
        if isinstance(node, ListNode | MapNode) and node.is_open:
            raise YamlError(*_place(event), "a value that does not hold itself", f"*{event.anchor}")
        self._count_nodes(1, event)
        return node

    def _scalar(self, event: Any) -> ScalarNode:
        text: str = event.value
        style: str = event.style or ""
        if not text.isascii():
            _check_text(text, event)
        mark = event.start_mark
        return ScalarNode(mark.line + 1, mark.column + 1, text if style else resolve(text), text, style)


def resolve(text: str) -> Scalar:
    """The value of a plain scalar by YAML 1.2's core schema."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text[0] not in _NUMERIC_START or len(text) > NUMBER_LENGTH_MAX:
        return text
    if _INT.fullmatch(text):
        return int(text, {"0x": 16, "0o": 8}.get(text[:2], 10))
    if _FLOAT.fullmatch(text):
        return float(text)
    return _FLOATS.get(text, text)


def _check_text(text: str, event: Any) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise YamlError(*_place(event), "characters of Unicode", "half a surrogate pair") from None


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
