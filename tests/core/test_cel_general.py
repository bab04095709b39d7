"""The general evaluator: values, errors and refusals of the whole language but protocol-buffer messages."""

import math
from typing import Any

import pytest

from core.cel.general.compiling import compile_expression
from core.cel.general.names import Scope
from core.cel.general.run import WORK_MAX
from core.cel.general.values import Duration, Map, Timestamp, Type, Uint
from core.cel.parser import parse
from core.errors import EvaluationError, ExhaustedError, ExpressionError, UnsupportedError
from hub.decisioning.zones import find_zone


def value_of(text: str, container: str = "", **variables: Any) -> Any:
    named = {name.replace("__", "."): value for name, value in variables.items()}
    scope = Scope(frozenset(named), container)
    return compile_expression(parse(text), scope).evaluate(named, find_zone)


def same(found: Any, wanted: Any) -> bool:
    """Equal, of the same type, and so inside."""
    if isinstance(wanted, list):
        return type(found) is list and len(found) == len(wanted) and all(map(same, found, wanted))
    if isinstance(wanted, dict):
        return (
            type(found) is Map
            and same([*found.keys()], [*wanted])
            and all(same(found[key], value) for key, value in wanted.items())
        )
    if isinstance(wanted, float) and math.isnan(wanted):
        return type(found) is float and math.isnan(found)
    return type(found) is type(wanted) and found == wanted and str(found) == str(wanted)


CASES: list[tuple[str, Any]] = [
    # Literals
    ("[1, 1u, 1.0, 'a', b'a', true, null]", [1, Uint(1), 1.0, "a", b"a", True, None]),
    ("{'a': 1, 2: 'b', true: [], 3u: {}}", {"a": 1, 2: "b", True: [], Uint(3): {}}),
    ("18446744073709551615u", Uint(2**64 - 1)),
    ("-9223372036854775808", -(2**63)),
    ("0xFFu", Uint(255)),
    ("-0x10", -16),
    (r"b'\377\x00é'", b"\xff\x00\xc3\xa9"),
    (r"br'\n'", b"\\n"),
    (r"rb'''\'''''", None),
    (r"B'''a'b'''", b"a'b"),
    ("'''a\nb'''", "a\nb"),
    ("--19", 19),
    # Arithmetic
    ("7 / -2", -3),
    ("-7 % 3", -1),
    ("7u / 2u", Uint(3)),
    ("7u % 4u", Uint(3)),
    ("1.0 / 0.0", math.inf),
    ("-1.0 / 0.0", -math.inf),
    ("0.0 / 0.0", math.nan),
    ("2.0 * 8.988466e+307", math.inf),
    ("'a' + 'b' + ''", "ab"),
    ("b'a' + b'b'", b"ab"),
    ("[1] + ['a'] + []", [1, "a"]),
    # Equality and order
    ("1 == 1u && 1u == 1.0 && 1 == 1.0", True),
    ("1 == true || '1' == 1 || null == false || [] == {}", False),
    ("[1, [2u]] == [1.0, [2]]", True),
    ("{'a': [1], 'b': 2} == {'b': 2.0, 'a': [1u]}", True),
    ("{'a': 1} == {'a': 1, 'b': 2}", False),
    ("double('NaN') == double('NaN') || [double('NaN')] == [double('NaN')]", False),
    ("double('NaN') != double('NaN')", True),
    ("double('NaN') < 1.0 || double('NaN') >= 1", False),
    ("9007199254740993 == 9007199254740992.0", False),
    ("dyn(9223372036854775807) == 9223372036854775808.0", True),
    ("9223372036854775806 < 9223372036854775808.0", True),
    ("18446744073709551615u > 18446744073709551614u", True),
    ("-1 < 0u && 0u < 0.5", True),
    ("'\U0001f600' > '\uffff'", True),
    ("b'\\xff' > b'a'", True),
    ("false < true", True),
    ("type(1) == int && type(int) == type && type(null) == null_type", True),
    ("type(1u) != type(1)", True),
    # Lists and maps
    ("[7, 8][1] + [7, 8][0u] + [7, 8][dyn(1.0)]", 23),
    ("{1: 'a', 'b': 2}[1u] + {1: 'a'}[dyn(1.0)]", "aa"),
    ("{'a': {'b': 3}}.a.b", 3),
    ("{'a-b': 3}.`a-b`", 3),
    ("{'if': 3}.if", 3),
    ("1.0 in [1] && 2u in {2: 3} && 'a' in {'a': null}", True),
    ("'b' in {'a': 1} || b'a' in {'a': 1} || 1.5 in {1: 2} || double('NaN') in [double('NaN')]", False),
    ("size([1, 2]) + size({'a': 1}) + size('aé😀') + size(b'é') + 'ab'.size()", 10),
    ("has({'a': null}.a) && !has({'a': 1}.b)", True),
    # Strings
    ("'abc'.contains('bc') && 'abc'.startsWith('ab') && 'abc'.endsWith('c')", True),
    ("'mañana'.matches('a+ñ+a+') && matches('abc', '^a.c$') && ''.matches('')", True),
    ("'abc'.matches('^b')", False),
    # Macros
    ("[1, 2, 3].all(x, x > 0)", True),
    ("[1, 'a'].all(x, x > 1)", False),
    ("[1, 'a', 3].exists(x, x > 2)", True),
    ("[].all(x, x) && ![].exists(x, x)", True),
    ("[1, 2, 3].exists_one(x, x > 2) && !['a', 'b'].existsOne(x, true)", True),
    ("[1, 2, 3].filter(x, x % 2 == 1)", [1, 3]),
    ("[1, 2, 3].map(x, x * 2)", [2, 4, 6]),
    ("[1, 2, 3].map(x, x > 1, x * 2)", [4, 6]),
    ("{'a': 1, 'b': 2}.map(k, k + '!')", ["a!", "b!"]),
    ("{'a': 1, 'b': 2}.filter(k, k == 'b')", ["b"]),
    ("[[1, 2], [3]].map(x, x.map(y, y + size(x)))", [[3, 4], [4]]),
    ("[1, 2].map(x, [3].map(x, x)[0] + x)", [4, 5]),
    ("[5, 7].exists(i, v, i == 1 && v == 7)", True),
    ("{'a': 1}.all(k, v, k == 'a' && v == 1)", True),
    ("[2, 4].transformList(i, v, v + i)", [2, 5]),
    ("[2, 4].transformList(i, v, i > 0, v + i)", [5]),
    ("{'a': 'x'}.transformMap(k, v, k + v)", {"a": "ax"}),
    ("{'a': 'x'}.transformMapEntry(k, v, {v: k})", {"x": "a"}),
    ("cel.bind(x, [1, 2], x + x.map(x, x * 10))", [1, 2, 10, 20]),
    # Logic
    ("false && 1 / 0 > 1", False),
    ("1 / 0 > 1 || true", True),
    ("nobody || true", True),
    ("nothing(1) || true", True),
    ("1 && false", False),
    ("true ? 1 : 'a'", 1),
    ("(1 > 2 || 2 / 0 > 1) || true", True),
    # Conversions
    ("[int('-9'), int('+9'), int(7u), int(-7.9), int(timestamp('1970-01-01T00:00:09Z'))]", [-9, 9, 7, -7, 9]),
    ("[uint('9'), uint(7), uint(1.9), uint(1e19)]", [Uint(9), Uint(7), Uint(1), Uint(10**19)]),
    ("[double('1.5e3'), double(1), double('-0.0')]", [1500.0, 1.0, -0.0]),
    ("double(18446744073709551615u)", 2.0**64),
    ("double('-inf')", -math.inf),
    ("[string(1), string(1u), string(true), string(b'a'), string('a')]", ["1", "1", "true", "a", "a"]),
    ("[bool('true'), bool('t'), bool('1'), bool('FALSE')]", [True, True, True, False]),
    ("bytes('é')", b"\xc3\xa9"),
    ("[string(123.456), string(-4.5e-3), string(1.0)]", ["123.456", "-0.0045", "1"]),
    ("[string(1e21), string(1.5e-7), string(1e20)]", ["1e+21", "1.5e-07", "1" + "0" * 20]),
    ("string(double('NaN')) + string(-1.0 / 0.0) + string(100000.0) + string(0.1)", "NaN-Inf1000000.1"),
    ("type(timestamp('1970-01-01T00:00:00Z')) == google.protobuf.Timestamp", True),
    ("type(duration('1s'))", Type("google.protobuf.Duration")),
    # Times
    ("timestamp('1970-01-01T01:00:00.5+01:00')", Timestamp(500_000_000)),
    ("timestamp(1)", Timestamp(1_000_000_000)),
    ("string(timestamp('9999-12-31T23:59:59.999999999Z'))", "9999-12-31T23:59:59.999999999Z"),
    ("string(timestamp('0001-01-01T00:00:00Z'))", "0001-01-01T00:00:00Z"),
    ("duration('1h2m3s4ms5us6ns')", Duration(3_723_004_005_006)),
    ("duration('-1.5s') - duration('1.25m')", Duration(-76_500_000_000)),
    ("string(duration('1000000s'))", "1000000s"),
    ("[string(duration('-1.5s')), string(duration('0'))]", ["-1.5s", "0s"]),
    ("timestamp('2009-02-13T23:00:00Z') + duration('240s') == timestamp('2009-02-13T23:04:00Z')", True),
    ("timestamp('2009-02-13T23:31:00Z') - timestamp('2009-02-13T23:29:00Z')", Duration(120_000_000_000)),
    ("[2000, 1999].map(y, timestamp(string(y) + '-12-31T12:00:00Z').getDayOfYear())", [365, 364]),
    ("[duration('10000s').getHours(), duration('-3730s').getMinutes()]", [2, -62]),
    ("duration('-1.9s').getSeconds()", -1),
    ("duration('123.321456789s').getMilliseconds()", 321),
    ("timestamp('1969-12-31T23:59:59.900Z').getMilliseconds()", 900),
    ("timestamp('0001-01-01T00:00:00Z').getFullYear('Europe/Berlin')", 1),
    ("timestamp('9999-12-31T23:59:59Z').getHours('US/Central')", 17),
]  # fmt: skip
PARTS = {
    "getFullYear": 2009, "getMonth": 1, "getDate": 13, "getDayOfMonth": 12, "getDayOfWeek": 5,
    "getDayOfYear": 43, "getHours": 23, "getMinutes": 31, "getSeconds": 30, "getMilliseconds": 123,
}  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), [case for case in CASES if case[1] is not None], ids=str)
def test_values(text: str, wanted: Any) -> None:
    found = value_of(text)
    assert same(found, wanted), found


@pytest.mark.parametrize("name", PARTS)
def test_parts_of_a_timestamp(name: str) -> None:
    assert value_of(f"timestamp('2009-02-13T23:31:30.123456789Z').{name}()") == PARTS[name]
    assert value_of(f"timestamp('2009-02-13T23:31:30.123456789Z').{name}('-00:00')") == PARTS[name]


@pytest.mark.parametrize(
    ("zone", "hour", "minute", "day"),
    [
        ("UTC", 23, 31, 13),
        ("+11:00", 10, 31, 14),
        ("-02:30", 21, 1, 13),
        ("02:00", 1, 31, 14),
        ("Australia/Sydney", 10, 31, 14),
        ("Asia/Kathmandu", 5, 16, 14),
        ("US/Central", 17, 31, 13),
    ],
)
def test_parts_of_a_timestamp_in_a_zone(zone: str, hour: int, minute: int, day: int) -> None:
    parts = [f"timestamp('2009-02-13T23:31:30Z').{part}(z)" for part in ("getHours", "getMinutes", "getDate")]
    assert value_of(f"[{', '.join(parts)}]", z=zone) == [hour, minute, day]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9223372036854775807 + 1", "range of int"),
        ("-9223372036854775808 - 1", "range of int"),
        ("-(-9223372036854775808)", "range of int"),
        ("-9223372036854775808 / -1", "range of int"),
        ("-9223372036854775808 % -1", "range of int"),
        ("5000000000 * 5000000000", "range of int"),
        ("0u - 1u", "range of uint"),
        ("18446744073709551615u + 1u", "range of uint"),
        ("1 / 0", "divide by zero"),
        ("1 % 0", "divide by zero"),
        ("1u / 0u", "divide by zero"),
        ("1 + 1u", "no such overload: `\\+` of int, uint"),
        ("1 + 1.0", "no such overload"),
        ("5.5 % 2.0", "no such overload"),
        ("-(5u)", "no such overload: `-` of uint"),
        ("-'a'", "no such overload"),
        ("!1", "no such overload: `!` of int"),
        ("true && 1", "no such overload: `&&` of int"),
        ("'a' || false", "no such overload"),
        ("1 ? 2 : 3", "no such overload"),
        ("null < null", "no such overload"),
        ("[1] < [2]", "no such overload"),
        ("'a' < 1", "no such overload"),
        ("1 in 1", "no such overload"),
        ("[1][1]", "no such index: 1"),
        ("[1][-1]", "no such index: -1"),
        ("[1][dyn(0.5)]", "no such index"),
        ("[1][dyn('')]", "no such overload"),
        ("{'a': 1}['b']", "no such key"),
        ("{'a': 1}.b", "no such key: `b`"),
        ("{1: 1}[dyn(1.5)]", "no such key"),
        ("{1.5: 1}", "unsupported key type: double"),
        ("{null: 1}", "unsupported key type: null_type"),
        ("{1: 1, 1u: 2}", "given twice"),
        ("{'a': 1, 'a': 2}", "given twice"),
        ("'a'.b", "no such overload: the field `.b` of string"),
        ("has('a'.b)", "no such overload"),
        ("nobody", "no such name: `nobody`"),
        ("nobody.x", "no such name: `nobody`"),
        ("dyn", "no such name"),
        ("nothing(1)", "no such function: `nothing\\(\\)`"),
        ("'a'.nothing()", "no such function"),
        ("contains('a', 'b')", "no such function"),
        ("[1].all(x, x > 0, 2, 3)", "no such function"),
        ("size(1)", "no such overload"),
        ("size('a', 'b')", "no such overload"),
        ("'a'.contains(1)", "no such overload"),
        ("int('1.5')", "no int"),
        ("int(' 1')", "no int"),
        ("int('9223372036854775808')", "range of int"),
        ("int(18446744073709551615u)", "range of int"),
        ("int(1e99)", "range of int"),
        ("int(9223372036854775807.0)", "range of int"),
        ("int(-9223372036854775808.0)", "range of int"),
        ("int(double('NaN'))", "range of int"),
        ("int(true)", "no such overload: `int\\(\\)` of bool"),
        ("uint(-1)", "range of uint"),
        ("uint('-1')", "no uint"),
        ("uint(6.022e23)", "range of uint"),
        ("uint(-0.5)", "range of uint"),
        ("double('1.5x')", "no double"),
        ("double('1e999')", "range of double"),
        ("bool('TrUe')", "no bool"),
        ("string(b'\\x00\\xff')", "no UTF-8"),
        ("string([1])", "no such overload"),
        ("bytes(1)", "no such overload"),
        ("timestamp('yesterday')", "RFC 3339"),
        ("timestamp('2026-02-30T00:00:00Z')", "a time that exists"),
        ("timestamp('0000-01-01T00:00:00Z')", "between the years 1 and 9999"),
        ("timestamp('10000-01-01T00:00:00Z')", "RFC 3339"),
        ("timestamp('0001-01-01T00:00:00+01:00')", "range of timestamp"),
        ("timestamp(999999999999)", "range of timestamp"),
        ("timestamp('0001-01-01T00:00:00Z') + duration('-1ns')", "range of timestamp"),
        ("timestamp('9999-12-31T23:59:59.999999999Z') + duration('1ns')", "range of timestamp"),
        ("timestamp('9999-12-31T23:59:59Z') - timestamp('0001-01-01T00:00:00Z')", "range of duration"),
        ("duration('320000000000s')", "range of duration"),
        ("duration('-200000000000s') - duration('200000000000s')", "range of duration"),
        ("duration('3d')", "a duration in"),
        ("duration('')", "a duration in"),
        ("timestamp('2026-01-01T00:00:00Z').getHours('Mars/Olympus')", "unknown time zone"),
        ("timestamp('2026-01-01T00:00:00Z').getHours('+99:00')", "an offset"),
        ("timestamp('0001-01-01T00:00:00Z').getHours('-01:00')", "range of timestamp"),
        ("duration('1s').getHours('UTC')", "no such overload"),
        ("duration('1s').getFullYear()", "no such overload"),
        ("'a'.getHours()", "no such overload"),
        ("'a'.matches('(')", "a regular expression of RE2"),
        ("'a'.matches('(?=a)')", "a regular expression of RE2"),
        (f"'a'.matches('{'a' * 1025}')", "at most 1024 characters"),
        ("[1, 2].all(x, x / 0 != 1)", "divide by zero"),
        ("[1, 2].exists(x, x / 0 == 1)", "divide by zero"),
        ("[1, 0].exists_one(x, 1 / x > 0)", "divide by zero"),
        ("[1].all(x, x)", "no such overload: a predicate of int"),
        ("[1].filter(x, 'a')", "no such overload"),
        ("'a'.all(x, true)", "no such overload: a macro of string"),
        ("1 / 0 > 1 || false", "divide by zero"),
        ("[1, 2].transformMapEntry(i, v, {'a': v})", "given twice"),
        ("[1].transformMapEntry(i, v, v)", "no such overload"),
    ],
)  # fmt: skip
def test_errors(text: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        value_of(text)


@pytest.mark.parametrize(
    ("text", "got", "column"),
    [
        ("1 == 2 || TestAllTypes{a: 1} == null", "the protocol-buffer message `TestAllTypes{}`", 11),
        (".a.b.C{if: 1}", "the protocol-buffer message `a.b.C{}`", 2),
        ("google.protobuf.NullValue", "the protocol-buffer name `google.protobuf.NullValue`", 1),
        ("true || math.greatest(1, 2) > 1", "the extension function `math.greatest()`", 14),
        ("cel.block([1], 2)", "the extension function `cel.block()`", 5),
        ("base64.encode(b'a')", "the extension function `base64.encode()`", 8),
        ("optional.none()", "the extension function `optional.none()`", 10),
        ("'a'.lowerAscii()", "the extension function `lowerAscii()`", 5),
        ("ip('::1')", "the extension function `ip()`", 1),
        ("{'a': 1}.?a", "an optional value `?`", 10),
        ("[1][?0]", "an optional value `?`", 5),
        ("[?a]", "an optional value `?`", 2),
        ("{?'a': b}", "an optional value `?`", 2),
        ("A{?a: b}", "an optional value `?`", 3),
    ],
)  # fmt: skip
def test_what_is_outside_is_refused_by_name_before_anything_runs(text: str, got: str, column: int) -> None:
    with pytest.raises(UnsupportedError) as caught:
        value_of(text)
    assert (caught.value.got, caught.value.line, caught.value.column) == (got, 1, column)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9223372036854775808", "an int of 64 bits"),
        ("-9223372036854775809", "an int of 64 bits"),
        ("18446744073709551616u", "a uint literal"),
        (r"b'\u00ff'", "a bytes literal"),
        ("[1].all(1, true)", "a name for the variable of a macro"),
        ("[1].map(a.b, true)", "a name for the variable of a macro"),
        ("[1].all(.x, true)", "a name for the variable of a macro"),
        ("has(1)", "a field for `has`, such as has\\(a.b\\)"),
        ("has(a)", "a field for `has`"),
    ],
)
def test_what_is_no_cel_is_an_error_of_the_expression(text: str, expected: str) -> None:
    with pytest.raises(ExpressionError, match=expected) as caught:
        value_of(text)
    assert not isinstance(caught.value, UnsupportedError)


@pytest.mark.parametrize(
    ("text", "container", "wanted"),
    [
        ("x.y", "", "x.y"),
        ("x.y.z", "", "y's z"),
        ("y", "x", "x.y"),
        ("y", "x.deep.down", "x.y"),
        (".y", "x", "y"),
        ("[{'z': 0}].map(y, y.z)[0]", "", 0),
        ("['local'].map(y, .y)[0]", "", "y"),
        ("['local'].map(y, y)[0]", "x", "local"),
        ("[{'y': 'field'}].map(x, x.y)[0]", "", "field"),
        ("a.b.c", "", "field of a.b"),
    ],
)
def test_names_are_resolved_by_their_longest_prefix(text: str, container: str, wanted: Any) -> None:
    given: dict[str, Any] = {
        "x__y": "x.y",
        "y": "y",
        "x__y__z": "y's z",
        "a__b": Map([("c", "field of a.b")]),
        "a": Map(),
    }
    assert value_of(text, container, **given) == wanted


def test_a_variable_hides_a_type_but_no_literal() -> None:
    assert value_of("[int, true, null]", int=3, true=False, null=1) == [3, True, None]
    assert value_of("int('3')", int=4) == 3


def test_an_unknown_name_inside_a_container_is_one_of_protocol_buffers() -> None:
    with pytest.raises(UnsupportedError, match=r"the protocol-buffer name `GlobalEnum\.GAZ`"):
        value_of("GlobalEnum.GAZ", "some.package")
    with pytest.raises(UnsupportedError, match="the protocol-buffer name `GlobalEnum`"):
        value_of("GlobalEnum(2)", "some.package")


def test_a_declared_variable_without_a_value_is_an_error() -> None:
    program = compile_expression(parse("x || true"), Scope(frozenset({"x"})))
    assert program.evaluate({}) is True
    with pytest.raises(EvaluationError, match="no value for `x`"):
        compile_expression(parse("x"), Scope(frozenset({"x"}))).evaluate({})


@pytest.mark.parametrize(
    "text",
    [
        "x.map(a, x.map(b, x.map(c, x.map(d, a + b + c + d))))",
        "x.all(a, x.all(b, x.all(c, a + b + c >= 0))) || true",
        "cel.bind(b, t+t+t+t+t+t+t+t, cel.bind(c, b+b+b+b+b+b+b+b, cel.bind(d, c+c+c+c+c+c+c+c, size(d))))",
    ],
)
def test_an_expression_that_explodes_is_stopped_and_nothing_absorbs_it(text: str) -> None:
    with pytest.raises(ExhaustedError, match=f"at most {WORK_MAX} steps"):
        value_of(text, x=list(range(200)), t="a" * 10_000)


def test_comparing_lists_that_hold_each_other_twice_is_stopped() -> None:
    doubled = "".join(f"cel.bind(v{at + 1}, [v{at}, v{at}], " for at in range(40))
    with pytest.raises(ExhaustedError):
        value_of(f"cel.bind(v0, 1, {doubled} v40 == v40{')' * 41}")


def test_comparing_values_that_are_nested_too_deep_is_stopped() -> None:
    nested = "".join(f"cel.bind(v{at + 1}, {'[' * 30}v{at}{']' * 30}, " for at in range(25))
    with pytest.raises(ExhaustedError, match="nested less deep"):
        value_of(f"cel.bind(v0, 1, {nested} v25 == v25{')' * 26}")


def test_a_text_that_is_no_unicode_is_an_error() -> None:
    for text in ("bytes(x)", "x.matches('a')", "'a'.matches(x)"):
        with pytest.raises(EvaluationError, match="no Unicode"):
            value_of(text, x="\ud800")


def test_a_regular_expression_takes_linear_time() -> None:
    assert value_of("t.matches('(a*)*b')", t="a" * 100_000) is False


def test_a_program_runs_again_with_other_values() -> None:
    program = compile_expression(parse("x.map(y, y + 1)"), Scope(frozenset({"x"})))
    assert [program.evaluate({"x": [at]}) for at in range(3)] == [[1], [2], [3]]
