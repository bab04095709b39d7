"""`onevoice fleet`: the hub and every edge it has ever known."""

import argparse
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict

from hub.cli.arguments import json_option, now_ms, shown_time
from hub.cli.errors import DONE
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from onevoice.v1 import fleet_pb2


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "fleet",
        parents=[json_option(), hub_options()],
        help="show the hub and its edges: revision, sequence, age",
    )
    parser.set_defaults(run=fleet)


def fleet(arguments: argparse.Namespace, output: Output) -> int:
    """Print the state of the fleet."""
    with open_hub(arguments) as hub:
        status = hub.fleet.Status(fleet_pb2.StatusRequest(), timeout=CALL_SECONDS)
    output.show(_document(status), _lines(status))
    return DONE


def _document(status: fleet_pb2.StatusResponse) -> dict[str, Any]:
    """64-bit numbers as JSON numbers, which protobuf's own JSON writes as strings."""
    return {
        "hub": _plain(status.hub),
        "edges": [_plain(edge) for edge in status.edges],
    }


def _plain(message: fleet_pb2.HubStatus | fleet_pb2.EdgeStatus) -> dict[str, Any]:
    found = MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    for name, value in found.items():
        native = getattr(message, name)
        found[name] = dict(native) if isinstance(value, dict) else native
    return found


def _lines(status: fleet_pb2.StatusResponse) -> list[str]:
    hub = status.hub
    lines = [_hub_line(hub), *_count_lines(hub.counts)]
    for edge in status.edges:
        lines.append(_edge_line(edge, hub.sequence))
        if edge.bundle_error:
            lines.append(f"  refused the last bundle: {edge.bundle_error}")
        lines += _count_lines(edge.counts)
    return lines if status.edges else [*lines, "no edges yet"]


def _hub_line(hub: fleet_pb2.HubStatus) -> str:
    parts = (
        f"hub {hub.node}: revision {hub.bundle_revision} {hub.bundle_hash[:12]}",
        f"sequence {hub.sequence}",
        f"{hub.profiles} profiles",
        f"{hub.log_pending} messages waiting",
        f"{hub.quarantined} events in quarantine",
    )
    return ", ".join(parts)


def _edge_line(edge: fleet_pb2.EdgeStatus, sequence: int) -> str:
    ago_ms = max(0, now_ms() - edge.last_seen_ms)
    state = (
        f"heard of {ago_ms} ms ago" if edge.connected else f"away, last seen {shown_time(edge.last_seen_ms)}"
    )
    parts = (
        f"edge {edge.edge_id}: {state}",
        f"revision {edge.bundle_revision} {edge.bundle_hash[:12]}",
        f"sequence {edge.sequence} ({max(0, sequence - edge.sequence)} behind)",
        f"{edge.journal_behind_bytes} journal bytes not yet contained",
    )
    return ", ".join(parts)


def _count_lines(counts: Mapping[str, int]) -> list[str]:
    """What is not zero, in one line; all of it is in the JSON."""
    shown = ", ".join(f"{name} {value}" for name, value in sorted(counts.items()) if value)
    return [f"  {shown}"] if shown else []
