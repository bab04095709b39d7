"""Everything about an edge that can be set. Only the composition roots read it."""
# ruff: noqa: RUF009  (`setting` is dataclasses.field with our metadata)

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge import options
from edge.errors import SettingsError
from edge.options import setting

KEY_LENGTH_MIN: Final = 16
KEYS_MAX: Final = 8
KEY_BYTES: Final = 32
WORKERS_MAX: Final = 64
NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MIB: Final = 1024 * 1024


def _name(value: str) -> str:
    if not NAME_PATTERN.fullmatch(value):
        raise ValueError(value)
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", value):
        raise ValueError(value)
    return value


def _address(value: str) -> str:
    parts = urlsplit(f"//{value}")
    if not parts.hostname or not parts.port or parts.path:
        raise ValueError(value)
    return value


def _key(value: str) -> bytes:
    key = bytes.fromhex(value)
    if len(key) != KEY_BYTES:
        raise ValueError("length")
    return key


def _origins(value: str) -> tuple[str, ...]:
    found = tuple(value.replace(",", " ").split())
    for origin in found:
        parts = urlsplit(origin)
        if origin != "*" and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path):
            raise ValueError(origin)
    return found


def _header(value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9-]{1,64}", value):
        raise ValueError(value)
    return value.lower()


_KEYS_EXPECTED: Final = f"1 to {KEYS_MAX} keys of at least {KEY_LENGTH_MIN} characters, separated by commas"
_KEY_EXPECTED: Final = f"{KEY_BYTES} bytes in hex"
_NAME_EXPECTED: Final = "1 to 64 letters, digits, dots, dashes"
_HEADER_EXPECTED: Final = "a header name"
_MEGABYTES: Final = options.integer(1, 16 * 1024 * 1024)
_MEGABYTES_EXPECTED: Final = "megabytes"
_keys = options.secrets(KEY_LENGTH_MIN, KEYS_MAX)


@dataclass(frozen=True)
class Settings:
    """An edge of Onevoice: decides near the visitor, keeps events, follows the hub.

    It listens on loopback unless set; what stands before it (TLS, a load balancer) is the operator's.
    """

    edge_id: str = setting("edge", _name, _NAME_EXPECTED, "name of this edge, unique in the fleet")
    data_dir: Path = setting(
        Path("onevoice-edge"), options.path, "a folder", "folder of everything the edge keeps"
    )
    host: str = setting("127.0.0.1", _host, "a host name or an IP address", "address to listen on")
    port: int = setting(
        8101, options.integer(0, 65535), "a port from 0 to 65535, 0 for any free one", "port to listen on"
    )
    workers: int = setting(
        2,
        options.integer(1, WORKERS_MAX),
        f"a number from 1 to {WORKERS_MAX}",
        "processes that answer requests",
    )
    hub_address: str = setting("127.0.0.1:8200", _address, "HOST:PORT", "the hub's gRPC server")
    hub_ca: Path | None = setting(
        None,
        options.path,
        "a PEM file",
        "certificate authority of the hub; needed unless the hub is on loopback",
    )
    hub_signing_key: bytes | None = setting(
        None,
        _key,
        _KEY_EXPECTED,
        "the hub's Ed25519 public key: frames and bundles of any other are refused",
        secret=True,
    )
    edge_key: str = setting(
        "",
        lambda value: _keys(value)[0],
        f"a key of at least {KEY_LENGTH_MIN} characters",
        "this edge's key at the hub",
        secret=True,
    )
    identifier_key: bytes | None = setting(
        None, _key, _KEY_EXPECTED, "key of identifier hashes, one for the whole fleet", secret=True
    )
    site_keys: tuple[str, ...] = setting(
        (), _keys, _KEYS_EXPECTED, "public keys of the site's pages", secret=True
    )
    server_keys: tuple[str, ...] = setting(
        (), _keys, _KEYS_EXPECTED, "keys of the site's servers", secret=True
    )
    operator_keys: tuple[str, ...] = setting((), _keys, _KEYS_EXPECTED, "keys of operators", secret=True)
    user_token_keys: tuple[Path, ...] = setting(
        (),
        options.paths(2),
        "one or two files, separated by a comma",
        "public Ed25519 keys of user tokens, as JWK or PEM",
    )
    site: str = setting("onevoice", _name, _NAME_EXPECTED, "audience that a user token must name")
    allow_time_travel: bool = setting(
        False,
        options.boolean,
        "true or false",
        "let operators decide at another time and with a chosen decision id",
    )
    allowed_origins: tuple[str, ...] = setting(
        (),
        _origins,
        "origins such as https://shop.example, separated by commas, or *",
        "pages of these origins may call this edge from a browser",
    )
    country_header: str = setting(
        "", _header, _HEADER_EXPECTED, "header in which a trusted proxy puts the visitor's country (ISO 3166)"
    )
    client_ip_header: str = setting(
        "", _header, _HEADER_EXPECTED, "header in which a trusted proxy puts the visitor's address"
    )
    mmdb: Path | None = setting(
        None, options.path, "an MMDB file", "the operator's own database of countries by address"
    )
    in_flight_max: int = setting(
        256,
        options.integer(1, 65536),
        "a number from 1 to 65536",
        "requests in work at once in one worker; decisions beyond it are answered with fallbacks",
    )
    snapshot_megabytes_max: int = setting(
        16 * 1024, _MEGABYTES, _MEGABYTES_EXPECTED, "size that the profile snapshot may grow to"
    )
    overlay_megabytes_max: int = setting(
        1024, _MEGABYTES, _MEGABYTES_EXPECTED, "size that the events after the snapshot may grow to"
    )
    journal_megabytes_max: int = setting(
        8 * 1024,
        _MEGABYTES,
        _MEGABYTES_EXPECTED,
        "size that one worker's journal may grow to while the hub is away; then events are refused",
    )
    log_level: str = setting(
        "info",
        options.one_of("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "least level that is logged",
    )

    def __post_init__(self) -> None:
        """Check what concerns several settings."""
        for name in ("hub_signing_key", "edge_key", "identifier_key"):
            if not getattr(self, name):
                key = options.PREFIX + name.upper()
                raise SettingsError(f"{key}: expected a value, got none (or {key}_FILE)", path=key)
        if self.hub_ca is None and not is_loopback(urlsplit(f"//{self.hub_address}").hostname or ""):
            raise SettingsError(
                "ONEVOICE_HUB_CA: expected a CA file for a hub that is not on loopback, got none"
            )

    @property
    def identifier_key_bytes(self) -> bytes:
        """The identifier key, which `__post_init__` has seen to be there."""
        assert self.identifier_key is not None
        return self.identifier_key

    @property
    def signing_key_bytes(self) -> bytes:
        """The hub's public signing key, likewise."""
        assert self.hub_signing_key is not None
        return self.hub_signing_key


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
