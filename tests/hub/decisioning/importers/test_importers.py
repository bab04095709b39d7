"""Other systems' conditions in CEL: the verdicts of their shared suites, and what stays outside by name."""

import importlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.cel.general.regex import matches
from hub.decisioning.importers import growthbook, jsonlogic, unleash, versions
from hub.decisioning.importers.verdicts import Case, MalformedError, agrees, from_json, same, verdict
from hub.decisioning.importers.writing import OutsideError
from tests.hub.decisioning.importers import growthbook_oracle
from tests.shared import shared_data

UNLEASH_OUTSIDE = {
    "a variant is drawn by lots: an experiment here": 52,
    "the strategy `flexibleRollout` draws lots: an experiment or a holdout here": 13,
    "a dependency on a variant: lots are drawn by an experiment here": 5,
    "the strategy `gradualRolloutUserId` draws lots: an experiment or a holdout here": 4,
    "the strategy `gradualRolloutSessionId` draws lots: an experiment or a holdout here": 4,
    "a network of IPv6 addresses": 3,
    "a regular expression with look-around or back references": 2,
}


def lines_of(system: str, *paths: Path) -> list[dict[str, Any]]:
    module = importlib.import_module(f"hub.decisioning.importers.{system}")
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [verdict(case) for document in documents for case in module.cases(document)]


def reasons(lines: list[dict[str, Any]]) -> dict[str, int]:
    """What is outside; every verdict that there is must be the expected one."""
    wrong = [line for line in lines if "refused" not in line and not agrees(line)]
    assert not wrong
    return dict(Counter(line["refused"] for line in lines if "refused" in line))


def test_all_of_growthbooks_conditions_have_their_verdict() -> None:
    lines = lines_of("growthbook", shared_data("feature_flag_vectors/growthbook/cases.json"))
    assert (len(lines), reasons(lines)) == (248, {})


def test_unleash_features_have_their_verdict_but_for_lots() -> None:
    folder = shared_data("feature_flag_vectors/unleash")
    lines = lines_of("unleash", *sorted(path for path in folder.glob("*.json") if path.name[0].isdigit()))
    assert (len(lines), reasons(lines)) == (279, UNLEASH_OUTSIDE)


def test_the_compatible_rules_of_jsonlogic_have_their_result() -> None:
    lines = lines_of("jsonlogic", shared_data("json_logic/compatible.json"))
    outside = {"the operator `substr`": 8, "the operator `reduce`": 6, "a variable whose name is computed": 1}
    assert (len(lines), reasons(lines)) == (278, outside)


# ---- GrowthBook: against its specification in plain Python, both ways round

SCALARS = st.sampled_from(
    [None, True, False, 0, 1, -3, 7, 2.5, "", "a", "aB", "AB", "7", "-3", "true", "null", "é"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(["a", "b", "a.b", "a.b.a", "in", "x-y"])
ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "b", "in", "x-y"]), VALUES, max_size=4)
NUMBERS = st.sampled_from([0, 1, -3, 7, 2.5, "7", "-3", "a", "", None])
TYPES = st.sampled_from(["string", "number", "boolean", "array", "object", "null", "undefined"])


def operators(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        *(st.fixed_dictionaries({name: SCALARS}) for name in ("$eq", "$ne")),
        *(st.fixed_dictionaries({name: NUMBERS}) for name in ("$lt", "$lte", "$gt", "$gte")),
        *(st.fixed_dictionaries({name: st.lists(SCALARS, max_size=3)}) for name in ("$in", "$nin")),
        *(st.fixed_dictionaries({name: st.lists(SCALARS, max_size=3)}) for name in ("$ini", "$nini")),
        st.fixed_dictionaries({"$regexi": st.sampled_from(["^A", "7$", "B"])}),
        st.fixed_dictionaries({"$exists": st.booleans()}),
        st.fixed_dictionaries({"$all": st.lists(SCALARS, max_size=2)}),
        st.fixed_dictionaries({"$type": TYPES}),
        st.fixed_dictionaries({"$regex": st.sampled_from(["^a", "7$", "b"])}),
        st.fixed_dictionaries({"$size": st.integers(0, 2)}),
        st.fixed_dictionaries({"$not": inner}),
        st.fixed_dictionaries({"$elemMatch": inner.filter(lambda one: isinstance(one, dict))}),
    )


WANTED = st.recursive(VALUES, operators, max_leaves=3)
CONDITIONS = st.recursive(
    st.dictionaries(KEYS, WANTED, max_size=2),
    lambda inner: st.one_of(
        *(st.fixed_dictionaries({name: st.lists(inner, max_size=2)}) for name in ("$or", "$and", "$nor")),
        st.fixed_dictionaries({"$not": inner}),
    ),
    max_leaves=4,
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(CONDITIONS, ATTRIBUTES)
def test_a_growthbook_condition_holds_exactly_when_its_specification_says(
    condition: dict[str, Any], attributes: dict[str, Any]
) -> None:
    wanted = growthbook_oracle.holds(attributes, condition)
    variables = {"profile": from_json(attributes)}
    for one, expected in ((condition, wanted), ({"$not": condition}, not wanted)):
        line = verdict(Case("", lambda one=one: growthbook.translate(one), variables, expected))
        assert agrees(line), (line, attributes)


@pytest.mark.parametrize(
    ("condition", "cel"),
    [
        ({"country": "DE"}, 'profile.country == "DE"'),
        ({"country": {"$ne": "DE"}}, '!has(profile.country) || profile.country != "DE"'),
        ({"age": {"$gt": 30}}, "double(profile.age) > 30.0"),
        ({"vip": True}, '!(profile.vip in [null, false, 0, ""])'),
        ({"a-b": 1}, 'double(profile["a-b"]) == 1.0 || profile["a-b"] == true'),
        ({"$not": {"tier": {"$exists": True}}}, "!has(profile.tier) || profile.tier == null"),
        ({}, "true"),
    ],
)
def test_what_growthbook_says_plainly_is_plain_in_cel(condition: dict[str, Any], cel: str) -> None:
    assert growthbook.translate(condition) == cel


# ---- Versions

PARTS = st.sampled_from(["0", "1", "2", "9", "10", "99", "100", "alpha", "beta", "rc", "Rc", ""])
VERSIONS = st.lists(PARTS.filter(bool), min_size=3, max_size=3).flatmap(
    lambda core: st.lists(PARTS, max_size=3).map(
        lambda rest: ".".join(core) + ("-" + ".".join(rest) if rest else "")
    )
)


def padded(version: str) -> str:
    """The specification's own form: texts of this order compare as the versions do."""
    parts = version.replace("-", ".").split(".")
    parts += ["~"] if len(parts) == 3 else []
    return "-".join(part.rjust(5) if part.isdigit() else part for part in parts)


@settings(max_examples=400, deadline=None)
@given(VERSIONS, VERSIONS)
def test_version_patterns_order_versions_as_the_specification_does(one: str, other: str) -> None:
    parts = versions.parts_of(other)
    assert matches(one, versions.pattern(">", parts)) is (padded(one) > padded(other))
    assert matches(one, versions.pattern(">=", parts)) is (padded(one) >= padded(other))
    assert matches(f"v{one}+build.7", versions.pattern("==", parts)) is (padded(one) == padded(other))


# ---- JsonLogic: a rule always has a value

DATA = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["a", "b", "x", "temp", "integers", "items", "qty"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)
RULES = [
    {"if": [{"var": "a"}, {"var": ["b", 3]}, {"missing": ["a", "a.b", "x.1"]}]},
    {"==": [{"var": "a"}, {"var": "b"}]},
    {"!=": [{"var": "a"}, 7]},
    {"<": [{"var": "a"}, {"var": "b"}, {"var": "x"}]},
    {"<=": [1, {"var": "temp"}, 9]},
    {"+": [{"var": "a"}, {"*": [{"var": "b"}, 2]}, {"-": [{"var": "x"}]}]},
    {"in": [{"var": "a"}, {"var": "b"}]},
    {"merge": [{"var": "a"}, [1], {"var": "b.c"}]},
    {"map": [{"var": "integers"}, {"if": [{"var": ""}, {"var": "qty"}, {"!": [{"var": "a"}]}]}]},
    {"all": [{"var": "items"}, {">": [{"var": "qty"}, 1]}]},
    {"none": [{"var": "items"}, {"some": [{"var": ""}, {"===": [{"var": "qty"}, 1]}]}]},
    {"missing_some": [1, ["a", "b"]]},
    {"and": [{"var": "a"}, {"or": [{"var": "b"}, {"var": "x"}]}]},
    {"max": [{"var": "a"}, 1, 2]},
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(RULES), DATA)
def test_a_jsonlogic_rule_has_a_value_for_any_data(rule: dict[str, Any], data: Any) -> None:
    case = Case("", lambda: jsonlogic.translate(rule), {"data": from_json(data)}, is_condition=False)
    line = verdict(case)
    if "max" in rule and "verdict" not in line:
        return  # NaN is no largest number
    assert "verdict" in line, (line, data)


# ---- What does not fit


@pytest.mark.parametrize(
    ("translate", "condition", "why"),
    [
        (growthbook.translate, {"a": {"$regex": "(?=b)"}}, "look-around"),
        (growthbook.translate, {"a": {"$vgt": "1.2.3-5a"}}, "begins with a digit"),
        (growthbook.translate, ["a"], "no object"),
        (jsonlogic.translate, {"substr": ["a", 1]}, "the operator `substr`"),
        (jsonlogic.translate, {"my_own": [1]}, "an operator of one's own"),
        (jsonlogic.translate, {"var": {"var": "a"}}, "a variable whose name is computed"),
        (jsonlogic.translate, {"a": 1, "b": 2}, "an object that is no rule"),
        (unleash.constraint_text, {"contextName": "a", "operator": "IN_CIDR", "values": ["::/8"]}, "IPv6"),
        (
            unleash.constraint_text,
            {"contextName": "a", "operator": "DATE_AFTER", "value": "x", "inverted": True},
            "an inverted constraint on a date",
        ),
    ],
)
def test_what_cel_cannot_say_is_refused_with_the_reason(translate: Any, condition: Any, why: str) -> None:
    with pytest.raises(OutsideError, match=why):
        translate(condition)


def test_conditions_nested_too_deep_are_refused() -> None:
    condition: Any = {"a": 1}
    rule: Any = 1
    for _ in range(200):
        condition, rule = {"$not": condition}, {"!": [rule]}
    for translate in (lambda: growthbook.translate(condition), lambda: jsonlogic.translate(rule)):
        assert "nested more than" in verdict(Case("", translate))["refused"]


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        SCALARS | st.sampled_from(["$in", "var"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["$or", "$not", "$elemMatch", "$vgt", "$size", "$all", "a", "var", "if", "map", "+"]
                ),
                inner,
                max_size=2,
            )
        ),
        max_leaves=8,
    )
)
def test_any_json_gives_a_line(written: Any) -> None:
    for translate in (growthbook.translate, jsonlogic.translate):
        line = verdict(Case("", lambda translate=translate: translate(written)))
        assert ("cel" in line) != ("refused" in line)


@pytest.mark.parametrize(
    "document", [None, 3, [], {}, {"state": {}}, {"evalCondition": 3}, {"features": [3]}]
)
def test_a_file_of_another_form_is_refused(document: Any) -> None:
    for module in (growthbook, unleash):
        with pytest.raises((MalformedError, TypeError)):
            list(module.cases(document))


def test_an_unleash_constraint_that_is_inverted_holds_where_there_is_nothing() -> None:
    constraint = {"contextName": "n", "operator": "NUM_GT", "value": "5", "inverted": True}
    for context, wanted in (
        ({}, True),
        ({"n": "7"}, False),
        ({"n": "3"}, True),
        ({"n": "x"}, True),
        ({"n": 7}, False),
    ):
        case = Case("", lambda: unleash.constraint_text(constraint), {"context": from_json(context)})
        assert verdict(case)["verdict"] is wanted


IN_GROUP = "profile.id in [1] || (type(profile.id) == list && profile.id.exists(entry, entry in [1]))"


def test_payloads_of_the_systems_are_translated_without_a_verdict() -> None:
    payload = {
        "features": {"f": {"rules": [{"condition": {"id": {"$inGroup": "g"}}}, {"force": 1}]}},
        "savedGroups": {"g": [1]},
    }
    lines = [verdict(case) for case in growthbook.cases(payload)]
    assert lines == [
        {"name": "f[0]", "cel": IN_GROUP},
    ]
    constraint = {"contextName": "userId", "operator": "IN", "values": ["1", "2"]}
    export = {
        "features": [
            {"name": "on", "enabled": True, "strategies": [{"name": "default", "segments": [7]}]},
            {"name": "off", "enabled": False, "strategies": []},
        ],
        "segments": [{"id": 7, "constraints": [constraint]}],
    }
    lines = [verdict(case) for case in unleash.cases(export)]
    assert lines == [
        {"name": "on", "cel": 'context.userId == "1" || context.userId == "2"'},
        {"name": "off", "cel": "false"},
    ]


def test_verdicts_are_compared_as_json() -> None:
    assert same([1, {"a": 2.0}], [1.0, {"a": 2}])
    assert not same(True, 1)
    assert not same({"a": 1}, {"b": 1})
