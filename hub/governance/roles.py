"""Roles of people, as the catalogue's governance gives them, and what each may do.

A *publisher* submits catalogues and rolls back, but changes only what she owns. An *approver* is of a central
team: her approval counts, and as a publisher she may change what others own, and the governance itself.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from core.authoring import Catalogue
from core.authoring.types import LIST_KINDS, SINGLE_KINDS, BlockApproval, Governance, Person
from hub.errors import ForbiddenError

APPROVER: Final = "approver"
PUBLISHER: Final = "publisher"
OBJECTS_SHOWN_MAX: Final = 5


class Change(msgspec.Struct, frozen=True):
    """One object that differs between two catalogues; `owner`: of the old one, if there was one."""

    kind: str
    id: str
    owner: str
    what: str  # added, changed, removed


def person_of(governance: Governance, user: str) -> Person:
    """The person of that id. Raises ForbiddenError where the governance names no such person."""
    for person in governance.people:
        if person.id == user:
            return person
    raise ForbiddenError(
        expected="a person of the active catalogue's governance", got=f"user {user[:80]!r}", path="$.user"
    )


def require_role(person: Person, role: str) -> None:
    """Refuse a person without the role."""
    if role not in person.roles:
        roles = ", ".join(person.roles)
        raise ForbiddenError(
            expected=f"a person with the role {role}", got=f"{person.id} ({roles})", path="$.user"
        )


def is_central(person: Person) -> bool:
    """Whether a person's approval counts."""
    return APPROVER in person.roles


def require_may_change(person: Person, changes: list[Change]) -> None:
    """Refuse a publisher who changes what somebody else owns and is not central."""
    if is_central(person):
        return
    foreign = [change for change in changes if change.owner != person.id]
    if foreign:
        listed = ", ".join(f"{change.kind} {change.id}".strip() for change in foreign[:OBJECTS_SHOWN_MAX])
        more = f" and {len(foreign) - OBJECTS_SHOWN_MAX} more" if len(foreign) > OBJECTS_SHOWN_MAX else ""
        raise ForbiddenError(
            expected=f"changes to what {person.id} owns, or a publisher who is an approver too",
            got=f"changes to {listed}{more}",
            path="$.files",
        )


def require_own_approvals(person: Person, old: Governance | None, new: Governance | None) -> None:
    """Refuse a person who adds approvals of blocks in somebody else's name."""
    before = set() if old is None else {_approval(one) for one in old.approved_blocks}
    for one in new.approved_blocks if new is not None else []:
        if one.by != person.id and _approval(one) not in before:
            raise ForbiddenError(
                expected=f"new approvals of blocks by {person.id}",
                got=f"one of {one.block} by {one.by}",
                path="$.governance.approved_blocks",
            )


def _approval(one: BlockApproval) -> tuple[str, str, str]:
    return one.block, one.hash, one.by


def changes_between(old: Catalogue, new: Catalogue) -> list[Change]:
    """Every object added, changed or removed; governance and settings have no owner but the central team."""
    changes = [
        Change(kind, "", "", "changed") for kind in SINGLE_KINDS if getattr(old, kind) != getattr(new, kind)
    ]
    for kind in LIST_KINDS:
        before, after = dict(_objects(old, kind)), dict(_objects(new, kind))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                what = "added" if name not in before else "removed" if name not in after else "changed"
                owner = before[name].owner if name in before else after[name].owner
                changes.append(Change(kind, name, owner, what))
    return changes


def _objects(catalogue: Catalogue, kind: str) -> Iterator[tuple[str, Any]]:
    for item in getattr(catalogue, kind):
        yield getattr(item, "id", None) or item.name, item
