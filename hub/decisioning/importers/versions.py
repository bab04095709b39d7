"""Comparisons of versions said as regular expressions, for CEL has no order of versions.

The order is that of GrowthBook's SDKs, which is semver's for versions of three numbers: parts between dots
and hyphens are compared one by one, numbers before texts, a version without a pre-release after those with
one. A version is greater than `a.b.c` if it begins with `a.b` and goes on with more than `c`, and so on: one
alternative for each part where it may be decided.
"""

import re
from typing import Any, Final

from core.cel.general.regex import PATTERN_LENGTH_MAX, matches
from hub.decisioning.importers.writing import FALSE, OutsideError, Ref, all_of, any_of, literal

_SEPARATOR: Final = "[-.]"
_PART: Final = "[^-.+]"
_TEXT: Final = r"[^-.+]*[^-.+0-9][^-.+]*"
_BUILD: Final = r"(?:\+.*)?$"
_REST: Final = r"(?:[-.+].*)?$"
#: Stands for the pre-release that a version of three parts does not have.
_RELEASE: Final = "~"
_NUMBER: Final = re.compile("[0-9]+")
_SPLIT: Final = re.compile(_SEPARATOR)
_PATTERNS: Final = {
    "==": "equal",
    "!=": "equal",
    ">": "greater",
    "<=": "greater",
    ">=": "least",
    "<": "least",
}
_AGAINST: Final = frozenset({"!=", "<=", "<"})
_OPPOSITES: Final = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
#: A semantic version.
SEMVER: Final = (
    r"^(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$"
)


def compares(ref: Ref, sign: str, wanted: Any, positive: bool) -> str:
    """`version sign wanted` of a text or number; anything else is version 0."""
    sign = sign if positive else _OPPOSITES[sign]
    parts = parts_of(wanted)
    test = f"{'!' if sign in _AGAINST else ''}string({ref.text}).matches({literal(pattern(sign, parts))})"
    usual = all_of([f'!({ref.text} in [null, true, false, ""])', test])
    if not _zero_holds(sign, parts):
        return usual
    return any_of(
        [usual, ref.missing, f'{ref.text} in [null, true, false, ""]', f"type({ref.text}) in [list, map]"]
    )


def compares_semver(ref: Ref, sign: str, wanted: str) -> str:
    """`version sign wanted` of a text that is a semantic version; anything else does not hold."""
    if re.fullmatch(SEMVER, wanted) is None:
        return FALSE
    against = "!" if sign in _AGAINST else ""
    return all_of(
        [
            f"{ref.text}.matches({literal(SEMVER)})",
            f"{against}{ref.text}.matches({literal(pattern(sign, parts_of(wanted)))})",
        ]
    )


def parts_of(version: Any) -> list[str]:
    """The parts of a version, without build and leading `v`."""
    text = str(version) if isinstance(version, int | float) and not isinstance(version, bool) else version
    if not isinstance(text, str) or not text:
        text = "0"
    parts = _SPLIT.split(re.sub(r"^v|\+.*$", "", text))
    return [*parts, _RELEASE] if len(parts) == 3 else parts


def _zero_holds(sign: str, parts: list[str]) -> bool:
    return matches("0", pattern(sign, parts)) is (sign not in _AGAINST)


def pattern(sign: str, parts: list[str]) -> str:
    """What matches the versions that are equal to these parts, greater, or either, as the sign needs."""
    kind = _PATTERNS[sign]
    equal = [_equal(parts)] if kind != "greater" else []
    greater = _greater(parts, 0) if kind != "equal" else []
    # `$.^` matches nothing.
    found = f"(?s)^v?(?:{'|'.join([*equal, *greater]) or '$.^'})"
    if len(found) > PATTERN_LENGTH_MAX:
        raise OutsideError("a version that is too long")
    return found


def _equal(parts: list[str]) -> str:
    written = parts[:3] if parts[3:] == [_RELEASE] else parts
    return _SEPARATOR.join(map(re.escape, written)) + _BUILD


def _greater(parts: list[str], at: int) -> list[str]:
    """How a version that is equal before the part at `at` can go on and be greater."""
    found = _more_than(parts[at], at == len(parts) - 1)
    same = re.escape(parts[at])
    if at == 2 and len(parts) > 3 and parts[3:] != [_RELEASE]:
        found.append(same + _BUILD)  # a release comes after its pre-releases
    if at == len(parts) - 1:
        return found if parts[at] == _RELEASE else [*found, same + _SEPARATOR]
    deeper = _greater(parts, at + 1)
    return [*found, f"{same}{_SEPARATOR}(?:{'|'.join(deeper)})"] if deeper else found


def _more_than(part: str, last: bool) -> list[str]:
    """Ways to go on with more than a part, each to the end of the version."""
    if part == _RELEASE:
        return []
    if not part:
        return [f"{_PART if last else _TEXT}{'+' if last else ''}{_REST}"]
    if _NUMBER.fullmatch(part):
        numbers = "|".join(_numbers_above(part))
        return [f"(?:{numbers}|{_TEXT}){_REST}", _SEPARATOR]
    if part[0].isdigit() or not part.isascii():
        raise OutsideError("a version with a part that begins with a digit and is no number")
    return [f"{_texts_above(part)}{_PART}*{_REST}"]


def _texts_above(text: str) -> str:
    """The beginnings that make a part greater than a text: more at some character, or the text and more."""
    more = f"{re.escape(text[-1])}{_PART}"
    for at in range(len(text) - 1, -1, -1):
        more = f"(?:[^\\x00-\\x{ord(text[at]):02x}]|{more})"
        if at:
            more = re.escape(text[at - 1]) + more
    return more


def _numbers_above(number: str) -> list[str]:
    length = len(number)
    found = [f"[0-9]{{{length + 1},}}"]
    for at, digit in enumerate(number):
        if digit != "9":
            rest = f"[0-9]{{{length - at - 1}}}" if at < length - 1 else ""
            found.append(f"{number[:at]}[{int(digit) + 1}-9]{rest}")
    return found
