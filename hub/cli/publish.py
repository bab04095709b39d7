"""`onevoice publish`, `approve`, `rollback`: changing what is active, and watching the edges take it."""

import argparse
import os
import time
from pathlib import Path
from typing import Any, Final

from core.authoring import Fault
from hub.cli.arguments import json_option, number_between
from hub.cli.client import HubClient
from hub.cli.errors import DONE, REFUSED, UsageError
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from hub.cli.validate import read_files, show_faults
from onevoice.v1 import catalogue_pb2, fleet_pb2

PUBLISH_SECONDS: Final = 120.0
POLL_SECONDS: Final = 0.02
WAIT_SECONDS_DEFAULT: Final = 30
#: An edge that refuses this bundle too, in the words of the last time, is believed after this long.
SAME_REFUSAL_SECONDS: Final = 3.0


def add(commands: Commands) -> None:
    """Add the commands."""
    common = [json_option(), hub_options()]
    publish_parser = commands.add_parser(
        "publish", parents=common, help="submit a catalogue folder for publication"
    )
    publish_parser.add_argument("folder", type=Path, metavar="DIR", help="folder with .yaml files")
    publish_parser.set_defaults(run=publish)
    approve_parser = commands.add_parser(
        "approve", parents=common, help="approve submitted content by its hash"
    )
    approve_parser.add_argument("content_hash", metavar="HASH", help="content hash that `publish` printed")
    approve_parser.set_defaults(run=approve)
    rollback_parser = commands.add_parser("rollback", parents=common, help="publish earlier content again")
    rollback_parser.add_argument(
        "revision",
        nargs="?",
        type=number_between(1, 2**63 - 1),
        default=0,
        metavar="REV",
        help="revision whose content comes back; the content before the active one if not given",
    )
    rollback_parser.set_defaults(run=rollback)
    for parser in (publish_parser, approve_parser, rollback_parser):
        parser.add_argument(
            "--as", dest="user", metavar="USER", help="your id in the catalogue's governance [ONEVOICE_USER]"
        )
        parser.add_argument(
            "--wait", action="store_true", help="wait until every connected edge has answered"
        )
        parser.add_argument(
            "--timeout",
            type=number_between(1, 3600),
            default=WAIT_SECONDS_DEFAULT,
            metavar="SECONDS",
            help=f"how long to wait (default {WAIT_SECONDS_DEFAULT})",
        )


def publish(arguments: argparse.Namespace, output: Output) -> int:
    """Submit a folder."""
    files = read_files(arguments.folder)
    request = catalogue_pb2.PublishRequest(
        files=[catalogue_pb2.SourceFile(path=path, text=text) for path, text in files.items()],
        user=_user(arguments, required=True),
    )
    with open_hub(arguments) as hub:
        before = _refusals(hub, arguments)
        started = time.monotonic()
        answer = hub.catalogue.Publish(request, timeout=PUBLISH_SECONDS)
        if answer.faults:
            faults = [
                Fault(one.file, one.line, one.path, one.expected, one.got, one.column)
                for one in answer.faults
            ]
            return show_faults(arguments.folder, faults, len(faults), output)
        document = {
            "revision": answer.revision,
            "content_hash": answer.content_hash,
            "approvals_missing": answer.approvals_missing,
            "unchanged": answer.unchanged,
        }
        return _finish(hub, arguments, output, document, started, before)


def approve(arguments: argparse.Namespace, output: Output) -> int:
    """Approve one content hash."""
    request = catalogue_pb2.ApproveRequest(
        content_hash=arguments.content_hash, user=_user(arguments, required=True)
    )
    with open_hub(arguments) as hub:
        before = _refusals(hub, arguments)
        started = time.monotonic()
        answer = hub.catalogue.Approve(request, timeout=PUBLISH_SECONDS)
        document = {
            "revision": answer.revision,
            "content_hash": arguments.content_hash,
            "approvals_missing": answer.approvals_missing,
            "unchanged": False,
        }
        return _finish(hub, arguments, output, document, started, before)


def rollback(arguments: argparse.Namespace, output: Output) -> int:
    """Bring earlier content back."""
    request = catalogue_pb2.RollbackRequest(
        to_revision=arguments.revision, user=_user(arguments, required=False)
    )
    with open_hub(arguments) as hub:
        before = _refusals(hub, arguments)
        started = time.monotonic()
        answer = hub.catalogue.Rollback(request, timeout=PUBLISH_SECONDS)
        document = {
            "revision": answer.revision,
            "content_hash": answer.content_hash,
            "approvals_missing": 0,
            "unchanged": False,
        }
        return _finish(hub, arguments, output, document, started, before)


def _user(arguments: argparse.Namespace, *, required: bool) -> str:
    user: str = arguments.user or os.environ.get("ONEVOICE_USER", "")
    if required and not user:
        raise UsageError("nobody named: expected --as USER or ONEVOICE_USER")
    return user


#: Edge -> why it refused the bundle before this one.
Refusals = dict[str, str]


def _refusals(hub: HubClient, arguments: argparse.Namespace) -> Refusals:
    """What edges said of former bundles, so that it is not taken for an answer to the coming one."""
    if not arguments.wait:
        return {}
    status = hub.fleet.Status(fleet_pb2.StatusRequest(), timeout=CALL_SECONDS)
    return {edge.edge_id: edge.bundle_error for edge in status.edges if edge.bundle_error}


def _finish(
    hub: HubClient,
    arguments: argparse.Namespace,
    output: Output,
    document: dict[str, Any],
    started: float,
    before: Refusals,
) -> int:
    """Say what came of it, and with --wait watch the edges."""
    short = document["content_hash"][:12]
    if document["revision"] == 0:
        missing = document["approvals_missing"]
        advice = f"onevoice approve {document['content_hash']} --as APPROVER"
        output.show(document, [f"submitted {short}, waiting for {missing} approval(s): {advice}"])
        return REFUSED if arguments.wait else DONE
    verb = "is active already as" if document["unchanged"] else "is active as"
    line = f"{short} {verb} revision {document['revision']}"
    if not arguments.wait:
        output.show(document, [line])
        return DONE
    output.note(f"{line} at the hub after {_ms(started)} ms")
    watch = _Watch(document["revision"], started, before, arguments.timeout)
    document["edges"] = watch.run(hub, output)
    good = all(edge["error"] == "" for edge in document["edges"])
    output.show(document, _summary(document["edges"]))
    return DONE if good else REFUSED


class _Watch:
    """Waits for each connected edge's answer to a revision."""

    def __init__(self, revision: int, started: float, before: Refusals, seconds: float) -> None:
        self._revision = revision
        self._started = started
        self._before = before
        self._seconds = seconds
        self._answered: dict[str, dict[str, Any]] = {}

    def run(self, hub: HubClient, output: Output) -> list[dict[str, Any]]:
        """Each edge with the time of its answer, or with why there is none."""
        while True:
            status = hub.fleet.Status(fleet_pb2.StatusRequest(), timeout=CALL_SECONDS)
            connected = [edge for edge in status.edges if edge.connected]
            for edge in connected:
                result = self._answer_of(edge)
                if result is not None and edge.edge_id not in self._answered:
                    self._answered[edge.edge_id] = result
                    output.note(_edge_line(result))
            waiting = [edge.edge_id for edge in connected if edge.edge_id not in self._answered]
            if not waiting:
                return list(self._answered.values())
            if time.monotonic() - self._started > self._seconds:
                late = [self._result(name, f"no answer in {self._seconds} s") for name in waiting]
                return [*self._answered.values(), *late]
            time.sleep(POLL_SECONDS)

    def _answer_of(self, edge: fleet_pb2.EdgeStatus) -> dict[str, Any] | None:
        if edge.bundle_revision >= self._revision:
            return self._result(edge.edge_id, "")
        said_before = edge.bundle_error == self._before.get(edge.edge_id)
        patient = said_before and time.monotonic() - self._started < SAME_REFUSAL_SECONDS
        return self._result(edge.edge_id, edge.bundle_error) if edge.bundle_error and not patient else None

    def _result(self, edge_id: str, error: str) -> dict[str, Any]:
        return {"edge": edge_id, "ms": _ms(self._started), "error": error}


def _edge_line(result: dict[str, Any]) -> str:
    if result["error"]:
        return f"  {result['edge']}: refused it after {result['ms']} ms: {result['error']}"
    return f"  {result['edge']}: acknowledged after {result['ms']} ms"


def _summary(edges: list[dict[str, Any]]) -> list[str]:
    late = [_edge_line(edge) for edge in edges if edge["error"].startswith("no answer")]
    done = sum(1 for edge in edges if not edge["error"])
    return [*late, f"{done} of {len(edges)} connected edges serve it" if edges else "no edge is connected"]


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
