"""The story by mail: a cart that is left, one mail that is right, one click; a journey more by YAML alone."""

import uuid

from playwright.sync_api import Browser

from tests.story.added_journey import ADDED_FILE, ADDED_JOURNEY
from tests.story.harness import Fleet, daytime, until, visitor_outside_holdout


def an_address() -> str:
    return f"zoe-{uuid.uuid4().hex[:8]}@example.net"


def test_a_cart_that_was_left_is_followed_by_one_mail_in_her_language(fleet: Fleet, browser: Browser) -> None:
    email = an_address()
    with visitor_outside_holdout(fleet, browser, timezone_id=daytime(), locale="de-AT") as visitor:
        visitor.add_to_cart("kopp")
        visitor.sign_up(email, "Zoe")
        mail = until(lambda: fleet.mails(email), what="no mail came")[0]
        assert mail["subject"] == "Dein Warenkorb wartet und die Lieferung ist frei"
        assert mail["preheader"].startswith("Wir haben für dich aufgehoben: Kopp enamel cup.")
        assert "Noch unentschlossen, Zoe?" in mail["text"]
        assert mail["headers"]["From"] == "Fjord & Field <hello@shop.example>"
        assert mail["dkim"] == "pass"
        html = visitor.page.frame_locator("#html")
        visitor.page.goto(f"{fleet.mailbox}/mail/{mail['id']}")
        html.get_by_text("Stück", exact=True).wait_for()
        pictures = html.locator("img").evaluate_all("all => all.map(one => one.complete && one.naturalWidth)")
        assert all(pictures), "a picture is missing"
        with visitor.context.expect_page() as opened:
            html.get_by_text("Zurück zum Warenkorb").click()
        opened.value.wait_for_url(f"{fleet.shop}/cart")
    assert len(fleet.mails(email)) == 1


def test_a_journey_is_added_by_yaml_alone_and_ended_by_one_click(fleet: Fleet, browser: Browser) -> None:
    (fleet.catalogue / ADDED_FILE).write_text(ADDED_JOURNEY, encoding="utf-8")
    fleet.publish()
    try:
        email = an_address()
        with visitor_outside_holdout(fleet, browser, timezone_id=daytime(), locale="en-GB") as visitor:
            visitor.sign_up(email, "Max")
            mail = until(lambda: fleet.mails(email), what="no mail came")[0]
            assert mail["subject"] == "Welcome to Fjord & Field"
            assert "Good to have you here, Max!" in mail["text"]
            assert consent_to_mail(fleet, email) == "granted"
            visitor.page.goto(f"{fleet.mailbox}/mail/{mail['id']}")
            visitor.page.click("#unsubscribe")
            assert "answered 200" in visitor.page.inner_text("#said")
            until(lambda: consent_to_mail(fleet, email) == "withdrawn", what="the click withdrew nothing")
    finally:
        (fleet.catalogue / ADDED_FILE).unlink()
        fleet.publish()


def consent_to_mail(fleet: Fleet, email: str) -> str:
    """The newest state of the purpose."""
    changes = fleet.onevoice("consent", "show", f"email:{email}")["changes"]
    states = [change["state"] for change in changes if change["purpose"] == "email"]
    return str(states[-1]) if states else ""
