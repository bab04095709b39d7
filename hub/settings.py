"""Everything about a hub that can be set. Only the composition root reads it."""
# ruff: noqa: RUF009  (`setting` is dataclasses.field with our metadata)

import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from hub import options
from hub.errors import SettingsError
from hub.options import setting

KEY_LENGTH_MIN: Final = 16
KEYS_MAX: Final = 8
IDENTIFIER_KEY_BYTES: Final = 32
NODE_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _node(value: str) -> str:
    if not NODE_PATTERN.fullmatch(value):
        raise ValueError(value)
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", value):
        raise ValueError(value)
    return value


def _database(value: str) -> str:
    if urlsplit(value).scheme.split("+", 1)[0] not in ("sqlite", "postgresql"):
        raise ValueError("scheme")
    return value


def _nats(value: str) -> str:
    if urlsplit(value).scheme not in ("nats", "tls") or not urlsplit(value).hostname:
        raise ValueError("scheme")
    return value


def _public_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("url")
    return value.rstrip("/")


def _domain(value: str) -> str:
    if not re.fullmatch(r"(?=.{1,190}$)[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+", value):
        raise ValueError("domain")
    return value


def _mail_address(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,190}", value):
        raise ValueError("address")
    return value


def _selector(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9-]{1,63})*", value):
        raise ValueError("selector")
    return value


def _identifier_key(value: str) -> bytes:
    key = bytes.fromhex(value)
    if len(key) != IDENTIFIER_KEY_BYTES:
        raise ValueError("length")
    return key


_KEYS_EXPECTED: Final = f"1 to {KEYS_MAX} keys of at least {KEY_LENGTH_MIN} characters, separated by commas"
_keys = options.secrets(KEY_LENGTH_MIN, KEYS_MAX)
_port = options.integer(0, 65535)
_PORT_EXPECTED: Final = "a port from 0 to 65535, 0 for any free one"
_HOST_EXPECTED: Final = "a host name or an IP address"


@dataclass(frozen=True)
class Settings:
    """The hub of Onevoice: profiles, events, publishing, and the edges' streams.

    Addresses are loopback unless set; a gRPC address that others can reach needs a certificate.
    """

    data_dir: Path = setting(
        Path("onevoice-hub"), options.path, "a folder", "folder of everything the hub keeps"
    )
    node: str = setting(
        "hub", _node, "1 to 64 letters, digits, dots, dashes", "name of this node in decisions and logs"
    )
    grpc_host: str = setting("127.0.0.1", _host, _HOST_EXPECTED, "address of the gRPC server")
    grpc_port: int = setting(8200, _port, _PORT_EXPECTED, "port of the gRPC server")
    http_host: str = setting(
        "127.0.0.1", _host, _HOST_EXPECTED, "address of the status page, probes and metrics"
    )
    http_port: int = setting(8300, _port, _PORT_EXPECTED, "port of the status page, probes and metrics")
    tls_certificate: Path | None = setting(
        None, options.path, "a PEM file", "certificate chain of the gRPC server (`onevoice certs` makes one)"
    )
    tls_key: Path | None = setting(None, options.path, "a PEM file", "private key of that certificate")
    database_url: str = setting(
        "",
        _database,
        "a SQLAlchemy URL of sqlite or postgresql",
        "where state is kept; state.db in the data folder if not set",
        secret=True,
    )
    nats_url: str = setting(
        "",
        _nats,
        "a nats:// or tls:// URL",
        "the event log; a JetStream child process with files in the data folder if not set",
        secret=True,
    )
    server_keys: tuple[str, ...] = setting(
        (),
        _keys,
        _KEYS_EXPECTED,
        "keys of the site's services; made in the data folder if not set",
        secret=True,
    )
    operator_keys: tuple[str, ...] = setting(
        (), _keys, _KEYS_EXPECTED, "keys of operators; made in the data folder if not set", secret=True
    )
    edge_keys: tuple[str, ...] = setting(
        (), _keys, _KEYS_EXPECTED, "keys of edges; made in the data folder if not set", secret=True
    )
    site_keys: tuple[str, ...] = setting(
        (),
        _keys,
        _KEYS_EXPECTED,
        "public keys of pages; the hub only tells them that they belong to an edge",
        secret=True,
    )
    identifier_key: bytes | None = setting(
        None,
        _identifier_key,
        f"{IDENTIFIER_KEY_BYTES} bytes in hex",
        "key of identifier hashes, one for the whole fleet; made in the data folder if not set",
        secret=True,
    )
    user_token_keys: tuple[Path, ...] = setting(
        (),
        options.paths(2),
        "one or two files, separated by a comma",
        "public Ed25519 keys of user tokens, as JWK or PEM (`onevoice token keys` makes a pair)",
    )
    site: str = setting(
        "onevoice", _node, "1 to 64 letters, digits, dots, dashes", "audience that a user token must name"
    )
    allow_time_travel: bool = setting(
        False,
        options.boolean,
        "true or false",
        "let operators decide at another time and with a chosen decision id",
    )
    restored: bool = setting(
        False,
        options.boolean,
        "true or false",
        "say once that the state was restored from a copy: every edge then takes a fresh snapshot",
    )
    sign_anew: bool = setting(
        False,
        options.boolean,
        "true or false",
        "say once that the signing key was changed: what is active is published again under the new one",
    )
    event_log_days: int = setting(
        7,
        options.integer(1, 3650),
        "days, 1 to 3650",
        "how long applied events stay in the event log, for a restored state to catch up",
    )
    decision_days: int = setting(
        90, options.integer(1, 3650), "days, 1 to 3650", "how long decisions can be looked up"
    )
    decide_concurrency: int = setting(
        64,
        options.integer(1, 4096),
        "a number from 1 to 4096",
        "gRPC calls in work at once; more are refused",
    )
    message_days: int = setting(
        400,
        options.integer(30, 3650),
        "days, 30 to 3650",
        "how long messages can be looked up, and the links in them work",
    )
    outbound_rates: tuple[tuple[str, float], ...] = setting(
        (),
        options.rates(16),
        "CHANNEL=NUMBER, separated by commas, such as email=50,sms=10",
        "messages a second by channel, at most; no limit for a channel that is not named",
    )
    outbound_retry_seconds: int = setting(
        30,
        options.integer(1, 3600),
        "seconds, 1 to 3600",
        "wait before a deferred message is tried again; doubled each time, up to an hour",
    )
    outbound_hours: int = setting(
        48,
        options.integer(1, 720),
        "hours, 1 to 720",
        "a message that could not be handed over for so long is given up",
    )
    outbound_report_minutes: int = setting(
        60,
        options.integer(1, 10_080),
        "minutes, 1 to 10080",
        "a message that an outside system claimed and did not report for so long is in doubt",
    )
    public_url: str = setting(
        "",
        _public_url,
        "an http:// or https:// URL",
        "how the outside reaches the hub's HTTP port, for links in messages; its own address if not set",
    )
    site_url: str = setting(
        "",
        _public_url,
        "an http:// or https:// URL",
        "the site that messages lead to, `links.site` of templates",
    )
    link_key: bytes | None = setting(
        None,
        _identifier_key,
        f"{IDENTIFIER_KEY_BYTES} bytes in hex",
        "key of the links in messages, one for all replicas; made in the data folder if not set",
        secret=True,
    )
    track_engagement: bool = setting(
        True, options.boolean, "true or false", "learn of opens and clicks, by a picture and rewritten links"
    )
    smtp_host: str = setting("", _host, _HOST_EXPECTED, "server that takes e-mail; none is sent if not set")
    smtp_port: int = setting(
        0, _port, _PORT_EXPECTED, "port of that server; 25, 587 with starttls or 465 with tls if not set"
    )
    smtp_tls: str = setting(
        "starttls",
        options.one_of("none", "starttls", "tls"),
        "none, starttls or tls",
        "how the way to that server is encrypted",
    )
    smtp_ca: Path | None = setting(
        None, options.path, "a PEM file", "certificates to trust for that server beside the system's"
    )
    smtp_username: str = setting("", options.text, "a name", "name to log in with at that server")
    smtp_password: str = setting("", options.text, "a password", "password of that name", secret=True)
    smtp_timeout_seconds: int = setting(
        60, options.integer(1, 600), "seconds, 1 to 600", "how long that server may take for one answer"
    )
    smtp_connections: int = setting(
        8, options.integer(1, 256), "a number from 1 to 256", "connections to that server at once"
    )
    mail_domain: str = setting(
        "",
        _domain,
        "a domain in lower-case letters",
        "domain of Message-IDs, of envelope senders and of the DKIM signature",
    )
    dkim_selector: str = setting("onevoice", _selector, "a DNS label", "name of the DKIM key in the DNS")
    dkim_key: Path | None = setting(
        None, options.path, "a PEM file", "private key, Ed25519 or RSA, that e-mail is signed with"
    )
    unsubscribe_mailto: str = setting(
        "",
        _mail_address,
        "an address",
        "address that List-Unsubscribe offers beside the link; its mail must reach the bounce port",
    )
    bounce_host: str = setting(
        "127.0.0.1", _host, _HOST_EXPECTED, "address of the SMTP server that takes bounces and complaints"
    )
    bounce_port: int | None = setting(
        None,
        _port,
        _PORT_EXPECTED,
        "port of the SMTP server that takes bounces and complaints; off if not set",
    )
    log_level: str = setting(
        "info",
        options.one_of("debug", "info", "warning", "error"),
        "debug, info, warning or error",
        "least level that is logged",
    )

    def __post_init__(self) -> None:
        """Check what concerns several settings."""
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingsError(
                "ONEVOICE_TLS_CERTIFICATE: expected ONEVOICE_TLS_KEY with it, got one of the two"
            )
        if self.tls_certificate is None and not is_loopback(self.grpc_host):
            raise SettingsError(
                "ONEVOICE_GRPC_HOST: expected a loopback address without a certificate "
                f"(`onevoice certs` makes one), got {self.grpc_host!r}"
            )
        if urlsplit(self.database_url).scheme.startswith("postgresql") and not self.nats_url:
            raise SettingsError("ONEVOICE_NATS_URL: expected a nats:// URL with PostgreSQL, got none")
        self._check_mail()

    def _check_mail(self) -> None:
        if self.smtp_host and not self.mail_domain:
            raise SettingsError("ONEVOICE_MAIL_DOMAIN: expected a domain with ONEVOICE_SMTP_HOST, got none")
        if self.bounce_port is not None and not self.mail_domain:
            raise SettingsError("ONEVOICE_MAIL_DOMAIN: expected a domain with ONEVOICE_BOUNCE_PORT, got none")
        if self.smtp_host and not self.public_url and not is_loopback(self.http_host):
            raise SettingsError(
                "ONEVOICE_PUBLIC_URL: expected how the outside reaches the hub, for links in mails, got none"
            )
        if bool(self.smtp_username) != bool(self.smtp_password):
            raise SettingsError(
                "ONEVOICE_SMTP_USERNAME: expected ONEVOICE_SMTP_PASSWORD with it, got one of the two"
            )
        if self.smtp_password and self.smtp_tls == "none" and not is_loopback(self.smtp_host):
            raise SettingsError(
                "ONEVOICE_SMTP_TLS: expected starttls or tls where a password leaves this machine, got none"
            )


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
