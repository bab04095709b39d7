"""CEL as a tree: recursive descent over the grammar of the language definition, without messages.

A node is a tuple whose first item names it:

    ("literal", value)             bool, int, float, str
    ("duration", ms)               duration("36h")
    ("timestamp", ms)              timestamp("2026-11-23T00:00:00Z")
    ("now",)
    ("read", scope, name)          scope is profile, context or segment
    ("has", scope, name)
    ("not", x)  ("neg", x)
    ("and", x, y)  ("or", x, y)  ("choose", condition, x, y)
    ("==" "!=" "<" "<=" ">" ">=" "+" "-" "*" "/" "%", x, y)
    ("in", x, y)                   y is a ("list", items) or a strings attribute
    ("size", x)
    ("contains" "startsWith" "endsWith", x, y)
    ("name", name)                 a macro's variable, or a type
    ("uint", value)  ("bytes", value)  ("null",)
    ("list", items)  ("map", [(key, value), ...])
    ("index", x, i)  ("field", x, name)  ("has field", x, name)
    ("call", function, [arguments, a target first])
    ("macro", name, x, [variables], [other arguments])
    ("bind", variable, value, body)
"""

import re
from typing import Any, Final

from core.errors import ExpressionError
from tests.oracle.times import duration_ms, timestamp_ms

Node = tuple[Any, ...]

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*)
  | (?P<float>(\d+\.\d+([eE][+-]?\d+)?)|(\d+[eE][+-]?\d+)|(\.\d+([eE][+-]?\d+)?))
  | (?P<uint>(0[xX][0-9a-fA-F]+|\d+)[uU])
  | (?P<int>0[xX][0-9a-fA-F]+|\d+)
  | (?P<bytes>[bB]("(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])*'))
  | (?P<string>[rR]?(\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|"(\\.|[^"\\\n])*"|'(\\.|[^'\\\n])*'))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`\n]+`)
  | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_KINDS: Final = ("space", "float", "uint", "int", "bytes", "string", "name", "sign")
_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPE: Final = re.compile(
    r"\\(x[0-9a-fA-F]{2}|X[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.DOTALL
)
_RELATIONS: Final = ("==", "!=", "<", "<=", ">", ">=", "in")
_MACROS: Final = (
    *("all", "exists", "exists_one", "existsOne", "filter", "map"),
    *("transformList", "transformMap", "transformMapEntry"),
)
_STRING_TESTS: Final = ("contains", "startsWith", "endsWith")
INT_MIN: Final = -(2**63)


def parse(text: str) -> Node:
    """The tree of one expression. Raises ExpressionError on what is not in the supported language."""
    parser = _Parser(_tokens(text))
    node = parser.expression()
    parser.expect("end", "")
    return node


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise ExpressionError(f"no CEL here: {text[position:]!r}")
        kind = next(name for name in _KINDS if match[name] is not None)
        if kind != "space":
            tokens.append((kind, match[0]))
        position = match.end()
    return [*tokens, ("end", "")]


class _Parser:
    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = tokens
        self.position = 0

    def take(self, *signs: str) -> str:
        """Take the next token if it is one of these signs or words: its text, else the empty string."""
        kind, text = self.tokens[self.position]
        if kind in ("sign", "name") and text in signs:
            self.position += 1
            return text
        return ""

    def expect(self, kind: str, sign: str = "") -> str:
        found, text = self.tokens[self.position]
        if found != kind or (sign and text != sign):
            raise ExpressionError(f"expected {sign or kind}, got {text or found}")
        self.position += 1
        return text

    def expression(self) -> Node:
        condition = self.disjunction()
        if not self.take("?"):
            return condition
        yes = self.disjunction()
        self.expect("sign", ":")
        return ("choose", condition, yes, self.expression())

    def disjunction(self) -> Node:
        node = self.conjunction()
        while self.take("||"):
            node = ("or", node, self.conjunction())
        return node

    def conjunction(self) -> Node:
        node = self.relation()
        while self.take("&&"):
            node = ("and", node, self.relation())
        return node

    def relation(self) -> Node:
        node = self.addition()
        while operator := self.take(*_RELATIONS):
            node = (operator, node, self.addition())
        return node

    def addition(self) -> Node:
        node = self.multiplication()
        while operator := self.take("+", "-"):
            node = (operator, node, self.multiplication())
        return node

    def multiplication(self) -> Node:
        node = self.unary()
        while operator := self.take("*", "/", "%"):
            node = (operator, node, self.unary())
        return node

    def unary(self) -> Node:
        if self.take("!"):
            return ("not", self.unary())
        if self.take("-"):
            return _negated(self.unary())
        return self.member()

    def member(self) -> Node:
        node = self.primary()
        while sign := self.take(".", "["):
            if sign == "[":
                node = ("index", _named(node), self.expression())
                self.expect("sign", "]")
                continue
            name = self.expect("name").strip("`")
            if self.take("("):
                node = self.method(name, node)
            elif node[0] == "name":
                node = ("read", node[1], name)
            elif node[0] == "read":
                node = ("read", node[1], f"{node[2]}.{name}")
            else:
                node = ("field", node, name)
        return _named(node)

    def method(self, name: str, target: Node) -> Node:
        arguments = self.arguments()
        if name == "bind" and target == ("name", "cel"):
            (_, variable), value, body = arguments
            return ("bind", variable, value, body)
        target = _named(target)
        if name == "size" and not arguments:
            return ("size", target)
        if name in _STRING_TESTS and len(arguments) == 1:
            return (name, target, arguments[0])
        if name in _MACROS and len(arguments) > 1:
            return _macro(name, target, arguments)
        return ("call", name, [target, *arguments])

    def primary(self) -> Node:
        if self.take("("):
            node = self.expression()
            self.expect("sign", ")")
            return node
        if self.take("["):
            return ("list", self.items("]"))
        if self.take("{"):
            return ("map", self.entries())
        kind, text = self.tokens[self.position]
        self.position += 1
        if kind == "int":
            # 2^63 is held as it stands, for the minus before it.
            return ("literal", int(text, 16 if text[:2].lower() == "0x" else 10))
        if kind == "float":
            return ("literal", float(text))
        if kind == "uint":
            return ("uint", int(text[:-1], 16 if text[:2].lower() == "0x" else 10))
        if kind == "bytes":
            return ("bytes", _bytes(text[2:-1]))
        if kind == "name" and text == "null":
            return ("null",)
        if kind == "string":
            return ("literal", _string(text))
        if kind == "name" and text in ("true", "false"):
            return ("literal", text == "true")
        if kind == "name":
            return self.call(text) if self.take("(") else ("name", text)
        raise ExpressionError(f"expected an expression, got {text or kind}")

    def call(self, name: str) -> Node:
        arguments = self.arguments()
        if name == "has" and len(arguments) == 1:
            (argument,) = arguments
            if argument[0] == "field":
                return ("has field", argument[1], argument[2])
            if argument[0] == "read":
                return ("has", argument[1], argument[2])
            raise ExpressionError("has() of something else")
        if len(arguments) == 1 and arguments[0][0] == "literal" and type(arguments[0][1]) is str:
            if name == "duration":
                return ("duration", duration_ms(arguments[0][1]))
            if name == "timestamp":
                return ("timestamp", timestamp_ms(arguments[0][1]))
        if name == "size" and len(arguments) == 1:
            return ("size", arguments[0])
        return ("call", name, arguments)

    def entries(self) -> list[tuple[Node, Node]]:
        entries = []
        while not self.take("}"):
            key = self.expression()
            self.expect("sign", ":")
            entries.append((key, self.expression()))
            if not self.take(","):
                self.expect("sign", "}")
                break
        return entries

    def arguments(self) -> list[Node]:
        return self.items(")")

    def items(self, end: str) -> list[Node]:
        items = []
        while not self.take(end):
            items.append(self.expression())
            if not self.take(","):
                self.expect("sign", end)
                break
        return items


def _named(node: Node) -> Node:
    """`now`, where it is not the beginning of something longer."""
    return ("now",) if node == ("name", "now") else node


def _macro(name: str, target: Node, arguments: list[Node]) -> Node:
    """Two variables in `transform...`, and in the others where there are three arguments; never in `map`."""
    two = name.startswith("transform") or (len(arguments) == 3 and name != "map")
    least = 2 if two else 1
    variables = []
    for argument in arguments[:least]:
        if argument[0] not in ("name", "now"):
            raise ExpressionError("a macro's variable is a name")
        variables.append(argument[1] if argument[0] == "name" else "now")
    return ("macro", name, target, variables, arguments[least:])


def _negated(node: Node) -> Node:
    if node[0] == "literal" and type(node[1]) in (int, float):
        return ("literal", -node[1])
    return ("neg", node)


def _string(text: str) -> str:
    raw = text[0] in "rR"
    text = text[1:] if raw else text
    quotes = 3 if text[:3] in ('"""', "'''") else 1
    body = text[quotes:-quotes]
    return body if raw else _ESCAPE.sub(_unescaped, body)


def _bytes(body: str) -> bytes:
    """Characters are UTF-8, escapes are bytes."""
    parts = _ESCAPE.split(body)
    escapes = iter(_ESCAPE.finditer(body))
    found = [
        _unescaped(next(escapes)).encode("latin-1") if at % 2 else part.encode()
        for at, part in enumerate(parts)
    ]
    return b"".join(found)


def _unescaped(match: re.Match[str]) -> str:
    code = match[1]
    if code[0] in "xXuU" and len(code) > 1:
        return chr(int(code[1:], 16))
    if code[0] in "0123" and len(code) == 3:
        return chr(int(code, 8))
    return _ESCAPES.get(code, code)
