"""Nodes to authoring types, field by field, noting every fault of form on the way instead of stopping at
the first."""

import functools
import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect

from core.authoring import Path, shown
from hub.decisioning.yaml_nodes import ListNode, MapNode, Node, ScalarNode

#: Values of one catalogue, each alias counted as often as it is used.
VALUES_MAX: Final = 4_000_000
FIELDS_SHOWN_MAX: Final = 24

#: Stands for a value that has faults.
BAD: Final = object()

Converter = Callable[["Forms", Node, Path], Any]
Note = Callable[[Node, Path, str, str], None]


class TooManyValuesError(Exception):
    """Aliases make the catalogue too large."""


class Forms:
    """Converts nodes; `note` is told of each fault."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.values = 0

    def convert(self, node: Node, kind: Any, path: Path) -> Any:
        """The value of an annotated type, or BAD after its faults were noted."""
        return converter(kind)(self, node, path)

    def refuse(self, node: Node, path: Path, expected: str) -> Any:
        self.note(node, path, expected, described(node))
        return BAD

    def count(self) -> None:
        self.values += 1
        if self.values > VALUES_MAX:
            raise TooManyValuesError


def described(node: Node) -> str:
    """A node as a fault shows it."""
    if isinstance(node, ScalarNode):
        return "nothing" if node.value is None else shown(node.value)
    return "a mapping" if isinstance(node, MapNode) else "a list"


@functools.cache
def converter(kind: Any) -> Converter:
    """The converter of an annotated type."""
    return _build(inspect.type_info(kind))


def _build(info: inspect.Type) -> Converter:
    if isinstance(info, inspect.Metadata):
        description = (info.extra_json_schema or {}).get("description", "")
        return _build_described(info.type, description)
    return _build_described(info, "")


def _build_described(info: inspect.Type, description: str) -> Converter:
    match info:
        case inspect.StrType():
            return _text(info, description)
        case inspect.BoolType() | inspect.NoneType():
            return _exact(info)
        case inspect.IntType() | inspect.FloatType():
            return _number(info, description)
        case inspect.LiteralType():
            return _literal(info)
        case inspect.ListType():
            return _list(info)
        case inspect.TupleType():
            return _tuple(info)
        case inspect.DictType():
            return _dict(info)
        case inspect.StructType():
            return _struct(info)
        case inspect.UnionType():
            return _union(info)
    raise TypeError(f"no form for {info}")


def _text(info: inspect.StrType, description: str) -> Converter:
    pattern = re.compile(info.pattern) if info.pattern else None
    least, most = info.min_length or 0, info.max_length
    bounds = f" of {least} to {most} characters" if most is not None else ""
    expected = description + bounds if description else f"a text{bounds}"

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if not isinstance(node, ScalarNode):
            return forms.refuse(node, path, expected)
        value = node.value
        if not isinstance(value, str):
            quoted = "" if value is None else " (write it in quotes)"
            return forms.refuse(node, path, expected + quoted)
        if (pattern is None or pattern.fullmatch(value)) and least <= len(value) <= (
            len(value) if most is None else most
        ):
            return value
        return forms.refuse(node, path, expected)

    return convert


def _exact(info: inspect.Type) -> Converter:
    kind, expected = (
        (bool, "true or false") if isinstance(info, inspect.BoolType) else (type(None), "nothing")
    )

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if isinstance(node, ScalarNode) and type(node.value) is kind:
            return node.value
        return forms.refuse(node, path, expected)

    return convert


def _number(info: inspect.IntType | inspect.FloatType, description: str) -> Converter:
    whole = isinstance(info, inspect.IntType)
    low, high = info.ge, info.le
    bounds = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
    expected = description or ("a whole number" if whole else "a number") + bounds

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        value = node.value if isinstance(node, ScalarNode) else None
        if type(value) is not int and (whole or type(value) is not float):
            return forms.refuse(node, path, expected)
        # Written so that NaN is outside of any bounds.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            return forms.refuse(node, path, expected)
        return value if whole else float(value)

    return convert


def _literal(info: inspect.LiteralType) -> Converter:
    values = frozenset(info.values)
    expected = "one of " + ", ".join(str(value) for value in info.values)

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if isinstance(node, ScalarNode) and isinstance(node.value, str) and node.value in values:
            return node.value
        return forms.refuse(node, path, expected)

    return convert


def _list(info: inspect.ListType) -> Converter:
    item = _build(info.item_type)
    least, most = info.min_length or 0, info.max_length
    expected = "a list" + (
        f" of {least} to {most} values" if most is not None else f" of at least {least} values"
    )

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if not isinstance(node, ListNode):
            return forms.refuse(node, path, "a list")
        if len(node.items) < least or (most is not None and len(node.items) > most):
            forms.note(node, path, expected, str(len(node.items)))
            return BAD
        values = [item(forms, below, (*path, at)) for at, below in enumerate(node.items)]
        return BAD if any(value is BAD for value in values) else values

    return convert


def _tuple(info: inspect.TupleType) -> Converter:
    items = [_build(one) for one in info.item_types]

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if not isinstance(node, ListNode) or len(node.items) != len(items):
            return forms.refuse(node, path, f"a list of {len(items)} values")
        values = [items[at](forms, below, (*path, at)) for at, below in enumerate(node.items)]
        return BAD if any(value is BAD for value in values) else tuple(values)

    return convert


def _dict(info: inspect.DictType) -> Converter:
    key_of, value_of = _build(info.key_type), _build(info.value_type)
    least, most = info.min_length or 0, info.max_length
    expected = (
        f"a mapping of {least} to {most} entries"
        if most is not None
        else f"a mapping of at least {least} entries"
    )

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if not isinstance(node, MapNode):
            return forms.refuse(node, path, "a mapping")
        if len(node.entries) < least or (most is not None and len(node.entries) > most):
            forms.note(node, path, expected, str(len(node.entries)))
            return BAD
        pairs = [
            (key_of(forms, key, (*path, name)), value_of(forms, below, (*path, name)))
            for name, (key, below) in node.entries.items()
        ]
        return BAD if any(key is BAD or value is BAD for key, value in pairs) else dict(pairs)

    return convert


def _struct(info: inspect.StructType) -> Converter:
    fields = {field.encode_name: (field.name, _build(field.type)) for field in info.fields}
    required = [field.encode_name for field in info.fields if field.required]
    known = ", ".join(list(fields)[:FIELDS_SHOWN_MAX])
    make: Callable[..., msgspec.Struct] = info.cls

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if not isinstance(node, MapNode):
            return forms.refuse(node, path, f"a mapping with {known}")
        values: dict[str, Any] = {}
        good = True
        for name, (key, below) in node.entries.items():
            if name not in fields:
                forms.note(key, (*path, name), f"one of {known}", f"the key {shown(name)}")
                good = False
                continue
            attribute, convert_field = fields[name]
            value = convert_field(forms, below, (*path, name))
            good = good and value is not BAD
            values[attribute] = value
        for name in required:
            if name not in node.entries:
                forms.note(node, path, f"`{name}`", "nothing")
                good = False
        return make(**values) if good else BAD

    return convert


def _union(info: inspect.UnionType) -> Converter:
    """Alternatives are told apart by the node: each form of value belongs to one of them."""
    by_form: dict[type, Converter] = {}
    named: list[str] = []
    for one in info.types:
        inner = one.type if isinstance(one, inspect.Metadata) else one
        for form in _FORMS[type(inner)]:
            by_form.setdefault(form, _build(one))
        named.append(_NAMES[type(inner)](inner))
    expected = " or ".join(dict.fromkeys(named))

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        form = type(node.value) if isinstance(node, ScalarNode) else type(node)
        found = by_form.get(form)
        return forms.refuse(node, path, expected) if found is None else found(forms, node, path)

    return convert


#: Exact forms come first in the authoring types: `int | float` takes an int as an int, `float` alone takes
#: both.
_FORMS: Final[dict[type, tuple[type, ...]]] = {
    inspect.BoolType: (bool,),
    inspect.IntType: (int,),
    inspect.FloatType: (float, int),
    inspect.StrType: (str,),
    inspect.LiteralType: (str,),
    inspect.NoneType: (type(None),),
    inspect.ListType: (ListNode,),
    inspect.TupleType: (ListNode,),
    inspect.StructType: (MapNode,),
    inspect.DictType: (MapNode,),
}
_NAMES: Final[dict[type, Callable[[Any], str]]] = {
    inspect.BoolType: lambda _: "true or false",
    inspect.IntType: lambda _: "a number",
    inspect.FloatType: lambda _: "a number",
    inspect.StrType: lambda _: "a text",
    inspect.LiteralType: lambda info: ", ".join(str(value) for value in info.values),
    inspect.NoneType: lambda _: "nothing",
    inspect.ListType: lambda _: "a list",
    inspect.TupleType: lambda info: f"a list of {len(info.item_types)} values",
    inspect.StructType: lambda info: (
        f"a mapping with {', '.join(field.encode_name for field in info.fields)}"
    ),
    inspect.DictType: lambda _: "a mapping",
}
