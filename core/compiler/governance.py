"""Every object has one owner, and owners are people whom the governance names as such."""

from core.authoring import Path, shown
from core.compiler.work import Work

OWNED = (
    "attributes", "purposes", "placements", "blocks", "offers", "segments", "rules", "caps", "experiments",
    "layers", "holdouts", "models", "events", "templates", "journeys",
)  # fmt: skip


def check_governance(work: Work) -> None:
    """Note the faults of the governance, and every object without an owner of that role."""
    governance = work.catalogue.governance
    if governance is None:
        expected = "the key `governance` in one of the files"
        work.faults.add((), expected, "none", of=[("governance",), *work.unread])
        return
    everyone: Path = ("governance", "people")
    people = [(*everyone, at, name) for at in range(len(governance.people)) for name in ("id", "roles")]
    people = people or [everyone]
    work.repeated([person.id for person in governance.people], everyone, "person")
    approvers = sum("approver" in person.roles for person in governance.people)
    if governance.approvals > approvers:
        expected = f"at most as many approvals as there are approvers ({approvers})"
        work.faults.add(("governance", "approvals"), expected, str(governance.approvals), of=people)
    if any(map(work.faults.unknown.touches, people)):
        return  # who owns cannot be said
    owners = {person.id for person in governance.people if "owner" in person.roles}
    for kind in OWNED:
        for at, item in enumerate(getattr(work.catalogue, kind)):
            if item.owner not in owners:
                work.faults.add((kind, at, "owner"), "a person with the role owner", shown(item.owner))
