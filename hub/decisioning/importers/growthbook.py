"""GrowthBook's conditions (SDK specification, `evalCondition`) in CEL, over the attributes in `profile`."""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final

import re2

from hub.decisioning.importers import leaves, versions
from hub.decisioning.importers.verdicts import Case, MalformedError, from_json
from hub.decisioning.importers.writing import (
    FALSE,
    TRUE,
    OutsideError,
    Ref,
    all_of,
    any_of,
    finished,
    join,
    literal,
    negated,
    path,
)

ROOT: Final = "profile"
NESTING_MAX: Final = 32
Groups = Mapping[str, list[Any]]

_COMPARISONS: Final = {"$lt": "<", "$lte": "<=", "$gt": ">", "$gte": ">="}
_VERSIONS: Final = {"$veq": "==", "$vne": "!=", "$vlt": "<", "$vlte": "<=", "$vgt": ">", "$vgte": ">="}
_WORDS: Final = {"true": True, "false": False, "null": None}
_TYPES: Final = {
    "string": "[string]",
    "number": "[int, uint, double]",
    "boolean": "[bool]",
    "array": "[list]",
    "object": "[map]",
}


def translate(condition: Any, groups: Groups | None = None) -> str:
    """The condition in CEL. Raises OutsideError.

    Parameters
    ----------
    condition : as in a feature's rule, such as {"country": {"$in": ["DE", "AT"]}}
    groups : the saved groups that $inGroup names
    """
    if not isinstance(condition, dict):
        raise OutsideError("a condition that is no object")
    return finished(_Translator(groups or {}).condition(ROOT, condition, True, 0))


class _Translator:
    """Each method says when its part holds (positive), or when it does not; `depth` counts nesting."""

    def __init__(self, groups: Groups) -> None:
        self.groups = groups

    def condition(self, root: str, condition: dict[str, Any], positive: bool, depth: int) -> str:
        if depth > NESTING_MAX:
            raise OutsideError(f"a condition nested more than {NESTING_MAX} deep")
        return join(
            [self.entry(root, key, wanted, positive, depth) for key, wanted in condition.items()], positive
        )

    def entry(self, root: str, key: str, wanted: Any, positive: bool, depth: int) -> str:
        if key in ("$or", "$nor"):
            holds = positive is (key == "$or")
            parts = [self.condition(root, one, holds, depth + 1) for one in wanted]
            if not parts:
                return TRUE if holds else FALSE
            return any_of(parts) if holds else all_of(parts)
        if key == "$and":
            return join([self.condition(root, one, positive, depth + 1) for one in wanted], positive)
        if key == "$not":
            return self.condition(root, wanted, not positive, depth + 1)
        ref = path(root, key.split("."), root_is_map=root == ROOT)
        return self.value(ref, wanted, positive, depth)

    def value(self, ref: Ref, wanted: Any, positive: bool, depth: int, any_case: bool = False) -> str:
        match wanted:
            case str() if any_case:
                return leaves.matches(ref, f"^(?:{re2.escape(wanted)})$", positive, any_case=True)
            case str():
                return leaves.equals(ref, _texts(wanted), positive)
            case bool():
                return _boolean(ref, wanted, positive)
            case int() | float():
                return leaves.compares(ref, "==", wanted, positive)
            case dict() if _is_operators(wanted):
                parts = [self.operator(ref, name, one, positive, depth) for name, one in wanted.items()]
                return join(parts, positive)
            case _:
                return leaves.equals(ref, [wanted], positive)

    def operator(self, ref: Ref, name: str, wanted: Any, positive: bool, depth: int) -> str:
        if depth > NESTING_MAX:
            raise OutsideError(f"a condition nested more than {NESTING_MAX} deep")
        if name in _COMPARISONS:
            return leaves.compares(ref, _COMPARISONS[name], wanted, positive)
        if name in _VERSIONS:
            return versions.compares(ref, _VERSIONS[name], wanted, positive)
        if name == "$not":
            return self.value(ref, wanted, not positive, depth + 1)
        if name == "$size":
            return self.size(ref, wanted, positive, depth)
        if name == "$elemMatch":
            return self.element(ref, wanted, positive, depth)
        if name in ("$all", "$alli"):
            return self.every(ref, wanted, positive, depth, any_case=name == "$alli")
        if name in ("$inGroup", "$notInGroup"):
            return leaves.within(ref, self.groups.get(wanted, []), positive is (name == "$inGroup"))
        simple = _SIMPLE.get(name)
        # An operator that GrowthBook does not know matches nobody there.
        return simple(ref, wanted, positive) if simple else (FALSE if positive else TRUE)

    def size(self, ref: Ref, wanted: Any, positive: bool, depth: int) -> str:
        inner = self.value(Ref(f"size({ref.text})"), wanted, positive, depth + 1)
        if positive:
            return all_of([f"type({ref.text}) == list", inner])
        return any_of([ref.missing, f"type({ref.text}) != list", inner])

    def element(self, ref: Ref, wanted: Any, positive: bool, depth: int) -> str:
        name = f"e{depth}"
        if _is_operators(wanted):
            inner = self.value(Ref(name), wanted, positive, depth + 1)
        else:
            inner = self.condition(name, wanted, positive, depth + 1)
        falsy = f"{name} in {leaves.FALSY}"
        if positive:
            some = f"{ref.text}.exists({name}, {all_of([negated(falsy), inner])})"
            return all_of([f"type({ref.text}) == list", some])
        none = f"{ref.text}.all({name}, {any_of([falsy, inner])})"
        return any_of([ref.missing, f"type({ref.text}) != list", none])

    def every(self, ref: Ref, wanted: Any, positive: bool, depth: int, *, any_case: bool) -> str:
        name = f"e{depth}"
        macro = "exists" if positive else "all"
        parts = [
            f"{ref.text}.{macro}({name}, {self.value(Ref(name), one, positive, depth + 1, any_case)})"
            for one in wanted
        ]
        is_list = f"type({ref.text}) == list"
        return (
            all_of([is_list, *parts])
            if positive
            else any_of([ref.missing, f"type({ref.text}) != list", *parts])
        )


def _is_operators(wanted: Any) -> bool:
    return isinstance(wanted, dict) and bool(wanted) and all(key.startswith("$") for key in wanted)


def _texts(wanted: str) -> list[Any]:
    """What JavaScript turns into this text: the text, and the number, bool or null that is written so."""
    if wanted in _WORDS:
        return [wanted, _WORDS[wanted]]
    number = leaves.number_of(wanted)
    if not wanted or math.isnan(number):
        return [wanted]
    plain = int(number) if number.is_integer() else number
    return [wanted, plain] if literal(plain) == wanted else [wanted]


def _boolean(ref: Ref, wanted: bool, positive: bool) -> str:
    """`!!value == wanted` of a value that is not null."""
    if wanted:
        return leaves.truthy(ref, positive)
    falsy = f'{ref.text} in [false, 0, ""]'
    return falsy if positive else any_of([ref.missing, negated(falsy)])


def _in(ref: Ref, wanted: Any, positive: bool) -> str:
    return leaves.within(ref, wanted, positive) if isinstance(wanted, list) else _never(positive)


def _not_in(ref: Ref, wanted: Any, positive: bool) -> str:
    return leaves.within(ref, wanted, not positive) if isinstance(wanted, list) else _never(positive)


def _in_any_case(ref: Ref, wanted: Any, positive: bool) -> str:
    return leaves.within_any_case(ref, wanted, positive) if isinstance(wanted, list) else _never(positive)


def _not_in_any_case(ref: Ref, wanted: Any, positive: bool) -> str:
    return leaves.within_any_case(ref, wanted, not positive) if isinstance(wanted, list) else _never(positive)


def _never(positive: bool) -> str:
    return FALSE if positive else TRUE


def _type(ref: Ref, wanted: Any, positive: bool) -> str:
    if wanted == "null":
        return leaves.equals(ref, [None], positive)
    if wanted not in _TYPES:
        return _never(positive)
    test = f"type({ref.text}) in {_TYPES[wanted]}"
    return test if positive else any_of([ref.missing, f"!({test})"])


_SIMPLE: Final[dict[str, Callable[[Ref, Any, bool], str]]] = {
    "$eq": lambda ref, wanted, positive: (
        _never(positive) if isinstance(wanted, dict | list) else leaves.equals(ref, [wanted], positive)
    ),
    "$ne": lambda ref, wanted, positive: (
        _never(not positive)
        if isinstance(wanted, dict | list)
        else leaves.equals(ref, [wanted], not positive)
    ),
    "$exists": lambda ref, wanted, positive: leaves.equals(ref, [None], positive is not bool(wanted)),
    "$in": _in,
    "$nin": _not_in,
    "$ini": _in_any_case,
    "$nini": _not_in_any_case,
    "$regex": lambda ref, wanted, positive: leaves.matches(ref, str(wanted), positive),
    "$regexi": lambda ref, wanted, positive: leaves.matches(ref, str(wanted), positive, any_case=True),
    "$notRegex": lambda ref, wanted, positive: leaves.matches(ref, str(wanted), not positive),
    "$notRegexi": lambda ref, wanted, positive: leaves.matches(ref, str(wanted), not positive, any_case=True),
    "$type": _type,
}


def cases(document: Any) -> Iterator[Case]:
    """The conditions of a file: the SDKs' shared cases (`evalCondition`), or a payload of features."""
    if isinstance(document, dict) and isinstance(document.get("evalCondition"), list):
        for case in document["evalCondition"]:
            yield _shared_case(case)
    elif isinstance(document, dict) and isinstance(document.get("features"), dict):
        groups = document.get("savedGroups", {})
        for name, feature in document["features"].items():
            for at, rule in enumerate(feature.get("rules", [])):
                if "condition" in rule:
                    yield Case(f"{name}[{at}]", partial(translate, rule["condition"], groups))
    else:
        raise MalformedError('an object with "features", or with the cases of "evalCondition"')


def _shared_case(case: Any) -> Case:
    if not isinstance(case, list) or not 4 <= len(case) <= 5:
        raise MalformedError("[name, condition, attributes, expected, saved groups?]")
    name, condition, attributes, expected = case[:4]
    groups = case[4] if len(case) > 4 else {}
    return Case(name, partial(translate, condition, groups), {ROOT: from_json(attributes)}, expected)
