"""CEL's conformance suite through `onevoice eval --batch`: how much of each file passes, exactly."""

import io
import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from core.cel.general.values import Duration, Timestamp
from hub.cli.conformance import outcome, outcomes
from hub.cli.typed_values import MalformedError, decode, encode
from tests.shared import shared_data

#: File -> how many cases pass, and how many are refused by name. No other outcome is allowed.
COUNTS = {
    "basic": (43, 0),
    "comparisons": (334, 72),
    "fields": (60, 0),
    "lists": (39, 0),
    "logic": (30, 0),
    "macros": (44, 0),
}


def verdict(case: dict[str, Any], found: dict[str, Any]) -> str:
    if "refused" in found:
        return "refused"
    if "eval_error" in case:
        return "passed" if "error" in found else "failed"
    # Entries of a map have no order.
    return "passed" if ordered(found.get("value")) == ordered(case.get("value", TRUE)) else "failed"


TRUE = {"bool_value": True}


def ordered(value: Any) -> Any:
    if isinstance(value, dict):
        made = {key: ordered(one) for key, one in value.items()}
        if "entries" in made:
            made["entries"] = sorted(made["entries"], key=json.dumps)
        return made
    return [ordered(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", COUNTS)
def test_the_shared_suite_passes_but_for_protocol_buffers(name: str) -> None:
    cases = json.loads(shared_data(f"cel_conformance/{name}.json").read_text(encoding="utf-8"))
    found = [outcome(case) for case in cases]
    verdicts = [verdict(case, one) for case, one in zip(cases, found, strict=True)]
    failed = [
        (case["section"], case["name"], one)
        for case, one, said in zip(cases, found, verdicts, strict=True)
        if said == "failed"
    ]
    assert not failed
    counts = Counter(verdicts)
    assert (counts["passed"], counts["refused"]) == COUNTS[name]
    for case, one in zip(cases, found, strict=True):
        if "refused" in one:
            assert one["refused"].startswith("the protocol-buffer message `")
            assert "container" in case or "google.protobuf." in case["expr"]


def test_the_command_writes_one_outcome_a_line() -> None:
    cases = [
        {"name": "a", "expr": "x + 1", "bindings": {"x": {"value": {"int64_value": "41"}}}},
        {"name": "b", "expr": "1 / 0"},
        {"name": "c", "expr": "Thing{}"},
        {"name": "d", "expr": "1 +"},
        {"name": "e", "expr": "-9223372036854775808"},
    ]
    lines = "\n\n".join(json.dumps(case) for case in cases)
    ran = subprocess.run(
        [sys.executable, "-m", "hub.cli.main", "eval", "--batch"],
        input=lines.encode(),
        capture_output=True,
        check=True,
    )
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        {"name": "a", "value": {"int64_value": "42"}},
        {"name": "b", "error": "divide by zero"},
        {"name": "c", "refused": "the protocol-buffer message `Thing{}`"},
        {"name": "d", "error": "1:4: expected a value, got the end of the expression"},
        {"name": "e", "value": {"int64_value": "-9223372036854775808"}},
    ]


def test_a_file_of_cases_in_one_array_is_read_too(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    from hub.cli.main import main

    path = tmp_path / "cases.json"
    path.write_text(json.dumps([{"name": "one", "expr": "1u"}, {"name": "two", "expr": "b'a'"}]))
    assert main(["eval", "--batch", str(path)]) == 0
    assert [json.loads(line)["value"] for line in capsys.readouterr().out.splitlines()] == [
        {"uint64_value": "1"},
        {"bytes_value": "YQ=="},
    ]


@pytest.mark.parametrize(
    "typed",
    [
        {"null_value": None},
        {"bool_value": True},
        {"int64_value": "-1"},
        {"uint64_value": "18446744073709551615"},
        {"double_value": -0.5},
        {"double_value": "Infinity"},
        {"double_value": "NaN"},
        {"string_value": "é"},
        {"bytes_value": "AP8="},
        {"list_value": {}},
        {"list_value": {"values": [{"int64_value": "1"}, {"list_value": {}}]}},
        {"map_value": {}},
        {"map_value": {"entries": [{"key": {"bool_value": True}, "value": {"null_value": None}}]}},
        {"type_value": "list"},
        {
            "object_value": {
                "@type": "type.googleapis.com/google.protobuf.Timestamp",
                "value": "2026-11-23T17:43:29.5Z",
            }
        },
        {"object_value": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "-1.5s"}},
    ],
)
def test_typed_values_are_read_and_written_alike(typed: dict[str, Any]) -> None:
    assert encode(decode(typed)) == typed


def test_times_are_read_by_their_fields_too() -> None:
    any_ = "type.googleapis.com/google.protobuf."
    fields = {"seconds": "123", "nanos": 321456789}
    assert decode({"object_value": {"@type": any_ + "Duration", **fields}}) == Duration(123_321_456_789)
    assert decode({"object_value": {"@type": any_ + "Timestamp", **fields}}) == Timestamp(123_321_456_789)


@pytest.mark.parametrize(
    "typed",
    [
        None,
        {},
        {"int64_value": "9223372036854775808"},
        {"uint64_value": "-1"},
        {"int64_value": "x"},
        {"bool_value": 1},
        {"string_value": 1},
        {"bytes_value": "?"},
        {"map_value": {"entries": [{"key": {"null_value": None}, "value": {"null_value": None}}]}},
        {"list_value": {"values": [3]}},
        {"type_value": "Thing"},
        {"other_value": 1},
        {"bool_value": True, "int64_value": "1"},
    ],
)
def test_what_is_no_typed_value_is_refused(typed: Any) -> None:
    with pytest.raises(MalformedError):
        decode(typed)
    found = outcome({"name": "x", "expr": "true", "bindings": {"x": {"value": typed}}})
    assert found["refused"].startswith("the case is malformed: expected a typed value")


@pytest.mark.parametrize(
    "line", [b"{", b"3", b'{"name": "a"}', b'[{"expr": "1"}, 2]', b"x" * (5 * 1024 * 1024)]
)
def test_a_line_that_is_no_case_ends_the_batch_with_its_number(line: bytes) -> None:
    found = outcomes(io.BytesIO(b'{"name": "a", "expr": "1"}\n' + line + b"\n"))
    assert next(found)["value"] == {"int64_value": "1"}
    with pytest.raises(MalformedError, match="line 2: expected"):
        list(found)


@pytest.mark.parametrize(
    ("type_", "refused"),
    [
        ({"message_type": "google.protobuf.Timestamp"}, False),
        ({"message_type": "google.protobuf.Struct"}, True),
        ({"wrapper": "INT64"}, True),
        ({"list_type": {"elem_type": {"message_type": "a.B"}}}, True),
        ({"map_type": {"key_type": {"primitive": "STRING"}, "value_type": {"wrapper": "BOOL"}}}, True),
        ({"list_type": {"elem_type": {"primitive": "INT64"}}}, False),
    ],
)
def test_variables_of_message_types_are_refused(type_: dict[str, Any], refused: bool) -> None:
    case = {"name": "x", "expr": "true", "type_env": [{"name": "x", "ident": {"type": type_}}]}
    assert ("refused" in outcome(case)) is refused


def test_batch_and_an_expression_together_are_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    from hub.cli.main import main

    assert main(["eval", "1", "--batch"]) == 2
    assert main(["eval"]) == 2
    assert "expected EXPR or --batch" in capsys.readouterr().err
