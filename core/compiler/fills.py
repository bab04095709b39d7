"""Slots that are filled by tags, with approved blocks only (docs/decisions/0010-arbitration-and-slots.md)."""

from collections.abc import Sequence
from typing import Final

from core import bundle
from core.approvals import TYPE_NAMES, block_hash
from core.authoring import Note, Path, shown
from core.authoring.types import Fill
from core.compiler.work import Work

BLOCKS_MAX: Final = 256
NAMES_SHOWN: Final = 3
APPROVER: Final = "approver"


class Fills:
    """The fills of one catalogue, by number, and the hashes of the blocks that may stand in them."""

    def __init__(self, work: Work, blocks: Sequence[bundle.Block], outbound: bundle.Outbound) -> None:
        self.items: list[bundle.Fill] = []
        self._work = work
        self._blocks = blocks
        self._translations = outbound.translations
        self._hashes: dict[str, str] = {}
        self._by_tag: dict[str, list[int]] = {}
        for number, block in enumerate(blocks):
            for tag in block.tags:
                self._by_tag.setdefault(tag, []).append(number)
        self._noted: set[str] = set()
        self._approved = self._approved_blocks()

    def approved_hashes(self) -> list[str]:
        """Those of the blocks that some fill takes."""
        return sorted({self._hash(self._blocks[at].id) for fill in self.items for at in fill.blocks})

    def add(self, path: Path, fill: Fill, kind: str, salt: str) -> int:
        """The entry that stands for a fill of a slot of that kind."""
        rarest: list[int] = min((self._by_tag.get(tag, []) for tag in fill.tags), key=len, default=[])
        found = [
            at
            for at in rarest
            if TYPE_NAMES[self._blocks[at].type] == kind and {*fill.tags} <= {*self._blocks[at].tags}
        ]
        approved = [at for at in found if self._blocks[at].id in self._approved]
        for at in found:
            self._note(self._blocks[at].id)
        if not approved or len(approved) > BLOCKS_MAX:
            expected = (
                f"1 to {BLOCKS_MAX} approved blocks of type {kind} with the tags {', '.join(fill.tags)}"
            )
            rests = [path, ("blocks",), ("governance",), ("placements",)]
            self._work.faults.add(path, expected, self._told(found, approved), of=rests)
        approved.sort(key=lambda at: (len(self._blocks[at].tags), at))
        self.items.append(bundle.Fill(approved, fill.choose == "sampled", salt))
        return -1 - len(self.items)

    def _hash(self, name: str) -> str:
        """The hash of a block, computed once."""
        if name not in self._hashes:
            index = self._work.index("blocks", name, ())
            attribute = self._work.objects["blocks"][name].attribute
            words = self._translations.get(name, {})
            self._hashes[name] = block_hash(self._blocks[index], attribute, words)
        return self._hashes[name]

    def _approved_blocks(self) -> set[str]:
        """The blocks that enough approvers have approved as they are."""
        governance = self._work.catalogue.governance
        if governance is None:
            return set()
        approvers = {person.id for person in governance.people if APPROVER in person.roles}
        given: dict[str, set[str]] = {}
        for at, one in enumerate(governance.approved_blocks):
            path: Path = ("governance", "approved_blocks", at)
            known = self._work.index("blocks", one.block, (*path, "block")) >= 0
            if one.by not in approvers:
                expected = f"a person with the role {APPROVER}"
                people = [(*path, "by"), ("governance", "people")]
                self._work.faults.add((*path, "by"), expected, shown(one.by), of=people)
            elif known and self._hash(one.block) == one.hash:
                given.setdefault(one.block, set()).add(one.by)
        return {name for name, people in given.items() if len(people) >= governance.approvals}

    def _note(self, name: str) -> None:
        """Note once that a block waits for its approval."""
        if name in self._approved or name in self._noted:
            return
        self._noted.add(name)
        place = self._work.faults.places.locate(self._work.paths["blocks"][name])
        self._work.notes.append(Note(place.file, place.line, name, self._hash(name)))

    def _told(self, found: Sequence[int], approved: Sequence[int]) -> str:
        if approved or not found:
            return str(len(approved))
        names = [self._blocks[at].id for at in found[:NAMES_SHOWN]]
        return f"0 of {len(found)}, such as {', '.join(f'{name} {self._hash(name)}' for name in names)}"
