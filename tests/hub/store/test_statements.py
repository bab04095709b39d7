"""The statements of each noun, equal on both engines."""

from hub.store import (
    change_log,
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
    sources,
)
from hub.store.engine import Store
from hub.store.statements import KEYS_MAX

NOW = 1_764_000_000_000


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def profile(number: int, **other: object) -> dict[str, object]:
    row: dict[str, object] = {
        "profile_id": key(number),
        "unit_key": key(number + 1000),
        "created_at_ms": NOW,
        "known": False,
        "record": b"r",
        "edge_record": b"e%d" % number,
        "sequence": number,
        "packed_at_ms": NOW,
    }
    return {**row, **other}


def test_a_fresh_store_gets_its_state_once(store: Store) -> None:
    with store.writing() as c:
        first = log_state.prepare(c, NOW)
        assert log_state.prepare(c, NOW + 1) == first
        assert (len(first.epoch), first.sequence, first.stream_sequence) == (32, 0, 0)
        log_state.write(c, sequence=(1 << 62), digest=-(1 << 63))
        assert log_state.read(c).digest == -(1 << 63)
        assert log_state.renew_epoch(c) != first.epoch


def test_the_change_log_tells_each_thing_once_by_its_newest_number(store: Store) -> None:
    with store.writing() as c:
        log_state.prepare(c, NOW)
        rows = [
            (1, change_log.RECORD, key(7)),
            (2, change_log.IDENTIFIER, key(7)),
            (3, change_log.RECORD, key(8)),
        ]
        change_log.append(c, [*rows, (4, change_log.RECORD, key(7))])
        assert change_log.newest_in(c, 0, 4, 9) == [rows[1], rows[2], (4, change_log.RECORD, key(7))]
        assert change_log.newest_in(c, 0, 3, 9) == rows
        assert change_log.newest_in(c, 1, 4, 1) == [rows[1]]
        change_log.prune(c, 2)
        assert log_state.read(c).log_floor == 2
        assert change_log.newest_in(c, 0, 4, 9) == [rows[2], (4, change_log.RECORD, key(7))]


def test_profiles_are_saved_found_and_paged(store: Store) -> None:
    count = KEYS_MAX * 2 + 3
    with store.writing() as c:
        profiles.save(c, [profile(n) for n in range(count)])
        profiles.save(c, [profile(5, record=b"new", known=True, unit_key=key(9), sequence=99)])
        assert profiles.count(c) == count
        found = {row.profile_id: row for row in profiles.by_id(c, [key(n) for n in range(count + 50)])}
        assert len(found) == count
        changed = found[key(5)]
        assert (changed.record, changed.known, changed.sequence) == (b"new", True, 99)
        assert changed.unit_key == key(9), "a merge may give a profile another key"
        assert [row.profile_id for row in profiles.page(c, key(3), 2)] == [key(4), key(5)]
        assert profiles.edge_page(c, b"", 1) == [(key(0), b"e0")]
        assert profiles.edge_records(c, [key(1), key(count + 1)]) == {key(1): b"e1"}


def test_sources_belong_to_profiles(store: Store) -> None:
    def source(number: int, owner: int, state: bytes = b"") -> dict[str, object]:
        return {
            "source_id": key(number),
            "kind": "anon",
            "profile_id": key(owner),
            "state": state,
            "joined_at_ms": NOW,
            "first_ms": NOW,
            "linked_ms": 0,
            "own_profile_id": key(owner),
        }

    with store.writing() as c:
        profiles.save(c, [profile(1), profile(2)])
        sources.save(c, [source(10, 1), source(11, 1), source(20, 2)])
        sources.set_values(c, [(key(10), "ada")])
        sources.save(c, [source(10, 1, b"state")])
        assert sources.profile_ids(c, [key(10), key(20), key(30)]) == {key(10): key(1), key(20): key(2)}
        (first,) = sources.by_id(c, [key(10)])
        assert (first.state, first.value) == (b"state", "ada")
        assert {row.source_id for row in sources.of_profiles(c, [key(1)])} == {key(10), key(11)}
        assert sources.page(c, key(10), 9) == [(key(11), key(1)), (key(20), key(2))]
        sources.remove(c, key(1))
        profiles.remove(c, key(1))
        assert (sources.count(c), profiles.count(c)) == (1, 1)


def test_counts_add_up(store: Store) -> None:
    with store.writing() as c:
        counters.add(c, {})
        counters.add(c, {"a": 1, "b": 2})
        counters.add(c, {"a": 5})
        assert counters.read(c) == {"a": 6, "b": 2}


def test_what_is_there_already_is_left(store: Store) -> None:
    with store.writing() as c:
        event_ids.add(c, [(key(1), 5)])
        event_ids.add(c, [(key(1), 9), (key(2), 9)])
        assert event_ids.known(c, [key(n) for n in range(5)]) == {key(1), key(2)}
        row = {
            "at_ms": NOW,
            "operation": identity_history.CLAIMED,
            "source_id": key(1),
            "profile_id": key(2),
            "other_source_id": key(3),
            "other_profile_id": None,
            "message_id": "m",
            "who": "",
        }
        identity_history.add(c, [row])
        identity_history.add(c, [{**row, "at_ms": NOW + 1}])
        assert [change.at_ms for change in identity_history.of_profile(c, key(2), [])] == [NOW]
        assert identity_history.of_profile(c, key(7), [key(3)]) == [], "a claim is no news of whom it names"
        merged = {**row, "operation": identity_history.MERGED, "other_profile_id": key(8)}
        identity_history.add(c, [merged])
        identity_history.add(c, [merged])
        (first, second) = identity_history.of_profile(c, key(7), [key(3)])
        assert (first.operation, first.id + 1) == (identity_history.MERGED, second.id), "what recurs is told"
        assert identity_history.by_id(c, second.id) == second
        identity_history.remove(c, key(9), [key(3)])
        assert identity_history.of_profile(c, key(2), [key(1)]) == []


def test_links_are_found_by_pair_by_either_end_and_by_both(store: Store) -> None:
    def link(stronger: int, weaker: int, **other: object) -> dict[str, object]:
        row = {"stronger": key(stronger), "weaker": key(weaker), "seen_ms": 5, "said_ms": 4}
        return {**row, "decision": "", "decided_ms": 0, **other}

    with store.writing() as c:
        identity_links.save(c, [link(1, n) for n in range(2, 600)])
        identity_links.save(c, [link(1, 2, seen_ms=3, decision="split", decided_ms=9), link(2, 9)])
        pairs = [(key(1), key(n)) for n in range(2, 700)]
        found = {row.weaker: row for row in identity_links.by_pair(c, pairs)}
        assert len(found) == 598
        assert found[key(2)] == (key(1), key(2), 3, 4, "split", 9)
        assert {row[:2] for row in identity_links.touching(c, [key(2)], 99)} == {
            (key(1), key(2)),
            (key(2), key(9)),
        }
        assert len(list(identity_links.touching(c, [key(1)], 10))) == 10
        within = list(identity_links.within(c, [key(n) for n in range(2, 600)]))
        assert [row[:2] for row in within] == [(key(2), key(9))]
        identity_links.remove(c, [key(1)])
        assert len(list(identity_links.touching(c, [key(n) for n in range(1, 20)], 99))) == 1


def test_crossings_follow_the_losing_key(store: Store) -> None:
    row = {"losing_key": key(1), "winning_key": key(2), "at_ms": NOW, "ended_ms": None}
    with store.writing() as c:
        crossings.save(c, [row, {**row, "losing_key": key(3)}])
        crossings.save(c, [{**row, "ended_ms": NOW + 1}])
        assert crossings.of_sources(c, [key(1), key(2)]) == [(key(1), key(2), NOW, NOW + 1)]
        crossings.remove(c, [key(2)])
        assert crossings.of_sources(c, [key(1), key(3)]) == []


def test_journals_move(store: Store) -> None:
    with store.writing() as c:
        journal_positions.save(c, "eu", {"a": 5, "b": 6}, NOW)
        journal_positions.save(c, "us", {"c": 1}, NOW)
        journal_positions.save(c, "eu", {"a": 9}, NOW + 1)
        assert journal_positions.read(c) == {"eu": {"a": 9, "b": 6}, "us": {"c": 1}}
        journal_positions.prune(c, NOW + 1)
        assert journal_positions.read(c) == {"eu": {"a": 9}}


def test_decisions_are_found_by_any_key_newest_first_and_pruned(store: Store) -> None:
    def row(number: int, owner: int, at_ms: int) -> dict[str, object]:
        return {
            "person_key": key(owner),
            "at_ms": at_ms,
            "decision_id": str(number),
            "node": "eu",
            "row": b"\x90",
        }

    with store.writing() as c:
        decisions.add(c, [row(1, 1, NOW), row(2, 2, NOW + 5), row(3, 1, NOW + 3)])
        decisions.add(c, [row(1, 1, NOW)])
        found = decisions.of_person(c, [key(1), key(2)], 2)
        assert [one.decision_id for one in found] == ["2", "3"]
        assert decisions.prune(c, before_ms=NOW + 1, rows_max=10, rows_at_once=2) == 1
        assert decisions.prune(c, before_ms=NOW, rows_max=1, rows_at_once=9) == 1
        assert [one.decision_id for one in decisions.of_person(c, [key(1), key(2)], 9)] == ["3"]
        decisions.remove(c, [key(1)])
        assert decisions.prune(c, before_ms=0, rows_max=1, rows_at_once=9) == 0


def test_quarantine_is_paged_counted_and_emptied(store: Store) -> None:
    def row(number: int, reason: str) -> dict[str, object]:
        return {
            "reason": reason,
            "name": "",
            "source_id": key(number),
            "edge_id": "eu",
            "received_at_ms": NOW,
            "detail": "",
            "body": b"%d" % number,
        }

    with store.writing() as c:
        quarantine.add(c, [row(n, "odd" if n % 2 else "even") for n in range(5)])
        newest = quarantine.page(c, before=1 << 60, count=2)
        assert [one.body for one in newest] == [b"4", b"3"]
        older = quarantine.page(c, before=newest[-1].id, count=9, reason="even")
        assert [one.body for one in older] == [b"2", b"0"]
        assert quarantine.counts(c) == {"even": 3, "odd": 2}
        quarantine.remove_sources(c, [key(0), key(1)])
        assert [one.body for one in quarantine.of_sources(c, [key(0), key(2)])] == [b"2"]


def test_edges_are_remembered(store: Store) -> None:
    row = edges.EdgeRow("eu", NOW, 5, 2, "hash", "")
    with store.writing() as c:
        edges.save(c, [row])
        edges.save(c, [row._replace(sequence=6), row._replace(edge_id="ap")])
        assert edges.read(c) == [row._replace(edge_id="ap"), row._replace(sequence=6)]
