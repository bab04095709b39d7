"""Syntax tree to program. What is not supported is refused here, by its name, before anything runs."""

from typing import Final

from core.cel import ast
from core.cel.general import building, comprehensions, functions
from core.cel.general.comprehensions import ONE_VARIABLE, TWO_VARIABLES, Loop
from core.cel.general.names import Scope, field_name, is_protobuf, path_of, resolve
from core.cel.general.program import Program
from core.cel.general.run import Code
from core.cel.general.values import TYPES, Uint
from core.cel.literals import INT_MAX
from core.errors import ExpressionError, UnsupportedError

SUPPORTED: Final = "a supported part of CEL"


def compile_expression(root: ast.Node, scope: Scope) -> Program:
    """A program of one expression.

    Parameters
    ----------
    root : from `core.cel.parser.parse`
    scope : the names it may use. A name that is not among them is an error when it is evaluated, which
        && and || may absorb; so is a function that nobody knows

    Raises
    ------
    UnsupportedError
        It uses protocol-buffer messages or an extension library, with line and column.
    ExpressionError
        It is no CEL: a number that has no 64 bits, a macro without a variable's name.
    """
    compiler = _Compiler(scope)
    code = compiler.code(root)
    return Program(code, compiler.slots)


class _Compiler:
    """`locals` are the names of the macros around the part being compiled, innermost last, by slot."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.locals: list[str] = []
        self.slots = 0
        self.nodes = 0

    def code(self, node: ast.Node) -> Code:
        self.nodes += 1
        match node:
            case ast.Literal():
                return _literal(node)
            case ast.Name() | ast.Select():
                return self.name(node)
            case ast.Call():
                return self.call(node)
            case ast.Unary():
                return self.unary(node)
            case ast.Binary():
                return self.binary(node)
            case ast.Logic():
                return building.logic(
                    node.operator == "||", [self.code(operand) for operand in node.operands]
                )
            case ast.Conditional():
                return building.conditional(
                    self.code(node.condition), self.code(node.yes), self.code(node.no)
                )
            case ast.Index():
                return building.indexed(self.code(node.operand), self.code(node.index))
            case ast.ListLiteral():
                return building.listing([self.code(item) for item in node.items])
            case ast.MapLiteral():
                return self.map_literal(node)
            case ast.Message():
                raise _refused(node, f"the protocol-buffer message `{'.'.join(path_of(node.name))}{{}}`")
            case _:
                raise AssertionError(node)

    # ---- Names

    def name(self, node: ast.Name | ast.Select) -> Code:
        path = path_of(node)
        if not path:
            assert isinstance(node, ast.Select)
            return building.field(self.code(node.operand), field_name(node.name))
        root = _root(node)
        if not root.absolute and root.name in self.locals:
            return building.fields(self.local(root.name), path[1:])
        found = resolve(self.scope, path, root.absolute)
        if found is None:
            if is_protobuf(self.scope, path):
                raise _refused(node, f"the protocol-buffer name `{'.'.join(path)}`")
            return building.failing(f"no such name: `{path[0]}`")
        is_variable = found.name in self.scope.variables
        code = building.variable(found.name) if is_variable else building.constant(TYPES[found.name])
        return building.fields(code, path[found.taken :])

    def local(self, name: str) -> Code:
        slot = len(self.locals) - 1 - self.locals[::-1].index(name)
        return lambda run: run.locals[slot]

    def is_namespace(self, node: ast.Node | None) -> str:
        """The name before a dot and a function, if it stands for nothing else: `math` in math.abs(x)."""
        if not isinstance(node, ast.Name) or node.name in self.locals:
            return ""
        return "" if resolve(self.scope, [node.name], node.absolute) else node.name

    # ---- Operators

    def unary(self, node: ast.Unary) -> Code:
        inner = node.operand
        if node.operator == "-" and isinstance(inner, ast.Literal) and inner.kind == "int":
            assert isinstance(inner.value, int)
            if inner.value <= INT_MAX + 1:  # the least int has no positive of 64 bits
                return building.constant(-inner.value)
        operand = self.code(inner)
        return building.negative(operand) if node.operator == "-" else building.opposite(operand)

    def binary(self, node: ast.Binary) -> Code:
        return building.binary(node.operator, self.code(node.left), self.code(node.right))

    def map_literal(self, node: ast.MapLiteral) -> Code:
        pairs = []
        for entry in node.entries:
            assert isinstance(entry, ast.ListLiteral)
            key, value = entry.items
            pairs.append((self.code(key), self.code(value)))
        return building.mapping(pairs)

    # ---- Calls

    def call(self, node: ast.Call) -> Code:
        count = len(node.arguments)
        if node.target is None:
            return self.has(node) if node.name == "has" and count == 1 else self.function(node)
        namespace = self.is_namespace(node.target)
        if namespace == "cel" and node.name == "bind" and count == 3:
            return self.bind(node)
        if namespace in functions.EXTENSION_NAMESPACES:
            raise _refused(node, f"the extension function `{namespace}.{node.name}()`")
        variables = node.arguments[:2]
        if count in TWO_VARIABLES.get(node.name, ()) and all(isinstance(one, ast.Name) for one in variables):
            return self.macro(node, node.target, 2)
        if count in ONE_VARIABLE.get(node.name, ()):
            return self.macro(node, node.target, 1)
        return self.function(node)

    def function(self, node: ast.Call) -> Code:
        method = node.target is not None
        found = (functions.METHODS if method else functions.GLOBALS).get(node.name)
        extensions = functions.EXTENSION_METHODS if method else functions.EXTENSION_GLOBALS
        if found is None and node.name in extensions:
            raise _refused(node, f"the extension function `{node.name}()`")
        if found is None and self.scope.container and not method:
            raise _refused(node, f"the protocol-buffer name `{node.name}`")
        written = [*([node.target] if node.target else []), *node.arguments]
        arguments = [self.code(argument) for argument in written]
        if found is None:
            return building.failing(f"no such function: `{node.name}()`")
        return building.called(found, arguments)

    def has(self, node: ast.Call) -> Code:
        selection = node.arguments[0]
        if not isinstance(selection, ast.Select):
            raise _wrong(selection, "a field for `has`, such as has(a.b)", "something else")
        return building.has_field(self.code(selection.operand), field_name(selection.name))

    def bind(self, node: ast.Call) -> Code:
        value = self.code(node.arguments[1])
        slot = self.enter(node.arguments[0])
        body = self.code(node.arguments[2])
        self.locals.pop()
        return comprehensions.bound(slot, value, body)

    def macro(self, node: ast.Call, target: ast.Node, variables: int) -> Code:
        source = self.code(target)
        before = self.nodes
        slots = tuple(self.enter(argument) for argument in node.arguments[:variables])
        parts = [self.code(argument) for argument in node.arguments[variables:]]
        del self.locals[-variables:]
        loop = Loop(source, slots, 1 + self.nodes - before)
        return comprehensions.comprehension(node.name, loop, parts)

    def enter(self, node: ast.Node) -> int:
        """Make a macro's variable known, and return its slot."""
        if not isinstance(node, ast.Name) or node.absolute:
            raise _wrong(node, "a name for the variable of a macro", "something else")
        self.locals.append(node.name)
        self.slots = max(self.slots, len(self.locals))
        return len(self.locals) - 1


def _root(node: ast.Node) -> ast.Name:
    while isinstance(node, ast.Select):
        node = node.operand
    assert isinstance(node, ast.Name)
    return node


def _refused(node: ast.Node, what: str) -> UnsupportedError:
    return UnsupportedError(expected=SUPPORTED, got=what, line=node.line, column=node.column)


def _wrong(node: ast.Node, expected: str, got: str) -> ExpressionError:
    return ExpressionError(expected=expected, got=got, line=node.line, column=node.column)


def _literal(node: ast.Literal) -> Code:
    if node.kind == "uint":
        assert isinstance(node.value, int)
        return building.constant(Uint(node.value))
    if node.kind == "int" and isinstance(node.value, int) and node.value > INT_MAX:
        raise _wrong(node, "an int of 64 bits", str(node.value))
    return building.constant(node.value)
