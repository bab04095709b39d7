"""Syntax tree to typed expression, against the declared attributes.

What the tables cannot hold becomes a part of the general evaluator, the smallest bool around it; what
that does not support either is refused by its name.
"""

from typing import Final

from core.bundle import BOOL, FLOAT, INT, STRING, STRINGS, TIMESTAMP
from core.cel import ast, literals
from core.cel.environment import Environment, ExpressionFault
from core.cel.folding import ARITHMETIC, COMPARABLE, COMPARISONS, fold
from core.cel.general import kinds
from core.cel.general.checking import check_general
from core.cel.general.comprehensions import ONE_VARIABLE, TWO_VARIABLES
from core.cel.lowering import too_large
from core.cel.typed import (
    DURATION,
    NUMBERS,
    TYPE_NAMES,
    UNKNOWN,
    Binary,
    Conditional,
    Constant,
    Has,
    InGeneral,
    InList,
    InSegment,
    Logic,
    Negate,
    Not,
    Now,
    Read,
    Size,
    Typed,
)

MACROS: Final = frozenset({*ONE_VARIABLE, *TWO_VARIABLES, "bind"})
UNDECLARED: Final = ("a declared attribute", "a declared segment")
STRING_TESTS: Final = frozenset({"contains", "startsWith", "endsWith"})
SUPPORTED: Final = "has, size, duration, timestamp, contains, startsWith or endsWith"
REFUSED: Final[dict[type, str]] = {
    ast.MapLiteral: "a map literal",
    ast.Message: "a message literal",
    ast.Index: "an index `[...]`",
}
LITERAL_TYPES: Final = {"bool": BOOL, "int": INT, "float": FLOAT, "string": STRING}


def check(root: ast.Node, environment: Environment) -> tuple[Typed | None, list[ExpressionFault]]:
    """The typed expression, which is a bool; or None and every fault of it."""
    checker = _Checker(environment)
    typed = checker.boolean(root, "the whole expression")
    return (None if checker.faults else typed), checker.faults


def check_value(root: ast.Node, environment: Environment) -> tuple[Typed | None, list[ExpressionFault]]:
    """As `check`, for an expression of any type."""
    checker = _Checker(environment)
    typed = checker.value(root)
    if checker.faults:
        typed = checker.general(root, 0)
    return (None if checker.faults else typed), checker.faults


def references(root: ast.Node) -> set[str]:
    """The segments that an expression names."""
    found: set[str] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if (
            isinstance(node, ast.Select)
            and isinstance(node.operand, ast.Name)
            and node.operand.name == "segment"
        ):
            found.add(node.name)
        stack += children(node)
    return found


def children(node: ast.Node) -> list[ast.Node]:
    match node:
        case ast.Select(operand=operand) | ast.Unary(operand=operand):
            return [operand]
        case ast.Call(target=target, arguments=arguments):
            return [*([target] if target else []), *arguments]
        case ast.Index(operand=operand, index=index):
            return [operand, index]
        case ast.ListLiteral(items=nodes) | ast.Logic(operands=nodes) | ast.MapLiteral(entries=nodes):
            return nodes
        case ast.Binary(left=left, right=right):
            return [left, right]
        case ast.Conditional(condition=condition, yes=yes, no=no):
            return [condition, yes, no]
        case _:
            return []


class _Checker:
    """Each method returns the typed node, or None after noting why there is none; None in gives None out,
    so one mistake is one fault."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.faults: list[ExpressionFault] = []

    def refuse(self, node: ast.Node, expected: str, got: str) -> Typed | None:
        """Note a fault; returns None, which stands for the faulty part."""
        self.faults.append(ExpressionFault(node.line, node.column, expected, got))
        return None

    def boolean(self, node: ast.Node, what: str) -> Typed | None:
        before = len(self.faults)
        typed = self.value(node)
        if typed is not None and typed.type != BOOL:
            return self.refuse(node, f"bool for {what}", TYPE_NAMES[typed.type])
        large = too_large(typed) if isinstance(typed, Binary | InList) else None
        if large is not None:
            self.refuse(node, large.expected, large.got)
        # The operands of logic are bools, which were tried one by one.
        if len(self.faults) == before or isinstance(node, ast.Logic) or _is_negation(node):
            return typed
        found = self.general(node, before)
        if found is None or not isinstance(node, ast.Conditional):
            if found is not None and found.type != BOOL:
                return self.refuse(node, f"bool for {what}", TYPE_NAMES[found.type])
            return found
        condition = self.boolean(node.condition, "the condition of `?:`")
        yes, no = (self.boolean(result, what) for result in (node.yes, node.no))
        if condition is None or yes is None or no is None:
            return None
        return Conditional(BOOL, condition, yes, no)

    def general(self, node: ast.Node, before: int) -> Typed | None:
        """The part as the general evaluator runs it, in place of the faults from `before` on; else its faults
        in their place."""
        if all(fault.expected in UNDECLARED for fault in self.faults[before:]):
            return None  # names are the same to both
        why = self.faults[before].got
        general, kind, faults = check_general(node, self.environment, why)
        self.faults[before:] = faults
        if general is None:
            return None
        is_bool = kind in (kinds.BOOL, kinds.DYN)
        return InGeneral(BOOL if is_bool else UNKNOWN, general, node.line, node.column)

    def value(self, node: ast.Node) -> Typed | None:
        match node:
            case ast.Literal():
                return self.literal(node)
            case ast.Name():
                return self.name(node)
            case ast.Select():
                return self.select(node)
            case ast.Unary():
                return self.unary(node)
            case ast.Binary(operator=operator):
                return self.membership(node) if operator == "in" else self.binary(node)
            case ast.Logic():
                return self.logic(node)
            case ast.Conditional():
                return self.conditional(node)
            case ast.Call():
                return self.call(node)
            case ast.ListLiteral():
                return self.refuse(node, "a list only after `in`", "a list literal")
            case _:
                return self.refuse(node, "a supported value", REFUSED.get(type(node), "something else"))

    def literal(self, node: ast.Literal) -> Typed | None:
        if node.kind not in LITERAL_TYPES:
            return self.refuse(node, "bool, int, float or string", f"a {node.kind} literal")
        if node.kind == "int" and isinstance(node.value, int) and node.value > literals.INT_MAX:
            return self.refuse(node, "an int of 64 bits", str(node.value))
        assert node.value is not None
        assert not isinstance(node.value, bytes)
        return Constant(LITERAL_TYPES[node.kind], node.value)

    def name(self, node: ast.Name) -> Typed | None:
        if node.name == "now":
            return Now(TIMESTAMP)
        bound = self.environment.attributes.get(node.name)
        if bound is not None:
            return Read(bound[1], bound[0])
        expected = "profile.ATTRIBUTE, context.NAME, segment.ID or now"
        return self.refuse(node, expected, f"`{node.name}`")

    def select(self, node: ast.Select) -> Typed | None:
        if not isinstance(node.operand, ast.Name) or node.operand.name not in (
            "profile",
            "context",
            "segment",
        ):
            if isinstance(node.operand, ast.Name):
                return self.name(ast.Name(node.line, node.column, f"{node.operand.name}.{node.name}"))
            return self.refuse(node, "a supported value", f"the selection of a field `.{node.name}`")
        if node.operand.name == "segment":
            return self.segment(node)
        found = self.attribute(node, f"{node.operand.name}.{node.name}")
        return None if found is None else Read(found[1], found[0])

    def attribute(self, node: ast.Node, name: str) -> tuple[int, int] | None:
        found = self.environment.attributes.get(name)
        if name not in self.environment.attributes:
            self.refuse(node, UNDECLARED[0], f"`{name}`")
        return found

    def segment(self, node: ast.Select) -> Typed | None:
        if node.name not in self.environment.segments:
            return self.refuse(node, UNDECLARED[1], f"`segment.{node.name}`")
        typed = self.environment.segments[node.name]
        return None if typed is None else InSegment(BOOL, typed)

    def unary(self, node: ast.Unary) -> Typed | None:
        if node.operator == "!":
            operand = self.boolean(node.operand, "`!`")
            return None if operand is None else Not(BOOL, operand)
        inner = node.operand
        if isinstance(inner, ast.Literal) and inner.kind == "int" and inner.value == -literals.INT_MIN:
            return Constant(INT, literals.INT_MIN)  # whose positive is no int of 64 bits
        typed = self.value(inner)
        if typed is None:
            return None
        if typed.type not in NUMBERS:
            return self.refuse(node, "int or float for unary `-`", TYPE_NAMES[typed.type])
        return fold(Negate(typed.type, typed))

    def logic(self, node: ast.Logic) -> Typed | None:
        terms = [self.boolean(operand, f"`{node.operator}`") for operand in node.operands]
        known = [term for term in terms if term is not None]
        return Logic(BOOL, node.operator, tuple(known)) if len(known) == len(terms) else None

    def conditional(self, node: ast.Conditional) -> Typed | None:
        condition = self.boolean(node.condition, "the condition of `?:`")
        yes, no = self.value(node.yes), self.value(node.no)
        if condition is None or yes is None or no is None:
            return None
        if yes.type != no.type:
            got = f"{TYPE_NAMES[yes.type]} and {TYPE_NAMES[no.type]}"
            return self.refuse(node.no, "both results of `?:` of one type", got)
        return Conditional(yes.type, condition, yes, no)

    def binary(self, node: ast.Binary) -> Typed | None:
        left, right = self.value(node.left), self.value(node.right)
        if left is None or right is None:
            return None
        kinds = f"{TYPE_NAMES[left.type]} {node.operator} {TYPE_NAMES[right.type]}"
        if node.operator in COMPARISONS:
            if not comparable(left.type, right.type):
                return self.refuse(node, "two values that can be compared", kinds)
            return fold(Binary(BOOL, node.operator, left, right))
        result = ARITHMETIC.get((node.operator, left.type, right.type))
        if result is None:
            mixed = {left.type, right.type} == NUMBERS
            hint = (
                " of one type (write 1.0 beside a float)"
                if mixed
                else " of int, float, timestamp or duration"
            )
            return self.refuse(node, f"`{node.operator}`{hint}", kinds)
        return fold(Binary(result, node.operator, left, right))

    def membership(self, node: ast.Binary) -> Typed | None:
        if isinstance(node.right, ast.ListLiteral):
            return self.in_list(node, node.right)
        left, right = self.value(node.left), self.value(node.right)
        if left is None or right is None:
            return None
        if right.type != STRINGS:
            return self.refuse(
                node.right, "a list literal or a strings attribute after `in`", TYPE_NAMES[right.type]
            )
        if left.type != STRING:
            return self.refuse(node.left, "string before `in` a strings attribute", TYPE_NAMES[left.type])
        return fold(Binary(BOOL, "in", left, right))

    def in_list(self, node: ast.Binary, written: ast.ListLiteral) -> Typed | None:
        if not 0 < len(written.items) <= ast.LIST_LENGTH_MAX:
            return self.refuse(
                written,
                f"a list of 1 to {ast.LIST_LENGTH_MAX} values",
                f"a list of {len(written.items)} values",
            )
        operand = self.value(node.left)
        items: list[Constant] = []
        for item in written.items:
            typed = self.value(item)
            if typed is None:
                continue
            if not isinstance(typed, Constant):
                self.refuse(item, "a literal in the list after `in`", "an expression in a list")
            elif operand is not None and not comparable(operand.type, typed.type):
                self.refuse(item, f"{TYPE_NAMES[operand.type]} in the list", TYPE_NAMES[typed.type])
            else:
                items.append(typed)
        if operand is None or len(items) < len(written.items):
            return None
        return fold(InList(BOOL, operand, tuple(items)))

    def call(self, node: ast.Call) -> Typed | None:
        if node.target is not None and node.name in MACROS:
            return self.refuse(node, "a supported function", f"the macro `{node.name}`")
        if node.name == "has" and node.target is None:
            return self.has(node)
        arguments = [*([node.target] if node.target else []), *node.arguments]
        method = node.target is not None
        if node.name == "size" and len(arguments) == 1:
            return self.size(arguments[0])
        if node.name in STRING_TESTS and method and len(arguments) == 2:
            return self.string_test(node.name, arguments)
        if node.name in ("duration", "timestamp") and not method and len(arguments) == 1:
            return self.moment(node.name, arguments[0])
        if node.name in STRING_TESTS | {"size", "duration", "timestamp"}:
            return self.refuse(node, f"`{node.name}` with its arguments as documented", "another form of it")
        return self.refuse(node, f"a supported function ({SUPPORTED})", f"`{node.name}()`")

    def has(self, node: ast.Call) -> Typed | None:
        argument = node.arguments[0] if len(node.arguments) == 1 else node
        if isinstance(argument, ast.Select) and isinstance(argument.operand, ast.Name):
            scope = argument.operand.name
            if scope in ("profile", "context"):
                found = self.attribute(argument, f"{scope}.{argument.name}")
                return None if found is None else Has(BOOL, found[0])
        return self.refuse(node, "has(profile.ATTRIBUTE) or has(context.NAME)", "`has` of something else")

    def size(self, argument: ast.Node) -> Typed | None:
        operand = self.value(argument)
        if operand is None:
            return None
        if operand.type not in (STRING, STRINGS):
            return self.refuse(argument, "string or strings for `size`", TYPE_NAMES[operand.type])
        return fold(Size(INT, operand))

    def string_test(self, name: str, arguments: list[ast.Node]) -> Typed | None:
        operands = [self.value(argument) for argument in arguments]
        for argument, operand in zip(arguments, operands, strict=True):
            if operand is not None and operand.type != STRING:
                return self.refuse(argument, f"string for `{name}`", TYPE_NAMES[operand.type])
        left, right = operands
        return None if left is None or right is None else fold(Binary(BOOL, name, left, right))

    def moment(self, name: str, argument: ast.Node) -> Typed | None:
        if not isinstance(argument, ast.Literal) or argument.kind != "string":
            return self.refuse(argument, f"a string literal for `{name}`", f"`{name}()` of an expression")
        text = str(argument.value)
        try:
            if name == "duration":
                return Constant(DURATION, literals.duration_ms(text))
            return Constant(TIMESTAMP, literals.timestamp_ms(text))
        except ValueError as error:
            return self.refuse(argument, str(error), f'"{text[:64]}"')


def _is_negation(node: ast.Node) -> bool:
    return isinstance(node, ast.Unary) and node.operator == "!"


def comparable(left: int, right: int) -> bool:
    """Say whether values of the two types compare: the same type, or two numbers."""
    return (left == right and left in COMPARABLE) or (left in NUMBERS and right in NUMBERS)
