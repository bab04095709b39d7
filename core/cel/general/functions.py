"""The functions of CEL's standard library, by name and form, and the names that are refused."""

from collections.abc import Callable
from typing import Final

from core.cel.general import regex, times
from core.cel.general.conversions import CONVERSIONS
from core.cel.general.run import Run
from core.cel.general.values import Map, Timestamp, Value, no_overload

#: All arguments, a method's target first.
Function = Callable[[Run, list[Value]], Value]


def _size(run: Run, arguments: list[Value]) -> Value:
    if len(arguments) != 1 or type(arguments[0]) not in (str, bytes, list, Map):
        raise no_overload("`size()`", *arguments)
    return len(arguments[0])


def _string_test(name: str, test: Callable[[str, str], bool]) -> Function:
    def run_test(run: Run, arguments: list[Value]) -> Value:
        if len(arguments) != 2 or type(arguments[0]) is not str or type(arguments[1]) is not str:
            raise no_overload(f"`{name}()`", *arguments)
        run.spend(len(arguments[0]))
        return test(arguments[0], arguments[1])

    return run_test


def _conversion(name: str, convert: Callable[[Value], Value]) -> Function:
    def run_conversion(run: Run, arguments: list[Value]) -> Value:
        if len(arguments) != 1:
            raise no_overload(f"`{name}()`", *arguments)
        if type(arguments[0]) in (str, bytes):
            run.spend(len(arguments[0]))
        return convert(arguments[0])

    return run_conversion


def _part(name: str) -> Function:
    def run_part(run: Run, arguments: list[Value]) -> Value:
        zoned = len(arguments) == 2 and type(arguments[0]) is Timestamp and type(arguments[1]) is str
        if not zoned and len(arguments) != 1:
            raise no_overload(f"`{name}()`", *arguments)
        found = times.part(name, arguments[0], arguments[1] if zoned else "", run.zones)
        if found is None:
            raise no_overload(f"`{name}()`", *arguments)
        return found

    return run_part


_MATCHES: Final = _string_test("matches", regex.matches)
GLOBALS: Final[dict[str, Function]] = {
    "size": _size,
    "matches": _MATCHES,
    **{name: _conversion(name, convert) for name, convert in CONVERSIONS.items()},
}
METHODS: Final[dict[str, Function]] = {
    "size": _size,
    "matches": _MATCHES,
    "contains": _string_test("contains", lambda text, inner: inner in text),
    "startsWith": _string_test("startsWith", str.startswith),
    "endsWith": _string_test("endsWith", str.endswith),
    **{name: _part(name) for name in times.PARTS},
}
#: No name stands for two functions.
FUNCTIONS: Final[dict[str, Function]] = {**GLOBALS, **METHODS}

#: What the extension libraries of CEL add; named so that they are refused before anything is evaluated.
EXTENSION_NAMESPACES: Final = frozenset(
    {"base64", "cel", "ip", "lists", "math", "optional", "proto", "regex", "sets", "strings"}
)
EXTENSION_GLOBALS: Final = frozenset({"cidr", "ip", "isCIDR", "isIP"})
EXTENSION_METHODS: Final = frozenset(
    {
        *("charAt", "format", "indexOf", "join", "lastIndexOf", "lowerAscii", "quote", "replace", "reverse"),
        *("split", "substring", "trim", "upperAscii"),
        *("distinct", "first", "flatten", "last", "slice", "sort", "sortBy"),
        *("hasValue", "optFlatMap", "optMap", "or", "orValue", "value"),
        *("containsCIDR", "containsIP", "family", "isGlobalUnicast", "isLinkLocalMulticast"),
        *("isLinkLocalUnicast", "isLoopback", "isUnspecified", "masked", "prefixLength"),
    }
)
