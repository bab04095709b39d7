"""Single conditions on one value, with JavaScript's coercions where the other systems have them.

Each function takes `positive`: whether the result is true exactly when the condition holds, or exactly when
it does not. Anywhere else the result is false or an error.
"""

import math
import operator
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import re2

from hub.decisioning.importers.writing import (
    FALSE,
    TRUE,
    OutsideError,
    Ref,
    all_of,
    any_of,
    double,
    literal,
    negated,
)

#: Texts that are numbers to JavaScript and to CEL's double() alike.
NUMERIC: Final = r"^[+-]?([0-9]+\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?$"
_NUMERIC_TEXT: Final = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
FALSY: Final = '[null, false, 0, ""]'
_ZERO: Final = '[null, false, ""]'
ORDERS: Final[dict[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OPPOSITES: Final = {"==": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def number_of(value: Any) -> float:
    """JavaScript's Number() of a JSON value."""
    if value is None or value == "":
        return 0.0
    if isinstance(value, str):
        text = value.strip()
        return float(text) if _NUMERIC_TEXT.fullmatch(text) else math.nan
    return float(value) if isinstance(value, bool | int | float) else math.nan


def equals(ref: Ref, values: Sequence[Any], positive: bool) -> str:
    """The value equals one of these, type by type; null stands for a missing one too."""
    written = [f"{ref.text} == {literal(value)}" for value in values if value is not None]
    null = None in values
    if positive:
        return any_of([*written, ref.null if null else FALSE])
    different = [f"{ref.text} != {literal(value)}" for value in values if value is not None]
    if null:
        return all_of([negated(ref.missing), f"{ref.text} != null", *different])
    return any_of([ref.missing, all_of(different)])


def truthy(ref: Ref, positive: bool) -> str:
    """The value is there and not null, false, 0 or empty."""
    if positive:
        return f"!({ref.text} in {FALSY})"
    return any_of([ref.missing, f"{ref.text} in {FALSY}"])


def compares(ref: Ref, sign: str, expected: Any, positive: bool) -> str:
    """`value sign expected` as JavaScript compares: strings with strings, anything else as numbers."""
    if isinstance(expected, str) and sign != "==":
        return _compares_text(ref, sign, expected, positive)
    return _compares_number(ref, sign, number_of(expected), positive)


def _compares_number(ref: Ref, sign: str, number: float, positive: bool) -> str:
    """Strings count as the number that they are; null, false and "" are 0, true is 1, missing is null."""
    zero, one = (ORDERS[sign](value, number) is positive for value in (0.0, 1.0))
    coerced = [
        *([ref.missing, f"{ref.text} in {_ZERO}"] if zero else []),
        *([f"{ref.text} == true"] if one else []),
    ]
    if positive:
        return any_of([f"double({ref.text}) {sign} {double(number)}", *coerced])
    no_number = f"type({ref.text}) in [list, map]"
    text = f'(type({ref.text}) == string && {ref.text} != "" && !{ref.text}.matches("{NUMERIC}"))'
    return any_of([f"double({ref.text}) {_OPPOSITES[sign]} {double(number)}", *coerced, no_number, text])


def _compares_text(ref: Ref, sign: str, expected: str, positive: bool) -> str:
    number = number_of(expected)
    zero, one = (ORDERS[sign](value, number) is positive for value in (0.0, 1.0))
    way = sign if positive else _OPPOSITES[sign]
    parts = [f"{ref.text} {way} {literal(expected)}"]
    if not math.isnan(number):
        parts.append(f"{ref.text} {way} {double(number)}")
    elif not positive:
        parts.append(f"type({ref.text}) in [int, double]")
    if zero:
        parts += [ref.missing, f"{ref.text} in [null, false]"]
    if one:
        parts.append(f"{ref.text} == true")
    if not positive:
        parts.append(f"type({ref.text}) in [list, map]")
    return any_of(parts)


def within(ref: Ref, values: Sequence[Any], positive: bool) -> str:
    """The value, or an entry of it if it is a list, is one of these."""
    if not values:
        return FALSE if positive else TRUE
    listed = literal(list(values))
    entries = f"{ref.text}.exists(entry, entry in {listed})"
    if positive:
        some = f"(type({ref.text}) == list && {entries})"
        return any_of([f"{ref.text} in {listed}", some, ref.missing if None in values else FALSE])
    present = f"(type({ref.text}) == list ? !{entries} : !({ref.text} in {listed}))"
    return present if None in values else any_of([ref.missing, present])


def within_any_case(ref: Ref, values: Sequence[Any], positive: bool) -> str:
    """As `within`, with texts compared without regard to case."""
    texts = [re2.escape(value) for value in values if isinstance(value, str)]
    others = [value for value in values if not isinstance(value, str)]
    if not texts:
        return within(ref, others, positive)
    pattern = literal(f"(?i)^(?:{'|'.join(texts)})$")
    entries = f"{ref.text}.exists(entry, entry.matches({pattern}))"
    if positive:
        some = f"(type({ref.text}) == list && {entries})"
        return any_of([f"{ref.text}.matches({pattern})", some, within(ref, others, True)])
    different = f"!{ref.text}.matches({pattern})"
    none = f"{ref.text}.all(entry, type(entry) != string || !entry.matches({pattern}))"
    in_list = f"(type({ref.text}) == list && {none})"
    kinds = f"!(type({ref.text}) in [string, list])"
    return all_of(
        [any_of([ref.missing, different, in_list, kinds]), within(ref, others, False) if others else TRUE]
    )


def matches(ref: Ref, pattern: str, positive: bool, *, any_case: bool = False) -> str:
    """The text of the value holds the pattern; a pattern that is none holds nowhere."""
    written = f"(?i){pattern}" if any_case else pattern
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(written, options)
    except re2.error as error:
        if _is_pattern(pattern):
            raise OutsideError("a regular expression with look-around or back references") from error
        return FALSE if positive else TRUE
    test = f"string({ref.text}).matches({literal(written)})"
    if positive:
        return test
    return any_of([ref.missing, f"type({ref.text}) in [list, map, null_type]", f"!{test}"])


def _is_pattern(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return True


def any_case_pattern(ref: Ref, place: str, text: str) -> str:
    """A test for a text without regard to case; `place` is where it stands, such as `^{}`."""
    return f"{ref.text}.matches({literal('(?i)' + place.format(re2.escape(text)))})"
