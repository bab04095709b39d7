"""Syntax tree to a typed general expression, against the declared attributes: what no evaluator supports, and
what cannot be of any type, is a fault with its line and column."""

from collections.abc import Callable
from typing import Final, NamedTuple

from core import bundle
from core.bundle import General, Part
from core.cel import ast
from core.cel.environment import Environment, ExpressionFault
from core.cel.general import functions, kinds, regex, times
from core.cel.general.comprehensions import ONE_VARIABLE, TWO_VARIABLES
from core.cel.general.kinds import BOOL, DYN, INT, Kind, agree, joined, list_of, map_of
from core.cel.general.names import field_name, path_of
from core.cel.general.sizes import measure
from core.cel.general.values import TYPES
from core.cel.literals import INT_MAX
from core.errors import EvaluationError

NAMES: Final = "profile.ATTRIBUTE, context.NAME, segment.ID or now"
HAS: Final = "has(profile.ATTRIBUTE) or has(context.NAME)"
SCOPES: Final = ("profile", "context", "segment")
ORDERS: Final = ("<", "<=", ">", ">=")
LITERALS: Final = {
    "bool": BOOL,
    "int": INT,
    "uint": kinds.UINT,
    "float": kinds.FLOAT,
    "string": kinds.STRING,
    "bytes": kinds.BYTES,
    "null": kinds.NULL,
}


class Found(NamedTuple):
    """A checked part: its number among the parts, and its type."""

    part: int
    kind: Kind


def check_general(
    root: ast.Node, environment: Environment, why: str
) -> tuple[General | None, Kind, list[ExpressionFault]]:
    """The general expression and its type; or None, and every fault of it (none if it names what is faulty
    itself)."""
    checker = _Checker(environment)
    found = checker.value(root)
    if found is not None and not checker.faults:
        size, depth = measure(checker.parts)
        if size > bundle.GENERAL_SIZE_MAX:
            checker.refuse(root, f"at most {bundle.GENERAL_SIZE_MAX} parts, those of segments too", str(size))
        if depth > bundle.GENERAL_DEPTH_MAX:
            expected = f"an expression nested at most {bundle.GENERAL_DEPTH_MAX} deep, its segments too"
            checker.refuse(root, expected, str(depth))
    if found is None or checker.faults:
        return None, DYN, checker.faults
    return General(checker.parts, why), found.kind, []


class _Checker:
    """Each method returns the checked part, or None after noting why there is none; None in gives None out,
    so one mistake is one fault."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.faults: list[ExpressionFault] = []
        self.parts: list[Part] = []
        self.locals: list[tuple[str, Kind]] = []  # of the macros around the part, innermost last
        self.segments: dict[str, Found | None] = {}

    def refuse(self, node: ast.Node, expected: str, got: str) -> Found | None:
        """Note a fault; returns None, which stands for the faulty part."""
        self.faults.append(ExpressionFault(node.line, node.column, expected, got))
        return None

    def part(
        self,
        op: int,
        kind: Kind,
        value: bool | int | float | str | None = None,
        operands: list[Found] | None = None,
        slots: list[int] | None = None,
    ) -> Found:
        self.parts.append(Part(op, value, [one.part for one in operands or []], slots or []))
        return Found(len(self.parts) - 1, kind)

    def boolean(self, node: ast.Node, what: str) -> Found | None:
        found = self.value(node)
        if found is not None and found.kind not in (BOOL, DYN):
            self.refuse(node, f"bool for {what}", str(found.kind))
            return None
        return found

    def value(self, node: ast.Node) -> Found | None:
        match node:
            case ast.Literal():
                return self.literal(node)
            case ast.Name():
                return self.name(node)
            case ast.Select():
                return self.select(node)
            case ast.Unary():
                return self.unary(node)
            case ast.Binary():
                return self.binary(node)
            case ast.Logic():
                return self.logic(node)
            case ast.Conditional():
                return self.conditional(node)
            case ast.Call():
                return self.call(node)
            case ast.Index():
                return self.index(node)
            case ast.ListLiteral():
                return self.listing(node)
            case ast.MapLiteral():
                return self.map_literal(node)
            case _:
                self.refuse(node, "a supported value", "a message literal")
                return None

    def literal(self, node: ast.Literal) -> Found | None:
        if node.kind == "int" and isinstance(node.value, int) and node.value > INT_MAX:
            return self.refuse(node, "an int of 64 bits", str(node.value))
        kind = LITERALS[node.kind]
        if isinstance(node.value, bytes):
            return self.part(bundle.G_BYTES, kind, node.value.decode("latin-1"))
        return self.part(bundle.G_UINT if kind == kinds.UINT else bundle.G_LITERAL, kind, node.value)

    # ---- Names

    def is_local(self, name: ast.Name) -> bool:
        return not name.absolute and any(name.name == known for known, _ in self.locals)

    def name(self, node: ast.Name) -> Found | None:
        if self.is_local(node):
            slot = max(at for at, (known, _) in enumerate(self.locals) if known == node.name)
            return self.part(bundle.G_LOCAL, self.locals[slot][1], slot)
        if node.name == "now":
            return self.part(bundle.G_NOW, kinds.TIMESTAMP)
        if node.name in self.environment.attributes:
            return self.attribute(node, node.name)
        if node.name in TYPES:
            return self.part(bundle.G_TYPE, kinds.TYPE, node.name)
        return self.refuse(node, NAMES, f"`{node.name}`")

    def select(self, node: ast.Select) -> Found | None:
        root = node.operand
        if isinstance(root, ast.Name) and not self.is_local(root):
            if root.name == "segment":
                return self.segment(node)
            if root.name in SCOPES:
                return self.attribute(node, f"{root.name}.{node.name}")
            if root.name not in self.environment.attributes:
                return self.name(ast.Name(node.line, node.column, f"{root.name}.{node.name}"))
        path = ".".join(path_of(node))
        if path in TYPES:
            return self.part(bundle.G_TYPE, kinds.TYPE, path)
        return self.field(node, bundle.G_FIELD)

    def attribute(self, node: ast.Node, name: str, op: int = bundle.G_ATTRIBUTE) -> Found | None:
        if name not in self.environment.attributes:
            return self.refuse(node, "a declared attribute", f"`{name}`")
        found = self.environment.attributes[name]
        if found is None:
            return None
        return self.part(op, BOOL if op == bundle.G_HAS else kinds.OF_ATTRIBUTE[found[1]], found[0])

    def segment(self, node: ast.Select) -> Found | None:
        """The segment's expression, once in the parts; macros' variables do not reach into it."""
        if node.name not in self.environment.segments:
            return self.refuse(node, "a declared segment", f"`segment.{node.name}`")
        tree = self.environment.segment_trees.get(node.name)
        if self.environment.segments[node.name] is None or tree is None:
            return None
        if node.name not in self.segments:
            around, self.locals = self.locals, []
            inner = self.boolean(tree, "a segment")
            self.locals = around
            self.segments[node.name] = inner and self.part(bundle.G_SEGMENT, BOOL, operands=[inner])
        return self.segments[node.name]

    def field(self, node: ast.Select, op: int) -> Found | None:
        operand = self.value(node.operand)
        if operand is None:
            return None
        name = field_name(node.name)
        if operand.kind != DYN and not (
            operand.kind.name == "map" and agree(operand.kind.of[0], kinds.STRING)
        ):
            return self.refuse(node, f"a map for the field `.{name}`", str(operand.kind))
        kind = operand.kind.of[1] if operand.kind.of else DYN
        return self.part(op, kind if op == bundle.G_FIELD else BOOL, name, [operand])

    # ---- Operators

    def unary(self, node: ast.Unary) -> Found | None:
        inner = node.operand
        if node.operator == "!":
            operand = self.boolean(inner, "`!`")
            return operand and self.part(bundle.G_NOT, BOOL, operands=[operand])
        if isinstance(inner, ast.Literal) and inner.kind == "int":
            assert isinstance(inner.value, int)
            if inner.value <= INT_MAX + 1:  # the least int has no positive of 64 bits
                return self.part(bundle.G_LITERAL, INT, -inner.value)
        operand = self.value(inner)
        if operand is None:
            return None
        if operand.kind not in (INT, kinds.FLOAT, DYN):
            return self.refuse(node, "int or float for unary `-`", str(operand.kind))
        return self.part(bundle.G_NEGATE, operand.kind, operands=[operand])

    def logic(self, node: ast.Logic) -> Found | None:
        terms = [self.boolean(operand, f"`{node.operator}`") for operand in node.operands]
        op = bundle.G_AND if node.operator == "&&" else bundle.G_OR
        return self.gathered(op, BOOL, terms)

    def gathered(self, op: int, kind: Kind, operands: list[Found | None]) -> Found | None:
        known = [operand for operand in operands if operand is not None]
        return self.part(op, kind, operands=known) if len(known) == len(operands) else None

    def conditional(self, node: ast.Conditional) -> Found | None:
        condition = self.boolean(node.condition, "the condition of `?:`")
        yes, no = self.value(node.yes), self.value(node.no)
        if condition is None or yes is None or no is None:
            return None
        kind = joined(yes.kind, no.kind)
        if kind == DYN and DYN not in (yes.kind, no.kind):
            return self.refuse(node.no, "both results of `?:` of one type", f"{yes.kind} and {no.kind}")
        return self.part(bundle.G_CHOOSE, kind, operands=[condition, yes, no])

    def binary(self, node: ast.Binary) -> Found | None:
        if node.operator == "in":
            return self.membership(node)
        left, right = self.value(node.left), self.value(node.right)
        if left is None or right is None:
            return None
        sign, words = node.operator, f"{left.kind} {node.operator} {right.kind}"
        if sign in ("==", "!=", *ORDERS):
            good = (kinds.in_order if sign in ORDERS else agree)(left.kind, right.kind)
            if not good:
                return self.refuse(node, "two values that can be compared", words)
            return self.part(bundle.G_BINARY, BOOL, sign, [left, right])
        kind = kinds.calculated(sign, left.kind, right.kind)
        if kind is None:
            mixed = left.kind in kinds.NUMBERS and right.kind in kinds.NUMBERS and left.kind != right.kind
            hint = " of one type (write 1.0 beside a float)" if mixed else " of two values that it takes"
            return self.refuse(node, f"`{sign}`{hint}", words)
        return self.part(bundle.G_BINARY, kind, sign, [left, right])

    def membership(self, node: ast.Binary) -> Found | None:
        left = self.value(node.left)
        if isinstance(node.right, ast.ListLiteral):
            right = self.listing(node.right, left)
        else:
            right = self.value(node.right)
        if left is None or right is None:
            return None
        if right.kind != DYN and right.kind.name not in ("list", "map"):
            return self.refuse(node.right, "a list or map after `in`", str(right.kind))
        if right.kind.of and not agree(left.kind, right.kind.of[0]):
            return self.refuse(node.left, f"{right.kind.of[0]} before `in` {right.kind}", str(left.kind))
        return self.part(bundle.G_BINARY, BOOL, "in", [left, right])

    def index(self, node: ast.Index) -> Found | None:
        operand, index = self.value(node.operand), self.value(node.index)
        if operand is None or index is None:
            return None
        if operand.kind.name == "list":
            key, kind = INT, operand.kind.of[0]
        elif operand.kind.name == "map":
            key, kind = operand.kind.of
        elif operand.kind == DYN:
            key = kind = DYN
        else:
            return self.refuse(node, "a list or map before `[...]`", str(operand.kind))
        if not agree(key, index.kind):
            return self.refuse(node.index, f"{key} as an index of {operand.kind}", str(index.kind))
        return self.part(bundle.G_INDEX, kind, operands=[operand, index])

    # ---- Lists and maps

    def listing(self, node: ast.ListLiteral, beside: Found | None = None) -> Found | None:
        """A list; beside an operand of `in` each of its values must compare with that."""
        items = [self.value(item) for item in node.items]
        for written, item in zip(node.items, items, strict=True):
            if beside is not None and item is not None and not agree(beside.kind, item.kind):
                return self.refuse(written, f"{beside.kind} in the list", str(item.kind))
        return self.gathered(bundle.G_LIST, list_of(_common(items)), items)

    def map_literal(self, node: ast.MapLiteral) -> Found | None:
        flat: list[Found | None] = []
        for entry in node.entries:
            assert isinstance(entry, ast.ListLiteral)
            key, value = entry.items
            found = self.value(key)
            if found is not None and found.kind not in (*kinds.KEYS, DYN):
                return self.refuse(key, "bool, int, uint or string for the key of a map", str(found.kind))
            flat += [found, self.value(value)]
        return self.gathered(bundle.G_MAP, map_of(_common(flat[::2]), _common(flat[1::2])), flat)

    # ---- Calls

    def call(self, node: ast.Call) -> Found | None:
        count = len(node.arguments)
        if node.target is None:
            if node.name == "has":
                return self.has(node)
            return self.function(node)
        if isinstance(node.target, ast.Name) and not self.is_local(node.target):
            space = node.target.name
            if space == "cel" and node.name == "bind" and count == 3:
                return self.bind(node)
            if space in functions.EXTENSION_NAMESPACES and space not in self.environment.attributes:
                return self.refuse(node, "a supported function", f"`{space}.{node.name}()`")
        variables = node.arguments[:2]
        if count in TWO_VARIABLES.get(node.name, ()) and all(isinstance(one, ast.Name) for one in variables):
            return self.macro(node, node.target, 2)
        if count in ONE_VARIABLE.get(node.name, ()):
            return self.macro(node, node.target, 1)
        return self.function(node)

    def has(self, node: ast.Call) -> Found | None:
        field = node.arguments[0] if len(node.arguments) == 1 else None
        if isinstance(field, ast.Select):
            root = field.operand
            if isinstance(root, ast.Name) and not self.is_local(root) and root.name in SCOPES:
                if root.name == "segment":
                    return self.refuse(node, HAS, "`has` of something else")
                return self.attribute(field, f"{root.name}.{field.name}", bundle.G_HAS)
            return self.field(field, bundle.G_HAS_FIELD)
        return self.refuse(node, HAS, "`has` of something else")

    def function(self, node: ast.Call) -> Found | None:
        known = kinds.GLOBALS if node.target is None else kinds.METHODS
        written = [*([node.target] if node.target else []), *node.arguments]
        if node.name not in known:
            other = kinds.METHODS if node.target is None else kinds.GLOBALS
            if node.name in other:
                return self.refuse(
                    node, f"`{node.name}` with its arguments as documented", "another form of it"
                )
            return self.refuse(node, "a supported function", f"`{node.name}()`")
        forms = [form for form in known[node.name] if len(form.parameters) == len(written)]
        if not forms:
            return self.refuse(node, f"`{node.name}` with its arguments as documented", "another form of it")
        arguments = [self.value(one) for one in written]
        for one, found, (takes, words) in zip(written, arguments, forms[0].parameters, strict=True):
            if found is not None and not takes(found.kind):
                return self.refuse(one, f"{words} for `{node.name}`", str(found.kind))
        if not self.text_is_right(node, written[-1]):
            return None
        known_arguments = [found for found in arguments if found is not None]
        if len(known_arguments) < len(written):
            return None
        return self.part(bundle.G_CALL, forms[0].result, node.name, known_arguments)

    def text_is_right(self, node: ast.Call, argument: ast.Node) -> bool:
        """Whether a literal is the pattern, time, span or zone that a function wants; else a fault."""
        check = _TEXTS.get(node.name)
        if check is None or not isinstance(argument, ast.Literal) or not isinstance(argument.value, str):
            return True
        try:
            check(argument.value)
        except EvaluationError as error:
            expected = error.expected or str(error).removeprefix("expected ")
            if expected.startswith("out of"):
                expected = f"a {node.name} that is not out of its range"
            self.refuse(argument, expected, f'"{argument.value[:64]}"')
            return False
        return True

    def macro(self, node: ast.Call, target: ast.Node, variables: int) -> Found | None:
        source = self.value(target)
        if source is None:
            return None
        if source.kind != DYN and source.kind.name not in ("list", "map"):
            return self.refuse(node, f"a list or map for `{node.name}`", str(source.kind))
        entered = zip(node.arguments[:variables], _entries(source.kind, variables), strict=False)
        slots = [self.enter(one, kind) for one, kind in entered]
        parts = self.arguments_of_macro(node, variables)
        del self.locals[len(self.locals) - variables :]
        known = [part for part in parts if part is not None]
        if None in slots or len(known) < len(parts):
            return None
        kind = _made(node.name, source.kind, known[-1].kind)
        numbers = [slot for slot in slots if slot is not None]
        return self.part(bundle.G_MACRO, kind, node.name, [source, *known], numbers)

    def arguments_of_macro(self, node: ast.Call, variables: int) -> list[Found | None]:
        """Predicates are bools; the last argument of a transformation is anything."""
        written = node.arguments[variables:]
        predicates = written if node.name in _PREDICATES else written[:-1]
        found = [self.boolean(one, f"the predicate of `{node.name}`") for one in predicates]
        return found if len(predicates) == len(written) else [*found, self.value(written[-1])]

    def bind(self, node: ast.Call) -> Found | None:
        value = self.value(node.arguments[1])
        slot = self.enter(node.arguments[0], value.kind if value else DYN)
        body = self.value(node.arguments[2])
        self.locals.pop()
        if value is None or body is None or slot is None:
            return None
        return self.part(bundle.G_BIND, body.kind, operands=[value, body], slots=[slot])

    def enter(self, node: ast.Node, kind: Kind) -> int | None:
        """Make a macro's variable known, and return its slot."""
        count = len(self.faults)
        if not isinstance(node, ast.Name) or node.absolute:
            self.refuse(node, "a name for the variable of a macro", "something else")
        elif len(self.locals) >= bundle.GENERAL_SLOTS_MAX:
            self.refuse(node, f"at most {bundle.GENERAL_SLOTS_MAX} variables of macros at once", "more")
        self.locals.append((node.name if isinstance(node, ast.Name) else "", kind))
        return len(self.locals) - 1 if len(self.faults) == count else None


_PREDICATES: Final = frozenset({"all", "exists", "exists_one", "existsOne", "filter"})
#: What a literal must be, where it is the last argument.
_TEXTS: Final[dict[str, Callable[[str], object]]] = {
    "matches": regex.compiled,
    "timestamp": times.parse_timestamp,
    "duration": times.parse_duration,
    **dict.fromkeys(times.TIMESTAMP_PARTS, times.check_offset),
    "getMilliseconds": times.check_offset,
}


def _common(items: list[Found | None]) -> Kind:
    known = [item.kind for item in items if item is not None]
    kind = known[0] if known else DYN
    for one in known[1:]:
        kind = joined(kind, one)
    return kind


def _entries(kind: Kind, variables: int) -> tuple[Kind, Kind]:
    """The types of a macro's variables."""
    if kind == DYN:
        return DYN, DYN
    if kind.name == "list":
        return (kind.of[0], DYN) if variables == 1 else (INT, kind.of[0])
    return kind.of[0], kind.of[1]


def _made(macro: str, source: Kind, last: Kind) -> Kind:
    """The type of what a macro gives."""
    if macro in ("map", "transformList"):
        return list_of(last)
    if macro == "filter":
        return list_of(source.of[0]) if source.of else list_of(DYN)
    if macro == "transformMap":
        return map_of(INT if source.name == "list" else source.of[0] if source.of else DYN, last)
    if macro == "transformMapEntry":
        return last if last.name == "map" else map_of(DYN, DYN)
    return BOOL
