"""Slots of the record: given out once per (id, fingerprint), append-only, never reused
(docs/decisions/0001-record.md)."""

from core.authoring.builtins import FIRST_FREE_SLOT, SLOT_COUNT_MAX
from core.compiler.work import Work

#: (attribute or purpose id, fingerprint, slot), ascending by slot.
Layout = list[tuple[str, str, int]]

PURPOSE_FINGERPRINT = "consent"


class Slots:
    """Hands out slots: known ones again, new ones at the end."""

    def __init__(self, layout: Layout, work: Work) -> None:
        self._work = work
        self._known = {(name, fingerprint): slot for name, fingerprint, slot in layout}
        self._entries = sorted(layout, key=lambda entry: entry[2])
        self._next = max([FIRST_FREE_SLOT, *(slot + 1 for _, _, slot in layout)])

    def slot(self, name: str, fingerprint: str) -> int:
        """The slot of an attribute or purpose. Callers ask in id order, so new slots do not depend on the
        order of the files."""
        slot = self._known.get((name, fingerprint))
        if slot is None:
            slot = self._next
            self._next += 1
            self._known[name, fingerprint] = slot
            self._entries.append((name, fingerprint, slot))
        return slot

    def finish(self) -> Layout:
        if self._next > SLOT_COUNT_MAX:
            expected = f"at most {SLOT_COUNT_MAX} slots, counting those of former attributes and types"
            self._work.faults.add(("attributes",), expected, str(self._next))
        return self._entries
