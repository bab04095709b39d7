"""From a command's arguments to an open hub, and from the hub's refusals to the command's."""

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import grpc

from hub.cli.client import HubClient, find_hub
from hub.cli.errors import UsageError, from_rpc

CALL_SECONDS: Final = 30.0


class Commands(Protocol):
    """What argparse's `add_subparsers` returns."""

    def add_parser(self, name: str, **options: Any) -> argparse.ArgumentParser:
        """Add a command."""


def hub_options() -> argparse.ArgumentParser:
    """The options of every command that calls the hub."""
    parser = argparse.ArgumentParser(add_help=False)
    group = parser.add_argument_group(
        "hub", "without them: the hub of `make run`, if it runs from this folder (.run/addresses.json)"
    )
    group.add_argument("--address", metavar="HOST:PORT", help="gRPC address of the hub [ONEVOICE_HUB]")
    group.add_argument(
        "--key-file",
        type=Path,
        metavar="FILE",
        help="file with the key to call it with [ONEVOICE_KEY: the key]",
    )
    group.add_argument(
        "--ca",
        type=Path,
        metavar="FILE",
        help="certificate authority of its certificate; plaintext if none [ONEVOICE_CA]",
    )
    return parser


@contextmanager
def open_hub(arguments: argparse.Namespace) -> Iterator[HubClient]:
    """The hub that the arguments name; what it refuses becomes the command's error."""
    address = find_hub(arguments.address, arguments.key_file, arguments.ca, os.environ, Path.cwd())
    try:
        client = HubClient(address)
    except OSError as error:
        raise UsageError(f"{address.ca}: expected a certificate authority in PEM, got {error}") from error
    with client:
        try:
            yield client
        except grpc.RpcError as error:
            raise from_rpc(error, address.target) from error
