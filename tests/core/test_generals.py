"""General conditions: bounded, evaluated only where they matter, and safe whatever bytes a bundle has."""

import json
import random
import time
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import bundle as b
from core.authoring import CatalogueError
from core.cel.general.loading import needed
from core.compiler import GeneralPart, compile_catalogue
from core.decide import Engine, Request
from core.errors import BundleError
from core.generals import LIST_BYTES_MAX, TEXT_BYTES_MAX
from core.rule_index import RuleIndex
from hub.decisioning.authoring import read_catalogue
from tests.catalogues import FOLDER
from tests.core.sketch import NOW, UNIT_KEY, Sketch, int_slot, record, string_slot, strings_slot
from tests.properties.profiles import examples

BASE: Final = {"base.yaml": (FOLDER / "base.yaml").read_text(encoding="utf-8")}


def compiled(text: str, **settings: str) -> tuple[b.BundleDocument, list[GeneralPart], Engine]:
    files = {**BASE, "more.yaml": text}
    if settings:
        files["settings.yaml"] = "settings: " + json.dumps(settings)
    parts: list[GeneralPart] = []
    content, _ = compile_catalogue(read_catalogue(files), [], parts)
    return b.decode_bundle(content), parts, Engine(content, 1)


# ---- What the compiler says

MORE: Final = """
segments:
  - {id: named, owner: ada, when: 'profile.name.matches("^A")'}
  - {id: unused, owner: ada, when: 'profile.tags.exists(t, t == "x")'}
rules:
  - {id: quiet, owner: ada, kind: suppression, when: profile.orders > 3 && segment.named}
journeys:
  - id: welcome
    owner: ada
    trigger: {event: Order Completed}
    when: profile.vip && int(profile.name) == 3
    steps: [{id: stop, end: true}]
"""


def place_of(text: str) -> tuple[int, int]:
    """Line and column, from 1."""
    before = MORE[: MORE.index(text)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def test_the_compiler_says_which_parts_are_general_and_which_of_them_decide() -> None:
    document, parts, engine = compiled(MORE)
    assert [(part.path, part.line, part.column, part.part, part.decides) for part in parts] == [
        ("$.segments[0].when", *place_of("matches"), "`matches()`", True),
        ("$.segments[1].when", *place_of("exists"), "the macro `exists`", False),
        ("$.journeys[0].when", *place_of("== 3"), "`int()`", False),
    ]
    assert {general.why for general in document.tables.generals} == {part.part for part in parts}
    names = [rule.id for rule in document.rules]
    held = {attribute.name: attribute.slot for attribute in document.attributes}
    slots = {held["profile.name"]: string_slot("3"), held["profile.vip"]: (1, 1, bytes(16), 0, 0)}
    found = [names[rule] for rule in engine.match(record(slots), {}, NOW)]
    assert "journey:welcome:when" in found
    assert "segment:named" not in found


@pytest.mark.parametrize(
    ("mode", "paths"),
    [
        ("off_decision_path", ["$.segments[0].when"]),
        ("forbidden", ["$.segments[0].when", "$.segments[1].when", "$.journeys[0].when"]),
    ],
)
def test_a_catalogue_can_forbid_them(mode: str, paths: list[str]) -> None:
    with pytest.raises(CatalogueError) as caught:
        compiled(MORE, general_expressions=mode)
    assert [fault.path for fault in caught.value.faults] == paths
    fault = caught.value.faults[0]
    assert f"settings.general_expressions is {mode}" in fault.expected
    assert fault.got == "`matches()`, which runs in the general evaluator"
    assert (fault.file, fault.line, fault.column) == ("more.yaml", *place_of("matches"))


def test_more_than_a_decision_may_read_are_refused() -> None:
    rules = "".join(
        f"  - {{id: r{at}, owner: ada, kind: exclusion, when: 'profile.name.matches(\"{at}\")'}}\n"
        for at in range(b.GENERALS_DECIDING_MAX + 1)
    )
    with pytest.raises(CatalogueError, match="at most 2000 different parts on the decision path"):
        compiled(f"rules:\n{rules}")


# ---- Bounds


def deciding(condition: Any, slots: dict[int, Any], context: dict[str, Any] | None = None) -> tuple[str, ...]:
    """Reasons where one condition is eligibility, and where it is suppression."""
    sketch = Sketch()
    sketch.attribute("profile.tags", b.STRINGS)
    sketch.attribute("context.text", b.STRING)
    sketch.attribute("context.list", b.STRINGS)
    rule = sketch.rule("r", condition(sketch))
    sketch.placement("match")
    sketch.placement("pass")
    sketch.treatment(sketch.offer("a", eligibility=rule), 0)
    sketch.treatment(sketch.offer("b"), 1, suppressions=[sketch.guard("g", b.SUPPRESSION, rule)])
    request = Request("d", ("match", "pass"), context or {}, UNIT_KEY)
    return Engine(sketch.content(), 1).decide(record(slots), (), request, NOW).reasons


def nested(depth: int) -> Any:
    """tags.all(a, tags.all(b, ... size(a) > 0)): as many rounds as tags to the power of the depth."""

    def build(sketch: Sketch) -> int:
        parts = [
            b.Part(b.G_ATTRIBUTE, 0),
            b.Part(b.G_LOCAL, 0),
            b.Part(b.G_CALL, "size", [1]),
            b.Part(b.G_LITERAL, 0),
            b.Part(b.G_BINARY, ">", [2, 3]),
        ]
        for level in reversed(range(depth)):
            parts.append(b.Part(b.G_MACRO, "all", [0, len(parts) - 1], [level]))
        return sketch.general(*parts)

    return build


def test_an_evaluation_that_takes_too_long_is_an_error() -> None:
    tags = {16: strings_slot({f"t{number}": NOW for number in range(60)})}
    assert deciding(nested(1), tags) == ("ok", "suppressed")
    started = time.process_time()
    assert deciding(nested(6), tags) == ("not_eligible", "suppressed")
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("context", "reasons"),
    [
        ({"text": "x" * TEXT_BYTES_MAX}, ("ok", "suppressed")),
        ({"text": "x" * (TEXT_BYTES_MAX + 1)}, ("not_eligible", "suppressed")),
        ({"text": "é" * TEXT_BYTES_MAX}, ("not_eligible", "suppressed")),
        ({}, ("not_eligible", "suppressed")),
        ({"text": 3}, ("not_eligible", "suppressed")),
    ],
)
def test_a_text_that_is_too_long_is_an_error(context: dict[str, Any], reasons: tuple[str, ...]) -> None:
    def sized(sketch: Sketch) -> int:
        return sketch.general(
            b.Part(b.G_ATTRIBUTE, 1),
            b.Part(b.G_CALL, "size", [0]),
            b.Part(b.G_LITERAL, 0),
            b.Part(b.G_BINARY, ">", [1, 2]),
        )

    assert deciding(sized, {}, context) == reasons


def test_a_list_that_is_too_large_is_an_error() -> None:
    def listed(sketch: Sketch) -> int:
        parts = (b.Part(b.G_LITERAL, "a"), b.Part(b.G_ATTRIBUTE, 2), b.Part(b.G_BINARY, "in", [0, 1]))
        return sketch.general(*parts)

    half = "x" * (LIST_BYTES_MAX // 2 - 1)
    assert deciding(listed, {}, {"list": ["a", half, half]}) == ("ok", "suppressed")
    assert deciding(listed, {}, {"list": ["a", half + "xx", half]}) == ("not_eligible", "suppressed")


@pytest.mark.parametrize("value", [3, "a", None])
def test_what_is_no_bool_is_an_error(value: Any) -> None:
    reasons = deciding(lambda sketch: sketch.general(b.Part(b.G_LITERAL, value)), {})
    assert reasons == ("not_eligible", "suppressed")


# ---- Only where they matter


def test_only_those_that_make_a_difference_are_evaluated() -> None:
    """Each costs a millisecond; where the tables have decided, none is paid for."""
    sketch = Sketch()
    sketch.attribute("profile.tags", b.STRINGS)
    number = sketch.attribute("profile.n", b.INT)
    heavy = [nested(6)(sketch) for _ in range(100)]
    few = [sketch.condition(b.OP_RANGE, number, lo=at, hi=at) for at in range(100)]
    many = [sketch.condition(b.OP_RANGE, number, lo=at + 1, hi=99) for at in range(100)]
    first = 2 * len(sketch.conditions)
    for at in range(100):
        sketch.nodes.append(b.Node(b.NODE_AND, [2 * heavy[at], 2 * few[at]]))
        sketch.nodes.append(b.Node(b.NODE_OR, [2 * heavy[at], 2 * few[at], 2 * many[at], 2 * many[at] + 1]))
        sketch.formula(f"and{at}", first + 2 * at, 1)
        sketch.formula(f"or{at}", first + 2 * at + 1, 1)
    engine = Engine(sketch.content(), 1)
    tags = strings_slot({f"t{at}": NOW for at in range(60)})

    def took(held: dict[int, Any]) -> tuple[list[int], float]:
        started = time.process_time()
        found = engine.match(record(held), {}, NOW)
        return found, time.process_time() - started

    found, one = took({16: tags, 17: int_slot(7)})
    assert found == list(range(1, 200, 2))
    found, all_of_them = took({16: tags})
    assert found == []
    assert all_of_them > 20 * one


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ('profile.name + "a" == "b"', {"profile.name"}),
        ("profile.tags.exists(t, t == profile.name)", {"profile.tags"}),
        ('[profile.vip || profile.name == "a"] == [true]', set()),
        ('[profile.name == "b" || profile.name == "a"] == [true]', {"profile.name"}),
        ("[profile.vip && profile.orders > 3, has(profile.seen)] == [true, true]", set()),
        ('[profile.vip ? profile.name : "b"] == ["a"]', {"profile.vip"}),
        ('cel.bind(n, profile.name, n + string(profile.orders) == "a1")', {"profile.name", "profile.orders"}),
        ("[segment.s, true] == [true, true]", {"profile.name"}),
    ],
)
def test_what_an_expression_cannot_do_without_is_known(text: str, attributes: set[str]) -> None:
    """Without one of these it is an error, and is not evaluated at all."""
    document, _, _ = compiled(
        "segments:\n- {id: s, owner: ada, when: 'profile.name.matches(\"^A\")'}\n"
        f"- {{id: x, owner: ada, when: {json.dumps(text)}}}\n"
    )
    [general] = [one for one in document.tables.generals if one.why != "`matches()`"]
    assert {document.attributes[index].name for index in needed(general)} == attributes


def test_a_trace_explains_a_general_condition() -> None:
    sketch = Sketch()
    name = sketch.attribute("profile.name", b.STRING)
    parts = (
        b.Part(b.G_ATTRIBUTE, name),
        b.Part(b.G_LITERAL, "^A"),
        b.Part(b.G_CALL, "matches", [0, 1]),
    )
    rule = sketch.rule("eligibility:a", sketch.general(*parts))
    sketch.placement()
    sketch.treatment(sketch.offer("a", eligibility=rule))
    engine = Engine(sketch.content(), 1)
    for slots, verdict, seen in (
        ({16: string_slot("Ada")}, "true", "Ada"),
        ({16: string_slot("Bob")}, "false", "Bob"),
        ({}, "error", "missing"),
    ):
        request = Request("d", ("home.hero",), {}, UNIT_KEY, trace=True)
        rows = json.loads(engine.decide(record(slots), (), request, NOW).body)["trace"]
        [row] = [row for row in rows if row["step"] == "eligibility"]
        assert (row["verdict"], row["detail"]) == (verdict, {"profile.name": seen})


def test_large_sets_have_general_conditions_in_the_index() -> None:
    sketch = Sketch()
    number = sketch.attribute("profile.n", b.INT)
    name = sketch.attribute("profile.name", b.STRING)
    rules = 2_000
    for at in range(rules):
        sketch.condition(b.OP_RANGE, number, lo=at, hi=at)
        sketch.general(
            b.Part(b.G_ATTRIBUTE, name),
            b.Part(b.G_LITERAL, str(at % 10)),
            b.Part(b.G_CALL, "matches", [0, 1]),
        )
    first = 2 * len(sketch.conditions)
    for at in range(rules):
        sketch.nodes.append(b.Node(b.NODE_AND, [2 + 4 * at, 4 + 4 * at + at % 2]))
        sketch.formula(f"r{at}", first + at, 1)
    index = RuleIndex(sketch.document(), frozenset())
    assert (index.rule_count, index.rests) == (rules, True)
    engine = Engine(sketch.content(), 1)
    records = [record({16: int_slot(at), 17: string_slot("0 2 3")}) for at in range(100)]
    records += [record({16: int_slot(at)}) for at in range(100)]
    expected = [[at] if (str(at % 10) in "0 2 3") != bool(at % 2) else [] for at in range(100)] + [[]] * 100
    assert [engine.match(one, {}, NOW) for one in records] == expected
    batch = engine.match_batch(records, NOW, threads=2)
    assert [batch.rules_of(at) for at in range(200)] == expected


# ---- Bundles from elsewhere


def document_of(parts: list[b.Part], why: str = "a test") -> bytes:
    sketch = Sketch()
    sketch.attribute("profile.tags", b.STRINGS)
    sketch.attribute("profile.name", b.STRING)
    sketch.generals.append(b.General(parts, why))
    sketch.rule("r", sketch.condition(b.OP_GENERAL, lo=0))
    return sketch.content()


TRUE: Final = b.Part(b.G_LITERAL, True)


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ([], "parts"),
        ([b.Part(8)], "parts[0].op"),
        ([b.Part(b.G_NOT)], "parts[0].operands"),
        ([b.Part(b.G_NOT, None, [0])], "parts[0].operands"),
        ([TRUE, b.Part(b.G_NOT, None, [-1])], "parts[1].operands"),
        ([TRUE, b.Part(b.G_NOT, None, [1])], "parts[1].operands"),
        ([TRUE, b.Part(b.G_NOT, None, [0, 0])], "parts[1].operands"),
        ([TRUE, b.Part(b.G_NOT, 3, [0])], "parts[1].value"),
        ([TRUE, b.Part(b.G_MAP, None, [0])], "parts[1].operands"),
        ([b.Part(b.G_ATTRIBUTE, 2)], "parts[0].value"),
        ([b.Part(b.G_ATTRIBUTE, -1)], "parts[0].value"),
        ([b.Part(b.G_ATTRIBUTE, True)], "parts[0].value"),
        ([b.Part(b.G_HAS, "x")], "parts[0].value"),
        ([b.Part(b.G_LITERAL, 2**63)], "parts[0].value"),
        ([b.Part(b.G_UINT, -1)], "parts[0].value"),
        ([b.Part(b.G_BYTES, "\u0100")], "parts[0].value"),
        ([b.Part(b.G_TYPE, "float")], "parts[0].value"),
        ([b.Part(b.G_LOCAL, b.GENERAL_SLOTS_MAX)], "parts[0].value"),
        ([b.Part(b.G_NOW, None, [], [0])], "parts[0].slots"),
        ([TRUE, b.Part(b.G_BINARY, "&&", [0, 0])], "parts[1].value"),
        ([TRUE, b.Part(b.G_CALL, "eval", [0])], "parts[1].value"),
        ([TRUE, b.Part(b.G_FIELD, 1, [0])], "parts[1].value"),
        ([TRUE, b.Part(b.G_MACRO, "fold", [0, 0], [0])], "parts[1].value"),
        ([TRUE, b.Part(b.G_MACRO, "all", [0, 0])], "parts[1].slots"),
        ([TRUE, b.Part(b.G_MACRO, "all", [0, 0], [64])], "parts[1].slots"),
        ([TRUE, *(b.Part(b.G_NOT, None, [at]) for at in range(b.GENERAL_DEPTH_MAX))], "parts"),
        # Doubled 60 times: few parts, yet work without end.
        ([TRUE, *(b.Part(b.G_AND, None, [at, at]) for at in range(60))], "parts"),
        ([TRUE] * (b.GENERAL_SIZE_MAX + 1), "parts"),
    ],
)
def test_what_could_not_be_evaluated_is_refused_when_it_is_loaded(parts: list[b.Part], path: str) -> None:
    with pytest.raises(BundleError) as caught:
        Engine(document_of(parts), 1)
    assert caught.value.path == f"$.tables.generals[0].{path}"
    assert caught.value.expected
    assert caught.value.got


def test_a_condition_names_a_general_expression_that_is_there() -> None:
    sketch = Sketch()
    sketch.general(TRUE)
    sketch.conditions[1] = b.Condition(b.OP_GENERAL, lo=1)
    with pytest.raises(BundleError) as caught:
        Engine(sketch.content(), 1)
    assert caught.value.path == "$.tables.conditions[1].lo"


def test_a_pattern_that_is_none_is_an_error_of_its_condition_alone() -> None:
    literal = b.Part(b.G_LITERAL, "(")
    parts = [b.Part(b.G_ATTRIBUTE, 1), literal, b.Part(b.G_CALL, "matches", [0, 1])]
    engine = Engine(document_of(parts), 1)
    assert engine.match(record({17: string_slot("(")}), {}, NOW) == []


def random_part(draw: random.Random, number: int) -> b.Part:
    """A part that the check may let pass: operands are there, the rest is anything of its kind."""
    op = draw.choice([*range(8), *range(10, 25)])
    operands = (
        [draw.randrange(number) for _ in range(draw.choice((1, 2, 2, 3)))] if number and op >= 10 else []
    )
    words = [
        "matches",
        "size",
        "int",
        "string",
        "all",
        "map",
        "filter",
        "+",
        "==",
        "in",
        "<",
        "a",
        "int",
        "list",
    ]
    values: dict[int, Any] = {
        b.G_LITERAL: draw.choice((True, 1, 1.5, "a", "(", None)),
        b.G_UINT: 3,
        b.G_ATTRIBUTE: draw.randrange(2),
        b.G_HAS: draw.randrange(2),
        b.G_LOCAL: draw.randrange(3),
        b.G_BYTES: "a",
        **dict.fromkeys((b.G_TYPE, b.G_BINARY, b.G_FIELD, b.G_HAS_FIELD, b.G_CALL), draw.choice(words)),
        b.G_MACRO: draw.choice(words),
    }
    slots = [draw.randrange(3)] if op in (b.G_MACRO, b.G_BIND) else []
    return b.Part(op, values.get(op), operands, slots)


@given(st.integers(0, 2**32))
@examples(300)
def test_whatever_passes_the_check_is_answered_in_bounded_time(seed: int) -> None:
    draw = random.Random(seed)
    parts: list[b.Part] = []
    while len(parts) < draw.randint(1, 40):
        part = random_part(draw, len(parts))
        try:
            Engine(document_of([*parts, part]), 1)
        except BundleError:
            continue
        parts.append(part)
    engine = Engine(document_of(parts), 1)
    held = record({16: strings_slot({"a": NOW, "bb": NOW}), 17: string_slot("a1")})
    started = time.process_time()
    assert engine.match(held, {}, NOW) in ([], [0])
    assert time.process_time() - started < 1.0


@given(st.binary(max_size=60), st.integers(0, 10**6))
@examples(300)
def test_damaged_bytes_are_refused_or_answered(noise: bytes, place: int) -> None:
    parts = [
        b.Part(b.G_ATTRIBUTE, 0),
        b.Part(b.G_LOCAL, 0),
        b.Part(b.G_LITERAL, "^a"),
        b.Part(b.G_CALL, "matches", [1, 2]),
        b.Part(b.G_MACRO, "exists", [0, 3], [0]),
    ]
    whole = document_of(parts)
    body = bytearray(msgspec.msgpack.encode(b.General(parts, "a test")))
    begin = whole.index(bytes(body))
    for at, byte in enumerate(noise[:4]):
        body[(place + 7 * at) % len(body)] = byte
    damaged = whole[:begin] + bytes(body) + whole[begin + len(body) :]
    try:
        engine = Engine(damaged, 1)
    except BundleError:
        return
    engine.match(record({16: strings_slot({"a": NOW})}), {}, NOW)
