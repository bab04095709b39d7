"""The reference is true: its examples compile, and what it calls refused is refused."""

import json
import re
from pathlib import Path

import pytest

from core.authoring.types import LIST_KINDS, SINGLE_KINDS
from core.cel.checker import check
from core.cel.environment import Environment
from core.cel.parser import parse
from core.cel.typed import own_generals
from core.compiler import compile_catalogue
from core.compiler.attributes import TYPES, full_name
from hub.decisioning.authoring import catalogue_schema, read_catalogue
from tests.catalogues import small

DOCS = Path(__file__).resolve().parents[3] / "docs"

#: The model file that the reference speaks of.
CHURN = """tree
version=v4
num_class=1
num_tree_per_iteration=1
objective=binary sigmoid:1
feature_names=orders device

Tree=0
num_leaves=3
num_cat=1
split_feature=0 1
threshold=2.5 0
decision_type=10 9
left_child=1 -1
right_child=-2 -3
leaf_value=0.1 -0.2 0.3
cat_boundaries=0 1
cat_threshold=5

end of trees
"""


def fenced(document: str, language: str) -> list[str]:
    text = (DOCS / document).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def environment() -> Environment:
    attributes: dict[str, tuple[int, int] | None] = {
        full_name(attribute): (at, TYPES[attribute.type])
        for at, attribute in enumerate(read_catalogue(small()).attributes)
    }
    attributes |= dict.fromkeys(("context.country", "context.locale"), (99, TYPES["string"]))
    return Environment(attributes, {"vips": None, "explorers": None})


def test_the_catalogue_of_the_reference_compiles() -> None:
    files = {f"{at:02}.yaml": text for at, text in enumerate(fenced("catalogue.md", "yaml"))}
    files["models/churn.txt"] = CHURN
    catalogue = read_catalogue(files)
    compile_catalogue(catalogue, [])
    for kind in (*LIST_KINDS, *SINGLE_KINDS):
        assert getattr(catalogue, kind), kind


def test_the_schema_in_the_documents_is_that_of_the_types() -> None:
    written = json.loads((DOCS / "catalogue.schema.json").read_text(encoding="utf-8"))
    assert written == catalogue_schema(), "write it anew from hub.decisioning.authoring.catalogue_schema()"


@pytest.mark.parametrize(
    "text", [line for block in fenced("expressions.md", "cel") for line in block.splitlines()]
)
def test_expressions_that_the_reference_shows_are_supported(text: str) -> None:
    assert check(parse(text), environment())[1] == []


@pytest.mark.parametrize(
    "text", [line for block in fenced("expressions.md", "general") for line in block.splitlines()]
)
def test_expressions_that_the_reference_calls_general_are_so_for_that_reason(text: str) -> None:
    expression, why = re.split(r" {2,}", text, maxsplit=1)
    typed, faults = check(parse(expression), environment())
    assert typed is not None, faults
    assert [one.general.why for one in own_generals(typed)] == [why]


@pytest.mark.parametrize(
    "text", [line for block in fenced("expressions.md", "refused") for line in block.splitlines()]
)
def test_expressions_that_the_reference_calls_refused_are_refused_by_name(text: str) -> None:
    expression, name = re.split(r" {2,}", text, maxsplit=1)
    faults = check(parse(expression), environment())[1]
    assert name in [fault.got for fault in faults]
