"""GrowthBook's `evalCondition` in plain Python, as its SDK specification says it, with its coercions.

Lists and objects are not taken for their text or number, as JavaScript would: the importer does not either.
"""

import math
import re
from typing import Any

MISSING = object()
NUMERIC = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def holds(attributes: Any, condition: dict[str, Any]) -> bool:
    return all(entry(attributes, key, wanted) for key, wanted in condition.items())


def entry(attributes: Any, key: str, wanted: Any) -> bool:
    if key == "$or":
        return not wanted or any(holds(attributes, one) for one in wanted)
    if key == "$nor":
        return bool(wanted) and not any(holds(attributes, one) for one in wanted)
    if key == "$and":
        return all(holds(attributes, one) for one in wanted)
    if key == "$not":
        return not holds(attributes, wanted)
    return value_holds(look_up(attributes, key), wanted)


def look_up(attributes: Any, key: str) -> Any:
    for part in key.split("."):
        if not isinstance(attributes, dict) or part not in attributes:
            return None
        attributes = attributes[part]
    return attributes


def value_holds(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return text(value) == wanted
    if isinstance(wanted, bool):
        return value is not None and truthy(value) is wanted
    if isinstance(wanted, int | float):
        return number(value) == wanted
    if wanted is None:
        return value is None
    if is_operators(wanted):
        return all(operator_holds(value, name, one) for name, one in wanted.items())
    return same(value, wanted)


def is_operators(wanted: Any) -> bool:
    return isinstance(wanted, dict) and bool(wanted) and all(key.startswith("$") for key in wanted)


def operator_holds(value: Any, name: str, wanted: Any) -> bool:
    is_list = isinstance(value, list)
    match name:
        case "$eq":
            return same(value, wanted)
        case "$ne":
            return not same(value, wanted)
        case "$lt" | "$lte" | "$gt" | "$gte":
            return ordered(name, value, wanted)
        case "$exists":
            return (value is not None) is bool(wanted)
        case "$in":
            return inside(value, wanted)
        case "$nin":
            return not inside(value, wanted)
        case "$ini":
            return inside(lower(value), lower(wanted))
        case "$nini":
            return not inside(lower(value), lower(wanted))
        case "$regexi":
            return isinstance(value, str) and re.search(wanted, value, re.IGNORECASE) is not None
        case "$not":
            return not value_holds(value, wanted)
        case "$size":
            return is_list and value_holds(len(value), wanted)
        case "$elemMatch":
            check = value_holds if is_operators(wanted) else holds
            return is_list and any(truthy(one) and check(one, wanted) for one in value)
        case "$all":
            return is_list and all(any(value_holds(one, each) for one in value) for each in wanted)
        case "$regex":
            return isinstance(value, str) and re.search(wanted, value) is not None
        case "$type":
            return kind(value) == wanted
    raise AssertionError(name)


def kind(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def inside(value: Any, wanted: list[Any]) -> bool:
    values = value if isinstance(value, list) else [value]
    return any(same(one, each) for one in values for each in wanted)


def lower(value: Any) -> Any:
    if isinstance(value, list):
        return [lower(one) for one in value]
    return value.lower() if isinstance(value, str) else value


def text(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return str(int(value)) if value == int(value) else repr(value)
    return value if isinstance(value, str) else None


def truthy(value: Any) -> bool:
    return isinstance(value, list | dict) or bool(value)


def number(value: Any) -> float:
    if value is None or value == "":
        return 0.0
    if isinstance(value, str):
        return float(value) if NUMERIC.fullmatch(value) else math.nan
    return float(value) if isinstance(value, bool | int | float) else math.nan


def ordered(name: str, value: Any, wanted: Any) -> bool:
    pair = (
        (value, wanted)
        if isinstance(value, str) and isinstance(wanted, str)
        else (number(value), number(wanted))
    )
    if name in ("$lt", "$lte"):
        return bool(pair[0] < pair[1]) or (name == "$lte" and bool(pair[0] == pair[1]))
    return bool(pair[0] > pair[1]) or (name == "$gte" and bool(pair[0] == pair[1]))
