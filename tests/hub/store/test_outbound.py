"""The statements of outbound messages, equal on both engines."""

from hub.store import journeys, outbox, signals, suppressions
from hub.store.engine import Store
from hub.store.journeys import Instance
from hub.store.outbox import Message
from hub.store.signals import NewSignal
from hub.store.suppressions import BOUNCE, UNSUBSCRIBE, Suppression

NOW = 1_764_000_000_000


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def instance(number: int, **other: object) -> Instance:
    made = Instance(
        key(number), "welcome", "v1", key(number + 100), 1, 0, 0, journeys.ACTIVE, NOW + number, "", NOW
    )
    return made._replace(**other)


def message(number: int, **other: object) -> Message:
    made = Message(
        f"{number:032x}", key(number), "welcome", key(number + 100), "email", "mail.main", "t", "", NOW, NOW
    )
    return made._replace(changed_at_ms=NOW + number, **other)


def test_each_reason_of_a_suppression_stands_for_itself(store: Store) -> None:
    with store.writing() as c:
        suppressions.add(c, [Suppression(key(1), "email", BOUNCE, NOW, "5.1.1 " + "x" * 200)])
        suppressions.add(c, [Suppression(key(1), "email", UNSUBSCRIBE, NOW + 1, "one-click")])
        suppressions.add(c, [Suppression(key(1), "email", UNSUBSCRIBE, NOW + 9, "page")])
        assert suppressions.of(c, [key(1), key(2)], "email") == {key(1): BOUNCE}
        assert suppressions.of(c, [key(1)], "sms") == {}
        assert [row.source for row in suppressions.of_person(c, [key(1)])][1] == "one-click"
        assert suppressions.remove(c, key(1), "email", BOUNCE)
        assert not suppressions.remove(c, key(1), "email", BOUNCE)
        assert suppressions.of(c, [key(1)], "email") == {key(1): UNSUBSCRIBE}
        suppressions.reduce_to_hash(c, [key(1)])
        assert suppressions.of_person(c, [key(1)]) == [Suppression(key(1), "email", UNSUBSCRIBE, NOW + 1, "")]


def test_signals_are_numbered_read_once_and_never_numbered_again(store: Store) -> None:
    with store.writing() as c:
        signals.add(c, [NewSignal(key(n % 2), "Order Completed", NOW + n, {"total": n}) for n in range(4)])
        read = signals.after(c, 0, 3)
        assert [row.properties["total"] for row in read] == [0, 1, 2]
        assert signals.waiting(c, "journeys") == 4
        signals.move(c, "journeys", read[1].number)
        signals.move(c, "journeys", read[2].number)
        assert signals.cursor(c, "journeys") == read[2].number
        assert signals.cursor(c, "other") == 0
        assert [row.at_ms for row in signals.of_sources(c, [key(1)], read[1].number)] == [NOW + 3]
        assert signals.prune(c, name="journeys", before_ms=NOW + 9, rows_at_once=2) == 2
        assert signals.prune(c, name="journeys", before_ms=NOW + 9, rows_at_once=9) == 1
        last = signals.after(c, 0, 9)
        assert [row.properties["total"] for row in last] == [3]
        signals.remove(c, [key(1)])
        signals.add(c, [NewSignal(key(1), "Order Completed", NOW, {})])
        assert signals.after(c, 0, 9)[0].number > last[0].number


def test_due_instances_are_leased_once(store: Store) -> None:
    with store.writing() as c:
        journeys.enter(c, [instance(n) for n in range(5)])
        journeys.enter(c, [instance(3, version="other")])
        first = journeys.claim(c, now_ms=NOW + 3, until_ms=NOW + 60, owner="a:1", count=2)
        assert {row.instance_id for row in first} == {key(0), key(1)}
        second = journeys.claim(c, now_ms=NOW + 3, until_ms=NOW + 61, owner="b:1", count=9)
        assert {row.instance_id for row in second} == {key(2), key(3)}
        assert second[0].version == "v1", "what is there stays"
        assert journeys.leased(c, [key(0), key(2)], "a:1", NOW + 60) == {key(0)}
        assert journeys.claim(c, now_ms=NOW + 4, until_ms=NOW + 9, owner="c", count=9)[0].instance_id == key(
            4
        )
        journeys.release(c, "a:")
        again = journeys.claim(c, now_ms=NOW + 3, until_ms=NOW + 60, owner="d", count=9)
        assert {row.instance_id for row in again} == {key(0), key(1)}


def test_instances_move_end_and_are_forgotten_but_not_their_entries(store: Store) -> None:
    with store.writing() as c:
        journeys.enter(c, [instance(1), instance(2)])
        ended = instance(1, state=journeys.ENDED, due_at_ms=None, ended_at_ms=NOW + 5, ended_reason="exit")
        journeys.save(c, [ended, instance(2, step=3, visit=2, state=journeys.WAITING, waits_for="Order")])
        assert [row.instance_id for row in journeys.inside(c, [key(101), key(102)])] == [key(2)]
        assert journeys.of_sources(c, [key(101)]) == [ended]
        assert (journeys.count_inside(c), journeys.count_due(c, NOW + 1)) == (1, 0)
        assert journeys.versions_inside(c) == ["v1"]
        assert journeys.prune(c, before_ms=NOW + 6, rows_at_once=9) == 1
        assert [row.entries for row in journeys.entered(c, [key(101)])] == [1]
        journeys.remember_versions(c, [("v1", "welcome", 1)])
        journeys.remember_versions(c, [("v1", "welcome", 7)])
        assert (journeys.revision_of(c, "v1"), journeys.revision_of(c, "v2")) == (1, None)
        journeys.remove(c, [key(101), key(102)])
        assert (journeys.of_sources(c, [key(102)]), list(journeys.entered(c, [key(101)]))) == ([], [])


def test_messages_are_claimed_by_channel_and_provider(store: Store) -> None:
    def claim(owner: str, channel: str = "email", provider: str = "", count: int = 9) -> list[Message]:
        return outbox.claim(
            c,
            channel=channel,
            provider=provider,
            now_ms=NOW,
            until_ms=NOW + 60,
            owner=owner,
            count=count,
        )

    with store.writing() as c:
        rows = [message(1), message(2, not_before_ms=NOW + 1), message(3, channel="sms"), message(4)]
        outbox.add(c, [*rows, message(5, provider="post")])
        outbox.add(c, [message(1, placement="other")])
        assert [row.message_id[-1] for row in claim("a:1", count=1)] == ["1"]
        assert [row.message_id[-1] for row in claim("a:1")] == ["4"]
        assert [row.message_id[-1] for row in claim("a:1", provider="post")] == ["5"]
        assert claim("a:1") == []
        left = outbox.left_by(c, "a:", "a:2", NOW)
        assert {(row.message_id[-1], row.state) for row in left} == {
            ("1", "claimed"),
            ("4", "claimed"),
            ("5", "claimed"),
        }
        assert outbox.left_by(c, "a:", "a:1", NOW) == []
        assert len(outbox.left_by(c, "b:", "b:1", NOW + 60)) == 3
        outbox.extend(c, [row.message_id for row in rows] + [f"{5:032x}"], "a:1", NOW + 100)
        assert outbox.left_by(c, "b:", "b:1", NOW + 60) == []
        assert outbox.oldest_due_ms(c, NOW) == {"email": NOW, "sms": NOW}
        assert outbox.counts(c) == {"claimed": 3, "queued": 2}


def test_messages_end_and_their_impressions_are_pending_until_folded(store: Store) -> None:
    with store.writing() as c:
        outbox.add(c, [message(n) for n in range(6)])
        sent = message(0, state=outbox.SENT, impression=outbox.TO_LOG, handed_over_at_ms=NOW)
        outbox.save(c, [sent, message(1, state=outbox.IN_DOUBT), message(2, state=outbox.FAILED)])
        people = [key(n + 100) for n in range(6)]
        assert {row.message_id[-1] for row in outbox.pending(c, people)} == {"0", "1"}
        assert outbox.impressions(c, outbox.TO_LOG, "", 9) == [sent]
        outbox.set_impression(c, [sent.message_id], outbox.LOGGED)
        assert outbox.impressions(c, outbox.TO_LOG, "", 9) == []
        assert {row.message_id[-1] for row in outbox.pending(c, people)} == {"0", "1"}
        outbox.set_impression(c, [sent.message_id], None)
        assert {row.message_id[-1] for row in outbox.pending(c, people)} == {"1"}
        assert [row.message_id[-1] for row in outbox.sent_since(c, people, NOW)] == ["0"]
        assert {row.message_id[-1] for row in outbox.not_handed_over(c, [key(3), key(2)])} == {"3"}
        assert [row.message_id[-1] for row in outbox.open_to(c, people, "email")] == ["3", "4", "5"]
        assert [row.message_id[-1] for row in outbox.listed(c, states=[outbox.IN_DOUBT], count=9)] == ["1"]
        assert outbox.prune(c, before_ms=NOW + 2, rows_at_once=9) == 1
        assert [row.message_id[-1] for row in outbox.of_person(c, people, 2)] == ["5", "4"]
        outbox.remove(c, people[:3], [key(5)])
        assert {row.message_id[-1] for row in outbox.of_person(c, people, 9)} == {"3", "4"}
