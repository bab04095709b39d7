"""`onevoice outbox`: messages on their way out, and those of which nobody knows whether they arrived."""

import argparse
import os
from collections.abc import Iterable
from typing import Any, Final

from hub.cli.arguments import json_option, number_between, shown_time
from hub.cli.errors import DONE
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from onevoice.v1 import outbound_pb2

STATES: Final = (
    "queued", "claimed", "handing_over", "sent", "failed", "in_doubt", "refused", "cancelled",
)  # fmt: skip
IN_DOUBT: Final = "in_doubt"
COUNT_DEFAULT: Final = 100
RESOLUTIONS: Final = {
    "sent": outbound_pb2.OUTBOUND_RESOLUTION_SENT,
    "resend": outbound_pb2.OUTBOUND_RESOLUTION_RESEND,
}
FIELDS: Final = (
    "message_id", "state", "reason", "detail", "channel", "placement", "template", "origin", "system",
    "attempts", "created_at_ms", "not_before_ms", "handed_over_at_ms", "changed_at_ms",
)  # fmt: skip


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser("outbox", help="messages on their way: list them, settle those in doubt")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_listing(
        actions.add_parser(
            "doubtful",
            parents=[json_option(), hub_options()],
            help="list messages that were being handed over when all trace of them was lost",
            description="Messages of which it is not known whether they arrived: the hub died, or the "
            "server did not answer, after it may have had them. They are never sent again by themselves.",
        ),
        (IN_DOUBT,),
    )
    listing = actions.add_parser(
        "list", parents=[json_option(), hub_options()], help="list messages by state, and count them"
    )
    listing.add_argument("--channel", default="", metavar="ID", help="only this channel")
    listing.add_argument("--state", choices=STATES, action="append", help="only this state (may be repeated)")
    _add_listing(listing, ())
    resolve = actions.add_parser(
        "resolve",
        parents=[json_option(), hub_options()],
        help="say what became of a message in doubt (kept in the audit record)",
        description="`sent`: it arrived, and counts as shown. `resend`: it did not; it passes every check "
        "again and goes out under its old Message-ID.",
    )
    resolve.add_argument("message_id", metavar="ID", help="the message, as `doubtful` lists it")
    resolve.add_argument("resolution", choices=tuple(RESOLUTIONS), help="what became of it")
    resolve.add_argument(
        "--as", dest="user", default=os.environ.get("USER", ""), metavar="USER", help="who says so"
    )
    resolve.set_defaults(run=resolve_one)


def _add_listing(parser: argparse.ArgumentParser, states: tuple[str, ...]) -> None:
    parser.add_argument(
        "--count",
        type=number_between(1, 1000),
        default=COUNT_DEFAULT,
        metavar="N",
        help=f"messages (default {COUNT_DEFAULT})",
    )
    parser.set_defaults(run=listed, states=states)


def listed(arguments: argparse.Namespace, output: Output) -> int:
    """Print messages, the longest unchanged first."""
    states = arguments.states or getattr(arguments, "state", None) or ()
    request = outbound_pb2.OutboundListRequest(
        states=states, channel=getattr(arguments, "channel", ""), count=arguments.count
    )
    with open_hub(arguments) as hub:
        answer = hub.outbound.List(request, timeout=CALL_SECONDS)
    counts = {state: answer.counts.get(state, 0) for state in STATES}
    document = {"messages": [shown(message) for message in answer.messages], "counts": counts}
    output.show(document, _lines(answer.messages, counts, arguments.states))
    return DONE


def resolve_one(arguments: argparse.Namespace, output: Output) -> int:
    """Settle one message."""
    request = outbound_pb2.OutboundResolveRequest(
        message_id=arguments.message_id, resolution=RESOLUTIONS[arguments.resolution], user=arguments.user
    )
    with open_hub(arguments) as hub:
        message = hub.outbound.Resolve(request, timeout=CALL_SECONDS).message
    output.show(shown(message), [f"{message.message_id} is {message.state}"])
    return DONE


def shown(message: outbound_pb2.OutboundMessage) -> dict[str, Any]:
    """A message as JSON: never an address."""
    return {name: getattr(message, name) for name in FIELDS}


def _lines(
    messages: Iterable[outbound_pb2.OutboundMessage], counts: dict[str, int], states: tuple[str, ...]
) -> list[str]:
    lines = [_line(message) for message in messages]
    if states:
        total = counts[IN_DOUBT]
        more = [f"{total - len(lines)} more"] if total > len(lines) else []
        return [*lines, *more] or ["no message is in doubt"]
    return [*lines, ", ".join(f"{state} {count}" for state, count in counts.items())]


def _line(message: outbound_pb2.OutboundMessage) -> str:
    why = " ".join(part for part in (message.reason, message.detail) if part)
    by = f" by {message.system}" if message.system else ""
    return (
        f"{shown_time(message.changed_at_ms)} {message.message_id} {message.channel} {message.origin} "
        f"{message.placement}{by}: {message.state}{f' ({why})' if why else ''}"
    )
