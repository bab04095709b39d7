"""`onevoice import`: lines for each condition, counts, and the exit status."""

import json
from pathlib import Path
from typing import Any

import pytest

from hub.cli.main import main


def imported(
    folder: Path, system: str, document: Any, capsys: pytest.CaptureFixture[str]
) -> tuple[int, Any, Any]:
    """Exit status, summary and lines."""
    file, out = folder / "in.json", folder / "out.jsonl"
    file.write_text(json.dumps(document))
    code = main(["import", system, str(file), "--verdicts", str(out), "--json"])
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return code, json.loads(capsys.readouterr().out), lines


def test_lines_and_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = [
        "# a comment",
        {"description": "sum", "rule": {"+": [1, {"var": "x"}]}, "data": {"x": 2}, "result": 3},
        {"description": "part", "rule": {"substr": ["abc", 1]}, "result": "bc"},
        {"description": "no result", "rule": {"var": "x"}, "data": {"x": [1]}},
    ]
    code, summary, lines = imported(tmp_path, "jsonlogic", rules, capsys)
    assert code == 0
    assert summary == {
        "conditions": 3,
        "translated": 2,
        "refused": 1,
        "as_expected": 1,
        "not_as_expected": 0,
        "reasons": {"the operator `substr`": 1},
    }
    assert [line["name"] for line in lines] == ["sum", "part", "no result"]
    assert (lines[0]["verdict"], lines[0]["expected"]) == (3, 3)
    assert lines[1] == {"name": "part", "refused": "the operator `substr`"}
    assert (lines[2]["verdict"], "expected" in lines[2]) == ([1], False)


def test_a_verdict_that_is_not_expected_is_exit_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {"evalCondition": [["wrong", {"a": 1}, {"a": 1}, False]]}
    code, summary, _ = imported(tmp_path, "growthbook", cases, capsys)
    assert (code, summary["not_as_expected"]) == (1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "expected JSON"),
        ("{}", 'expected an object with "features"'),
        ('{"features": {"a": 1}}', "expected the form"),
    ],
)
def test_a_file_of_another_form_is_wrong_use(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "in.json"
    file.write_text(text)
    assert main(["import", "growthbook", str(file), "--verdicts", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert main(["import", "growthbook", str(tmp_path / "none"), "--verdicts", str(tmp_path / "out")]) == 2
    file.write_text('{"features": {}}')
    assert main(["import", "growthbook", str(file), "--verdicts", str(tmp_path / "no" / "out")]) == 2
