"""The gRPC port: servicers, the gate before them, TLS, health and reflection."""

import contextlib
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from hub.errors import SettingsError
from hub.rpc.interceptor import Gate
from hub.rpc.methods import MESSAGE_BYTES_MAX, METHODS
from hub.sync.service import SyncService
from onevoice.v1 import (
    catalogue_pb2_grpc,
    consents_pb2_grpc,
    decisions_pb2_grpc,
    fleet_pb2_grpc,
    governance_pb2_grpc,
    ingest_pb2_grpc,
    outbound_pb2_grpc,
    profiles_pb2_grpc,
    sync_pb2_grpc,
)

STOP_SECONDS: Final = 2.0
#: An edge may ask this often whether the hub is still there.
PING_MS_MIN: Final = 5_000
KEEPALIVE_MS: Final = 10_000
KEEPALIVE_TIMEOUT_MS: Final = 5_000
OPTIONS: Final = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # Without this two hubs would share a port without a word.
    ("grpc.so_reuseport", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    # An edge whose machine is gone says nothing: ask it, so that the fleet does not show it as connected.
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_MS_MIN),
)


@dataclass(frozen=True)
class Servicers:
    """One for each service of protos/onevoice/v1."""

    catalogue: catalogue_pb2_grpc.CatalogueServicer
    consents: consents_pb2_grpc.ConsentsServicer
    decisions: decisions_pb2_grpc.DecisionsServicer
    fleet: fleet_pb2_grpc.FleetServicer
    governance: governance_pb2_grpc.GovernanceServicer
    ingest: ingest_pb2_grpc.IngestServicer
    outbound: outbound_pb2_grpc.OutboundServicer
    profiles: profiles_pb2_grpc.ProfilesServicer
    sync: SyncService

    def add_to(self, server: grpc.aio.Server) -> None:
        """Register them all."""
        catalogue_pb2_grpc.add_CatalogueServicer_to_server(self.catalogue, server)
        consents_pb2_grpc.add_ConsentsServicer_to_server(self.consents, server)
        decisions_pb2_grpc.add_DecisionsServicer_to_server(self.decisions, server)
        fleet_pb2_grpc.add_FleetServicer_to_server(self.fleet, server)
        governance_pb2_grpc.add_GovernanceServicer_to_server(self.governance, server)
        ingest_pb2_grpc.add_IngestServicer_to_server(self.ingest, server)
        outbound_pb2_grpc.add_OutboundServicer_to_server(self.outbound, server)
        profiles_pb2_grpc.add_ProfilesServicer_to_server(self.profiles, server)
        sync_pb2_grpc.add_SyncServicer_to_server(self.sync, server)


@dataclass(frozen=True)
class Endpoint:
    """Where to listen; without a certificate the caller has made sure that it is loopback."""

    host: str
    port: int
    certificate: Path | None
    key: Path | None


async def listen(
    stack: contextlib.AsyncExitStack, endpoint: Endpoint, gate: Gate, servicers: Servicers
) -> int:
    """Serve until the stack closes; returns the port."""
    server = grpc.aio.server(interceptors=[gate], options=OPTIONS)
    servicers.add_to(server)
    services = sorted({name.split("/")[1] for name in METHODS})
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    port = _bind(server, endpoint)
    await server.start()
    stack.push_async_callback(server.stop, STOP_SECONDS)
    stack.push_async_callback(checks.enter_graceful_shutdown)
    for service in ("", *services):
        await checks.set(service, health_pb2.HealthCheckResponse.SERVING)
    return port


def _bind(server: grpc.aio.Server, endpoint: Endpoint) -> int:
    _require_free(endpoint)
    host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    target = f"{host}:{endpoint.port}"
    try:
        if endpoint.certificate is None or endpoint.key is None:
            return server.add_insecure_port(target)
        return server.add_secure_port(target, _credentials(endpoint.certificate, endpoint.key))
    except RuntimeError as error:
        message = f"ONEVOICE_GRPC_PORT: expected a free port, got {target}, which cannot be bound"
        raise SettingsError(message, code="in_use") from error


def _require_free(endpoint: Endpoint) -> None:
    """gRPC says in its own words, on standard error, why it cannot bind; so try it first."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    try:
        socket.create_server((endpoint.host, endpoint.port), family=family).close()
    except OSError as error:
        got = f"{endpoint.host}:{endpoint.port} ({error.strerror})"
        raise SettingsError(f"ONEVOICE_GRPC_PORT: expected a free port, got {got}", code="in_use") from error


def _credentials(certificate: Path, key: Path) -> grpc.ServerCredentials:
    try:
        return grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    except (OSError, ValueError) as error:
        message = f"ONEVOICE_TLS_CERTIFICATE: expected readable PEM files, got {type(error).__name__}"
        raise SettingsError(message) from error
