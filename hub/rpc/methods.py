"""Every method of the hub in one table: who may call it, how large a request may be, how long it may take."""

from dataclasses import dataclass
from typing import Final

SERVER, OPERATOR, EDGE, SITE = "server", "operator", "edge", "site"

KIB: Final = 1024
MIB: Final = 1024 * 1024
#: gRPC itself refuses anything larger, for every method.
MESSAGE_BYTES_MAX: Final = 80 * MIB
CATALOGUE_BYTES_MAX: Final = 16 * MIB


@dataclass(frozen=True)
class Method:
    """The rule of one method. `seconds`: the deadline of a call without one, and the most it may ask for;
    `always`: it has an answer, quickly made, for a hub that is full.
    """

    roles: frozenset[str]
    request_bytes_max: int
    seconds: float
    always: bool = False


_SERVICES = frozenset({SERVER, OPERATOR})
_OPERATORS = frozenset({OPERATOR})
_PERSON = Method(_SERVICES, 16 * KIB, 30.0)
_CATALOGUE = Method(_OPERATORS, CATALOGUE_BYTES_MAX, 120.0)

METHODS: Final[dict[str, Method]] = {
    "/onevoice.v1.Decisions/Decide": Method(_SERVICES, 64 * KIB, 10.0, always=True),
    "/onevoice.v1.Decisions/DecideBatch": Method(_SERVICES, 8 * MIB, 60.0),
    "/onevoice.v1.Ingest/Events": Method(_SERVICES, 64 * MIB + 64 * KIB, 60.0),
    "/onevoice.v1.Ingest/Quarantine": Method(_OPERATORS, 16 * KIB, 30.0),
    "/onevoice.v1.Ingest/Release": Method(_OPERATORS, 16 * KIB, 600.0),
    "/onevoice.v1.Governance/Audit": Method(_OPERATORS, 16 * KIB, 30.0),
    "/onevoice.v1.Profiles/Get": _PERSON,
    "/onevoice.v1.Profiles/Decisions": _PERSON,
    "/onevoice.v1.Profiles/Merge": Method(_OPERATORS, 16 * KIB, 30.0),
    "/onevoice.v1.Profiles/Split": Method(_OPERATORS, 16 * KIB, 30.0),
    "/onevoice.v1.Profiles/History": _PERSON,
    "/onevoice.v1.Profiles/Export": Method(_SERVICES, 16 * KIB, 120.0),
    "/onevoice.v1.Profiles/Erase": Method(_SERVICES, 16 * KIB, 120.0),
    "/onevoice.v1.Consents/Record": _PERSON,
    "/onevoice.v1.Consents/History": _PERSON,
    "/onevoice.v1.Catalogue/Validate": _CATALOGUE,
    "/onevoice.v1.Catalogue/Publish": _CATALOGUE,
    "/onevoice.v1.Catalogue/Approve": Method(_OPERATORS, 16 * KIB, 60.0),
    "/onevoice.v1.Catalogue/Rollback": Method(_OPERATORS, 16 * KIB, 60.0),
    "/onevoice.v1.Catalogue/Get": Method(_OPERATORS, 16 * KIB, 30.0),
    "/onevoice.v1.Fleet/Status": Method(_OPERATORS, 16 * KIB, 30.0),
    "/onevoice.v1.Outbound/Decide": Method(_SERVICES, MIB, 60.0),
    "/onevoice.v1.Outbound/Claim": Method(_SERVICES, 256 * KIB, 60.0),
    "/onevoice.v1.Outbound/Report": Method(_SERVICES, 4 * MIB, 60.0),
    "/onevoice.v1.Outbound/List": Method(_SERVICES, 16 * KIB, 30.0),
    "/onevoice.v1.Outbound/Resolve": Method(_OPERATORS, 16 * KIB, 30.0),
    "/onevoice.v1.Sync/Stream": Method(frozenset({EDGE}), 2 * MIB, 0.0),
}

#: Services that tell nothing of any person or of the shop: health for load balancers, reflection for tools.
OPEN_SERVICES: Final = ("/grpc.health.v1.Health/", "/grpc.reflection.v1alpha.ServerReflection/")
