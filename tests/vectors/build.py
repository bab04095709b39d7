"""A vector as the core takes it, and what must come out of any face of the system."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import msgspec

from core.authoring import Catalogue
from core.authoring.types import CatalogueFile, Settings
from core.bundle import BundleDocument, content_hash, decode_bundle
from core.compiler import compile_catalogue
from core.events import Consent, Event, Identifier
from core.fold import FoldPlan, State
from core.request import Request
from tests.oracle.decide import Decision
from tests.oracle.decide import Request as OracleRequest
from tests.oracle.decide import decide as decide_by_oracle
from tests.oracle.decide import fallback as fallback_by_oracle
from tests.oracle.profile import Profile
from tests.vectors.load import DECISION_ID, Json, Vector, VectorProfile

REVISION: Final = 7
TEXT_VERSION: Final = "banner-1"
CONSENT_SOURCE: Final = "banner"

Refused = Mapping[str, Sequence[tuple[str, str, str]]]


@dataclass(frozen=True)
class Built:
    """Inputs of `core.decide.Engine`."""

    bundle: bytes
    record: bytes | None
    overlay: list[Event]
    request: Request
    now_ms: int
    at_edge: bool


def build(vector: Vector) -> Built:
    """Compile the catalogue, fold and pack the profile."""
    content, document = compiled(vector.catalogue)
    return Built(
        bundle=content,
        record=None if vector.profile is None else record(vector.profile, document),
        overlay=[event(item) for item in vector.overlay],
        request=Request(
            decision_id=DECISION_ID,
            placements=vector.placements,
            context=vector.context,
            unit_key=vector.unit_key,
            named=vector.named,
        ),
        now_ms=vector.now_ms,
        at_edge=vector.at_edge,
    )


def expected_body(vector: Vector, bundle: bytes, revision: int = REVISION) -> bytes:
    """The bytes that every face must answer: the vector's decision under the name of its bundle."""
    expected = vector.expected
    body = {
        "id": expected["id"],
        "now": expected["now"],
        "bundle": {"revision": revision, "hash": content_hash(bundle)},
        "profile": expected["profile"],
        "placements": expected["placements"],
    }
    return msgspec.json.encode(body)


def ask_oracle(vector: Vector, bundle: bytes, revision: int = REVISION) -> Decision:
    """The oracle's decision, under the name of the bundle."""
    if vector.instead:
        *_, request, now_ms = oracle_question(vector)
        return fallback_by_oracle(
            vector.catalogue,
            request,
            now_ms,
            vector.instead,
            revision=revision,
            content_hash=content_hash(bundle),
            at_edge=vector.at_edge,
        )
    return decide_by_oracle(
        *oracle_question(vector), revision=revision, content_hash=content_hash(bundle), at_edge=vector.at_edge
    )


def oracle_question(vector: Vector) -> tuple[Json, Profile | None, list[Json], OracleRequest, int]:
    """What the oracle is asked: catalogue, profile, overlay, request, now."""
    profile = None
    stored = vector.profile
    if stored is not None:
        kept = (stored.sequence, stored.packed_at_ms, stored.scores)
        profile = Profile(stored.events, stored.unit_key, *kept)
    request = OracleRequest(DECISION_ID, vector.placements, vector.context, vector.unit_key, vector.named)
    return vector.catalogue, profile, vector.overlay, request, vector.now_ms


def compiled(catalogue: Json) -> tuple[bytes, BundleDocument]:
    """The bundle of an authored catalogue, for a fleet that has had none before."""
    return _compiled(msgspec.json.encode(catalogue))


@lru_cache(maxsize=256)
def _compiled(catalogue: bytes) -> tuple[bytes, BundleDocument]:
    content, _ = compile_catalogue(authored(msgspec.json.decode(catalogue)), [])
    return content, decode_bundle(content)


def authored(catalogue: Json) -> Catalogue:
    """The catalogue as the compiler takes it, by the types that files are read with."""
    catalogue = dict(catalogue)
    artifacts = catalogue.pop("artifacts", {})
    file = msgspec.convert(catalogue, CatalogueFile)
    values = {name: getattr(file, name) for name in CatalogueFile.__struct_fields__}
    return Catalogue(**{**values, "settings": file.settings or Settings(), "artifacts": artifacts})


def record(profile: VectorProfile, document: BundleDocument) -> bytes:
    """The packed record of a profile: events applied in order, scores set, packed by the layout."""
    plan = FoldPlan(document)
    state = State()
    for item in profile.events:
        state.apply(plan, event(item), behaviour=True)
    slots = {attribute.name: attribute.slot for attribute in document.attributes}
    for name, (value, scored_at_ms, ttl_ms) in profile.scores.items():
        state.set_score(slots[f"profile.{name}"], value, scored_at_ms, ttl_ms)
    return state.pack(
        layout_id=document.layout_id,
        sequence=profile.sequence,
        packed_at_ms=profile.packed_at_ms,
        unit_key=profile.unit_key,
        known=True,
    )


def _identifiers(item: Mapping[str, Any]) -> tuple[Identifier, ...]:
    source = item.get("source", "")
    return (Identifier("anon", bytes.fromhex(source), True),) if source else ()


def event(item: Mapping[str, Any]) -> Event:
    """The event of a vector's dict, taken in at the time it happened."""
    consent = item["consent"]
    return Event(
        message_id=item["message_id"],
        kind=item["kind"],
        name=item["name"],
        at_ms=item["at_ms"],
        received_ms=item["at_ms"],
        identifiers=_identifiers(item),
        properties=item["properties"],
        traits=item["traits"],
        consent=Consent(consent["purpose"], consent["state"], TEXT_VERSION, CONSENT_SOURCE)
        if consent
        else None,
        node="vector",
    )
