"""The check of a bundle's outbound part: every index and bound, so that delivery need not doubt any."""

import math
from typing import Final

from core import bundle as b
from core.check_programs import fail

JOURNEYS_MAX: Final = 10_000
STEPS_MAX: Final = 100
MINUTES_A_DAY: Final = 24 * 60
TIME_SCALE_MAX: Final = 1e6


def check_outbound(document: b.BundleDocument) -> None:
    """Raise BundleError at the first index or bound that is not as `core/bundle.py` says."""
    outbound = document.outbound
    _unique("$.outbound.templates", [template.id for template in outbound.templates])
    _unique("$.outbound.journeys", [journey.id for journey in outbound.journeys])
    if len(outbound.journeys) > JOURNEYS_MAX:
        fail("$.outbound.journeys", f"at most {JOURNEYS_MAX}", len(outbound.journeys))
    for i, template in enumerate(outbound.templates):
        if not template.channel or not template.locale:
            fail(f"$.outbound.templates[{i}]", "a channel and a locale", (template.channel, template.locale))
    for i, journey in enumerate(outbound.journeys):
        _journey(document, f"$.outbound.journeys[{i}]", journey)
    for i, quiet in enumerate(outbound.quiet_hours):
        path = f"$.outbound.quiet_hours[{i}]"
        _range(f"{path}.start", quiet.start, 0, MINUTES_A_DAY - 1)
        _range(f"{path}.end", quiet.end, 0, MINUTES_A_DAY - 1)
        if quiet.start == quiet.end:
            fail(f"{path}.end", "another minute than the start", quiet.end)
    if not (math.isfinite(outbound.time_scale) and 0 < outbound.time_scale <= TIME_SCALE_MAX):
        fail("$.outbound.time_scale", f"a number above 0, at most {TIME_SCALE_MAX:g}", outbound.time_scale)
    blocks = {block.id: block.type for block in document.blocks}
    for name in outbound.translations:
        if blocks.get(name) != b.SLOT_TEXT:
            fail("$.outbound.translations", "ids of text blocks", name)


def _journey(document: b.BundleDocument, path: str, journey: b.Journey) -> None:
    _rule(document, f"{path}.when", journey.when)
    _range(f"{path}.reentry_ms", journey.reentry_ms, -1, b.SPAN_MS_MAX)
    for i, one in enumerate(journey.exits):
        if one.occurrence is None and one.rule == -1:
            fail(f"{path}.exits[{i}]", "an event or a rule", one)
        _rule(document, f"{path}.exits[{i}].rule", one.rule)
    if not 1 <= len(journey.steps) <= STEPS_MAX:
        fail(f"{path}.steps", f"1 to {STEPS_MAX} steps", len(journey.steps))
    _unique(f"{path}.steps", [step.id for step in journey.steps])
    for i, step in enumerate(journey.steps):
        _step(document, f"{path}.steps[{i}]", step, len(journey.steps))
    _loops(path, journey.steps)


def _step(document: b.BundleDocument, path: str, step: b.Step, count: int) -> None:
    _range(f"{path}.kind", step.kind, b.STEP_WAIT, b.STEP_END)
    for name in ("next", "then", "otherwise"):
        _range(f"{path}.{name}", getattr(step, name), -1, count - 1)
    waits = step.kind in (b.STEP_WAIT, b.STEP_WAIT_FOR)
    _range(f"{path}.duration_ms", step.duration_ms, 1 if waits else 0, b.SPAN_MS_MAX)
    if step.kind == b.STEP_WAIT_FOR and step.occurrence is None:
        fail(f"{path}.occurrence", "an event to wait for", None)
    for rule, target in step.branches:
        _range(f"{path}.branches", rule, 0, len(document.rules) - 1)
        _range(f"{path}.branches", target, -1, count - 1)
    if step.kind == b.STEP_SEND:
        _send(document, path, step)


def _send(document: b.BundleDocument, path: str, step: b.Step) -> None:
    outbound = document.outbound
    _range(f"{path}.placement", step.placement, 0, len(document.placements) - 1)
    _range(f"{path}.template", step.template, 0, len(outbound.templates) - 1)
    placement = document.placements[step.placement]
    if placement.answered_at != b.ANSWERED_AT_HUB:
        fail(f"{path}.placement", "a placement of the hub", placement.id)
    if placement.channel != outbound.templates[step.template].channel:
        fail(f"{path}.template", f"a template of {placement.channel}", outbound.templates[step.template].id)


def _loops(path: str, steps: list[b.Step]) -> None:
    """Steps that do not wait never lead back: taking away those that lead nowhere leaves none."""
    ways = {
        i: {target for target in (step.next, *(to for _, to in step.branches)) if target != -1}
        if step.kind in (b.STEP_BRANCH, b.STEP_SEND)
        else set[int]()
        for i, step in enumerate(steps)
    }
    while ended := [i for i, targets in ways.items() if ways.keys().isdisjoint(targets)]:
        for i in ended:
            del ways[i]
    if ways:
        fail(f"{path}.steps", "a wait somewhere in each loop", sorted(ways))


def _rule(document: b.BundleDocument, path: str, index: int) -> None:
    _range(path, index, -1, len(document.rules) - 1)


def _range(path: str, number: int, low: int, high: int) -> None:
    if not low <= number <= high:
        fail(path, f"a number from {low} to {high}", number)


def _unique(path: str, names: list[str]) -> None:
    if len(set(names)) != len(names):
        fail(path, "different names", len(names))
