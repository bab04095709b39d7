"""Types of expressions; what is not supported is refused by its name, with line and column."""

import pytest

from core import bundle
from core.cel import ast
from core.cel.checker import check, references
from core.cel.environment import Environment, ExpressionFault
from core.cel.lowering import Lowering
from core.cel.parser import parse
from core.cel.tables import TableBuilder
from core.cel.typed import Constant, Typed, attributes_of, own_generals

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
    {"known": parse("true"), "broken": parse("true")},
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
        ("profile.s.length > 1", 1, "a map for the field `.length`", "string"),
        # Parts of CEL that are refused
        ("google.protobuf.Int32Value{value: 1} == 1", 1, "a supported value", "a message literal"),
        ("profile.s.lowerAscii() == 'a'", 11, "a supported function", "`lowerAscii()`"),
        ("math.abs(profile.i) > 1", 6, "a supported function", "`math.abs()`"),
        ("profile.s.frob()", 11, "a supported function", "`frob()`"),
        ("profile.t.getHours('Europe/Berlin') > 3", 20, 'UTC or an offset such as "+02:00"', None),
        ("profile.s.matches('(?=a)')", 19, "a regular expression of RE2", None),
        ("profile.s.matches(1)", 19, "string for `matches`", "int"),
        ("profile.i.exists(x, x == 'a')", 11, "a list or map for `exists`", "int"),
        ("profile.l.exists(x, x > 1)", 23, "two values that can be compared", "string > int"),
        ("profile.l.exists(x, profile.i)", 21, "bool for the predicate of `exists`", "int"),
        ("profile.l.exists(x.y, true)", 18, "a name for the variable of a macro", "something else"),
        ("profile.l.exists(x, x.y == 1)", 21, "a map for the field `.y`", "string"),
        ("profile.l[profile.s] == 'a'", 11, "int as an index of strings", "string"),
        ("{1.5: 1}[1] == 1", 2, "bool, int, uint or string for the key of a map", "float"),
        ("profile.l.map(x, x + 1) == []", 20, "`+` of two values that it takes", "string + int"),
        ("profile.i == null", 11, "two values that can be compared", "int == null"),
        ("profile.s == b'a'", 11, "two values that can be compared", "string == bytes"),
        ("{'a': 1} == 1", 10, "two values that can be compared", "map(string, int) == int"),
        ("profile.f % 2.0 == 0.0", 11, "`%` of two values that it takes", "float % float"),
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
        ("profile.s in profile.s", 14, "a list or map after `in`", "string"),
        ("profile.i in profile.l", 1, "string before `in` strings", "int"),
        ("profile.i in [1, 'a']", 18, "int in the list", "string"),
        ("size(profile.i) > 1", 6, "string, bytes, list or map for `size`", "int"),
        ("profile.i.contains('a')", 1, "string for `contains`", "int"),
        ("profile.s.contains(1)", 20, "string for `contains`", "int"),
        ("contains(profile.s, 'a')", 1, "`contains` with its arguments as documented", "another form of it"),
        ("size() > 1", 1, "`size` with its arguments as documented", "another form of it"),
        ("has(profile.i, 1)", 1, "has(profile.ATTRIBUTE) or has(context.NAME)", "`has` of something else"),
        ("has(segment.known)", 1, "has(profile.ATTRIBUTE) or has(context.NAME)", "`has` of something else"),
        ("has(now)", 1, "has(profile.ATTRIBUTE) or has(context.NAME)", "`has` of something else"),
        ("9223372036854775808 > profile.i", 1, "an int of 64 bits", "9223372036854775808"),
        ("profile.i > -9223372036854775809", 14, "an int of 64 bits", "9223372036854775809"),
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
        ("now - profile.t > duration('3d')", 28, None, '"3d"'),
        ("now - profile.t > duration('87660001h')", 28, "a duration that is not out of its range", None),
    ],
)
def test_what_is_not_supported_is_refused_by_name(
    text: str, column: int, expected: str | None, got: str | None
) -> None:
    [fault] = [fault for fault in faults_of(text) if fault.column == column]
    assert fault.line == 1
    assert expected is None or fault.expected == expected
    assert got is None or fault.got == got


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("profile.l.exists(x, x == 'a')", [(11, "the macro `exists`")]),
        ("size(profile.l.map(x, x)) > 1", [(27, "the macro `map`")]),
        ("profile.i > 3 && profile.s.matches('^x')", [(28, "`matches()`")]),
        ("!profile.s.matches('^x') || int(profile.f) > 1", [(12, "`matches()`"), (44, "`int()`")]),
        ("profile.b ? profile.s.matches('a') : profile.i > 1", [(23, "`matches()`")]),
        ("(profile.s.matches('a') ? profile.i : 3) > 2", [(12, "`matches()`")]),
        ("(profile.b ? size(profile.s + 'a') : 3) > 2", [(41, "string + string")]),
        ("string(profile.i) == '1'", [(19, "`string()`")]),
        ("type(profile.i) == int", [(17, "`type()`")]),
        ("dyn(profile.i) == 1", [(16, "`dyn()`")]),
        ("profile.i == 1u", [(11, "a uint literal")]),
        ("profile.l == ['a']", [(11, "a list literal")]),
        ("profile.l[0] == 'a'", [(14, "an index `[...]`")]),
        ("profile.s + 'a' == 'b'", [(17, "string + string")]),
        ("profile.l == profile.l", [(11, "strings == strings")]),
        ("duration('1h') + duration('1h') > duration('1h')", [(33, "duration + duration")]),
        ("profile.i in [1, profile.i]", [(11, "an expression in a list")]),
        ("profile.i in []", [(11, "a list of 0 values")]),
        ("now > timestamp(profile.s)", [(5, "`timestamp()` of an expression")]),
        ("now - profile.t > duration('1ns')", [(17, '"1ns"')]),
        ("cel.bind(x, profile.s, x == 'a' || x == 'b')", [(5, "the macro `bind`")]),
        ("{'a': profile.i}.exists(k, v, v > 1) && profile.b", [(18, "the macro `exists`")]),
        ("profile.l.exists(x, segment.known && x == now.getHours('-02:30') + 1)", None),
        ("profile.l.exists(profile, profile == 'a')", [(11, "the macro `exists`")]),
    ],
)
def test_the_smallest_part_that_tables_cannot_hold_is_general(
    text: str, parts: list[tuple[int, str]] | None
) -> None:
    if parts is None:
        assert [fault.got for fault in faults_of(text)] == ["string == int"]
    else:
        assert [(one.column, one.general.why) for one in own_generals(typed(text))] == parts


def test_all_faults_of_an_expression_are_found_with_their_lines() -> None:
    text = "profile.age > 1\n  && profile.s > 3\n  || profile.s.matches(3)"
    places = [(fault.line, fault.column) for fault in faults_of(text)]
    assert places == [(1, 1), (2, 16), (3, 24)]


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


def test_too_many_ternaries_in_one_comparison_are_general() -> None:
    few, many = (" + ".join(["(profile.b ? profile.i : 1)"] * count) + " > 3" for count in (6, 7))
    assert not own_generals(typed(few))
    [part] = own_generals(typed(many))
    assert part.general.why == "128 comparisons of one"
    lowering = Lowering(TableBuilder())
    lowering.planes(typed(few))
    lowering.planes(typed(many))


def test_arithmetic_too_deep_for_the_stack_is_general() -> None:
    depth = bundle.PROGRAM_STACK_MAX
    fits, deeper = (
        "profile.i + (" * count + "profile.i" + ")" * count + " > 1" for count in (depth - 1, depth)
    )
    assert not own_generals(typed(fits))
    [part] = own_generals(typed(deeper))
    assert part.general.why == f"arithmetic that holds {depth + 1} values at once"
    lowering = Lowering(TableBuilder())
    lowering.planes(typed(fits))
    lowering.planes(typed(deeper))


def test_segments_and_sizes_of_general_parts_are_bounded() -> None:
    """A segment is in the parts once; what names it again costs nothing more."""
    environment = Environment(
        dict(ENVIRONMENT.attributes), {"s0": Constant(bundle.BOOL, True)}, {"s0": parse("profile.b")}
    )
    for at in range(1, 140):
        tree = parse(f"[segment.s{at - 1}, segment.s{at - 1}].all(x, x)")
        found, faults = check(tree, environment)
        if faults:
            break
        environment.segments[f"s{at}"], environment.segment_trees[f"s{at}"] = found, tree
        [part] = own_generals(found) if found else []
        assert len(part.general.parts) == 1 + 4 * at
    assert faults[0].expected == "an expression nested at most 128 deep, its segments too"
    wide = parse("[" + ", ".join(["profile.i"] * 300) + "].exists(x, x in " + "[1]" + ")")
    assert check(wide, ENVIRONMENT)[1] == []
