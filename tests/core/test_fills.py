"""Slots filled by tags: what the compiler finds for them, what it leaves out, and what a bundle must show."""

import msgspec
import pytest

from core import bundle as b
from core.approvals import hash_in
from core.authoring import CatalogueError, Note
from core.check import check_bundle
from core.compiler import compile_catalogue
from core.errors import BundleError
from hub.decisioning.authoring import read_catalogue
from tests.oracle.approvals import block_hash

WINTER = {"id": "winter", "type": "text", "value": "Snow", "tags": ["cold", "season"]}
PLAIN = {"id": "plain", "type": "text", "value": "Ice", "tags": ["cold"]}
GERMAN = {
    "id": "german",
    "type": "text",
    "attribute": "profile.name",
    "value": "you",
    "prefix": "Hello ",
    "tags": ["cold", "season", "cold"],
    "translations": {"de": {"prefix": "Hallo "}, "at": {"value": "du"}},
}
TEXT = """
governance:
  approvals: APPROVALS
  people:
    - {id: ada, roles: [owner, approver]}
    - {id: ben, roles: [approver]}
    - {id: eve, roles: [editor]}
  approved_blocks: [APPROVED]
attributes: [{id: name, owner: ada, type: string, edge: true, source: {trait: name}}]
blocks:
  - {id: winter, owner: ada, type: text, value: Snow, tags: [season, cold]}
  - {id: plain, owner: ada, description: just cold, type: text, value: Ice, tags: [cold]}
  - id: german
    owner: ada
    type: text
    attribute: profile.name
    value: you
    prefix: "Hello "
    tags: [cold, season]
    translations: {de: {prefix: "Hallo "}, at: {value: du}}
placements:
  - {id: home, owner: ada, channel: web, purpose: none, slots: {text: text}, fallback: {text: plain}}
offers:
  - {id: o, owner: ada, treatments: [{id: o-home, placement: home, blocks: {text: {tags: [cold]}}}]}
"""


def approval(block: dict[str, object], by: str = "ada") -> str:
    return f"{{block: {block['id']}, hash: {block_hash(block)}, by: {by}}}"


def compiled(*approved: str, approvals: int = 1, text: str = TEXT) -> tuple[b.BundleDocument, list[Note]]:
    notes: list[Note] = []
    text = text.replace("APPROVALS", str(approvals)).replace("APPROVED", ", ".join(approved))
    content, _ = compile_catalogue(read_catalogue({"a.yaml": text}), [], notes=notes)
    return b.decode_bundle(content), notes


def filling(document: b.BundleDocument) -> list[str]:
    """The blocks of the only fill, in the order in which they are tried."""
    [fill] = document.fills
    assert document.treatments[0].blocks == [-2]
    return [document.blocks[index].id for index in fill.blocks]


def test_a_fill_holds_the_approved_blocks_closest_first() -> None:
    document, notes = compiled(approval(WINTER), approval(PLAIN, "ben"), approval(GERMAN))
    assert filling(document) == ["plain", "german", "winter"]
    assert notes == []
    assert document.approved_blocks == sorted(block_hash(one) for one in (WINTER, PLAIN, GERMAN))


def test_what_is_not_approved_is_left_out_and_told_with_its_hash() -> None:
    document, notes = compiled(approval(WINTER))
    assert filling(document) == ["winter"]
    assert sorted(notes) == [
        Note("a.yaml", 12, "plain", block_hash(PLAIN)),
        Note("a.yaml", 13, "german", block_hash(GERMAN)),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [("value: Snow", "value: Slush"), ("tags: [season, cold]", "tags: [season, cold, alps]")],
)
def test_an_edit_voids_the_approval(old: str, new: str) -> None:
    document, _ = compiled(approval(WINTER), approval(PLAIN), text=TEXT.replace(old, new))
    assert filling(document) == ["plain"]


def test_owner_and_description_are_no_content() -> None:
    text = TEXT.replace("description: just cold", "description: cold as ice")
    assert filling(compiled(approval(PLAIN), text=text)[0]) == ["plain"]


def test_two_approvals_are_two_people() -> None:
    both = approval(PLAIN), approval(PLAIN, "ben")
    document, _ = compiled(*both, approval(WINTER), approval(WINTER), approvals=2)
    assert filling(document) == ["plain"]


@pytest.mark.parametrize(
    ("approved", "path", "got"),
    [
        (approval(PLAIN, "eve"), "$.governance.approved_blocks[0].by", "'eve'"),
        (approval(PLAIN, "zoe"), "$.governance.approved_blocks[0].by", "'zoe'"),
        (approval({**PLAIN, "id": "gone"}), "$.governance.approved_blocks[0].block", "'gone'"),
    ],
)
def test_approvals_are_of_blocks_by_approvers(approved: str, path: str, got: str) -> None:
    with pytest.raises(CatalogueError) as caught:
        compiled(approved, approval(WINTER))
    assert [(fault.path, fault.got) for fault in caught.value.faults] == [(path, got)]


def test_a_bundle_with_a_filled_block_that_is_not_approved_is_refused() -> None:
    document, _ = compiled(approval(WINTER), approval(PLAIN), approval(GERMAN))
    check_bundle(document)
    assert {hash_in(document, index) for index in range(3)} == {*document.approved_blocks}
    names = [block.id for block in document.blocks]
    for name in names:
        blocks = list(document.blocks)
        index = names.index(name)
        blocks[index] = msgspec.structs.replace(blocks[index], value="edited")
        with pytest.raises(BundleError, match="blocks with an approved hash"):
            check_bundle(msgspec.structs.replace(document, blocks=blocks))
    words = {"german": {**document.outbound.translations["german"], "de": (None, "Servus ", None)}}
    outbound = msgspec.structs.replace(document.outbound, translations=words)
    with pytest.raises(BundleError, match="blocks with an approved hash"):
        check_bundle(msgspec.structs.replace(document, outbound=outbound))
    with pytest.raises(BundleError, match="blocks with an approved hash"):
        check_bundle(msgspec.structs.replace(document, approved_blocks=document.approved_blocks[1:]))
