"""Start the whole example and stay in front of it until Ctrl-C: what `make run` does.

python -m examples.shop.run                     # start everything
python -m examples.shop.run stop hub            # in another terminal: stop one service ...
python -m examples.shop.run start hub           # ... and start it again
python -m examples.shop.run kill edge-eu        # end one at once, as a power cut would; it is started again
"""

import argparse
import contextlib
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import NoReturn

from examples.shop import sample
from examples.shop.addresses import EDGE_IDS, PortError, http, ports_from_environment
from examples.shop.command import CommandError
from examples.shop.fill import FillError
from examples.shop.system import ROOT, Options, StartError, System

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LOOK_SECONDS = 0.25
CONTROL = "control"
CONTROL_SECONDS_MAX = 120.0
CONTROL_BYTES_MAX = 256
SERVICES = ("hub", *(f"edge-{edge}" for edge in EDGE_IDS), "shop", "mailbox")


class StoppedError(Exception):
    """Somebody asked the example to stop."""


def main() -> int:
    arguments = parse_arguments()
    try:
        options = Options(arguments.folder.resolve(), ports_from_environment(), arguments.customers)
        if arguments.action != "up":
            return ask_running(options.folder, arguments.action, arguments.service)
        return run(System(options, say), options)
    except StoppedError:
        say("stopped before it was ready")
        return 0
    except (PortError, StartError, CommandError, FillError) as error:
        say(str(error))
        return 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("action", nargs="?", choices=("up", "start", "stop", "kill"), default="up")
    parser.add_argument("service", nargs="?", choices=SERVICES, help="for start, stop and kill")
    parser.add_argument(
        "--folder", type=Path, default=ROOT / ".run", help="keys, data and logs (default .run)"
    )
    parser.add_argument(
        "--customers",
        type=int,
        default=sample.CUSTOMERS,
        help="size of the sample shop at the first start, 0 for none",
    )
    arguments = parser.parse_args()
    if (arguments.service is None) != (arguments.action == "up"):
        parser.error("start, stop and kill need the name of a service")
    return arguments


def run(system: System, options: Options) -> int:
    """Start, then watch until asked to stop."""
    for number in SIGNALS:
        signal.signal(number, stop_once)
    began = time.monotonic()
    system.start()
    try:
        say(f"ready after {time.monotonic() - began:.1f} s")
        print_addresses(options)
        watch(system, options.folder)
    except StoppedError:
        say("stopping")
    finally:
        system.stop()
    return 0


def stop_once(number: int, frame: FrameType | None) -> NoReturn:
    """The first signal begins the stop, which has an end of its own: later ones would only disturb it."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise StoppedError


def watch(system: System, folder: Path) -> NoReturn:
    """Look after the services and obey the control socket, until a signal ends it."""
    path = folder / CONTROL
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen()
        while True:
            if select.select([listener], [], [], LOOK_SECONDS)[0]:
                with listener.accept()[0] as caller, contextlib.suppress(OSError):
                    caller.settimeout(CONTROL_SECONDS_MAX)
                    caller.sendall(
                        obey(system, caller.recv(CONTROL_BYTES_MAX).decode("utf-8", "replace")).encode()
                    )
            system.look_after()


def obey(system: System, order: str) -> str:
    """Carry out `start NAME`, `stop NAME` or `kill NAME`; the answer is what to tell the person."""
    action, _, name = order.partition(" ")
    if name not in system.services:
        return f"there is no service {name}"
    try:
        if action == "start":
            system.start_service(name)
            return f"{name} runs"
        if action == "stop":
            system.stop_service(name)
            return f"{name} is stopped"
        system.services[name].kill()
        return f"{name} is dead"
    except StartError as error:
        return str(error)


def ask_running(folder: Path, action: str, service: str) -> int:
    with socket.socket(socket.AF_UNIX) as caller:
        caller.settimeout(CONTROL_SECONDS_MAX)
        try:
            caller.connect(str(folder / CONTROL))
        except OSError:
            say("the example does not run: make run")
            return 1
        caller.sendall(f"{action} {service}".encode())
        say(caller.recv(CONTROL_BYTES_MAX * 8).decode())
    return 0


def print_addresses(options: Options) -> None:
    ports = options.ports
    say(f"shop      {http(ports.shop)}")
    for edge, port in zip(EDGE_IDS, ports.edges, strict=True):
        say(f"edge {edge}   {http(port)}")
    say(f"hub       gRPC 127.0.0.1:{ports.hub_grpc}, status {http(ports.hub_http)}")
    say(f"mailbox   {http(ports.mailbox)}, SMTP 127.0.0.1:{ports.smtp}")
    say(f"keys and addresses: {options.folder / 'addresses.json'}; logs: {options.folder / 'logs'}")
    say("Ctrl-C stops everything")


def say(text: str) -> None:
    """Print a line. A terminal that has been closed is no reason to fail."""
    try:
        print(f"onevoice: {text}", flush=True)
    except OSError:
        # Nobody reads any more; what Python still holds for the terminal would fail again at exit.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
