"""Unleash's features (strategies, constraints, segments, dependencies) in CEL, over the facts in `context`.

Unleash's context is text: numbers, dates and versions in it are read from text. Its `properties` stand beside
its own fields.
"""

import math
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Final

from hub.decisioning.importers import addresses, leaves, versions
from hub.decisioning.importers.verdicts import Case, MalformedError, from_json
from hub.decisioning.importers.writing import (
    FALSE,
    TRUE,
    OutsideError,
    Ref,
    all_of,
    any_of,
    double,
    finished,
    literal,
    negated,
    path,
)

ROOT: Final = "context"
CURRENT_TIME: Final = "currentTime"

_NUMBERS: Final = {"NUM_EQ": "==", "NUM_GT": ">", "NUM_GTE": ">=", "NUM_LT": "<", "NUM_LTE": "<="}
_VERSIONS: Final = {
    "SEMVER_EQ": "==",
    "SEMVER_GT": ">",
    "SEMVER_GTE": ">=",
    "SEMVER_LT": "<",
    "SEMVER_LTE": "<=",
}
_TEXTS: Final = {
    "STR_STARTS_WITH": ("startsWith", "^{}"),
    "STR_ENDS_WITH": ("endsWith", "{}$"),
    "STR_CONTAINS": ("contains", "{}"),
}
_DATES: Final = {"DATE_AFTER": ">", "DATE_BEFORE": "<"}
#: Strategies that draw lots, and where Unleash keeps the share in percent.
_SHARES: Final = {
    "flexibleRollout": "rollout",
    "gradualRolloutRandom": "percentage",
    "gradualRolloutUserId": "percentage",
    "gradualRolloutSessionId": "percentage",
}
#: What lots are drawn by when a strategy of everybody needs no more than that.
_ALWAYS_THERE: Final = frozenset({"default", "random", ""})


class Features:
    """The features and segments of one Unleash project."""

    def __init__(self, state: Mapping[str, Any]) -> None:
        self.features = {feature["name"]: feature for feature in state.get("features", [])}
        self.segments = {segment["id"]: segment["constraints"] for segment in state.get("segments", [])}

    def translate(self, name: str) -> str:
        """When a feature is on. Raises OutsideError."""
        if name not in self.features:
            return FALSE
        return finished(self.enabled(self.features[name]))

    def enabled(self, feature: Mapping[str, Any]) -> str:
        if not feature.get("enabled", False):
            return FALSE
        parents = [self.parent(dependency) for dependency in feature.get("dependencies") or []]
        strategies = feature.get("strategies") or []
        return all_of([*parents, any_of([self.strategy(one) for one in strategies]) if strategies else TRUE])

    def parent(self, dependency: Mapping[str, Any]) -> str:
        """A feature that must be on, or off, for another one to be on."""
        parent = self.features.get(dependency["feature"])
        if parent is None or parent.get("dependencies"):
            return FALSE  # Unleash takes neither
        if dependency.get("variants"):
            raise OutsideError("a dependency on a variant: lots are drawn by an experiment here")
        text = self.enabled(parent)
        if dependency.get("enabled", True):
            return text
        if text not in (TRUE, FALSE):
            raise OutsideError("a dependency on a feature that is off for some only")
        return negated(text)

    def strategy(self, strategy: Mapping[str, Any]) -> str:
        segments = strategy.get("segments") or []
        if any(one not in self.segments for one in segments):
            return FALSE
        constraints = [
            *(strategy.get("constraints") or []),
            *(constraint for one in segments for constraint in self.segments[one]),
        ]
        conditions = [constraint_text(one) for one in constraints]
        return all_of([_who(strategy["name"], strategy.get("parameters") or {}), *conditions])


def _who(name: str, parameters: Mapping[str, Any]) -> str:
    """Whom a strategy is for, before its constraints."""
    if name == "default":
        return TRUE
    if name == "userWithId":
        return leaves.equals(path(ROOT, ["userId"]), _listed(parameters.get("userIds")), True)
    if name == "remoteAddress":
        return addresses.within(path(ROOT, ["remoteAddress"]), _listed(parameters.get("IPs")))
    if name in _SHARES:
        return _share(name, parameters)
    raise OutsideError(
        f"the strategy `{name}`" if name == "applicationHostname" else "a strategy of one's own"
    )


def _listed(text: str | None) -> list[str]:
    return [one.strip() for one in (text or "").split(",") if one.strip()]


def _share(name: str, parameters: Mapping[str, Any]) -> str:
    """A strategy that draws lots is a condition only where it takes everybody or nobody."""
    share = leaves.number_of(parameters.get(_SHARES[name], ""))
    by = str(parameters.get("stickiness", "default" if name != "gradualRolloutUserId" else "userId"))
    if share == 0:
        return FALSE
    if share == 100 and name in ("flexibleRollout", "gradualRolloutRandom") and by in _ALWAYS_THERE:
        return TRUE
    raise OutsideError(f"the strategy `{name}` draws lots: an experiment or a holdout here")


def constraint_text(constraint: Mapping[str, Any]) -> str:
    """When a constraint holds."""
    name = str(constraint["operator"])
    positive = not constraint.get("inverted", False)
    ref = path(ROOT, [constraint["contextName"]])
    if name in ("IN", "NOT_IN"):
        values = [value.strip() for value in constraint.get("values") or [] if value]
        return leaves.equals(ref, values, positive is (name == "IN"))
    if name in _TEXTS:
        return _text(ref, constraint, positive)
    if name in _NUMBERS:
        return _number(ref, _NUMBERS[name], constraint.get("value"), positive)
    if name in _DATES:
        return _date(ref, constraint, _DATES[name], positive)
    test = _test(ref, name, constraint)
    if test is None:
        return FALSE  # Unleash takes an operator that it does not know for one that does not hold
    return test if positive else _not(ref, test)


def _test(ref: Ref, name: str, constraint: Mapping[str, Any]) -> str | None:
    """A test that is no error for a text, whatever it says."""
    value = str(constraint.get("value"))
    if name in _VERSIONS:
        return versions.compares_semver(ref, _VERSIONS[name], value)
    if name == "REGEX":
        any_case = bool(constraint.get("caseInsensitive"))
        return _of_text(ref, leaves.matches(ref, value, True, any_case=any_case))
    if name == "IN_CIDR":
        return addresses.within(ref, constraint.get("values") or [])
    return None


def _of_text(ref: Ref, test: str) -> str:
    """A test without the conversion to text: what Unleash keeps is text."""
    return test.replace(f"string({ref.text})", ref.text)


def _not(ref: Ref, text: str) -> str:
    """An inverted constraint holds too where there is no text to look at."""
    if text in (TRUE, FALSE):
        return negated(text)
    return any_of([ref.missing, f"type({ref.text}) != string", negated(text)])


def _number(ref: Ref, sign: str, value: Any, positive: bool) -> str:
    number = leaves.number_of(value)
    if math.isnan(number):
        return FALSE if positive else TRUE
    test = f"double({ref.text}) {sign} {double(number)}"
    if positive:
        return test
    is_number = (
        f"(type({ref.text}) in [int, double] || type({ref.text}) == string && "
        f'{ref.text}.matches("{leaves.NUMERIC}"))'
    )
    return any_of([ref.missing, negated(all_of([is_number, test]))])


def _date(ref: Ref, constraint: Mapping[str, Any], sign: str, positive: bool) -> str:
    if not positive:
        raise OutsideError("an inverted constraint on a date")
    moment = f"timestamp({literal(str(constraint.get('value')))})"
    if constraint["contextName"] != CURRENT_TIME:
        return f"timestamp({ref.text}) {sign} {moment}"
    return f"({negated(ref.missing)} ? timestamp({ref.text}) : now) {sign} {moment}"


def _text(ref: Ref, constraint: Mapping[str, Any], positive: bool) -> str:
    method, pattern = _TEXTS[constraint["operator"]]
    values = [str(value) for value in constraint.get("values") or []]
    if constraint.get("caseInsensitive"):
        tests = [leaves.any_case_pattern(ref, pattern, value) for value in values]
    else:
        tests = [f"{ref.text}.{method}({literal(value)})" for value in values]
    if positive:
        return any_of(tests)
    return any_of([ref.missing, f"type({ref.text}) != string", all_of([f"!{test}" for test in tests])])


def cases(document: Any) -> Iterator[Case]:
    """The features of a file: one of the client specification's (`state`, `tests`), or a state of its own."""
    if not isinstance(document, dict):
        raise MalformedError('an object with "features", or with "state" and "tests"')
    if "features" in document:
        features = Features(document)
        for name in features.features:
            yield Case(name, partial(features.translate, name))
    elif isinstance(document.get("state"), dict):
        yield from _specified(Features(_state(document["state"])), document)
    else:
        raise MalformedError('an object with "features", or with "state" and "tests"')


def _state(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state as it is after the events of the delta API, if it is given by them."""
    if "events" not in state:
        if "features" not in state:
            raise MalformedError('a state with "features" or "events"')
        return state
    features: dict[str, Any] = {}
    segments: dict[int, Any] = {}
    for event in state["events"]:
        changed = [event["feature"]] if event["type"] == "feature-updated" else event.get("features", [])
        features |= {feature["name"]: feature for feature in changed}
        changed = [event["segment"]] if event["type"] == "segment-updated" else event.get("segments", [])
        segments |= {segment["id"]: segment for segment in changed}
        features.pop(event.get("featureName", ""), None)
        segments.pop(event.get("segmentId", 0), None)
    return {"features": [*features.values()], "segments": [*segments.values()]}


def _specified(features: Features, document: Mapping[str, Any]) -> Iterator[Case]:
    for test in document.get("tests", []):
        variables: dict[str, Any] = {ROOT: from_json(context_of(test.get("context", {})))}
        translate = partial(features.translate, test["toggleName"])
        yield Case(test["description"], translate, variables, test["expectedResult"])
    for test in document.get("variantTests", []):
        yield Case(test["description"], _variant)


def _variant() -> str:
    raise OutsideError("a variant is drawn by lots: an experiment here")


def context_of(context: Mapping[str, Any]) -> dict[str, Any]:
    """Unleash's context as one map: its own fields, and the properties that it has no field for."""
    own = {key: value for key, value in context.items() if key != "properties"}
    return {**(context.get("properties") or {}), **own}
