"""The gRPC channel to the hub."""

from typing import Final

import grpc

from core.bundle import BUNDLE_BYTES_MAX
from edge.errors import SettingsError
from edge.settings import MIB, Settings

#: A bundle travels whole.
RECEIVE_BYTES_MAX: Final = BUNDLE_BYTES_MAX + 2 * MIB
SEND_BYTES_MAX: Final = 2 * MIB
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", RECEIVE_BYTES_MAX),
    ("grpc.max_send_message_length", SEND_BYTES_MAX),
    # The stream reconnects by itself, with its own pauses.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.enable_http_proxy", 0),
)


def open_channel(settings: Settings) -> grpc.aio.Channel:
    """TLS with the hub's own authority; in the clear only on loopback, which the settings have checked."""
    if settings.hub_ca is None:
        return grpc.aio.insecure_channel(settings.hub_address, options=_OPTIONS)
    try:
        authority = settings.hub_ca.read_bytes()
    except OSError as error:
        message = f"ONEVOICE_HUB_CA: expected a readable file, got {error.strerror} for {settings.hub_ca}"
        raise SettingsError(message) from error
    credentials = grpc.ssl_channel_credentials(root_certificates=authority)
    return grpc.aio.secure_channel(settings.hub_address, credentials, options=_OPTIONS)
