"""The general evaluator gives the answers of the decision tables, on random expressions and values."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core import bundle
from core.cel.general.compiling import compile_expression
from core.cel.general.names import Scope
from core.cel.general.values import Map, Timestamp, Value
from core.cel.parser import parse
from core.errors import EvaluationError
from tests.core.test_cel_tables import NAMES, NOW_MS, Written, answer, compiled, expressions, float_text, rows

#: The conformance suite wants 2^63 as a double to equal the largest int; the tables compare the two exactly
#: (docs/expressions.md), so the property is about any other double.
EXCEPTION, INSTEAD = float_text(2.0**63).text, float_text(2.0**62).text


def without_exception(value: Any) -> Any:
    return value / 2 if isinstance(value, float) and abs(value) == 2.0**63 else value


def general_value(name: str, value: Any) -> Value:
    return Timestamp(value * 1_000_000) if NAMES[name] == bundle.TIMESTAMP else value


def variables(row: Mapping[str, Any]) -> dict[str, Value]:
    scopes: dict[str, list[tuple[str, Value]]] = {"profile": [], "context": []}
    for name, value in row.items():
        scope, _, inner = name.partition(".")
        if value is not None:
            scopes[scope].append((inner, general_value(name, value)))
    return {"now": Timestamp(NOW_MS * 1_000_000), **{name: Map(found) for name, found in scopes.items()}}


@settings(max_examples=200, deadline=None)
@given(st.lists(expressions, min_size=1, max_size=4), st.lists(rows, min_size=1, max_size=8))
def test_general_evaluator_and_tables_agree(written: list[Written], given_rows: list[dict[str, Any]]) -> None:
    texts = [one.text.replace(EXCEPTION, INSTEAD) for one in written]
    tables, refs = compiled(*texts)
    programs = [
        compile_expression(parse(text), Scope(frozenset({"now", "profile", "context"}))) for text in texts
    ]
    for given_row in given_rows:
        row = {name: without_exception(value) for name, value in given_row.items()}
        for text, program, pair in zip(texts, programs, refs, strict=True):
            try:
                found = program.evaluate(variables(row))
            except EvaluationError:
                found = None
            assert found is answer(tables, pair, row), (text, row)
