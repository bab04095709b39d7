"""Where everything of the example listens, and whether those ports are free."""

import json
import os
import socket
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"
BASE_DEFAULT = 8000
BASE_MAX = 65_535 - 402
EDGE_IDS = ("eu", "us")


class PortError(Exception):
    """A port that the example needs cannot be had; the message says what to do."""


@dataclass(frozen=True)
class Ports:
    """The ports of the example, all counted from one base."""

    base: int

    @property
    def shop(self) -> int:
        return self.base

    @property
    def edges(self) -> tuple[int, ...]:
        return (self.base + 101, self.base + 102)

    @property
    def hub_grpc(self) -> int:
        return self.base + 200

    @property
    def hub_http(self) -> int:
        return self.base + 300

    @property
    def mailbox(self) -> int:
        return self.base + 400

    @property
    def smtp(self) -> int:
        return self.base + 401

    @property
    def bounce(self) -> int:
        """Where mails that could not be delivered come back to the hub."""
        return self.base + 402

    def all(self) -> tuple[int, ...]:
        return (self.shop, *self.edges, self.hub_grpc, self.hub_http, self.mailbox, self.smtp, self.bounce)


def ports_from_environment() -> Ports:
    text = os.environ.get("ONEVOICE_PORT_BASE", str(BASE_DEFAULT))
    if not text.isdecimal() or not 1024 <= int(text) <= BASE_MAX:
        raise PortError(f"ONEVOICE_PORT_BASE: expected a number from 1024 to {BASE_MAX}, got {text!r}")
    return Ports(int(text))


def check_free(ports: Ports) -> None:
    """Raise PortError for the first port that something else listens on."""
    for port in ports.all():
        if not is_free(port):
            raise PortError(f"port {port} is in use: set ONEVOICE_PORT_BASE or stop what uses it")


def is_free(port: int) -> bool:
    with socket.socket() as listener:
        # As servers do: a port whose last connections are still being closed counts as free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def http(port: int) -> str:
    return f"http://{HOST}:{port}"


def as_document(ports: Ports, keys: dict[str, str], ca: Path) -> dict[str, object]:
    """The addresses as contract and command line know them."""
    return {
        "shop": http(ports.shop),
        "edges": [http(port) for port in ports.edges],
        "hub_grpc": f"{HOST}:{ports.hub_grpc}",
        "hub_http": http(ports.hub_http),
        "console": http(ports.hub_http),
        "mailbox": http(ports.mailbox),
        "smtp": f"{HOST}:{ports.smtp}",
        "keys": keys,
        "ca": str(ca),
    }


def write_private(path: Path, document: object) -> None:
    """Write JSON that only its owner can read, whole or not at all."""
    draft = path.with_name(f".{path.name}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
    draft.replace(path)
