"""`onevoice audit`: who did what."""

import argparse

from hub.cli.arguments import json_option, number_between, shown_time
from hub.cli.errors import DONE
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from onevoice.v1 import governance_pb2


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "audit", parents=[json_option(), hub_options()], help="show who changed what, newest first"
    )
    parser.add_argument(
        "--count", type=number_between(1, 1000), default=50, metavar="N", help="entries (default 50)"
    )
    parser.add_argument(
        "--before",
        type=number_between(1, 2**62),
        default=0,
        metavar="NUMBER",
        help="only entries below this number",
    )
    parser.set_defaults(run=audit)


def audit(arguments: argparse.Namespace, output: Output) -> int:
    """Print the newest entries."""
    request = governance_pb2.AuditRequest(count=arguments.count, before_number=arguments.before)
    with open_hub(arguments) as hub:
        entries = hub.governance.Audit(request, timeout=CALL_SECONDS).entries
    names = ("number", "at_ms", "who", "action", "subject", "before", "after")
    output.show(
        {"entries": [{name: getattr(entry, name) for name in names} for entry in entries]},
        [_line(entry) for entry in entries] or ["nothing yet"],
    )
    return DONE


def _line(entry: governance_pb2.AuditEntry) -> str:
    change = f": {entry.before[:24] or 'nothing'} -> {entry.after[:24]}" if entry.after else ""
    return f"{entry.number} {shown_time(entry.at_ms)} {entry.who} {entry.action} {entry.subject}{change}"
