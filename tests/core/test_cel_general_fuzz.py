"""Whatever is written, the general evaluator has a value, an error or a refusal: never anything else."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core.cel.general.values import Map, Timestamp, Uint
from core.errors import EvaluationError, ExhaustedError, ExpressionError
from hub.cli.typed_values import decode, encode
from tests.core.test_cel_general import value_of

X = Map([("y", [1, Uint(2), "a", Timestamp(0)])])
TOKENS = [
    *("1", "2u", "1.5", "'a'", "b'a'", "true", "null", "x", "x.y", "e", "y", "9223372036854775807", "r'\\'"),
    *(".", ",", "(", ")", "[", "]", "{", "}", ":", "?", "// ", "\n"),
    *("+", "-", "*", "/", "%", "!", "==", "!=", "<", "<=", "in", "&&", "||"),
    *("size", "type", "int", "string", "timestamp", "duration", "has", "map", "filter", "all", "cel", "bind"),
]
LEAVES = st.sampled_from(
    ["1", "-7", "2u", "1.5", "'ab'", "b'c'", "true", "null", "x", "x.y", "timestamp(5)", "int"]
)
SIGNS = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "in", "&&", "||"])
CALLS = st.sampled_from(["size", "type", "int", "uint", "double", "string", "bytes", "timestamp", "-", "!"])
METHODS = st.sampled_from(["contains", "matches", "startsWith", "getHours"])
MACROS = st.sampled_from(["all", "exists", "exists_one", "map", "filter"])


def outcome(text: str) -> Any:
    """The value, or the error's text."""
    try:
        return value_of(text, x=X)
    except (ExpressionError, EvaluationError, ExhaustedError) as error:
        return str(error)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=14))
def test_any_text_is_a_value_or_an_error(tokens: list[str]) -> None:
    assert outcome(" ".join(tokens)) != "" or "''" in tokens


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, SIGNS, inner),
        st.builds("{}({})".format, CALLS, inner),
        st.builds("({}).{}({})".format, inner, METHODS, inner),
        st.builds("({}).{}(e, ({}) == e)".format, inner, MACROS, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("{{{}: {}}}".format, inner, inner),
        st.builds("({})[{}]".format, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
        st.builds("cel.bind(x, {}, {})".format, inner, inner),
    )


@settings(max_examples=500, deadline=None)
@given(st.recursive(LEAVES, grown, max_leaves=12))
def test_any_expression_is_a_value_that_can_be_written_or_an_error(text: str) -> None:
    found = outcome(text)
    assert encode(decode(encode(found))) == encode(found)
