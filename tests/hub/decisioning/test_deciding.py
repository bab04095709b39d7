"""The hub's decisions where the store is slow, away or damaged; whose they are; the context they complete."""

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from core.errors import RequestError
from core.fold import State
from core.user_token import load_user_token_key
from edge import context as edge_context
from hub.decisioning.asking import Desk, Question
from hub.decisioning.bundles import ActiveBundle
from hub.decisioning.context import complete
from hub.decisioning.deciding import Decider
from hub.decisioning.publishing import Publisher
from hub.errors import InvalidError
from hub.store import profiles, sources
from hub.store.engine import READERS, Store
from tests.hub.asyncs import run_async
from tests.hub.catalogues import central
from tests.hub.keys import IDENTIFIER_KEY, SIGNING_KEY

NOW_MS = 1_795_000_000_000
UUID = "0f8fad5b-d9cb-469f-a165-70867728950e"


def desk() -> Desk:
    return Desk(IDENTIFIER_KEY, [], "shop", lambda: NOW_MS, allow_time_travel=True)


def logged_nowhere(*_: Any) -> None:
    raise AssertionError("nobody here has said anything about consent")


async def decider(store: Store) -> Decider:
    made = Decider(store, logged_nowhere)
    publisher = Publisher(store, SIGNING_KEY, ActiveBundle(), [made.prepare], lambda: NOW_MS)
    await publisher.publish(central(), "ben")
    return made


@run_async
async def test_a_store_that_is_slow_gives_the_fallback_for_the_deadline(store: Store) -> None:
    made = await decider(store)
    release = threading.Event()
    busy = [asyncio.create_task(store.read(lambda _: release.wait(30))) for _ in range(READERS)]
    try:
        await asyncio.sleep(0)
        asked = desk().take(Question(["home.hero"], profile="id:1"), "server", "$", NOW_MS)
        (decision,) = await made.decide([asked])
    finally:
        release.set()
        await asyncio.gather(*busy)
    assert decision.reasons == ("deadline",)
    assert b'"fallback":true' in decision.body


@run_async
async def test_a_store_that_is_away_gives_the_fallback_as_an_error(store: Store) -> None:
    made = await decider(store)
    with store.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE sources RENAME TO elsewhere")
    asked = desk().take(Question(["home.hero"], profile="id:1"), "server", "$", NOW_MS)
    (decision,) = await made.decide([asked])
    assert decision.reasons == ("error",)


@run_async
async def test_a_decision_that_fails_gives_the_fallback_as_an_error(store: Store) -> None:
    made = await decider(store)
    asked = desk().take(Question(["home.hero", "home.banner"], profile="id:1"), "server", "$", NOW_MS)
    broken: Any = "a unit key that is text"[:16]
    with capture_logs() as said:
        (decision,) = await made.decide([msgspec.structs.replace(asked, unit_key=broken)])
    assert decision.reasons == ("error", "error")
    assert [entry["event"] for entry in said] == ["decision failed"]


@run_async
async def test_a_request_that_no_decision_can_be_made_of_is_refused(store: Store) -> None:
    made = await decider(store)
    asked = desk().take(Question(["home.hero"], profile="id:1"), "server", "$", NOW_MS)
    with pytest.raises(RequestError, match="decision_id"):
        await made.decide([msgspec.structs.replace(asked, decision_id="\ud800")])


@run_async
async def test_a_device_does_not_vouch_for_who_is_named_beside_it(store: Store) -> None:
    made = await decider(store)
    layout_id = made.document.layout_id
    profile = {"unit_key": b"u" * 16, "created_at_ms": 1, "sequence": 9, "packed_at_ms": NOW_MS}
    source = {"state": b"", "joined_at_ms": 1, "first_ms": 1, "linked_ms": 0}

    def place(device: bytes, *, known: bool) -> None:
        record = State().pack(
            layout_id=layout_id, sequence=9, packed_at_ms=NOW_MS, unit_key=b"u" * 16, known=known
        )
        held = {"profile_id": device, "known": known, "record": record, "edge_record": record}
        with store.writing() as connection:
            profiles.save(connection, [{**profile, **held}])
            row = {"source_id": device, "kind": "anon", "profile_id": device, "own_profile_id": device}
            sources.save(connection, [{**source, **row}])

    both = desk().take(Question(["home.hero"], profile="id:eve", anonymous_id=UUID), "server", "$", NOW_MS)
    alone = desk().take(Question(["home.hero"], anonymous_id=UUID), "server", "$", NOW_MS)
    place(alone.keys[0], known=False)
    assert b'"sequence":9' in (await made.decide([both]))[0].body, "a visitor who logs in stays herself"
    place(alone.keys[0], known=True)
    assert b'"sequence":9' in (await made.decide([alone]))[0].body
    assert b'"sequence":9' not in (await made.decide([both]))[0].body, "somebody else's device"


def test_persons_are_taken_as_an_edge_takes_them() -> None:
    both = desk().take(Question(["p"], profile="id:1", anonymous_id=UUID.upper()), "server", "$", NOW_MS)
    alone = desk().take(Question(["p"], anonymous_id=UUID), "server", "$", NOW_MS)
    known = desk().take(Question(["p"], profile="id:1"), "server", "$", NOW_MS)
    assert both.keys == (*known.keys, *alone.keys)
    # The device's hash assigns, so that a log-in changes no variant.
    assert both.unit_key == alone.unit_key == alone.keys[0]
    assert known.unit_key == known.keys[0]
    assert (both.named, alone.named, known.named) == (True, False, True)


def test_a_decision_id_is_drawn_where_none_is_given() -> None:
    ids = {
        desk().take(Question(["p"], anonymous_id=UUID), "server", "$", NOW_MS).decision_id for _ in range(50)
    }
    assert len(ids) == 50
    assert all(len(one) == 32 for one in ids)


def test_an_expired_token_stays_expired_in_another_time() -> None:
    from joserfc import jwt
    from joserfc.jwk import OKPKey

    key = OKPKey.generate_key("Ed25519")
    claims = {"aud": "shop", "sub": "id:1", "exp": NOW_MS // 1000 - 10}
    token = jwt.encode({"alg": "Ed25519"}, claims, key, algorithms=["Ed25519"])
    public = load_user_token_key(str(key.as_pem(private=False), "ascii"))
    office = Desk(IDENTIFIER_KEY, [public], "shop", lambda: NOW_MS, allow_time_travel=True)
    question = Question(["p"], user_token=token, at_ms=NOW_MS - 3_600_000)
    with pytest.raises(Exception, match="an expired token"):
        office.take(question, "operator", "$", NOW_MS)


CONTEXTS: list[dict[str, Any]] = [
    {},
    {"url": "https://shop.example/shoes/red?utm_source=mail&utm_campaign=spring&x=1#top"},
    {"url": "https://shop.example/a?utm_source=", "utm_source": "given"},
    {"url": "/relative/path?utm_medium=x"},
    {"url": "http://[broken"},
    {"url": 7, "referrer": None},
    {"url": "x" * 3000},
    {"referrer": "https://News.Example:8080/a"},
    {"referrer": "android-app://com.example"},
    {"referrer": "https://a.example/", "referrer_domain": "given.example"},
    {"url": "https://shop.example/a", "path": "/given", "referrer": "https://b.example"},
]


@pytest.mark.parametrize("given", CONTEXTS)
def test_a_context_is_completed_as_on_an_edge(given: dict[str, Any]) -> None:
    countries = edge_context.Countries("", "", None)
    assert complete(given) == edge_context.build_context(given, {}, None, countries)


def test_a_question_about_nobody_is_refused() -> None:
    with pytest.raises(InvalidError, match="anonymous_id, user_token or profile"):
        desk().take(Question(["p"]), "server", "$", NOW_MS)
