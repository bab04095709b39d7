"""Catalogue files to types: faults of form, limits, YAML's own corners, the schema for editors."""

import json

import jsonschema_rs
import pytest
import yaml

from core.authoring import CatalogueError, Fault
from core.authoring.types import LIST_KINDS, SINGLE_KINDS, Source
from core.compiler import compile_catalogue
from hub.decisioning import authoring, forms, yaml_nodes
from hub.decisioning.authoring import catalogue_schema, read_catalogue
from tests.catalogues import FOLDER, small

CASES = yaml.safe_load((FOLDER / "malformed.yaml").read_text(encoding="utf-8"))
GOOD = "governance: {people: [{id: ada, roles: [owner, approver]}]}\n"


def faults_of(text: str, name: str = "x.yaml") -> list[Fault]:
    return read_catalogue({name: text}).faults


def test_the_small_catalogue_is_read_whole() -> None:
    catalogue = read_catalogue(small())
    assert catalogue.faults == []
    assert not catalogue.unread
    for kind in LIST_KINDS:
        assert getattr(catalogue, kind), kind
    for kind in SINGLE_KINDS:
        assert getattr(catalogue, kind) is not None
    by_id = {attribute.id: attribute for attribute in catalogue.attributes}
    assert by_id["orders_90d"].source == Source(events=["Order Completed"], function="count", window="90d")
    assert by_id["store"].source == "context"
    assert (
        [person.name for person in catalogue.governance.people] == ["Ada", "Ben", "Lea"]
        if catalogue.governance
        else False
    )


@pytest.mark.parametrize("case", CASES, ids=[f"{case['path']}: {case['expected']}" for case in CASES])
def test_a_fault_of_form_is_reported(case: dict[str, str]) -> None:
    [fault] = faults_of(case["write"])
    assert (fault.file, f"{fault.line}:{fault.column}", fault.path) == ("x.yaml", case["at"], case["path"])
    assert case["expected"] in fault.expected
    assert case["got"] in fault.got


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        (f"offers: [{{id: {'x' * 81}, owner: ada}}]", "$.offers[0].id", "at most 80"),
        (
            f"segments: [{{id: a, owner: ada, when: {'x' * 4097}}}]",
            "$.segments[0].when",
            "1 to 4096 characters",
        ),
        (
            f"offers: [{{id: x, owner: ada, description: {'x' * 2049}}}]",
            "$.offers[0].description",
            "0 to 2048",
        ),
    ],
)
def test_long_texts_are_refused_and_shown_cut(text: str, path: str, expected: str) -> None:
    [fault] = faults_of(text)
    assert fault.path == path
    assert expected in fault.expected
    assert len(fault.got) <= 120


def test_all_faults_of_form_are_found_at_once() -> None:
    text = """\
offers:
  - id: One
    priority: high
    tags: [a, B, 3]
    treatments:
      - {id: t, placement: home}
      - {id: u, placement: home, blocks: {text: X}, more: 1}
  - {id: two, owner: ada}
"""
    assert [(fault.line, fault.path) for fault in faults_of(text)] == [
        (2, "$.offers[0].id"),
        (3, "$.offers[0].priority"),
        (4, "$.offers[0].tags[1]"),
        (4, "$.offers[0].tags[2]"),
        (6, "$.offers[0].treatments[0]"),
        (7, "$.offers[0].treatments[1].blocks.text"),
        (7, "$.offers[0].treatments[1].more"),
        (2, "$.offers[0]"),
    ]
    read = read_catalogue({"x.yaml": text})
    assert [(offer.id, offer.priority) for offer in read.offers] == [("One", -1_000_000), ("two", 0)]
    assert {path[:3] for path in read.unknown} == {
        ("offers", 0, name) for name in ("id", "owner", "priority", "tags", "treatments")
    }


def test_indexes_in_paths_are_those_of_the_file() -> None:
    files = {
        "a.yaml": GOOD + "segments:\n  - {id: a, owner: ada, when: now > now}\n",
        "b.yaml": "segments:\n  - {id: B, owner: ada, when: now > now}\n  - {id: b, owner: ada, when: no}\n",
    }
    with pytest.raises(CatalogueError) as caught:
        compile_catalogue(read_catalogue(files), [])
    assert [(fault.file, fault.line, fault.path) for fault in caught.value.faults] == [
        ("b.yaml", 2, "$.segments[0].id"),
        ("b.yaml", 3, "$.segments[1].when"),
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "~", "offers:\n", "offers: []\nrules: null\n"])
def test_empty_files_and_kinds_are_fine(text: str) -> None:
    assert faults_of(text) == []


# ---- What is no YAML, or too much of it


@pytest.mark.parametrize(
    ("text", "line", "expected", "got"),
    [
        ("offers: [", 2, "YAML", "did not find expected"),
        ("offers:\n\t- a", 2, "YAML", "cannot start any token"),
        ("a: 1\n b: 2", 2, "YAML", "mapping values are not allowed"),
        ("- a\n- b", 1, "a mapping with governance", "a list"),
        ("just text", 1, "a mapping with governance", "'just text'"),
        ("a: \x01", 1, "YAML", "control characters"),
        ("offers: []\n---\nrules: []", 2, "one YAML document a file", "a second one"),
        ("offers: !!python/object:os.system []", 1, "no tags", "python/object"),
        ("offers: !offers []", 1, "no tags", "!offers"),
        ("offers: *gone", 1, "an anchor written before", "*gone"),
        ("offers: &a [*a]", 1, "a value that does not hold itself", "*a"),
        ("? [a]\n: 1", 1, "a text as the key", "a list or mapping"),
        ("offers:\n  - <<: 3", 2, "a mapping, or a list of them, after `<<`", "something else"),
        ("[" * 100_000, 1, "values nested at most 32 deep", "deeper ones"),
        ("{a: " * 100_000, 1, "values nested at most 32 deep", "deeper ones"),
        ("- " * 100_000, 1, "values nested at most 32 deep", "deeper ones"),
    ],
)
def test_of_what_cannot_be_read_nothing_follows(text: str, line: int, expected: str, got: str) -> None:
    catalogue = read_catalogue(
        {"bad.yaml": text, "other.yaml": "segments: [{id: x, owner: nobody, when: profile.gone}]"}
    )
    [fault] = catalogue.faults
    assert (fault.file, fault.line) == ("bad.yaml", line)
    assert expected in fault.expected
    assert got in fault.got
    with pytest.raises(CatalogueError) as caught:
        compile_catalogue(catalogue, [])
    assert caught.value.faults == [fault]


def test_aliases_cannot_make_a_catalogue_explode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "VALUES_MAX", 100_000)
    tags = "- &t [" + ", ".join(["a"] * 1_000) + "]\n"
    offers = "- &o {id: x, owner: ada, tags: *t}\n" + "- *o\n" * 1_000
    text = f"x:\n{tags}offers:\n{offers}"
    faults = faults_of(text)
    assert any("aliases included" in fault.expected for fault in faults)


def test_merged_mappings_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_nodes, "NODES_MAX", 1_000)
    big = "x: &b {" + ", ".join(f"k{at}: 1" for at in range(100)) + "}\n"
    [fault] = faults_of(big + "y:\n" + "- {<<: *b}\n" * 50)
    assert fault.expected == "a file of at most 1000 values"
    assert fault.got == "more, by `<<`"


def test_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    [fault] = read_catalogue({}).faults
    assert fault.expected == "1 to 1000 files"
    [fault] = read_catalogue({f"{at}.yaml": "" for at in range(1_001)}).faults
    assert fault.got == "1001"
    [fault] = faults_of("#" * (authoring.FILE_LENGTH_MAX + 1))
    assert fault.expected == "a file of at most 4194304 characters"
    monkeypatch.setattr(authoring, "CATALOGUE_LENGTH_MAX", 10)
    [fault] = read_catalogue({"a.yaml": "offers: []", "b.yaml": "x"}).faults
    assert fault.expected == "a catalogue of at most 10 characters"
    [fault] = faults_of("", "x.json")
    assert fault.expected == "a file name that ends in .yaml or .yml"


# ---- YAML's corners


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-0x1F", "-0x1F"),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 17),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("+.5", 0.5),
        ("1.2.3", "1.2.3"),
        ("-.inf", float("-inf")),
        ("~", None),
        ("2026-01-01", "2026-01-01"),
        ("=", "="),
        ("9" * 65, "9" * 65),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    found = yaml_nodes.resolve(text)
    assert (found, type(found)) == (value, type(value))


def test_quotes_make_a_text() -> None:
    node, _ = yaml_nodes.compose("a: '12'\nb: \"true\"\nc: |\n  12\n")
    assert isinstance(node, yaml_nodes.MapNode)
    assert [getattr(value, "value", None) for _, value in node.entries.values()] == ["12", "true", "12\n"]


def test_anchors_and_merges_work() -> None:
    text = """\
offers:
  - &one {id: one, owner: ada, tags: &tags [a, b], value: 3}
  - {<<: *one, id: two, priority: 5}
  - {id: three, tags: *tags, <<: [{owner: ada}, *one]}
"""
    catalogue = read_catalogue({"x.yaml": text})
    assert catalogue.faults == []
    one, two, three = catalogue.offers
    assert (two.id, two.owner, two.tags, two.value, two.priority) == ("two", "ada", ["a", "b"], 3.0, 5)
    assert (three.id, three.owner, three.tags, three.value) == ("three", "ada", ["a", "b"], 3.0)
    assert one.priority == 0


def test_characters_of_every_language_are_kept() -> None:
    catalogue = read_catalogue(
        {"x.yaml": 'blocks: [{id: x, owner: ada, type: text, value: "Grüße 😀 \\u2028 你好"}]'}
    )
    assert catalogue.blocks[0].value == "Grüße 😀 \u2028 你好"


# ---- The schema


def test_the_schema_accepts_the_small_catalogue_and_refuses_what_the_reader_refuses() -> None:
    schema = catalogue_schema()
    json.dumps(schema)
    validator = jsonschema_rs.Draft202012Validator(schema)
    for name, text in small().items():
        document = json.loads(
            json.dumps(yaml.safe_load(text), default=lambda time: time.strftime("%Y-%m-%dT%H:%M:%SZ"))
        )
        assert [str(error) for error in validator.iter_errors(document)] == [], name
    for wrong in (
        {"offer": []},
        {"offers": [{"id": "x"}]},
        {"offers": [{"id": "X", "owner": "ada"}]},
        {"holdouts": [{"id": "x", "owner": "ada", "share": 2}]},
    ):
        assert not validator.is_valid(wrong)


def test_every_kind_is_described_in_the_schema() -> None:
    schema = catalogue_schema()
    root = schema["$defs"]["CatalogueFile"]["properties"]
    assert set(root) == {*LIST_KINDS, *SINGLE_KINDS}
    for kind in ("Attribute", "Placement", "Offer", "Rule", "Cap", "Experiment"):
        assert schema["$defs"][kind]["additionalProperties"] is False
        assert schema["$defs"][kind]["description"]
