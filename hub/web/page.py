"""The status page: one table for the hub, one for the edges; no script, nothing to click."""

from collections.abc import Iterable
from datetime import UTC, datetime
from html import escape
from typing import Final

from onevoice.v1 import fleet_pb2

_STYLE: Final = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
body { color: #1c1c1e }
table { border-collapse: collapse; margin: 0 0 2rem; width: 100% }
caption { text-align: left; font-weight: 600; padding: .5rem 0 }
th, td { text-align: left; padding: .35rem .75rem; border-bottom: 1px solid #ddd; vertical-align: top }
td.number { text-align: right; font-variant-numeric: tabular-nums }
.bad { color: #a40000 }
@media (prefers-color-scheme: dark) {
  body { background: #1c1c1e; color: #eee }
  th, td { border-color: #444 }
  .bad { color: #ff8a80 }
}
"""


def render(status: fleet_pb2.StatusResponse) -> str:
    """The page."""
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8><title>Onevoice hub</title>"
        "<meta name=viewport content='width=device-width'><meta http-equiv=refresh content=5>"
        f"<style>{_STYLE}</style></head><body><h1>Onevoice hub {escape(status.hub.node)}</h1>"
        f"{_hub(status.hub)}{_edges(status)}</body></html>\n"
    )


def _hub(hub: fleet_pb2.HubStatus) -> str:
    bundle = (
        f"{hub.bundle_revision} ({escape(hub.bundle_hash[:12])})"
        if hub.bundle_revision
        else "nothing published yet"
    )
    figures = {
        "change-log sequence": hub.sequence,
        "profiles": hub.profiles,
        "messages waiting in the event log": hub.log_pending,
        "events in quarantine": hub.quarantined,
        **{name.replace("_", " "): value for name, value in sorted(hub.counts.items())},
    }
    rows = [f"<tr><th scope=row>active revision</th><td class=number>{bundle}</td></tr>"]
    rows += [
        f"<tr><th scope=row>{escape(name)}</th><td class=number>{value:,}</td></tr>"
        for name, value in figures.items()
    ]
    return f"<table><caption>Hub</caption>{''.join(rows)}</table>"


def _edges(status: fleet_pb2.StatusResponse) -> str:
    if not status.edges:
        return "<p>No edge has connected yet.</p>"
    names = ("edge", "state", "revision", "sequence", "behind", "journal bytes not contained", "counts")
    head = "".join(f"<th scope=col>{name}</th>" for name in names)
    rows = "".join(_edge(edge, status.hub) for edge in status.edges)
    return f"<table><caption>Edges</caption><tr>{head}</tr>{rows}</table>"


def _edge(edge: fleet_pb2.EdgeStatus, hub: fleet_pb2.HubStatus) -> str:
    if edge.connected:
        state = "connected"
    else:
        seen = datetime.fromtimestamp(edge.last_seen_ms / 1000, UTC).isoformat(" ", "seconds")
        state = f"<span class=bad>away since {seen}</span>"
    if edge.bundle_error:
        state += f"<br><span class=bad>refused the last bundle: {escape(edge.bundle_error)}</span>"
    behind = max(0, hub.sequence - edge.sequence)
    counts = ", ".join(f"{escape(name)} {value:,}" for name, value in sorted(edge.counts.items()))
    cells: Iterable[str] = (
        f"<th scope=row>{escape(edge.edge_id)}</th>",
        f"<td>{state}</td>",
        *(
            f"<td class=number>{value:,}</td>"
            for value in (edge.bundle_revision, edge.sequence, behind, edge.journal_behind_bytes)
        ),
        f"<td>{counts}</td>",
    )
    return f"<tr>{''.join(cells)}</tr>"
