"""A journey's version: a name for everything that decides how people go through it."""

import hashlib
from typing import Any, Final

import msgspec

from core.bundle import STEP_SEND, BundleDocument, Journey, Step

VERSION_BYTES: Final = 16
_pack = msgspec.msgpack.Encoder(order="deterministic").encode


def journey_version(document: BundleDocument, journey: Journey) -> str:
    """Hex of the first 16 bytes of SHA-256 of the compiled journey.

    Indexes of rules, placements and templates mean something inside one bundle only, so the rules' texts and
    the others' ids stand in their place: a change elsewhere in the catalogue is no new version.
    """
    steps = [_step(document, step) for step in journey.steps]
    exits = [(one.occurrence, _rule(document, one.rule)) for one in journey.exits]
    form = (journey.id, journey.trigger, _rule(document, journey.when), journey.reentry_ms, exits, steps)
    return hashlib.sha256(_pack(form)).hexdigest()[: 2 * VERSION_BYTES]


def _step(document: BundleDocument, step: Step) -> tuple[Any, ...]:
    sends = step.kind == STEP_SEND
    return (
        step.id,
        step.kind,
        step.next,
        step.duration_ms,
        step.occurrence,
        step.then,
        step.otherwise,
        [(_rule(document, rule), target) for rule, target in step.branches],
        document.placements[step.placement].id if sends else "",
        document.outbound.templates[step.template].id if sends else "",
    )


def _rule(document: BundleDocument, rule: int) -> str:
    return document.rules[rule].text if rule >= 0 else ""
