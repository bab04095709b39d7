"""Every table of the hub, loaded: what the migrations must give, and what a test compares them with."""

from hub.store import (
    audit,
    change_log,
    consents,
    counters,
    crossings,
    decisions,
    edges,
    event_ids,
    identity_history,
    identity_links,
    journal_positions,
    log_state,
    profiles,
    quarantine,
    revisions,
    sources,
)
from hub.store.metadata import metadata

MODULES = (
    audit,
    change_log,
    consents,
    counters,
    crossings,
    decisions,
    edges,
    event_ids,
    identity_history,
    identity_links,
    journal_positions,
    log_state,
    profiles,
    quarantine,
    revisions,
    sources,
)

__all__ = ["MODULES", "metadata"]
