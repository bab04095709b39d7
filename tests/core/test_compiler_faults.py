"""Every kind of fault of meaning, with file, line, path, expected and got."""

import gc
import math
import time

import pytest
import yaml

from core._build import BUILD_MODE
from core.authoring import Catalogue, CatalogueError, Fault
from core.authoring.limits import OBJECTS_MAX, OTHER_OBJECTS_MAX
from core.compiler import compile_catalogue
from core.compiler.attributes import DEFAULT_STRINGS_MAX
from core.decide import Engine
from hub.decisioning.authoring import read_catalogue
from tests.catalogues import FOLDER, TimesStayTexts, small

BASE = {"base.yaml": (FOLDER / "base.yaml").read_text(encoding="utf-8")}
#: What a person waits for; a watched build, whose every allocation is watched too, takes twice as long.
ATTEMPTS = 4
SECONDS_MAX = 1.0 if BUILD_MODE != "sanitize" else 10.0
CASES = yaml.safe_load((FOLDER / "faults.yaml").read_text(encoding="utf-8"))


def faults_of(files: dict[str, str]) -> list[Fault]:
    with pytest.raises(CatalogueError) as caught:
        compile_catalogue(read_catalogue(files), [])
    assert caught.value.count == len(caught.value.faults)
    return caught.value.faults


def test_the_base_has_no_faults() -> None:
    compile_catalogue(read_catalogue(BASE), [])


@pytest.mark.parametrize("case", CASES, ids=[f"{case['path']}: {case['expected']}" for case in CASES])
def test_a_fault_of_meaning_is_reported(case: dict[str, str]) -> None:
    text, path = case["write"], case["path"]
    faults = faults_of({**BASE, "extra.yaml": text})
    assert [str(fault) for fault in faults if fault.path != f"$.{path}"] == []
    [fault] = faults
    assert fault.file == "extra.yaml"
    assert 1 <= fault.line <= text.count("\n") + 1
    assert case["expected"] in fault.expected
    assert case["got"] in fault.got


@pytest.mark.parametrize("text", yaml.safe_load((FOLDER / "hub_only.yaml").read_text(encoding="utf-8")))
def test_what_only_the_hub_answers_may_use_everything(text: str) -> None:
    compile_catalogue(read_catalogue({**BASE, "extra.yaml": text}), [])


def test_governance_has_faults_of_its_own() -> None:
    [fault] = faults_of({"a.yaml": "settings: {}"})
    assert (fault.path, fault.expected) == ("$", "the key `governance` in one of the files")
    people = (
        "governance: {approvals: 2, people: [{id: ada, roles: [owner, approver]}, {id: ada, roles: [legal]}]}"
    )
    assert [(fault.path, fault.got) for fault in faults_of({"a.yaml": people})] == [
        ("$.governance.approvals", "2"),
        ("$.governance.people[1]", "'ada' again"),
    ]


@pytest.mark.parametrize(
    ("written", "line", "column"),
    [
        ("profile.vip && profile.none", 4, 33),
        ('"profile.vip && profile.none"', 4, 34),
        ("|\n      profile.vip\n      && profile.none", 6, 10),
        ("|-\n\n      profile.vip\n        && profile.none\n", 7, 12),
        (">\n      profile.vip\n      && profile.none", 4, 18),
        ("profile.vip\n      && profile.none", 4, 33),
    ],
)
def test_faults_in_expressions_have_line_and_column_of_the_file(written: str, line: int, column: int) -> None:
    text = f"offers:\n  - id: x\n    owner: ada\n    eligibility: {written}"
    [fault] = faults_of({**BASE, "extra.yaml": text})
    assert (fault.file, fault.line, fault.column) == ("extra.yaml", line, column)
    assert (fault.path, fault.got) == ("$.offers[0].eligibility", "`profile.none`")


def test_a_fault_behind_an_alias_is_where_its_text_is() -> None:
    segments = "segments:\n  - {id: s, owner: ada, when: &e profile.vip && 1}\n"
    text = segments + "offers: [{id: x, owner: ada, eligibility: *e}]"
    faults = faults_of({**BASE, "extra.yaml": text})
    assert [(fault.path, fault.line, fault.column) for fault in faults] == [
        ("$.offers[0].eligibility", 2, 49),
        ("$.segments[0].when", 2, 49),
    ]


def test_faults_of_form_and_meaning_come_together_without_followers() -> None:
    text = """\
attributes:
  - {id: broken, owner: eve, type: number, source: context}
segments:
  - {id: sick, owner: ada, when: 3}
blocks:
  - {id: bad, owner: ada, type: text, value: 1, colour: red}
placements:
  - {id: odd, owner: ada, channel: web, slots: {text: text}, fallback: {text: bad, more: bad}}
offers:
  - id: x
    owner: [ada]
    eligibility: context.broken > 1 && context.broken == 2 && segment.sick && profile.none
    model: gone
    treatments:
      - {id: t, placement: odd, blocks: {text: bad, n: 3}}
models:
  - {id: m, owner: ada, kind: odd, artifact: models/none.txt, features: [{attribute: profile.none}]}
"""
    found = [(fault.line, fault.path) for fault in faults_of({**BASE, "extra.yaml": text})]
    assert found == [
        (2, "$.attributes[0].owner"),
        (2, "$.attributes[0].type"),
        (4, "$.segments[0].when"),
        (6, "$.blocks[0].value"),
        (6, "$.blocks[0].colour"),
        (8, "$.placements[0]"),
        (8, "$.placements[0].fallback.more"),
        (11, "$.offers[0].owner"),
        (12, "$.offers[0].eligibility"),
        (13, "$.offers[0].model"),
        (15, "$.offers[0].treatments[0].blocks.n"),
        (17, "$.models[0].kind"),
        (17, "$.models[0].features[0].attribute"),
    ]


@pytest.mark.parametrize("case", CASES, ids=[f"{case['path']}: {case['expected']}" for case in CASES])
def test_a_fault_of_form_beside_it_hides_no_fault_of_meaning(case: dict[str, str]) -> None:
    written = yaml.load(case["write"], TimesStayTexts)
    beside = [one for kind in written.values() if isinstance(kind, list) for one in kind]
    for one in beside:
        one["description"] = 3
    faults = faults_of({**BASE, "extra.yaml": yaml.safe_dump(written, sort_keys=False)})
    meant = [fault for fault in faults if not fault.path.endswith(".description")]
    assert len(faults) == len(beside) + 1
    assert [(fault.path, case["expected"] in fault.expected) for fault in meant] == [
        (f"$.{case['path']}", True)
    ]


def test_what_is_named_may_be_the_object_without_an_id() -> None:
    text = """\
attributes: [{owner: ada, type: bool, source: context}]
segments: [{id: [x], owner: ada, when: profile.a || context.a || segment.a}]
models: [{owner: ada, kind: linear, features: [{attribute: profile.b}]}]
events: [{owner: ada}]
offers: [{id: x, owner: ada, model: m, eligibility: segment.x && profile.c}]
blocks: [{id: b, owner: ada, type: text, attribute: profile.d, value: 1}]
caps: [{id: c, owner: ada, max: 1, window: 1d, applies_to: {offers: [none]}}]
"""
    found = [(fault.line, fault.path) for fault in faults_of({**BASE, "extra.yaml": text})]
    assert found == [
        (1, "$.attributes[0]"),
        (2, "$.segments[0].id"),
        (3, "$.models[0]"),
        (4, "$.events[0]"),
        (6, "$.blocks[0].value"),
        (7, "$.caps[0].applies_to.offers[0]"),
    ]


@pytest.mark.parametrize("unread", ["offers: [", "a text", "blocks: {}"])
def test_what_is_named_may_be_in_a_file_that_cannot_be_read(unread: str) -> None:
    text = """\
offers: [{id: x, owner: ada, model: m, valid_from: 2026-02-30T00:00:00Z, eligibility: profile.none + 1}]
attributes: [{id: a, owner: eve, type: int, source: {events: [Odd], function: count}, default: none}]
"""
    faults = faults_of({**BASE, "extra.yaml": text, "unread.yaml": unread})
    found = [(fault.file, fault.path) for fault in faults]
    assert found == [
        ("extra.yaml", "$.offers[0].valid_from"),
        ("extra.yaml", "$.attributes[0].owner"),
        ("extra.yaml", "$.attributes[0].default"),
        ("unread.yaml", "$.blocks" if unread == "blocks: {}" else "$"),
    ]
    [fault] = faults_of({"a.yaml": unread, "b.yaml": "caps: [{id: c, owner: ada, max: 1, window: 1h}]"})
    assert fault.file == "a.yaml"


def test_a_catalogue_that_was_not_read_from_files_has_faults_too() -> None:
    read = read_catalogue({**BASE, "extra.yaml": "offers: [{id: x, owner: ada, eligibility: profile.none}]"})
    bare = Catalogue(governance=read.governance, attributes=read.attributes, offers=[read.offers[1]])
    with pytest.raises(CatalogueError) as caught:
        compile_catalogue(bare, [])
    assert (
        str(caught.value)
        == "1:1: expected a declared attribute, got `profile.none` at $.offers[0].eligibility"
    )


def test_too_many_slots_are_refused() -> None:
    layout = [("old", "0", 4_080)]
    with pytest.raises(CatalogueError, match="at most 4096 slots"):
        compile_catalogue(read_catalogue(small()), layout)


def test_crowds_are_refused() -> None:
    experiments = "experiments:\n" + "".join(
        f"  - {{id: x{at}, owner: ada, placements: [home], variants: [{{id: a, weight: 1}}]}}\n"
        for at in range(65)
    )
    [fault] = faults_of({**BASE, "extra.yaml": experiments})
    assert fault.expected == "at most 64 experiments on home"
    offers = (
        "offers:\n  - {id: x, owner: ada, treatments: [{id: t, placement: home, blocks: &text {text: text}}]}"
        "\n"
        + "".join(
            f"  - {{id: x{at}, owner: ada, treatments: [{{id: t{at}, placement: home, blocks: *text}}]}}\n"
            for at in range(1_023)
        )
    )
    [fault] = faults_of({**BASE, "extra.yaml": offers})
    assert (fault.file, fault.expected) == ("base.yaml", "at most 1024 treatments for home")


def sick_offers(first: int, count: int) -> str:
    """Four faults each: of form the priority and a key, of meaning the model and an attribute."""
    return "offers:\n" + "".join(
        f"  - id: x{at}\n    owner: ada\n    priority: p{at}\n    model: none{at}\n"
        f"    eligibility: profile.none{at} > {at}\n    colour{at}: red\n"
        for at in range(first, first + count)
    )


def test_ten_thousand_faults_are_reported_within_a_second_from_the_files_on() -> None:
    """In many files; of form and of meaning in the same objects, and of owners; all different."""
    files = {f"offers{at}.yaml": sick_offers(at * 100, 100) for at in range(20)}
    files["owners.yaml"] = "blocks:\n" + "".join(
        f"  - {{id: b{at}, owner: bob{at}, type: text, value: x}}\n" for at in range(2_000)
    )
    took = math.inf
    gc.collect()
    gc.freeze()  # what other tests left behind is not for this one to walk through
    for _ in range(ATTEMPTS):  # a neighbour on the same core costs half again
        started = time.process_time()
        with pytest.raises(CatalogueError) as caught:
            compile_catalogue(read_catalogue({**BASE, **files}), [])
        took = min(took, time.process_time() - started)
        if took < SECONDS_MAX:
            break
    gc.unfreeze()
    faults = caught.value.faults
    assert len(faults) == caught.value.count == len({(fault.file, fault.path) for fault in faults}) == 10_000
    for name, got, line in (("priority", "p", 4), ("model", "none", 5), ("eligibility", "profile.none", 6)):
        chosen = [one for one in faults if one.path.endswith(f".{name}")]
        assert len(chosen) == 2_000
        for fault in chosen:
            at = int(fault.got.strip("'`").removeprefix(got))
            assert (fault.file, fault.path) == (f"offers{at // 100}.yaml", f"$.offers[{at % 100}].{name}")
            assert fault.line == at % 100 * 6 + line
    assert all(fault.file and fault.line and fault.expected and fault.got for fault in faults)
    assert took < SECONDS_MAX, f"{took:.2f} s"


@pytest.mark.parametrize(("kind", "limit"), [*OBJECTS_MAX.items(), ("layers", OTHER_OBJECTS_MAX)])
def test_a_crowd_of_a_kind_is_one_fault(kind: str, limit: int) -> None:
    crowd = Catalogue(**{kind: [None] * (limit + 1)})
    with pytest.raises(CatalogueError) as caught:
        compile_catalogue(crowd, [])
    [fault] = caught.value.faults
    assert (fault.path, fault.expected, fault.got) == (f"$.{kind}", f"at most {limit} {kind}", str(limit + 1))


def test_a_default_of_too_many_strings_says_how_many_may_be() -> None:
    values = ", ".join(f"s{at}" for at in range(DEFAULT_STRINGS_MAX + 1))
    text = f"attributes: [{{id: many, owner: ada, type: strings, source: context, default: [{values}]}}]"
    [fault] = faults_of({**BASE, "extra.yaml": text})
    assert (fault.path, fault.expected) == (
        "$.attributes[0].default",
        f"at most {DEFAULT_STRINGS_MAX} strings",
    )


def test_as_many_purposes_as_allowed_make_a_bundle_that_is_accepted() -> None:
    limit = OBJECTS_MAX["purposes"]
    purposes = "purposes:\n" + "".join(f"  - {{id: p{at}, owner: ada}}\n" for at in range(limit))
    content, _ = compile_catalogue(read_catalogue({**BASE, "zz.yaml": purposes}), [])
    Engine(content, 1)


@pytest.mark.parametrize("fault", ["owner: bob", "owner: [ada]"], ids=["of meaning", "of form"])
def test_faults_beyond_the_limit_are_counted(fault: str) -> None:
    offers = "offers:\n" + "".join(f"  - {{id: x{at}, {fault}}}\n" for at in range(20_010))
    with pytest.raises(CatalogueError) as caught:
        compile_catalogue(read_catalogue({**BASE, "extra.yaml": offers}), [])
    assert (len(caught.value.faults), caught.value.count) == (20_000, 20_010)
    assert str(caught.value).endswith("(and 20009 more)")
