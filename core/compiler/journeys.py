"""Journeys: their steps as a graph of indexes, and what is wrong with such a graph.

A journey runs at the hub, on the person's whole record and without a request: its expressions may use every
attribute of the profile and none of the context.
"""

from collections.abc import Iterator
from typing import Any, Final

from core import bundle
from core.authoring import Path, shown
from core.authoring.types import Exit, Journey, Occurrence, Reentry, Step, WaitFor
from core.compiler.attributes import is_storable
from core.compiler.expressions import Rules
from core.compiler.taxonomy import Taxonomy
from core.compiler.work import Work

END: Final = -1
ACTIONS: Final = ("wait", "wait_for", "branch", "send", "end")
#: What of a step says where it leads.
WAYS: Final = ("wait", "wait_for", "branch", "end", "next")
#: The word that a rule's name has for a journey's exits, in the place of a step.
EXIT: Final = "exit"


def compile_journeys(work: Work, rules: Rules, taxonomy: Taxonomy) -> list[bundle.Journey]:
    """The journeys in id order."""
    return [
        _Compilation(work, rules, taxonomy, path, journey).run() for path, journey in work.ordered("journeys")
    ]


class _Compilation:
    """One journey."""

    def __init__(self, work: Work, rules: Rules, taxonomy: Taxonomy, path: Path, journey: Journey) -> None:
        self.work = work
        self.rules = rules
        self.taxonomy = taxonomy
        self.path = path
        self.journey = journey
        self.indexes: dict[str, int] = {}
        steps = [(*path, "steps", at) for at in range(len(journey.steps))]
        self.names: list[Path] = [(*step, "id") for step in steps]
        self.ways = self.names + [(*step, name) for step in steps for name in WAYS]

    def run(self) -> bundle.Journey:
        journey, path = self.journey, self.path
        self._name_steps()
        steps = [self._step((*path, "steps", at), at, step) for at, step in enumerate(journey.steps)]
        self._check_reached(steps)
        self._check_loops(steps)
        self._check_attributes()
        return bundle.Journey(
            id=journey.id,
            trigger=self._occurrence((*path, "trigger"), journey.trigger),
            when=self._rule("when"),
            reentry_ms=self._reentry(journey.reentry),
            exits=[self._exit((*path, "exits", at), at, one) for at, one in enumerate(journey.exits)],
            steps=steps,
        )

    def _rule(self, name: str) -> int:
        return self.rules.index.get(f"journey:{self.journey.id}:{name}", -1)

    def _name_steps(self) -> None:
        for at, step in enumerate(self.journey.steps):
            path = (*self.path, "steps", at, "id")
            if step.id == EXIT:
                self.work.faults.add(
                    path, "another id than `exit`, which rules have for exits", shown(step.id)
                )
            if step.id in self.indexes:
                self.work.faults.add(path, "a new id of a step of this journey", f"{shown(step.id)} again")
            self.indexes.setdefault(step.id, at)

    # ---- Steps

    def _step(self, path: Path, at: int, step: Step) -> bundle.Step:
        actions = [name for name in ACTIONS if getattr(step, name)]
        below = at + 1 if at + 1 < len(self.journey.steps) else END
        following = below if step.next is None else self._target((*path, "next"), step.next)
        if len(actions) != 1:
            got = "none" if not actions else " and ".join(f"`{name}`" for name in actions)
            expected = f"one of {', '.join(f'`{name}`' for name in ACTIONS)}"
            rests = [(*path, name) for name in ACTIONS]
            self.work.faults.add(path, expected, got, of=rests)
            return bundle.Step(step.id, bundle.STEP_BRANCH, following)
        if step.wait_for is not None:
            return self._wait_for(path, step, step.wait_for, following)
        if step.end:
            return self._end(path, step)
        if step.send is not None:
            placement, template = self._send(path, step)
            return bundle.Step(step.id, bundle.STEP_SEND, following, placement=placement, template=template)
        if step.branch:
            branches = self._branches(path, step)
            return bundle.Step(step.id, bundle.STEP_BRANCH, following, branches=branches)
        duration_ms = self._span((*path, "wait"), step.wait)
        return bundle.Step(step.id, bundle.STEP_WAIT, following, duration_ms=duration_ms)

    def _target(self, path: Path, name: str) -> int:
        found = self.indexes.get(name, END)
        if found == END:
            expected = "the id of a step of this journey"
            self.work.faults.add(path, expected, shown(name), of=self.names)
        return found

    def _wait_for(self, path: Path, step: Step, wait: WaitFor, following: int) -> bundle.Step:
        where = (*path, "wait_for")
        if step.next is not None and wait.then is not None and wait.otherwise is not None:
            expected = "no `next` beside `then` and `otherwise`"
            rests = [(*where, "then"), (*where, "otherwise")]
            self.work.faults.add((*path, "next"), expected, shown(step.next), of=rests)
        return bundle.Step(
            id=step.id,
            kind=bundle.STEP_WAIT_FOR,
            next=following,
            duration_ms=self._span((*where, "at_most"), wait.at_most),
            occurrence=self._occurrence(where, wait),
            then=following if wait.then is None else self._target((*where, "then"), wait.then),
            otherwise=(
                following if wait.otherwise is None else self._target((*where, "otherwise"), wait.otherwise)
            ),
        )

    def _end(self, path: Path, step: Step) -> bundle.Step:
        if step.next is not None:
            expected = "no `next` beside `end`"
            self.work.faults.add((*path, "next"), expected, shown(step.next), of=[(*path, "end")])
        return bundle.Step(step.id, bundle.STEP_END)

    def _branches(self, path: Path, step: Step) -> list[tuple[int, int]]:
        return [
            (self._rule(f"{step.id}:{at}"), self._target((*path, "branch", at, "go"), branch.go))
            for at, branch in enumerate(step.branch)
        ]

    def _send(self, path: Path, step: Step) -> tuple[int, int]:
        assert step.send is not None
        work, path = self.work, (*path, "send")
        placement = work.index("placements", step.send.placement, (*path, "placement"))
        template = work.index("templates", step.send.template, (*path, "template"))
        found = work.objects["placements"].get(step.send.placement)
        master = work.objects["templates"].get(step.send.template)
        if found is not None and found.answered_at != "hub":
            expected = "a placement that is answered at the hub, where journeys run"
            got = f"{found.id}, answered at the {found.answered_at}"
            rests = work.below("placements", found.id, "answered_at")
            work.faults.add((*path, "placement"), expected, got, of=rests)
        if found is not None and master is not None and found.channel != master.channel:
            expected = f"a template of the channel {found.channel} of {found.id}"
            rests = work.below("placements", found.id, "channel")
            rests += work.below("templates", master.id, "channel")
            work.faults.add((*path, "template"), expected, f"{master.id} of {master.channel}", of=rests)
        return placement, template

    def _span(self, path: Path, text: str | None) -> int:
        """A duration as the journey runs: divided by the time scale, at least a millisecond."""
        scale = self.work.catalogue.settings.time_scale
        scaled = self.work.duration(text, path) / scale
        if scaled > bundle.SPAN_MS_MAX:
            expected = f"a duration of at most {bundle.SPAN_MS_MAX} ms after division by the time scale"
            self.work.faults.add(path, expected, f"{text} / {scale}", of=[("settings", "time_scale")])
            return 1
        return max(1, round(scaled))

    # ---- Events, exits, re-entry

    def _occurrence(self, path: Path, one: Occurrence | WaitFor | Exit) -> bundle.Occurrence:
        name = one.event or ""
        if name not in self.taxonomy.names:
            hint = f", an alias of {shown(alias)}" if (alias := self.taxonomy.aliases.get(name)) else ""
            rests = self.work.unnamed["events"]
            self.work.faults.add((*path, "event"), "a canonical event name", shown(name) + hint, of=rests)
        return bundle.Occurrence(
            name, {key: self._allowed(path, key, value) for key, value in sorted(one.where.items())}
        )

    def _allowed(self, path: Path, key: str, value: Any) -> list[bundle.Scalar]:
        allowed = list(value) if isinstance(value, list) else [value]
        for item in allowed:
            if not is_storable(item):
                expected = "ints of 64 bits and finite numbers"
                self.work.faults.add((*path, "where", key), expected, shown(item), of=())
        return allowed

    def _exit(self, path: Path, at: int, one: Exit) -> bundle.Exit:
        if (one.event is None) == (one.when is None):
            got = "neither" if one.event is None else "both"
            self.work.faults.add(path, "`event` or `when`", got, of=[(*path, "event"), (*path, "when")])
        elif one.where and one.event is None:
            expected = "`where` beside an `event` only"
            self.work.faults.add((*path, "where"), expected, "`where`", of=[(*path, "event")])
        if one.event is not None:
            return bundle.Exit(self._occurrence(path, one), -1)
        return bundle.Exit(None, self._rule(f"{EXIT}:{at}"))

    def _reentry(self, reentry: str | Reentry) -> int:
        if isinstance(reentry, Reentry):
            return self._span((*self.path, "reentry", "after"), reentry.after)
        return 0 if reentry == "always" else -1

    # ---- The graph

    def _check_reached(self, steps: list[bundle.Step]) -> None:
        reached: set[int] = set()
        stack = [0] if steps else []
        while stack:
            at = stack.pop()
            if at not in reached and at != END:
                reached.add(at)
                stack += _ways(steps[at])
        for at, step in enumerate(steps):
            if at not in reached:
                path = (*self.path, "steps", at)
                expected = "a step that the first one leads to"
                self.work.faults.add(path, expected, f"{shown(step.id)}, never reached", of=self.ways)

    def _check_loops(self, steps: list[bundle.Step]) -> None:
        """Whoever goes round without waiting goes round for ever. Each such loop is named once."""
        settled: set[int] = set()
        for start in range(len(steps)):
            loop = _loop_without_wait(steps, start, settled)
            if loop:
                names = [steps[at].id for at in loop]
                path = (*self.path, "steps", loop[0])
                got = " -> ".join([*names, names[0]])
                self.work.faults.add(path, "a wait somewhere in each loop", got, of=self.ways)

    def _check_attributes(self) -> None:
        prefix = f"journey:{self.journey.id}:"
        for name, number in self.rules.index.items():
            if not name.startswith(prefix):
                continue
            for attribute in self.rules.items[number].attributes:
                full = self.rules.attribute_names[attribute]
                if full.startswith("context."):
                    expected = "attributes of the profile, since a journey runs without a request"
                    self.work.faults.add(self.rules.paths[number], expected, full)


def _ways(step: bundle.Step) -> list[int]:
    """Where a step can lead."""
    if step.kind == bundle.STEP_END:
        return []
    if step.kind == bundle.STEP_WAIT_FOR:
        return [step.then, step.otherwise]
    return [target for _, target in step.branches] + [step.next]


def _ways_at_once(steps: list[bundle.Step], at: int) -> Iterator[int]:
    if steps[at].kind not in (bundle.STEP_WAIT, bundle.STEP_WAIT_FOR):
        yield from (target for target in _ways(steps[at]) if target != END)


def _loop_without_wait(steps: list[bundle.Step], start: int, settled: set[int]) -> list[int]:
    """A loop that can be reached from `start` without waiting, from its first step on; steps in `settled`
    lead to none that is not known."""
    trail: list[int] = []
    ways: list[Iterator[int]] = []

    def enter(at: int) -> None:
        settled.add(at)
        trail.append(at)
        ways.append(_ways_at_once(steps, at))

    if start in settled:
        return []
    enter(start)
    found: list[int] = []
    while trail:
        at = next(ways[-1], None)
        if at is None:
            trail.pop()
            ways.pop()
        elif at in trail and not found:
            loop = trail[trail.index(at) :]
            first = loop.index(min(loop))
            found = loop[first:] + loop[:first]
        elif at not in settled:
            enter(at)
    return found
