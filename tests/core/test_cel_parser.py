"""Text to syntax tree: the whole of CEL parses; mistakes are reported with line and column."""

import json
from typing import Any

import pytest

from core.cel import ast
from core.cel.parser import parse
from core.errors import ExpressionError
from tests.shared import shared_data


def shape(node: ast.Node) -> Any:
    """The tree without positions."""
    match node:
        case ast.Literal(value=value):
            return value
        case ast.Name(name=name):
            return name
        case ast.Select(operand=operand, name=name):
            return f"{shape(operand)}.{name}"
        case ast.Unary(operator=operator, operand=operand):
            return (operator, shape(operand))
        case ast.Binary(operator=operator, left=left, right=right):
            return (operator, shape(left), shape(right))
        case ast.Logic(operator=operator, operands=operands):
            return (operator, *map(shape, operands))
        case ast.Conditional(condition=condition, yes=yes, no=no):
            return ("?", shape(condition), shape(yes), shape(no))
        case ast.Call(name=name, target=target, arguments=arguments):
            return (f"{name}()", *([shape(target)] if target else []), *map(shape, arguments))
        case ast.ListLiteral(items=items):
            return list(map(shape, items))
        case _:
            return type(node).__name__


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a || b && c || d", ("||", "a", ("&&", "b", "c"), "d")),
        ("a && b && c", ("&&", "a", "b", "c")),
        ("a && (b && c)", ("&&", "a", "b", "c")),
        ("!a || -b > 1", ("||", ("!", "a"), (">", ("-", "b"), 1))),
        ("a + b * c - d", ("-", ("+", "a", ("*", "b", "c")), "d")),
        ("a - b - c", ("-", ("-", "a", "b"), "c")),
        ("a % b / c", ("/", ("%", "a", "b"), "c")),
        ("a < b == c", ("==", ("<", "a", "b"), "c")),
        ("a ? b : c ? d : e", ("?", "a", "b", ("?", "c", "d", "e"))),
        ("profile.a.b", "profile.a.b"),
        (".a.b", "a.b"),
        ('a in [1, 2.5, "x",]', ("in", "a", [1, 2.5, "x"])),
        ("[]", []),
        ("a.f(1).g()", ("g()", ("f()", "a", 1))),
        ("has(a.b) && size(c) > 0", ("&&", ("has()", "a.b"), (">", ("size()", "c"), 0))),
        ("a[1]", "Index"),
        ("{'a': 1,}", "MapLiteral"),
        ("google.type.Date{year: 1}", "Message"),
        ("inside in interest", ("in", "inside", "interest")),
        ("a.if.else", "a.if.else"),
        ("a.`b-c/d`", "a.`b-c/d`"),
        ("a // so\n&& b", ("&&", "a", "b")),
        ("0x1F + 12", ("+", 31, 12)),
        ("1e3 + .5 + 2.", ("+", 1.0, 1.0)),
        ("1e3 + .5", ("+", 1000.0, 0.5)),
        ("b'x' == 1u", ("==", b"x", 1)),
        ("null != true", ("!=", None, True)),
    ],
)
def test_expressions_parse_as_the_language_definition_says(text: str, tree: Any) -> None:
    if text.endswith("2."):
        with pytest.raises(ExpressionError):
            parse(text)
        return
    assert shape(parse(text)) == tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a"', "a"),
        ("'a\"b'", 'a"b'),
        (r'"a\"b\\\n\t\x41\u00e9\U0001F600\101\?\`"', 'a"b\\\n\tAé😀A?`'),
        (r'r"a\n"', r"a\n"),
        (r"R'\''", None),
        ('"""a\n"b" c"""', 'a\n"b" c'),
        ("'''a'b'''", "a'b"),
        ('r"""a\\"""', "a\\"),
        ('""', ""),
        ('""""""', ""),
        ("''", ""),
    ],
)
def test_strings_have_the_value_that_was_written(text: str, value: str | None) -> None:
    if value is None:
        with pytest.raises(ExpressionError):
            parse(text)
    else:
        assert shape(parse(text)) == value


@pytest.mark.parametrize(
    ("text", "line", "column", "expected", "got"),
    [
        ("", 1, 1, "a value", "the end of the expression"),
        ("a ==", 1, 5, "a value", "the end of the expression"),
        ("a ==\n   ", 2, 4, "a value", "the end of the expression"),
        ("a b", 1, 3, "an operator or the end", "'b'"),
        ("a &&\n  && b", 2, 3, "a value", "'&&'"),
        ("(a", 1, 3, ")", "the end of the expression"),
        ("a.1", 1, 3, "a name", "'1'"),
        ("a[1", 1, 4, "]", "the end of the expression"),
        ("a ? b", 1, 6, ":", "the end of the expression"),
        ("f(a b)", 1, 5, "an operator or the end", "'b'"),
        ("a = 1", 1, 3, "CEL", "'='"),
        ("a == 'x", 1, 6, "CEL", "a string that does not end"),
        ("a & b", 1, 3, "CEL", "'&'"),
        ("a == #", 1, 6, "CEL", "'#'"),
        ("for > 1", 1, 1, "a name", "the reserved word for"),
        (r'"\q"', 1, 1, "a string literal", r"the escape \q"),
        (r'"\uD800"', 1, 1, "a string literal", r"the escape \uD800, which is no character"),
        ("a > 1e999", 1, 5, "a float literal", "1e999, which is too large"),
    ],
)
def test_a_mistake_is_reported_where_it_is(
    text: str, line: int, column: int, expected: str, got: str
) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    error = caught.value
    assert (error.line, error.column, error.expected, error.got) == (line, column, expected, got)


def test_limits_are_kept_to_the_character() -> None:
    longest = "a" + " " * (ast.LENGTH_MAX - 1)
    assert shape(parse(longest)) == "a"
    with pytest.raises(ExpressionError, match=f"at most {ast.LENGTH_MAX} characters"):
        parse(longest + " ")

    deepest = "!" * (ast.NESTING_MAX - 1) + "a"
    assert parse(deepest).depth == ast.NESTING_MAX
    with pytest.raises(ExpressionError, match=f"nested at most {ast.NESTING_MAX} deep"):
        parse("!" + deepest)


def test_parentheses_and_chains_of_logic_are_no_nesting() -> None:
    assert parse("(" * 500 + "a" + ")" * 500).depth == 1
    assert parse(" && ".join(["a"] * 500)).depth == 2


@pytest.mark.parametrize("name", ["basic", "comparisons", "fields", "lists", "logic", "macros"])
def test_every_expression_of_the_conformance_suite_parses(name: str) -> None:
    found = json.loads(shared_data(f"cel_conformance/{name}.json").read_text(encoding="utf-8"))
    cases = found if isinstance(found, list) else found["tests"]
    assert cases
    for case in cases:
        parse(case["expr"])
