"""`onevoice events`: import a file of events; look at those kept aside."""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Final

import grpc
import msgspec

from core.events import decode_event
from hub.cli import importing
from hub.cli.arguments import json_option, number_between, shown_time
from hub.cli.client import HubClient
from hub.cli.errors import DONE, CommandError, UsageError
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from onevoice.v1 import ingest_pb2

REPORT_SECONDS: Final = 1.0
RETRIES_MAX: Final = 8
BACKOFF_SECONDS: Final = 0.25
BACKOFF_SECONDS_MAX: Final = 10.0
#: What a hub that is busy or starting answers; the event ids make sending again harmless.
PASSING: Final = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.ABORTED,
)
BODY_SHOWN_MAX: Final = 400
RELEASE_SECONDS: Final = 600.0


def add(commands: Commands) -> None:
    """Add the commands."""
    parser = commands.add_parser("events", help="import events; show those kept aside")
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    common = [json_option(), hub_options()]
    load = kinds.add_parser(
        "import",
        parents=common,
        help="send a file of newline-delimited Segment-spec JSON; interrupted, it goes on where it was",
    )
    load.add_argument("file", type=Path, metavar="FILE", help="one JSON message a line")
    load.add_argument("--progress", type=Path, metavar="PATH", help="progress file (default FILE.progress)")
    load.add_argument(
        "--aside", type=Path, metavar="PATH", help="file for lines not taken (default FILE.aside)"
    )
    load.add_argument(
        "--restart", action="store_true", help="begin at the first line, whatever was done before"
    )
    load.set_defaults(run=import_file)
    aside = kinds.add_parser(
        "quarantine", parents=common, help="show events kept aside, newest first, with why"
    )
    aside.add_argument("--reason", default="", metavar="WORD", help="only those with this reason")
    aside.add_argument("--count", type=number_between(1, 1000), default=20, metavar="N", help="default 20")
    aside.add_argument(
        "--release", metavar="REASON", help="take those with this reason in again, by the active catalogue"
    )
    aside.add_argument(
        "--bodies", action="store_true", help="show the events too, which may hold personal data"
    )
    aside.set_defaults(run=quarantine)


def import_file(arguments: argparse.Namespace, output: Output) -> int:
    """Send a file."""
    path: Path = arguments.file
    journal = importing.Journal(
        arguments.progress or path.with_name(path.name + ".progress"),
        arguments.aside or path.with_name(path.name + ".aside"),
    )
    try:
        with path.open("rb") as file, open_hub(arguments) as hub:
            return _import(file, path, journal, hub, arguments.restart, output)
    except OSError as error:
        raise UsageError(f"{path}: expected a readable file and a folder to write to, got {error}") from error


def _import(
    file: BinaryIO, path: Path, journal: importing.Journal, hub: HubClient, restart: bool, output: Output
) -> int:
    identity = importing.identify(file)
    progress = importing.Progress(identity) if restart else journal.load(identity)
    if not progress.offset:
        journal.forget_aside()
    # Written once before anything is sent: a folder that cannot be written to is found out at the start.
    journal.save(progress)
    if progress.offset:
        output.note(f"{path}: going on after line {progress.line}")
    size = path.stat().st_size
    meter = _Meter(progress, size, output)
    importing.run(file, journal, progress, lambda messages: _send(hub, messages), meter.report)
    meter.report(progress, last=True)
    output.show(
        {
            "lines": progress.line,
            "accepted": progress.accepted,
            "duplicates": progress.duplicates,
            "rejected": progress.rejected,
            "seconds": round(meter.seconds, 3),
            "events_per_second": round(meter.rate(progress)),
        },
        [f"{path}: {_counts(progress)}"],
    )
    return DONE


def _counts(progress: importing.Progress) -> str:
    parts = (
        f"{progress.line} lines",
        f"{progress.accepted} events accepted",
        f"{progress.duplicates} already there",
        f"{progress.rejected} set aside",
    )
    return ", ".join(parts)


class _Meter:
    """The progress line."""

    def __init__(self, progress: importing.Progress, size: int, output: Output) -> None:
        self._began_at = progress.line
        self._size = max(1, size)
        self._output = output
        self._started = self._shown = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    def rate(self, progress: importing.Progress) -> float:
        """Lines a second in this run."""
        return (progress.line - self._began_at) / max(self.seconds, 1e-9)

    def report(self, progress: importing.Progress, *, last: bool = False) -> None:
        """Renew the line, once a second at most."""
        now = time.monotonic()
        if not last and now - self._shown < REPORT_SECONDS:
            return
        self._shown = now
        share = 100 * progress.offset // self._size
        counts = f"{progress.line} lines, {self.rate(progress):.0f} a second, {progress.rejected} set aside"
        self._output.progress(f"{share:3d} %  {counts}", last=last)


def _send(hub: HubClient, messages: list[bytes]) -> Callable[[], importing.Outcome]:
    """Start a call; the result sends again what met a hub that was busy or away."""
    request = ingest_pb2.EventsRequest(messages=messages)
    future = hub.ingest.Events.future(request, timeout=CALL_SECONDS) if messages else None

    def wait() -> importing.Outcome:
        answer = _insist(hub, request, future) if future is not None else ingest_pb2.EventsResponse()
        rejected = [(one.index, one.path, one.expected, one.got) for one in answer.rejected]
        return importing.Outcome(answer.accepted, answer.duplicates, rejected)

    return wait


def _insist(hub: HubClient, request: ingest_pb2.EventsRequest, future: Any) -> ingest_pb2.EventsResponse:
    for attempt in range(RETRIES_MAX):
        try:
            answer: ingest_pb2.EventsResponse = future.result()
            return answer
        except grpc.RpcError as error:
            if not isinstance(error, grpc.Call) or error.code() not in PASSING:
                raise
            pause = min(BACKOFF_SECONDS * 2**attempt, BACKOFF_SECONDS_MAX)
            time.sleep(pause * random.uniform(0.5, 1.0))
            future = hub.ingest.Events.future(request, timeout=CALL_SECONDS)
    try:
        last: ingest_pb2.EventsResponse = future.result()
        return last
    except grpc.RpcError as error:
        status = error.code().name if isinstance(error, grpc.Call) else "UNKNOWN"
        message = (
            f"the hub did not take the events ({status}); what it took is kept: run the same command again"
        )
        raise CommandError(message, {"code": status.lower(), "message": message}) from error


def quarantine(arguments: argparse.Namespace, output: Output) -> int:
    """Print events kept aside, or take some in again."""
    if arguments.release:
        return _release(arguments, output)
    request = ingest_pb2.QuarantineRequest(reason=arguments.reason, count=arguments.count)
    with open_hub(arguments) as hub:
        answer = hub.ingest.Quarantine(request, timeout=CALL_SECONDS)
    counts = dict(sorted(answer.counts.items()))
    events = [_quarantined(event, with_body=arguments.bodies) for event in answer.events]
    lines = [", ".join(f"{count} {reason}" for reason, count in counts.items()) or "nothing is kept aside"]
    for event in events:
        name = event["name"] or "(no name)"
        lines.append(
            f"{event['id']} {shown_time(event['received_at_ms'])} {event['reason']} {name}: {event['detail']}"
        )
        if arguments.bodies:
            lines.append(f"    {json.dumps(event['body'], ensure_ascii=False)[:BODY_SHOWN_MAX]}")
    output.show({"counts": counts, "events": events}, lines)
    return DONE


def _release(arguments: argparse.Namespace, output: Output) -> int:
    request = ingest_pb2.ReleaseRequest(reason=arguments.release)
    with open_hub(arguments) as hub:
        released = hub.ingest.Release(request, timeout=RELEASE_SECONDS).released
    output.show({"released": released}, [f"{released} events taken in"])
    return DONE


def _quarantined(event: ingest_pb2.QuarantinedEvent, *, with_body: bool) -> dict[str, Any]:
    names = ("id", "reason", "name", "edge_id", "received_at_ms", "detail")
    found = {name: getattr(event, name) for name in names}
    if with_body:
        found["body"] = _readable(event.body)
    return found


def _readable(body: bytes) -> Any:
    """An event kept aside as JSON; what is sealed and hashed is left out, bytes that are no event are hex."""
    try:
        event = decode_event(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return body.hex()
    names = ("message_id", "kind", "name", "at_ms", "node", "properties", "traits")
    return {name: getattr(event, name) for name in names}
