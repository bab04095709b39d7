"""Reading the vectors, with everything filled in that a person may leave out."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent
FORMAT: Final = 1
DECISION_ID: Final = "decision-1"
UNIT_KEY: Final = bytes(range(16))
VISITOR_KEY: Final = bytes(range(16, 32))
#: Two placements each; a request asks for 64 at most.
EXPRESSIONS_MAX: Final = 32
OWNER: Final = "ada"
GOVERNANCE: Final = {
    "approvals": 1,
    "people": [{"id": OWNER, "roles": ["owner", "editor", "approver", "publisher"]}],
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Json = dict[str, Any]


@dataclass(frozen=True)
class VectorProfile:
    """The profile as stored. `scores`: attribute -> (value, scored at ms, time to live ms)."""

    events: list[Json]
    unit_key: bytes
    sequence: int
    packed_at_ms: int
    scores: dict[str, tuple[float, int, int]]


@dataclass(frozen=True)
class Vector:
    """One question and its answer. Events are dicts with `at_ms`, as the oracle takes them."""

    id: str  # file/name
    description: str
    catalogue: Json
    at_edge: bool
    profile: VectorProfile | None
    overlay: list[Json]
    placements: tuple[str, ...]
    context: Json
    named: bool
    unit_key: bytes
    now_ms: int
    expected: Json
    causes: dict[str, str]
    refused: dict[str, list[tuple[str, str, str]]]
    instead: str = ""  # the reason for which the node answers with fallbacks instead of deciding

    def __str__(self) -> str:
        return self.id


def load_vectors(folder: Path = FOLDER) -> list[Vector]:
    """All vectors of all files, in order of file name."""
    return [vector for path in sorted(folder.glob("*.json")) for vector in _read(path)]


def milliseconds(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def _read(path: Path) -> Iterator[Vector]:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["format"] == FORMAT, f"{path.name}: expected format {FORMAT}, got {content['format']}"
    shared = {"artifacts": content["artifacts"]} if "artifacts" in content else {}
    for item in content.get("vectors", []):
        catalogue = {**content["catalogues"][item["catalogue"]], **shared}
        yield _vector(f"{path.stem}/{item['name']}", item, catalogue)
    for group in content.get("expressions", []):
        yield from _expressions(f"{path.stem}/{group['name']}", {**content["setting"], **group})


def _expressions(group_id: str, group: Mapping[str, Any]) -> Iterator[Vector]:
    """Vectors of a list of expressions, each of as many as fit into one request."""
    for first in range(0, len(group["cases"]), EXPRESSIONS_MAX):
        cases = group["cases"][first : first + EXPRESSIONS_MAX]
        yield expressions_vector(f"{group_id}-{first}", {**group, "cases": cases})


def _vector(vector_id: str, item: Mapping[str, Any], catalogue: Mapping[str, Any]) -> Vector:
    request = item["request"]
    return Vector(
        id=vector_id,
        description=item["description"],
        catalogue=with_owners(catalogue),
        at_edge=item.get("at_edge", True),
        profile=_profile(item["profile"]) if "profile" in item else None,
        overlay=events(item.get("overlay", []), "overlay"),
        placements=tuple(request["placements"]),
        context=request.get("context", {}),
        named=request.get("named", False),
        unit_key=bytes.fromhex(request["unit_key"]) if "unit_key" in request else VISITOR_KEY,
        now_ms=milliseconds(item["now"]),
        expected=item["expected"],
        causes=item.get("causes", {}),
        refused={
            placement: [(offer, reason, cause) for offer, reason, cause in refused]
            for placement, refused in item.get("refused", {}).items()
        },
        instead=item.get("instead", ""),
    )


def _profile(item: Mapping[str, Any]) -> VectorProfile:
    return VectorProfile(
        events=events(item.get("events", []), "event"),
        unit_key=bytes.fromhex(item["unit_key"]) if "unit_key" in item else UNIT_KEY,
        sequence=item["sequence"],
        packed_at_ms=milliseconds(item["packed_at"]),
        scores=scores(item.get("scores", {})),
    )


def scores(items: Mapping[str, Any]) -> dict[str, tuple[float, int, int]]:
    return {
        name: (float(score["value"]), milliseconds(score["scored_at"]), score["ttl_ms"])
        for name, score in items.items()
    }


def events(items: Sequence[Mapping[str, Any]], prefix: str) -> list[Json]:
    """Events with every field; a message id that is left out is the event's position."""
    return [
        {
            "message_id": item.get("message_id", f"{prefix}-{position}"),
            "kind": item.get("kind") or _kind(item),
            "name": item.get("name", "Consent Changed"),
            "at_ms": milliseconds(item["at"]),
            "properties": item.get("properties", {}),
            "traits": item.get("traits", {}),
            "consent": item.get("consent"),
            "source": item.get("source", ""),
        }
        for position, item in enumerate(items)
    ]


def _kind(item: Mapping[str, Any]) -> str:
    if item.get("consent"):
        return "consent"
    return "identify" if item["name"] == "Identify" else "track"


def with_owners(catalogue: Mapping[str, Any]) -> Json:
    """The catalogue as people must write it: everything owned by somebody who exists."""
    owned = {
        kind: [{"owner": OWNER, **item} for item in items] if isinstance(items, list) else items
        for kind, items in catalogue.items()
    }
    return {"governance": GOVERNANCE, **owned}


def expressions_vector(vector_id: str, group: Mapping[str, Any]) -> Vector:
    """Every expression once as eligibility and once as suppression: true, false and error all differ."""
    catalogue: Json = {
        "attributes": group["attributes"],
        "segments": group.get("segments", []),
        "placements": [],
        "offers": [],
        "rules": [],
        "blocks": [{"id": "generic", "type": "text", "value": "generic"}],
    }
    placements: Json = {}
    refused = {}
    causes = {}
    for number, (expression, value) in enumerate(group["cases"]):
        match, block, rule = f"match-{number:02d}", f"block-{number:02d}", f"rule-{number:02d}"
        for placement in (match, block):
            catalogue["placements"].append(
                {
                    "id": placement,
                    "channel": "web",
                    "purpose": "personalization",
                    "slots": {"text": "text"},
                    "fallback": {"text": "generic"},
                }
            )
            treatment = {"id": placement, "placement": placement, "blocks": {"text": "generic"}}
            catalogue["offers"].append({"id": placement, "treatments": [treatment]})
        catalogue["offers"][-2]["eligibility"] = expression
        catalogue["rules"].append(
            {"id": rule, "kind": "suppression", "when": expression, "applies_to": {"placements": [block]}}
        )
        placements[match] = _simple_answer(match, "ok" if value is True else "not_eligible")
        placements[block] = _simple_answer(block, "ok" if value is False else "suppressed")
        if value is not True:
            causes[match] = match
            refused[match] = [(match, "not_eligible", match)]
        if value is not False:
            causes[block] = rule
            refused[block] = [(block, "suppressed", rule)]
    consent = {"at": "2026-01-01T00:00:00Z", "consent": {"purpose": "personalization", "state": "granted"}}
    profile = VectorProfile(
        events=events([consent, *group.get("events", [])], "event"),
        unit_key=UNIT_KEY,
        sequence=1,
        packed_at_ms=milliseconds(group["now"]),
        scores=scores(group.get("scores", {})),
    )
    expected = {
        "id": DECISION_ID,
        "now": group["now"],
        "profile": {"sequence": 1, "age_ms": 0, "stale": False, "starter": False},
        "placements": placements,
    }
    return Vector(
        id=vector_id,
        description=group["description"],
        catalogue=with_owners(catalogue),
        at_edge=True,
        profile=profile,
        overlay=[],
        placements=tuple(placements),
        context=group.get("context", {}),
        named=False,
        unit_key=VISITOR_KEY,
        now_ms=milliseconds(group["now"]),
        expected=expected,
        causes=causes,
        refused=refused,
    )


def _simple_answer(placement: str, reason: str) -> Json:
    chosen = placement if reason == "ok" else None
    return {
        "offer": chosen,
        "treatment": chosen,
        "blocks": {"text": {"block": "generic", "value": "generic"}},
        "fallback": reason != "ok",
        "reason": reason,
        "ai": False,
        "experiments": [],
    }
