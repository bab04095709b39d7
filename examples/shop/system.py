"""The whole example as one object: hub, two edges, shop and mailbox; keys, data and logs in one folder.

.run/
  addresses.json ready     where everything listens; there while it is usable
  services.json            how each process was started, to stop and start one by hand
  keys/ certs/             made at the first start, readable by their owner only
  keys/dns/                what the DNS would say of the key that mails are signed with
  hub/ edge-eu/ edge-us/   data, one folder a node
  mailbox/ logs/ sample.ndjson
"""

import contextlib
import fcntl
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.request import ProxyHandler, build_opener

from examples.shop.accounts import make_dkim_key, make_user_token_key
from examples.shop.addresses import EDGE_IDS, HOST, Ports, as_document, check_free, http, write_private
from examples.shop.command import Command
from examples.shop.fill import fill, publish_first
from examples.shop.processes import Service
from examples.shop.settings import ShopSettings

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "examples" / "shop" / "catalogue"
PUBLISHER = "maya"
SITE = "onevoice"
#: What the shop's mails come from, as its catalogue says, and the name of their DKIM key.
MAIL_DOMAIN, DKIM_SELECTOR = "shop.example", "shop"
WORKERS = 2
READY_SECONDS_MAX = 90.0
POLL_SECONDS = 0.05
PROBE_SECONDS_MAX = 2.0
#: uvicorn ends itself with the signal that asked it to end.
ENDED_IN_ORDER = (0, -signal.SIGTERM)

Say = Callable[[str], None]

# Loopback is never asked for through a proxy.
_opener = build_opener(ProxyHandler({}))


class StartError(Exception):
    """The example cannot be started; the message says why and what to do."""


@dataclass(frozen=True)
class Options:
    """What a start depends on. `customers`: size of the sample shop, 0 for none. `services`: () for all."""

    folder: Path
    ports: Ports
    customers: int
    catalogue: Path = CATALOGUE
    publisher: str = PUBLISHER
    services: tuple[str, ...] = ()


class System:
    """Starts, watches and stops the services."""

    def __init__(self, options: Options, say: Say) -> None:
        self._options = options
        self._say = say
        self._lock: IO[str] | None = None
        self.services: dict[str, Service] = {}
        self.command = Command(options.ports, options.folder)

    @property
    def ready_file(self) -> Path:
        return self._options.folder / "ready"

    def start(self) -> None:
        """Start everything; returns when it is usable. What was started is stopped again if that fails."""
        self._take_folder()
        self.ready_file.unlink(missing_ok=True)
        check_free(self._options.ports)
        self._make_keys()
        chosen = self._options.services
        self.services = {
            service.name: service for service in self._define() if not chosen or service.name in chosen
        }
        try:
            self._start_all()
        except BaseException:
            self.stop()
            raise
        self._write_addresses()
        self.ready_file.touch()

    def stop(self) -> None:
        """Stop everything, the edges before the hub that they stream to."""
        self.ready_file.unlink(missing_ok=True)
        for service in reversed(list(self.services.values())):
            service.ask_to_stop()
        for service in reversed(list(self.services.values())):
            service.wait_stopped()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def look_after(self) -> None:
        """Start again what has died. A service that ended by itself in good order stays down."""
        for service in self.services.values():
            if not service.wanted or service.running or service.process is None:
                continue
            code = service.process.returncode
            service.kill()  # Its own children, if any are left.
            if code in ENDED_IN_ORDER:
                service.wanted = False
                self._say(
                    f"{service.name} was stopped (start it again: make run ARGS='start {service.name}')"
                )
            elif service.may_restart():
                service.restarts.append(time.monotonic())
                self._say(f"{service.name} has died ({describe_exit(code)}): starting it again")
                service.start()
                self._write_services()
            else:
                service.wanted = False
                self._say(f"{service.name} dies again and again; its log is {service.log}")

    def start_service(self, name: str) -> None:
        """Start one service and wait until it answers."""
        service = self.services[name]
        if not service.running:
            service.start()
            self._write_services()
        self._await_ready(name)

    def stop_service(self, name: str) -> None:
        self.services[name].stop()

    def keys(self) -> dict[str, str]:
        """The keys that pages, services and operators show; the hub makes its own at its first start."""
        folder = self._options.folder
        files = {
            "site": folder / "keys" / "site.key",
            "server": folder / "hub" / "keys" / "server.key",
            "operator": folder / "hub" / "keys" / "operator.key",
        }
        return {name: path.read_text(encoding="utf-8").strip() for name, path in files.items()}

    # ---- The first and every later start

    def _start_all(self) -> None:
        first = not (self._options.folder / "hub" / "keys" / "signing.pub").exists()
        if first:
            self._say("first start: making keys, publishing the catalogue, filling the sample shop")
        self.services["hub"].start()
        if not first:
            self._start_rest()
        self._await_ready("hub")
        self._fill()
        if first:
            self._start_rest()
        for name in self.services:
            self._await_ready(name)
        self._write_services()

    def _fill(self) -> None:
        options = self._options
        publish_first(self.command, options.folder, options.catalogue, options.publisher, self._say)
        if options.customers:
            fill(self.command, options.folder, options.customers, self._say)

    def _start_rest(self) -> None:
        for service in self.services.values():
            if not service.running:
                service.start()

    def _await_ready(self, name: str) -> None:
        """Wait for a service's readiness probe; a process that has ended is told with its last words."""
        service = self.services[name]
        deadline = time.monotonic() + READY_SECONDS_MAX
        while not answers(self._probe(name)):
            if not service.running:
                raise StartError(f"{name} has ended; the end of {service.log}:\n{service.last_words()}")
            if time.monotonic() > deadline:
                raise StartError(
                    f"{name} is not ready after {READY_SECONDS_MAX:.0f} s; its log is {service.log}"
                )
            time.sleep(POLL_SECONDS)

    def _probe(self, name: str) -> str:
        ports = self._options.ports
        probes = {
            "hub": http(ports.hub_http) + "/readyz",
            "shop": http(ports.shop) + "/healthz",
            "mailbox": http(ports.mailbox) + "/healthz",
        }
        edges = dict(zip((f"edge-{edge}" for edge in EDGE_IDS), ports.edges, strict=True))
        return probes[name] if name in probes else http(edges[name]) + "/readyz"

    # ---- What the services are

    def _define(self) -> Iterator[Service]:
        folder, ports = self._options.folder, self._options.ports
        yield self._service("hub", ["onevoice-hub"], self._hub_environment())
        for edge, port in zip(EDGE_IDS, ports.edges, strict=True):
            yield self._service(f"edge-{edge}", ["onevoice-edge"], self._edge_environment(edge, port))
        shop = ShopSettings(
            port=ports.shop,
            edges=tuple(http(port) for port in ports.edges),
            site_key=(folder / "keys" / "site.key").read_text(encoding="utf-8").strip(),
            site=SITE,
            user_token_key=folder / "keys" / "user-token.pem",
        )
        yield self._service("shop", ["python", "-m", "examples.shop.site"], shop.as_environment())
        mailbox = {
            "MAILBOX_FOLDER": str(folder / "mailbox"),
            "MAILBOX_HTTP_PORT": str(ports.mailbox),
            "MAILBOX_SMTP_PORT": str(ports.smtp),
            "MAILBOX_DKIM_KEYS": str(folder / "keys" / "dns"),
        }
        yield self._service("mailbox", ["python", "-m", "examples.shop.mailbox"], mailbox)

    def _service(self, name: str, command: list[str], environment: dict[str, str]) -> Service:
        path = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ROOT))))
        return Service(
            name=name,
            command=[str(Path(sys.executable).parent / command[0]), *command[1:]],
            environment={"PYTHONPATH": path, **environment},
            log=self._options.folder / "logs" / f"{name}.log",
        )

    def _hub_environment(self) -> dict[str, str]:
        folder, ports = self._options.folder, self._options.ports
        return {
            "ONEVOICE_DATA_DIR": str(folder / "hub"),
            "ONEVOICE_GRPC_PORT": str(ports.hub_grpc),
            "ONEVOICE_HTTP_PORT": str(ports.hub_http),
            "ONEVOICE_TLS_CERTIFICATE": str(folder / "certs" / "hub.pem"),
            "ONEVOICE_TLS_KEY": str(folder / "certs" / "hub.key"),
            "ONEVOICE_SITE_KEYS_FILE": str(folder / "keys" / "site.key"),
            "ONEVOICE_USER_TOKEN_KEYS": str(folder / "keys" / "user-token.pub.pem"),
            "ONEVOICE_SITE": SITE,
            "ONEVOICE_SITE_URL": http(ports.shop),
            "ONEVOICE_PUBLIC_URL": http(ports.hub_http),
            "ONEVOICE_SMTP_HOST": HOST,
            "ONEVOICE_SMTP_PORT": str(ports.smtp),
            "ONEVOICE_SMTP_TLS": "none",
            "ONEVOICE_MAIL_DOMAIN": MAIL_DOMAIN,
            "ONEVOICE_DKIM_SELECTOR": DKIM_SELECTOR,
            "ONEVOICE_DKIM_KEY": str(folder / "keys" / "dkim.pem"),
            "ONEVOICE_BOUNCE_PORT": str(ports.bounce),
            "ONEVOICE_ALLOW_TIME_TRAVEL": "true",
        }

    def _edge_environment(self, edge: str, port: int) -> dict[str, str]:
        folder, ports = self._options.folder, self._options.ports
        hub_keys = folder / "hub" / "keys"
        return {
            "ONEVOICE_EDGE_ID": edge,
            "ONEVOICE_DATA_DIR": str(folder / f"edge-{edge}"),
            "ONEVOICE_PORT": str(port),
            "ONEVOICE_WORKERS": str(WORKERS),
            "ONEVOICE_HUB_ADDRESS": f"{HOST}:{ports.hub_grpc}",
            "ONEVOICE_HUB_CA": str(folder / "certs" / "ca.pem"),
            "ONEVOICE_HUB_SIGNING_KEY_FILE": str(hub_keys / "signing.pub"),
            "ONEVOICE_EDGE_KEY_FILE": str(hub_keys / "edge.key"),
            "ONEVOICE_IDENTIFIER_KEY_FILE": str(hub_keys / "identifier.key"),
            "ONEVOICE_SITE_KEYS_FILE": str(folder / "keys" / "site.key"),
            "ONEVOICE_SERVER_KEYS_FILE": str(hub_keys / "server.key"),
            "ONEVOICE_OPERATOR_KEYS_FILE": str(hub_keys / "operator.key"),
            "ONEVOICE_USER_TOKEN_KEYS": str(folder / "keys" / "user-token.pub.pem"),
            "ONEVOICE_SITE": SITE,
            "ONEVOICE_ALLOWED_ORIGINS": f"http://{HOST}:{ports.shop},http://localhost:{ports.shop}",
            "ONEVOICE_ALLOW_TIME_TRAVEL": "true",
        }

    # ---- Files

    def _take_folder(self) -> None:
        """Make the folder, and hold its lock: two supervisors in one folder would fight over the data."""
        for path in (self._options.folder, self._options.folder / "logs", self._options.folder / "keys"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (self._options.folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._lock = None
            raise StartError(f"the example already runs in {self._options.folder}: stop it first") from error

    def _make_keys(self) -> None:
        keys = self._options.folder / "keys"
        site = keys / "site.key"
        if not site.exists():
            site.touch(mode=0o600)
            site.write_text(f"site_{secrets.token_urlsafe(24)}\n", encoding="utf-8")
        if not (keys / "user-token.pub.pem").exists():
            make_user_token_key(keys / "user-token.pem", keys / "user-token.pub.pem")
        if not (keys / "dkim.pem").exists():
            (keys / "dns").mkdir(exist_ok=True)
            make_dkim_key(keys / "dkim.pem", keys / "dns", DKIM_SELECTOR, MAIL_DOMAIN)
        certs = self._options.folder / "certs"
        if not (certs / "hub.pem").exists():
            self.command.json("certs", "--out", str(certs))

    def _write_addresses(self) -> None:
        folder = self._options.folder
        document = as_document(self._options.ports, self.keys(), folder / "certs" / "ca.pem")
        write_private(folder / "addresses.json", document)

    def _write_services(self) -> None:
        document = {
            name: {
                "pid": service.pid,
                "command": list(service.command),
                "environment": dict(service.environment),
                "log": str(service.log),
            }
            for name, service in self.services.items()
        }
        write_private(self._options.folder / "services.json", document)


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), _opener.open(url, timeout=PROBE_SECONDS_MAX) as answer:
        return bool(answer.status == 200)
    return False


def describe_exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit {code}"
