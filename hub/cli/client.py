"""Opens the hub: its address, its certificate authority, the caller's key, and typed stubs.

with HubClient(HubAddress("127.0.0.1:8200", key)) as hub:
    hub.fleet.Status(fleet_pb2.StatusRequest(), timeout=5)
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import grpc

from hub.cli.errors import UsageError
from hub.settings import is_loopback
from onevoice.v1 import (
    catalogue_pb2_grpc,
    consents_pb2_grpc,
    decisions_pb2_grpc,
    fleet_pb2_grpc,
    governance_pb2_grpc,
    ingest_pb2_grpc,
    outbound_pb2_grpc,
    profiles_pb2_grpc,
)

ADDRESSES: Final = Path(".run/addresses.json")
RECEIVE_BYTES_MAX: Final = 96 * 1024 * 1024


@dataclass(frozen=True)
class HubAddress:
    """Where the hub is and as whom to call it. `ca`: PEM file of its authority; None: plaintext."""

    target: str
    key: str = field(repr=False)
    ca: Path | None = None


class HubClient:
    """One channel with a stub for each service."""

    def __init__(self, address: HubAddress) -> None:
        self.target = address.target
        options: list[tuple[str, int]] = [("grpc.max_receive_message_length", RECEIVE_BYTES_MAX)]
        if is_local(address.target):
            options.append(("grpc.enable_http_proxy", 0))
        if address.ca is None:
            channel = grpc.insecure_channel(address.target, options)
        else:
            credentials = grpc.ssl_channel_credentials(address.ca.read_bytes())
            channel = grpc.secure_channel(address.target, credentials, options)
        self._bare = channel
        self.channel = grpc.intercept_channel(channel, _WithKey(address.key))
        self.catalogue = catalogue_pb2_grpc.CatalogueStub(self.channel)
        self.consents = consents_pb2_grpc.ConsentsStub(self.channel)
        self.decisions = decisions_pb2_grpc.DecisionsStub(self.channel)
        self.fleet = fleet_pb2_grpc.FleetStub(self.channel)
        self.governance = governance_pb2_grpc.GovernanceStub(self.channel)
        self.ingest = ingest_pb2_grpc.IngestStub(self.channel)
        self.outbound = outbound_pb2_grpc.OutboundStub(self.channel)
        self.profiles = profiles_pb2_grpc.ProfilesStub(self.channel)

    def __enter__(self) -> "HubClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel; calls in flight are cancelled."""
        self._bare.close()


class _WithKey(grpc.UnaryUnaryClientInterceptor):
    """Puts the key into the metadata of every call."""

    def __init__(self, key: str) -> None:
        self._authorization = ("authorization", f"Bearer {key}")

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        metadata = [*(client_call_details.metadata or ()), self._authorization]
        return continuation(client_call_details._replace(metadata=metadata), request)


def is_local(target: str) -> bool:
    """Whether HOST:PORT is of this machine: no proxy that the environment names is asked for it."""
    return is_loopback(target.rpartition(":")[0].strip("[]"))


def find_addresses(folder: Path) -> dict[str, Any]:
    """What `make run` wrote into the folder, or nothing."""
    try:
        found = json.loads((folder / ADDRESSES).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{ADDRESSES}: expected the addresses that `make run` writes, got {error}"
        ) from error
    return found if isinstance(found, dict) else {}


def find_hub(
    hub: str | None, key_file: Path | None, ca: Path | None, environment: Mapping[str, str], folder: Path
) -> HubAddress:
    """The hub's address: from the options, else the environment, else the running example of this folder."""
    running = find_addresses(folder)
    target = hub or environment.get("ONEVOICE_HUB") or running.get("hub_grpc")
    if not target:
        raise UsageError(
            "no hub named: expected --address HOST:PORT, ONEVOICE_HUB, or a folder where `make run` runs"
        )
    # The addresses of the running example, its key too, belong to that hub only.
    is_running = target == running.get("hub_grpc")
    key = _read_key(key_file) if key_file else environment.get("ONEVOICE_KEY")
    if not key and is_running:
        key = running.get("keys", {}).get("operator")
    if not key:
        raise UsageError("no key: expected --key-file FILE or ONEVOICE_KEY")
    authority = ca or environment.get("ONEVOICE_CA") or (running.get("ca") if is_running else None)
    return HubAddress(target.partition("://")[2] or target, key, Path(authority) if authority else None)


def _read_key(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a file with a key, got {error}") from error
