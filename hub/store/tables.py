"""Every table of the hub, loaded: what the migrations must give, and what a test compares them with."""

from hub.store import (
    audit,
    change_log,
    consents,
    counters,
    crossings,
    decisions,
    edges,
    engagements,
    event_ids,
    identity_history,
    identity_links,
    journal_positions,
    journeys,
    log_state,
    outbox,
    profiles,
    quarantine,
    revisions,
    signals,
    sources,
    suppressions,
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
    engagements,
    event_ids,
    identity_history,
    identity_links,
    journal_positions,
    journeys,
    log_state,
    outbox,
    profiles,
    quarantine,
    revisions,
    signals,
    sources,
    suppressions,
)

__all__ = ["MODULES", "metadata"]
