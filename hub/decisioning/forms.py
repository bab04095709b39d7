"""Nodes to authoring types, field by field, noting every fault of form on the way instead of stopping at
the first: what has one gets a stand-in, so that the rest of the object can be checked."""

import functools
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import inspect

from core.authoring import Path, shown
from core.authoring.unknown import STAND_IN
from hub.decisioning.yaml_nodes import ListNode, MapNode, Node, ScalarNode

#: Values of one catalogue, each alias counted as often as it is used.
VALUES_MAX: Final = 4_000_000
FIELDS_SHOWN_MAX: Final = 24

#: A value that has faults, before its stand-in is made.
BAD: Final = object()

Converter = Callable[["Forms", Node, Path], Any]
Maker = Callable[["Forms"], Any]
Note = Callable[[Node, Path, str, str], None]


class Form(NamedTuple):
    """How nodes become values of a type, BAD where they cannot; and how a stand-in is made, as plain as the
    type has it."""

    convert: Converter
    stand_in: Maker


class TooManyValuesError(Exception):
    """Aliases make the catalogue too large."""


class Forms:
    """Converts nodes; `note` is told of each fault."""

    def __init__(self, note: Note) -> None:
        self.note = note
        self.values = 0
        self.unknown: list[Path] = []
        self._texts = 0

    def convert(self, node: Node, kind: Any, path: Path) -> tuple[Any, list[Path]]:
        """The value of an annotated type, and where it has stand-ins, whose faults were noted; BAD if all of
        it would be one."""
        self.unknown = []
        return form(kind).convert(self, node, path), self.unknown

    def refuse(self, node: Node, path: Path, expected: str, got: str | None = None) -> Any:
        self.note(node, path, expected, described(node) if got is None else got)
        return BAD

    def value(self, form: Form, node: Node, path: Path) -> Any:
        """The value of a node, or its stand-in."""
        value = form.convert(self, node, path)
        if value is not BAD:
            return value
        self.unknown.append(path)
        return form.stand_in(self)

    def text(self) -> str:
        """A stand-in that is no other text."""
        self._texts += 1
        return f"{STAND_IN}{self._texts}"

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
def form(kind: Any) -> Form:
    """The form of an annotated type."""
    return _build(inspect.type_info(kind))


def _build(info: inspect.Type) -> Form:
    if isinstance(info, inspect.Metadata):
        description = (info.extra_json_schema or {}).get("description", "")
        return _build_described(info.type, description)
    return _build_described(info, "")


def _build_described(info: inspect.Type, description: str) -> Form:
    match info:
        case inspect.StrType():
            return Form(_text(info, description), Forms.text)
        case inspect.BoolType():
            return Form(_exact(bool, "true or false"), lambda _: False)
        case inspect.NoneType():
            return Form(_exact(type(None), "nothing"), lambda _: None)
        case inspect.IntType() | inspect.FloatType():
            return _number(info, description)
        case inspect.LiteralType():
            return Form(_literal(info), lambda _: info.values[0])
        case inspect.ListType():
            return Form(_list(info), lambda _: [])
        case inspect.TupleType():
            return _tuple(info)
        case inspect.DictType():
            return Form(_dict(info), lambda _: {})
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


def _exact(kind: type, expected: str) -> Converter:
    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if isinstance(node, ScalarNode) and type(node.value) is kind:
            return node.value
        return forms.refuse(node, path, expected)

    return convert


def _number(info: inspect.IntType | inspect.FloatType, description: str) -> Form:
    whole = isinstance(info, inspect.IntType)
    low, high = info.ge, info.le
    bounds = f" from {low:g} to {high:g}" if low is not None and high is not None else ""
    expected = description or ("a whole number" if whole else "a number") + bounds
    plain = (int if whole else float)(high if low is None and high is not None else low or 0)

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        value = node.value if isinstance(node, ScalarNode) else None
        if type(value) is not int and (whole or type(value) is not float):
            return forms.refuse(node, path, expected)
        # Written so that NaN is outside of any bounds.
        if (low is not None and not value >= low) or (high is not None and not value <= high):
            return forms.refuse(node, path, expected)
        return value if whole else float(value)

    return Form(convert, lambda _: plain)


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
            return forms.refuse(node, path, expected, str(len(node.items)))
        return [forms.value(item, below, (*path, at)) for at, below in enumerate(node.items)]

    return convert


def _tuple(info: inspect.TupleType) -> Form:
    items = [_build(one) for one in info.item_types]

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if not isinstance(node, ListNode) or len(node.items) != len(items):
            return forms.refuse(node, path, f"a list of {len(items)} values")
        return tuple(forms.value(items[at], below, (*path, at)) for at, below in enumerate(node.items))

    return Form(convert, lambda forms: tuple(item.stand_in(forms) for item in items))


def _dict(info: inspect.DictType) -> Converter:
    key_form, value_form = _build(info.key_type), _build(info.value_type)
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
            return forms.refuse(node, path, expected, str(len(node.entries)))
        return {
            forms.value(key_form, key, (*path, name)): forms.value(value_form, below, (*path, name))
            for name, (key, below) in node.entries.items()
        }

    return convert


def _struct(info: inspect.StructType) -> Form:
    fields = {field.encode_name: (field, _build(field.type)) for field in info.fields}
    required = [field.encode_name for field in info.fields if field.required]
    known = ", ".join(list(fields)[:FIELDS_SHOWN_MAX])
    make: Callable[..., msgspec.Struct] = info.cls

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        forms.count()
        if not isinstance(node, MapNode):
            return forms.refuse(node, path, f"a mapping with {known}")
        values: dict[str, Any] = {}
        strange = False
        for name, (key, below) in node.entries.items():
            if name not in fields:
                forms.note(key, (*path, name), f"one of {known}", f"the key {shown(name)}")
                strange = True
                continue
            field, below_form = fields[name]
            values[field.name] = forms.value(below_form, below, (*path, name))
        for name in required:
            if name not in node.entries:
                forms.note(node, path, f"`{name}`", "nothing")
                values[fields[name][0].name] = fields[name][1].stand_in(forms)
                forms.unknown.append((*path, name))
        if strange:  # which may be meant for any that is not there
            forms.unknown += [(*path, name) for name in fields if name not in node.entries]
        return make(**values)

    def stand_in(forms: Forms) -> msgspec.Struct:
        return make(**{fields[name][0].name: fields[name][1].stand_in(forms) for name in required})

    return Form(convert, stand_in)


def _union(info: inspect.UnionType) -> Form:
    """Alternatives are told apart by the node: each form of value belongs to one of them. A stand-in is of
    one that is something."""
    by_form: dict[type, Converter] = {}
    named: list[str] = []
    plain: list[Maker] = []
    for one in info.types:
        inner = one.type if isinstance(one, inspect.Metadata) else one
        built = _build(one)
        for kind in _FORMS[type(inner)]:
            by_form.setdefault(kind, built.convert)
        named.append(_NAMES[type(inner)](inner))
        if not isinstance(inner, inspect.NoneType):
            plain.append(built.stand_in)
    expected = " or ".join(dict.fromkeys(named))

    def convert(forms: Forms, node: Node, path: Path) -> Any:
        kind = type(node.value) if isinstance(node, ScalarNode) else type(node)
        found = by_form.get(kind)
        return forms.refuse(node, path, expected) if found is None else found(forms, node, path)

    return Form(convert, plain[0])


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
