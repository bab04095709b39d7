"""The `onevoice` command as the supervisor uses it, pointed at the example's hub."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from examples.shop.addresses import HOST, Ports
from examples.shop.processes import inherited

SECONDS_MAX = 120.0


class CommandError(Exception):
    """A command was refused; the message is what it printed."""


class Command:
    """Runs `onevoice ...` with the operator's key."""

    def __init__(self, ports: Ports, folder: Path) -> None:
        self._ports = ports
        self._folder = folder

    def run(self, *arguments: str, seconds: float = SECONDS_MAX) -> "subprocess.CompletedProcess[str]":
        """Run it and return its output and exit code, whatever that is."""
        return subprocess.run(
            [self._program, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def json(self, *arguments: str, seconds: float = SECONDS_MAX) -> Any:
        """Run it with --json and return what it says. Raises CommandError unless it exits with 0."""
        done = self.run(*arguments, "--json", seconds=seconds)
        if done.returncode != 0:
            raise CommandError(f"onevoice {' '.join(arguments)}: {(done.stderr or done.stdout).strip()}")
        return json.loads(done.stdout)

    def show(self, *arguments: str) -> None:
        """Run it with its output, progress included, going where ours goes."""
        code = subprocess.run([self._program, *arguments], env=self._environment(), check=False).returncode
        if code != 0:
            raise CommandError(f"onevoice {' '.join(arguments)}: exit {code}")

    @property
    def _program(self) -> str:
        return str(Path(sys.executable).parent / "onevoice")

    def _environment(self) -> dict[str, str]:
        key = self._folder / "hub" / "keys" / "operator.key"
        return {
            **inherited(),
            "ONEVOICE_HUB": f"{HOST}:{self._ports.hub_grpc}",
            "ONEVOICE_KEY": key.read_text(encoding="utf-8").strip() if key.exists() else "",
            "ONEVOICE_CA": str(self._folder / "certs" / "ca.pem"),
        }
