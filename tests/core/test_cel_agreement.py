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
from tests.core.test_cel_tables import NAMES, NOW_MS, Written, answer, compiled, expressions, rows


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
    texts = [one.text for one in written]
    tables, refs = compiled(*texts)
    programs = [
        compile_expression(parse(text), Scope(frozenset({"now", "profile", "context"}))) for text in texts
    ]
    for row in given_rows:
        for text, program, pair in zip(texts, programs, refs, strict=True):
            try:
                found = program.evaluate(variables(row))
            except EvaluationError:
                found = None
            assert found is answer(tables, pair, row), (text, row)
