"""Types of expressions; what is not supported is refused by its name, with line and column."""

import pytest

from core import bundle
from core.cel import ast
from core.cel.checker import Environment, ExpressionFault, check, references
from core.cel.lowering import LIFTED_MAX, Lowering
from core.cel.parser import parse
from core.cel.tables import TableBuilder
from core.cel.typed import Constant, Typed, attributes_of
from core.errors import ExpressionError

ENVIRONMENT = Environment(
    {
        "profile.i": (0, bundle.INT),
        "profile.f": (1, bundle.FLOAT),
        "profile.b": (2, bundle.BOOL),
        "profile.s": (3, bundle.STRING),
        "profile.t": (4, bundle.TIMESTAMP),
        "profile.l": (5, bundle.STRINGS),
        "context.device": (6, bundle.STRING),
        "profile.broken": None,
    },
    {"known": Constant(bundle.BOOL, True), "broken": None},
)


def faults_of(text: str) -> list[ExpressionFault]:
    return check(parse(text), ENVIRONMENT)[1]


def typed(text: str) -> Typed:
    found, faults = check(parse(text), ENVIRONMENT)
    assert found is not None, faults
    return found


@pytest.mark.parametrize(
    "text",
    [
        "profile.b",
        "profile.i == 1.5 && profile.f >= 2 && profile.i < profile.f",
        'profile.s < "b" && profile.s != context.device',
        'profile.t > timestamp("2026-01-01T00:00:00Z")',
        'now - profile.t <= duration("1h30m")',
        'profile.t + duration("1h") > now && duration("1h") + profile.t > now',
        'profile.t - duration("-1.5s") == timestamp("2026-01-01T00:00:00.250+02:00")',
        'profile.i in [1, 2.5] || profile.s in ["a"] || profile.b in [true]',
        '"a" in profile.l && profile.s in profile.l',
        "has(profile.i) && has(context.device)",
        'size(profile.s) + profile.l.size() > size("é")',
        'profile.s.contains("a") || profile.s.startsWith(context.device) || "abc".endsWith(profile.s)',
        "(profile.b ? profile.i : 3) % 2 == -profile.i / 4",
        "(profile.b ? profile.t : now) <= now",
        "profile.b == (profile.i > 1)",
        "profile.b < true",
        "segment.known || !segment.known",
        "-9223372036854775808 == profile.i && 0x7FFFFFFFFFFFFFFF > profile.i",
    ],
)
def test_supported_expressions_pass(text: str) -> None:
    assert faults_of(text) == []


@pytest.mark.parametrize(
    ("text", "column", "expected", "got"),
    [
        # Names
        ("profile.age > 1", 1, "a declared attribute", "`profile.age`"),
        ("has(profile.age)", 5, "a declared attribute", "`profile.age`"),
        ("segment.none", 1, "a declared segment", "`segment.none`"),
        ("age > 1", 1, "profile.ATTRIBUTE, context.NAME, segment.ID or now", "`age`"),
        ("request.age > 1", 1, "profile.ATTRIBUTE, context.NAME, segment.ID or now", "`request.age`"),
        ("profile == 1", 1, "profile.ATTRIBUTE, context.NAME, segment.ID or now", "`profile`"),
        ("profile.s.length > 1", 1, "a supported value", "the selection of a field `.length`"),
        # Parts of CEL that are refused
        ("profile.l.exists(x, x == 'a')", 11, "a supported function", "the macro `exists`"),
        ("profile.l.all(x, x == 'a')", 11, "a supported function", "the macro `all`"),
        ("profile.l.exists_one(x, x == 'a')", 11, "a supported function", "the macro `exists_one`"),
        ("size(profile.l.map(x, x)) > 1", 16, "a supported function", "the macro `map`"),
        ("size(profile.l.filter(x, true)) > 1", 16, "a supported function", "the macro `filter`"),
        ("profile.s.matches('a.*')", 11, None, "`matches()`"),
        ("profile.t.getFullYear() > 2000", 11, None, "`getFullYear()`"),
        ("int(profile.f) > 1", 1, None, "`int()`"),
        ("double(profile.i) > 1.0", 1, None, "`double()`"),
        ("string(profile.i) == '1'", 1, None, "`string()`"),
        ("type(profile.i) == 1", 1, None, "`type()`"),
        ("dyn(profile.i) == 1", 1, None, "`dyn()`"),
        ("bytes(profile.s) == 1", 1, None, "`bytes()`"),
        ("profile.s == b'a'", 14, "bool, int, float or string", "a bytes literal"),
        ("profile.i == 1u", 14, "bool, int, float or string", "a uint literal"),
        ("profile.i == null", 14, "bool, int, float or string", "a null literal"),
        ("profile.l == ['a']", 14, "a list only after `in`", "a list literal"),
        ("{'a': 1} == 1", 1, "a supported value", "a map literal"),
        ("google.protobuf.Int32Value{value: 1} == 1", 1, "a supported value", "a message literal"),
        ("profile.l[0] == 'a'", 1, "a supported value", "an index `[...]`"),
        ("profile.s + 'a' == 'b'", 11, "`+` of int, float, timestamp or duration", "string + string"),
        ("profile.l + profile.l == profile.l", 11, None, "strings + strings"),
        ("profile.l == profile.l", 11, "two values that can be compared", "strings == strings"),
        ("profile.f % 2.0 == 0.0", 11, "`%` of int, float, timestamp or duration", "float % float"),
        ("duration('1h') + duration('1h') > duration('1h')", 16, None, "duration + duration"),
        ("-profile.s == 'a'", 1, "int or float for unary `-`", "string"),
        # Types
        ("profile.i", 1, "bool for the whole expression", "int"),
        ("profile.i + 1.0 > 2.0", 11, "`+` of one type (write 1.0 beside a float)", "int + float"),
        ("profile.i == 'a'", 11, "two values that can be compared", "int == string"),
        ("profile.t > 1", 11, "two values that can be compared", "timestamp > int"),
        ("profile.i && profile.b", 1, "bool for `&&`", "int"),
        ("profile.b || profile.s", 14, "bool for `||`", "string"),
        ("!profile.i", 2, "bool for `!`", "int"),
        ("profile.i ? true : false", 1, "bool for the condition of `?:`", "int"),
        ("(profile.b ? profile.i : 1.0) > 1", 26, "both results of `?:` of one type", "int and float"),
        ("profile.s in profile.s", 14, "a list literal or a strings attribute after `in`", "string"),
        ("profile.i in profile.l", 1, "string before `in` a strings attribute", "int"),
        ("profile.i in [1, 'a']", 18, "int in the list", "string"),
        ("profile.i in [1, profile.i]", 18, "a literal in the list after `in`", "an expression"),
        ("profile.i in []", 14, f"a list of 1 to {ast.LIST_LENGTH_MAX} values", "0 values"),
        ("size(profile.i) > 1", 6, "string or strings for `size`", "int"),
        ("profile.i.contains('a')", 1, "string for `contains`", "int"),
        ("profile.s.contains(1)", 20, "string for `contains`", "int"),
        ("contains(profile.s, 'a')", 1, "`contains` with its arguments as documented", "another form of it"),
        ("size() > 1", 1, "`size` with its arguments as documented", "another form of it"),
        ("has(profile.i, 1)", 1, "has(profile.ATTRIBUTE) or has(context.NAME)", "`has` of something else"),
        ("has(segment.known)", 1, "has(profile.ATTRIBUTE) or has(context.NAME)", "`has` of something else"),
        ("has(now)", 1, "has(profile.ATTRIBUTE) or has(context.NAME)", "`has` of something else"),
        ("9223372036854775808 > profile.i", 1, "an int of 64 bits", "9223372036854775808"),
        ("profile.i > -9223372036854775809", 14, "an int of 64 bits", "9223372036854775809"),
        ("now > timestamp(profile.s)", 17, "a string literal for `timestamp`", "an expression"),
        (
            "now > timestamp('2026-02-30T00:00:00Z')",
            17,
            "a time that exists, between the years 1 and 9999",
            None,
        ),
        (
            "now > timestamp('yesterday')",
            17,
            "a time in RFC 3339, such as 2026-11-23T17:43:29Z",
            '"yesterday"',
        ),
        ("now > timestamp('2026-02-03T00:00:00.0001Z')", 17, "a time of whole milliseconds", None),
        ("now - profile.t > duration('3d')", 28, None, '"3d"'),
        ("now - profile.t > duration('1ns')", 28, "a duration of whole milliseconds", '"1ns"'),
        ("now - profile.t > duration('87660001h')", 28, "a duration of at most ten thousand years", None),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    text: str, column: int, expected: str | None, got: str | None
) -> None:
    [fault] = [fault for fault in faults_of(text) if fault.column == column]
    assert fault.line == 1
    assert expected is None or fault.expected == expected
    assert got is None or fault.got == got


def test_all_faults_of_an_expression_are_found_with_their_lines() -> None:
    text = 'profile.age > 1\n  && profile.s > 3\n  || profile.s.matches("x")'
    places = [(fault.line, fault.column) for fault in faults_of(text)]
    assert places == [(1, 1), (2, 16), (3, 16)]


@pytest.mark.parametrize(
    "text", ["segment.broken", "profile.broken > 1", "has(profile.broken) && segment.broken"]
)
def test_what_is_faulty_elsewhere_is_not_a_second_fault(text: str) -> None:
    assert check(parse(text), ENVIRONMENT) == (None, [])


def test_a_list_longer_than_the_limit_is_refused() -> None:
    items: list[ast.Node] = [ast.Literal(1, 1, "int", at) for at in range(ast.LIST_LENGTH_MAX + 1)]
    attribute = ast.Select(1, 1, ast.Name(1, 1, "profile"), "i")
    for kept, count in ((items[:-1], 0), (items, 1)):
        root = ast.Binary(1, 1, "in", attribute, ast.ListLiteral(1, 1, kept))
        assert len(check(root, ENVIRONMENT)[1]) == count


def test_attributes_and_segments_of_an_expression_are_known() -> None:
    text = "profile.i > 1 && (has(context.device) || segment.known) && segment.other"
    assert references(parse(text)) == {"known", "other"}
    assert attributes_of(typed("profile.s == 'a' || has(profile.i) && now - profile.t > duration('1s')")) == [
        0,
        3,
        4,
    ]


def test_too_many_ternaries_in_one_comparison_are_refused() -> None:
    few, many = (" + ".join(["(profile.b ? profile.i : 1)"] * count) + " > 3" for count in (6, 7))
    lowering = Lowering(TableBuilder())
    lowering.planes(typed(few))
    with pytest.raises(ExpressionError, match=f"at most {LIFTED_MAX} of it, got 128"):
        lowering.planes(typed(many))


def test_arithmetic_too_deep_for_the_stack_is_refused() -> None:
    depth = bundle.PROGRAM_STACK_MAX
    fits, deeper = (
        "profile.i + (" * count + "profile.i" + ")" * count + " > 1" for count in (depth - 1, depth)
    )
    lowering = Lowering(TableBuilder())
    lowering.planes(typed(fits))
    with pytest.raises(ExpressionError, match=f"at most {depth} values at once"):
        lowering.planes(typed(deeper))
