"""Point 7 of the story: what is stopped or killed loses nothing, and nothing is applied twice."""

import signal
import threading
import time
import uuid
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser

from examples.shop.products import PRODUCTS
from tests.story.harness import Fleet, Visitor, kill, someone, until, visitor_outside_holdout

CUP = {**PRODUCTS["kopp"].as_event(), "quantity": 1, "value": 12.0}
NUDGES_A_DAY = 3
TRACKERS = 4


class Shoppers:
    """Several connections that put cups into carts all the time, and count what the edge has acknowledged.

    An event that was not acknowledged is sent again under its id until it is, as a page does.
    """

    def __init__(self, fleet: Fleet, people: list[str], edge: str) -> None:
        self._fleet = fleet
        self._people = people
        self._edge = edge
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._shop, args=(person,)) for person in people]
        self.acknowledged = dict.fromkeys(people, 0)
        self.retries = 0

    def __enter__(self) -> "Shoppers":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _shop(self, person: str) -> None:
        while not self._stop.is_set():
            self._track(person, str(uuid.uuid4()))
            self.acknowledged[person] += 1

    def _track(self, person: str, message_id: str) -> None:
        deadline = time.monotonic() + 60
        while not self._fleet.try_track(self._edge, person, "Product Added", CUP, message_id):
            assert time.monotonic() < deadline, "the edge does not come back"
            self.retries += 1
            time.sleep(0.02)

    def total(self) -> int:
        return sum(self.acknowledged.values())

    def go_on(self, count: int) -> None:
        """Wait until that many more are acknowledged."""
        goal = self.total() + count
        until(lambda: self.total() >= goal, seconds=60, what="shopping has come to a halt")


@pytest.fixture
def shoppers(fleet: Fleet) -> Callable[[], Shoppers]:
    return lambda: Shoppers(fleet, [someone(fleet) for _ in range(TRACKERS)], "eu")


def check_carts(fleet: Fleet, shoppers: Shoppers) -> None:
    """Every acknowledged cup is in the profile once: at the hub, on the edge that took it, on the other."""
    for person, count in shoppers.acknowledged.items():
        check_cart(fleet, person, count)


def check_cart(fleet: Fleet, person: str, count: int) -> None:
    until(lambda: fleet.attribute(person, "cart_items") == count, what="the hub counts otherwise")
    expected = f"Things waiting in your cart: {count}"
    until(lambda: banner(fleet, "eu", person) == expected, what="the edge itself counts otherwise")
    until(lambda: banner(fleet, "us", person) == expected, what="the other edge counts otherwise")


def banner(fleet: Fleet, edge: str, person: str) -> object:
    placement = fleet.placement(edge, person, "home.banner")
    return placement["blocks"]["text"]["value"]


def test_hub_is_stopped_and_comes_back(fleet: Fleet, shoppers: Callable[[], Shoppers]) -> None:
    with shoppers() as shopping:
        shopping.go_on(40)
        fleet.system.stop_service("hub")
        shopping.go_on(200)
        person = next(iter(shopping.acknowledged))
        assert fleet.placement("eu", person, "home.banner")["offer"] == "cart-reminder"
        fleet.system.start_service("hub")
        shopping.go_on(40)
    check_carts(fleet, shopping)


def test_caps_count_on_while_the_hub_is_away(fleet: Fleet, browser: Browser) -> None:
    with visitor_outside_holdout(fleet, browser) as visitor:
        visitor.go("/product/kopp")
        visitor.page.click("#add-to-cart")
        visitor.page.wait_for_selector("#added:not(:empty)")
        fleet.system.stop_service("hub")
        try:
            offers = [look_at_cart(visitor) for _ in range(NUDGES_A_DAY + 1)]
        finally:
            fleet.system.start_service("hub")
        assert offers == ["sock-bundle"] * NUDGES_A_DAY + ["free-delivery-missing"]
        person = visitor.anonymous_id
        until(
            lambda: fleet.placement("us", person, "cart.banner")["offer"] == "free-delivery-missing",
            what="the other edge never counted the impressions",
        )


def look_at_cart(visitor: Visitor) -> str:
    """Open the cart, stay until its banner counts as seen, and say which offer that was."""
    with visitor.page.expect_response(
        lambda response: "/v1/events" in response.url and "Impression" in (response.request.post_data or "")
    ):
        visitor.go("/cart")
    return visitor.why("cart.banner")["offer"]


@pytest.mark.parametrize("part", ["worker", "sync", "supervisor"])
def test_process_of_an_edge_is_killed(fleet: Fleet, shoppers: Callable[[], Shoppers], part: str) -> None:
    with shoppers() as shopping:
        shopping.go_on(40)
        kill(fleet.edge_process("eu", part))
        if part == "supervisor":  # Below it everything dies with it; above it is the example's supervisor.
            edge = fleet.system.services["edge-eu"]
            until(lambda: not edge.running)
            fleet.system.look_after()
        shopping.go_on(100)
        until(lambda: fleet.is_whole("eu"), what="the edge did not become whole again")
        shopping.go_on(40)
    check_carts(fleet, shopping)


def test_whole_edge_is_killed(fleet: Fleet, shoppers: Callable[[], Shoppers]) -> None:
    with shoppers() as shopping:
        shopping.go_on(100)
        fleet.system.services["edge-eu"].kill()
        fleet.system.start_service("edge-eu")
        shopping.go_on(100)
    assert shopping.retries > 0
    check_carts(fleet, shopping)


def test_hub_is_killed(fleet: Fleet, shoppers: Callable[[], Shoppers]) -> None:
    with shoppers() as shopping:
        shopping.go_on(100)
        fleet.system.services["hub"].kill()
        shopping.go_on(50)
        fleet.system.start_service("hub")
        shopping.go_on(50)
    check_carts(fleet, shopping)


def test_page_finds_the_other_edge_when_the_nearest_is_away(fleet: Fleet, browser: Browser) -> None:
    with visitor_outside_holdout(fleet, browser) as visitor:
        person = visitor.anonymous_id
        until(lambda: fleet.placement("us", person, "home.hero")["reason"] == "ok")
        fleet.system.stop_service("edge-eu")
        try:
            visitor.go("/")
            assert visitor.why("home.hero")["reason"] == "ok"
            assert "edge us" in visitor.page.inner_text("#node")
        finally:
            fleet.system.start_service("edge-eu")


def test_a_service_that_dies_is_started_again(fleet: Fleet) -> None:
    shop = fleet.system.services["shop"]
    before = shop.pid
    kill(before)
    until(lambda: not shop.running)
    fleet.system.look_after()
    assert shop.pid != before
    until(lambda: fleet.answers(fleet.shop + "/healthz"))
    assert any("shop has died (signal 9)" in line for line in fleet.lines)


def test_a_service_that_was_stopped_stays_down(fleet: Fleet) -> None:
    mailbox = fleet.system.services["mailbox"]
    mailbox._signal(signal.SIGTERM)
    until(lambda: not mailbox.running)
    fleet.system.look_after()
    assert not mailbox.running
    fleet.system.start_service("mailbox")
    assert fleet.answers(f"http://127.0.0.1:{fleet.ports.mailbox}/messages")
