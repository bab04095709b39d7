"""Text to syntax tree, by lark over `grammar.lark`.

Only the hub reads expressions: lark is imported when the first one comes, so that an edge does without it.
"""

import functools
from collections.abc import Callable, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from core.cel import ast, literals
from core.errors import ExpressionError, UnsupportedError

if TYPE_CHECKING:
    from lark import Token

#: What a fault calls the terminals that close something.
CLOSING: Final = {"RPAR": ")", "RSQB": "]", "RBRACE": "}", "COLON": ":", "COMMA": ",", "IDENT": "a name"}
#: All of these among the expected terminals mean: any value, any operator.
OPERAND: Final = frozenset({"INT", "STRING"})
OPERATOR: Final = frozenset({"RELATION", "PLUS"})


def parse(text: str) -> ast.Node:
    """Parse one expression.

    Raises
    ------
    ExpressionError
        It is too long, too deeply nested, or no CEL; with line and column, from 1, inside the text.
    """
    if len(text) > ast.LENGTH_MAX:
        raise ExpressionError(
            expected=f"an expression of at most {ast.LENGTH_MAX} characters", got=f"{len(text)} characters"
        )
    return _parse(text)


@functools.cache
def _load() -> Callable[[str], ast.Node]:
    """Build the parser: LALR tables over the grammar, syntax nodes made as rules are reduced."""
    import lark

    class Build(lark.Transformer[Any, ast.Node]):
        pass

    for name, method in _BUILDERS.items():
        setattr(Build, name, staticmethod(method))

    grammar = resources.files("core.cel").joinpath("grammar.lark").read_text(encoding="utf-8")
    parser = lark.Lark(
        grammar, parser="lalr", lexer="contextual", transformer=Build(), maybe_placeholders=False, cache=False
    )

    def run(text: str) -> ast.Node:
        try:
            return parser.parse(text)  # type: ignore[return-value]
        except lark.UnexpectedInput as error:
            raise _syntax_error(error, text) from None

    return run


def _parse(text: str) -> ast.Node:
    return _load()(text)


def _syntax_error(error: Any, text: str) -> ExpressionError:
    token = getattr(error, "token", None)
    if token is None:  # no token begins here
        character = text[error.pos_in_stream : error.pos_in_stream + 1]
        got = "a string that does not end" if character in "\"'" else repr(character)
        return ExpressionError(expected="CEL", got=got, line=error.line, column=error.column)
    expected = _expected(set(error.expected) if hasattr(error, "expected") else set())
    if token.type == "$END":
        line, column = text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
        return ExpressionError(expected=expected, got="the end of the expression", line=line, column=column)
    return ExpressionError(expected=expected, got=repr(str(token)), line=token.line, column=token.column)


def _expected(terminals: set[str]) -> str:
    if terminals >= OPERAND:
        return "a value"
    closing = [] if terminals >= OPERATOR else [text for name, text in CLOSING.items() if name in terminals]
    return " or ".join(closing) or "an operator or the end"


def _nested(node: ast.Node, *operands: ast.Node) -> ast.Node:
    node.over(*operands)
    if node.depth > ast.NESTING_MAX:
        raise ExpressionError(
            expected=f"an expression nested at most {ast.NESTING_MAX} deep",
            got="a deeper one",
            line=node.line,
            column=node.column,
        )
    return node


def _line(token: "Token") -> int:
    return token.line or 1


def _column(token: "Token") -> int:
    return token.column or 1


def _literal(kind: str, value: Callable[[str], Any]) -> Callable[[Sequence[Any]], ast.Node]:
    def build(children: Sequence[Any]) -> ast.Node:
        (token,) = children
        try:
            return ast.Literal(_line(token), _column(token), kind, value(str(token)))
        except ValueError as error:
            raise ExpressionError(
                expected=f"a {kind} literal", got=str(error), line=_line(token), column=_column(token)
            ) from None

    return build


def _logic(operator: str) -> Callable[[Sequence[Any]], ast.Node]:
    def build(children: Sequence[Any]) -> ast.Node:
        operands: list[ast.Node] = []
        for child in children:
            same = isinstance(child, ast.Logic) and child.operator == operator
            operands += child.operands if same else [child]
        first = operands[0]
        return _nested(ast.Logic(first.line, first.column, operator, operands), *operands)

    return build


def _unary(operator: str) -> Callable[[Sequence[Any]], ast.Node]:
    def build(children: Sequence[Any]) -> ast.Node:
        token, operand = children
        return _nested(ast.Unary(_line(token), _column(token), operator, operand), operand)

    return build


def _binary(children: Sequence[Any]) -> ast.Node:
    left, token, right = children
    return _nested(ast.Binary(_line(token), _column(token), str(token), left, right), left, right)


def _conditional(children: Sequence[Any]) -> ast.Node:
    condition, _, yes, no = children
    return _nested(ast.Conditional(condition.line, condition.column, condition, yes, no), condition, yes, no)


def _select(children: Sequence[Any]) -> ast.Node:
    operand, token = children
    return _nested(ast.Select(operand.line, operand.column, operand, str(token)), operand)


def _method(children: Sequence[Any]) -> ast.Node:
    target, token, *arguments = children
    return _nested(ast.Call(_line(token), _column(token), str(token), target, arguments), target, *arguments)


def _call(children: Sequence[Any]) -> ast.Node:
    token, *arguments = children[1:] if children[0] == "." else children
    return _nested(ast.Call(_line(token), _column(token), str(token), None, arguments), *arguments)


def _index(children: Sequence[Any]) -> ast.Node:
    operand, index = children
    return _nested(ast.Index(operand.line, operand.column, operand, index), operand, index)


def _message(children: Sequence[Any]) -> ast.Node:
    name, *fields = children
    return _nested(ast.Message(name.line, name.column, name), name, *fields)


def _entry(children: Sequence[Any]) -> ast.Node:
    key, value = children
    return _nested(ast.ListLiteral(key.line, key.column, [key, value]), key, value)


def _list(children: Sequence[Any]) -> ast.Node:
    token, *items = children
    return _nested(ast.ListLiteral(_line(token), _column(token), items), *items)


def _map(children: Sequence[Any]) -> ast.Node:
    token, *entries = children
    return _nested(ast.MapLiteral(_line(token), _column(token), entries), *entries)


def _name(children: Sequence[Any]) -> ast.Node:
    token = children[-1]
    return ast.Name(_line(token), _column(token), str(token), absolute=len(children) > 1)


def _optional(children: Sequence[Any]) -> ast.Node:
    token = next(child for child in children if child == "?")
    raise UnsupportedError(
        expected="a supported part of CEL",
        got="an optional value `?`",
        line=_line(token),
        column=_column(token),
    )


def _reserved(children: Sequence[Any]) -> ast.Node:
    (token,) = children
    raise ExpressionError(
        expected="a name", got=f"the reserved word {token}", line=_line(token), column=_column(token)
    )


def _finite(text: str) -> float:
    value = float(text)
    if value == float("inf"):
        raise ValueError(f"{text}, which is too large")
    return value


_BUILDERS: Final[dict[str, Callable[[Sequence[Any]], ast.Node]]] = {
    "conditional": _conditional,
    "or_": _logic("||"),
    "and_": _logic("&&"),
    "binary": _binary,
    "not_": _unary("!"),
    "negate": _unary("-"),
    "select": _select,
    "method": _method,
    "index": _index,
    "message": _message,
    "name": _name,
    "absolute": _name,
    "call": _call,
    "reserved": _reserved,
    "optional": _optional,
    "list_": _list,
    "map_": _map,
    "entry": _entry,
    "field": lambda children: children[-1],
    "float_": _literal("float", _finite),
    "int_": _literal("int", literals.int_value),
    "uint": _literal("uint", literals.uint_value),
    "string": _literal("string", literals.string_value),
    "bytes_": _literal("bytes", literals.bytes_value),
    "true": _literal("bool", lambda _: True),
    "false": _literal("bool", lambda _: False),
    "null": _literal("null", lambda _: None),
}
