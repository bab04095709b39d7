"""What journeys do: who enters, where she goes on, when she leaves. Pure; the runner reads and writes.

A rule is true, or it is not: `truths` is the set of the version's rules that hold for the person now.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final, NamedTuple

from core.bundle import (
    STEP_BRANCH,
    STEP_END,
    STEP_SEND,
    STEP_WAIT,
    STEP_WAIT_FOR,
    Journey,
    Occurrence,
    Step,
)
from hub.store.journeys import ACTIVE, ENDED, WAITING, Entered, Instance
from hub.store.signals import Signal

#: Steps that one instance takes without a wait between them.
STEPS_AT_ONCE_MAX: Final = 100
INSTANCE_ID_BYTES: Final = 16
MESSAGE_ID_BYTES: Final = 16
NO_STEP: Final = -1

#: Why an instance ended.
COMPLETED: Final = "completed"
EXITED: Final = "exited"
LOOPING: Final = "looping"
GONE: Final = "gone"  # the person was erased

Truths = Callable[[], Collection[int]]


class Send(NamedTuple):
    """A message that a step sends."""

    message_id: str
    step: Step


def occurs(occurrence: Occurrence, signal: Signal) -> bool:
    """Whether a signal is what a journey means."""
    return occurrence.event == signal.event and all(
        _is_one_of(signal.properties.get(path), allowed) for path, allowed in occurrence.where.items()
    )


def _is_one_of(value: Any, allowed: Collection[Any]) -> bool:
    # As in the fold: true is no 1.
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in allowed)


def may_enter(journey: Journey, before: Iterable[Entered], inside: bool, now_ms: int) -> bool:
    """Whether the re-entry rule lets a person in, from all earlier entries of hers."""
    if inside:
        return False
    last_ms = max((one.last_at_ms for one in before if one.journey_id == journey.id), default=None)
    if last_ms is None:
        return True
    return journey.reentry_ms >= 0 and now_ms - last_ms >= journey.reentry_ms


def enter(journey: Journey, version: str, signal: Signal, entry: int, now_ms: int) -> Instance:
    """The instance that a signal makes; it takes its first step as soon as it is advanced.

    Named by source and entry number, so that the same signal cannot make two.
    """
    name = f"{journey.id}\0{entry}\0".encode() + signal.source_id
    return Instance(
        instance_id=hashlib.sha256(name).digest()[:INSTANCE_ID_BYTES],
        journey_id=journey.id,
        version=version,
        source_id=signal.source_id,
        entry=entry,
        step=0,
        visit=0,
        state=ACTIVE,
        due_at_ms=now_ms,
        waits_for="",
        entered_at_ms=now_ms,
    )


def exits_by(journey: Journey, signal: Signal) -> bool:
    """Whether a signal makes people leave."""
    return any(one.occurrence is not None and occurs(one.occurrence, signal) for one in journey.exits)


def exits_if(journey: Journey, truths: Truths) -> bool:
    """Whether a condition makes the person leave."""
    rules = [one.rule for one in journey.exits if one.occurrence is None]
    return bool(rules) and not set(rules).isdisjoint(truths())


def hear(journey: Journey, instance: Instance, signal: Signal, now_ms: int) -> Instance:
    """Where an instance stands after a signal: exited, woken, or as before."""
    if instance.state == ENDED:
        return instance
    if exits_by(journey, signal):
        return end(instance, EXITED, now_ms)
    step = journey.steps[instance.step]
    waits = instance.state == WAITING and step.occurrence is not None
    if waits and step.occurrence is not None and occurs(step.occurrence, signal):
        return _go(instance, step.then, now_ms)
    return instance


def advance(journey: Journey, instance: Instance, truths: Truths, now_ms: int) -> tuple[Instance, list[Send]]:
    """Take every step that can be taken now; what has to be sent on the way."""
    sends: list[Send] = []
    if instance.state == WAITING:
        # It is due, so what it waited for did not come in time.
        instance = _go(instance, journey.steps[instance.step].otherwise, now_ms)
    for _ in range(STEPS_AT_ONCE_MAX):
        if instance.state == ENDED or (instance.due_at_ms or 0) > now_ms:
            return instance, sends
        if exits_if(journey, truths):
            return end(instance, EXITED, now_ms), []
        step = journey.steps[instance.step]
        if step.kind == STEP_SEND:
            sends.append(Send(message_id_of(instance, step), step))
        instance = _take(step, instance._replace(visit=instance.visit + 1), truths, now_ms)
        if instance.state == WAITING:
            return instance, sends
    return end(instance, LOOPING, now_ms), sends


def _take(step: Step, instance: Instance, truths: Truths, now_ms: int) -> Instance:
    match step.kind:
        case kind if kind == STEP_WAIT:
            return _go(instance, step.next, now_ms + step.duration_ms)
        case kind if kind == STEP_WAIT_FOR:
            assert step.occurrence is not None
            due_ms = now_ms + step.duration_ms
            return instance._replace(state=WAITING, due_at_ms=due_ms, waits_for=step.occurrence.event)
        case kind if kind == STEP_BRANCH:
            return _go(instance, _branch(step, truths()), now_ms)
        case kind if kind == STEP_END:
            return end(instance, COMPLETED, now_ms)
        case _:
            return _go(instance, step.next, now_ms)


def _branch(step: Step, truths: Collection[int]) -> int:
    return next((target for rule, target in step.branches if rule in truths), step.next)


def _go(instance: Instance, step: int, due_ms: int) -> Instance:
    if step == NO_STEP:
        return end(instance, COMPLETED, due_ms)
    return instance._replace(step=step, state=ACTIVE, due_at_ms=due_ms, waits_for="")


def end(instance: Instance, reason: str, now_ms: int) -> Instance:
    """The instance, ended."""
    return instance._replace(
        state=ENDED, due_at_ms=None, waits_for="", ended_at_ms=now_ms, ended_reason=reason
    )


def message_id_of(instance: Instance, step: Step) -> str:
    """What stands before the @ of the Message-ID: the same however often the step is computed."""
    name = instance.instance_id + f"\0{step.id}\0{instance.visit}".encode()
    return hashlib.sha256(name).digest()[:MESSAGE_ID_BYTES].hex()


def entry_after(before: Mapping[tuple[bytes, str], Entered], source_id: bytes, journey_id: str) -> int:
    """The number of a source's next entry."""
    last = before.get((source_id, journey_id))
    return last.entries + 1 if last is not None else 1
