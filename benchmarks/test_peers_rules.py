"""`core.match_*_vs_*`: rules in the engines that people use, beside ours on the same rules and profiles.

Ours takes a packed record, they take a dict, as each of them is used; all return a list. All have to give the
same answers on 1,000 profiles before any of them is timed.
"""

import statistics
from functools import cache

import pytest

from benchmarks.conftest import hold
from benchmarks.peers import rules as peers
from benchmarks.peers.timing import sides_in_turns, version
from benchmarks.results import Figure, Results
from benchmarks.test_match import rule_numbers
from benchmarks.workload import NOW_MS, Workload, make_workload

PROFILES = 1_000
SIZES = (10, 100, 1_000)
#: Some take milliseconds a call.
SLOW_ROUNDS = 6

workload = cache(make_workload)


@cache
def answers(count: int) -> list[list[int]]:
    """What holds for each profile of the workload, by the generated Python."""
    work = workload(count, PROFILES)
    return list(map(work.generated(), work.profiles))


def ours(work: Workload, expected: list[list[int]]) -> tuple[peers.Match, list[bytes]]:
    """Our call and its inputs, after its answers were compared."""
    engine, numbers = work.engine, rule_numbers(work)

    def match(record: bytes) -> list[int]:
        return engine.match(record, {}, NOW_MS)

    assert [[numbers[index] for index in match(record)] for record in work.records] == expected
    return match, work.records


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", SIZES)
def test_rules_beside_datalogic(results: Results, count: int) -> None:
    work, expected = workload(count, PROFILES), answers(count)
    from_dict, from_handle = peers.datalogic(work.rules)
    handles = peers.parsed(work.profiles)
    assert [from_dict(profile) for profile in work.profiles] == expected
    assert [from_handle(handle) for handle in handles] == expected
    ours_us, theirs_us, parsed_us = sides_in_turns(
        ours(work, expected), (from_dict, work.profiles), (from_handle, handles)
    )
    notes = {"rules": count, "peer": version("datalogic-py"), "peer_gets": "a dict"}
    notes["peer_with_parsed_data_us"] = round(statistics.median(parsed_us), 2)
    hold(results.add(versus("datalogic", count, ours_us, theirs_us, notes)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", SIZES)
def test_rules_beside_zen(results: Results, count: int) -> None:
    work, expected = workload(count, PROFILES), answers(count)
    expression, table = peers.zen(work.rules), peers.zen_table(work.rules)
    assert [expression(profile) for profile in work.profiles] == expected
    assert [table(profile) for profile in work.profiles] == expected
    ours_us, theirs_us, table_us = sides_in_turns(
        ours(work, expected), (expression, work.profiles), (table, work.profiles)
    )
    notes = {"rules": count, "peer": version("zen-engine"), "peer_gets": "a dict"}
    notes["peer_as_decision_table_us"] = round(statistics.median(table_us), 2)
    hold(results.add(versus("zen", count, ours_us, theirs_us, notes)))


@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("count", SIZES)
@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("growthbook", "growthbook"),
        ("flagsmith", "flagsmith-flag-engine"),
        ("unleash", "yggdrasil-engine"),
    ],
)
def test_rules_beside_an_engine_of_feature_flags(
    results: Results, name: str, package: str, count: int
) -> None:
    work, expected = workload(count, PROFILES), answers(count)
    match = getattr(peers, name)(work.rules)
    assert [match(profile) for profile in work.profiles] == expected
    ours_us, theirs_us = sides_in_turns(ours(work, expected), (match, work.profiles), rounds=SLOW_ROUNDS)
    notes = {"rules": count, "peer": version(package), "peer_gets": "a dict"}
    results.add(versus(name, count, ours_us, theirs_us, notes))


def versus(
    name: str, count: int, ours_us: list[float], theirs_us: list[float], notes: dict[str, object]
) -> Figure:
    """The figure of one peer; goal and gate are for a thousand rules and the two engines that are fast."""
    held = count == 1_000 and name in ("datalogic", "zen")
    goal, gate = (1 / 50, 1 / 30) if held else (None, None)
    key, title = f"core.match_{count}_vs_{name}", f"{notes['peer']}, the same rules and profiles"
    return Figure(key, "us", "lower", ours_us, theirs_us, title, goal, gate, notes)
