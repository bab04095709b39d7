"""Messages as bytes: what a mail program and a receiving server read in them."""

import email
import email.policy
import json
import re
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.delivery.email.compose import EmailComposer
from hub.delivery.email.verp import Verp
from hub.delivery.links import CLICK, OPEN, PREFERENCES, UNSUBSCRIBE, Links
from hub.errors import ContentError, NotFoundError
from tests.hub.delivery.email.messages import DOMAIN, blocks, message, template
from tests.shared import shared_data

KEY = b"k" * 32
LINKS = Links(KEY, "https://hub.example/base")
VERP = Verp(KEY, DOMAIN)
COMPOSER = EmailComposer(LINKS, VERP)


def composed(composer: EmailComposer = COMPOSER, **changes: Any) -> EmailMessage:
    return parsed(composer.compose(message(**changes)).content)


def parsed(content: bytes) -> EmailMessage:
    found = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(found, EmailMessage)
    assert not list(defects(found))
    return found


def defects(part: EmailMessage) -> Iterator[object]:
    yield from part.defects
    for value in part.values():
        yield from value.defects  # type: ignore[attr-defined]
    if part.is_multipart():
        for one in part.iter_parts():
            yield from defects(one)


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


def test_a_message_has_every_header_and_both_parts() -> None:
    made = COMPOSER.compose(message(number=7))
    mail = parsed(made.content)
    assert mail["From"] == "Trail & Peak <hello@shop.example>"
    assert mail["To"] == "ada@example.com"
    assert mail["Reply-To"] == "help@shop.example"
    assert mail["Subject"] == "Your cart"
    assert mail["Message-ID"] == f"<{7:032x}@shop.example>"
    assert mail["Date"].datetime.timestamp() == 1_795_434_962
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [one.get_content_type() for one in mail.iter_parts()] == ["text/plain", "text/html"]
    assert "Boots & socks" in part(mail, "plain")
    assert "Boots &amp; socks" in part(mail, "html")
    assert (made.message_id, made.recipient) == (f"{7:032x}", "ada@example.com")
    assert VERP.message_of(made.envelope_from) == made.message_id


def test_equal_messages_are_equal_bytes() -> None:
    assert COMPOSER.compose(message()) == EmailComposer(LINKS, VERP).compose(message())


@given(st.text(max_size=80), st.text(max_size=400))
def test_any_words_come_through_and_no_line_is_too_long(subject: str, body: str) -> None:
    made = COMPOSER.compose(
        message(
            template(subject="S {{ profile.s }}", text="{{ slots.body }}", mjml=""),
            profile={"s": subject},
            blocks=blocks(body=f"B{body}"),
        )
    )
    assert max(len(line) for line in made.content.split(b"\r\n")) <= 998
    assert re.search(rb"[^\x00-\x7f]|\r(?!\n)|(?<!\r)\n", made.content) is None
    mail = parsed(made.content)
    assert (
        str(mail["Subject"]).split()
        == re.sub(r"[\x00-\x1f\x7f\x85\u2028\u2029]", " ", f"S {subject}").split()[:255]
    )
    assert part(mail, "plain").split() == f"B{body}".split()


@pytest.mark.parametrize(
    ("sender", "shown"),
    [
        ("shop@shop.example", "shop@shop.example"),
        ("Größe & Söhne <shop@shop.example>", "Größe & Söhne"),
        ("Shop <shop@müller.example>", "xn--mller-kva.example"),
    ],
)
def test_senders_are_written_as_servers_take_them(sender: str, shown: str) -> None:
    assert shown in str(composed(master=template(sender=sender))["From"])


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "ada@",
        "@x.example",
        "a b@x.example",
        "ada@x.example\r\nBcc: b@x",
        "ädä@x.example",
        "a@b@c d",
    ],
)
def test_an_address_that_cannot_be_written_refuses_the_message_and_is_not_told(address: str) -> None:
    with pytest.raises(ContentError) as caught:
        COMPOSER.compose(message(recipient=address))
    assert not address or address not in str(caught.value)


# List-Unsubscribe --------------------------------------------------------------------------------


def one_click(headers: dict[str, str]) -> str | None:
    """The address that a receiver posts to, as RFC 8058 reads the headers."""
    if headers.get("List-Unsubscribe-Post") != "List-Unsubscribe=One-Click":
        return None
    ways = re.findall(r"<([^<>]+)>", headers.get("List-Unsubscribe", ""))
    return next((way for way in ways if way.startswith("https://")), None)


def test_the_reader_of_these_tests_reads_as_receivers_do() -> None:
    cases = json.loads(shared_data("one_click_unsubscribe/cases.json").read_text(encoding="utf-8"))["cases"]
    assert [one_click(case["headers"]) for case in cases] == [case.get("post_url") for case in cases]


@pytest.mark.parametrize("mailto", ["", "unsubscribe@shop.example"])
def test_a_receiver_finds_the_one_click_address(mailto: str) -> None:
    mail = composed(EmailComposer(LINKS, VERP, unsubscribe_mailto=mailto), number=5)
    address = one_click(dict(mail.items()))
    assert address is not None
    assert LINKS.message_of(UNSUBSCRIBE, address.rpartition("/")[2]) == f"{5:032x}"
    assert ("mailto:unsubscribe@shop.example" in mail["List-Unsubscribe"]) == bool(mailto)


# Links -------------------------------------------------------------------------------------------


def hrefs(page: str) -> list[str]:
    return re.findall(r'<a\b[^>]*\shref="([^"]*)"', page)


def test_links_of_the_page_lead_through_the_hub_and_its_own_do_not() -> None:
    page = part(composed(number=9), "html")
    one, two, unsubscribe, preferences = hrefs(page)
    clicks = [LINKS.click_of(href.rpartition("/")[2]) for href in (one, two)]
    assert [(click.message_id, click.link, click.target) for click in clicks] == [
        (f"{9:032x}", n, f"https://shop.example/p?a=1&n={n + 1}") for n in range(2)
    ]
    assert (unsubscribe, preferences) == (LINKS.unsubscribe(f"{9:032x}"), LINKS.preferences(f"{9:032x}"))
    assert LINKS.open(f"{9:032x}") in page
    assert "https://shop.example/p?a=1&n=1" in part(composed(number=9), "plain")


def test_without_tracking_links_stay_and_there_is_no_picture() -> None:
    page = part(composed(EmailComposer(LINKS, VERP, track=False)), "html")
    assert hrefs(page)[0] == "https://shop.example/p?a=1&amp;n=1"
    assert "/o/" not in page
    assert "/c/" not in page


def test_no_link_names_the_person() -> None:
    content = COMPOSER.compose(
        message(profile={"first_name": "Zebedee"}, recipient="zebedee@example.com")
    ).content
    for token in re.findall(r"/[upoc]/([\w.-]+)", content.decode().replace("=\r\n", "")):
        for part_of_token in token.split("."):
            assert b"zebedee" not in part_of_token.encode().lower()


@given(st.text(max_size=40), st.integers(0, 200))
def test_a_changed_token_is_none_of_ours(target: str, at: int) -> None:
    token = LINKS.click("m", 3, f"https://x/{target}").rpartition("/c/")[2]
    assert LINKS.click_of(token).target == f"https://x/{target}"
    changed = token[: at % len(token)] + "~" + token[at % len(token) + 1 :]
    for wrong in (changed, token[:-1], "", token + "A", "." * 5000):
        with pytest.raises(NotFoundError):
            LINKS.click_of(wrong)


def test_a_token_of_one_use_is_none_of_another() -> None:
    tokens = {
        UNSUBSCRIBE: LINKS.unsubscribe("m"),
        PREFERENCES: LINKS.preferences("m"),
        OPEN: LINKS.open("m").removesuffix(".gif"),
        CLICK: LINKS.click("m", 0, "https://x"),
    }
    for use in tokens:
        for other, url in tokens.items():
            if use in (other, CLICK):
                continue
            with pytest.raises(NotFoundError):
                LINKS.message_of(use, url.rpartition("/")[2])
    with pytest.raises(NotFoundError):
        Links(b"x" * 32, "https://hub.example").message_of(
            UNSUBSCRIBE, tokens[UNSUBSCRIBE].rpartition("/")[2]
        )


@pytest.mark.parametrize("change", [str.upper, str, lambda text: f"<{text}>"])
def test_an_envelope_sender_says_which_message_it_is_about(change: Any) -> None:
    sender = VERP.sender(f"{3:032x}")
    assert len(sender.partition("@")[0]) <= 64
    assert VERP.message_of(change(sender)) == f"{3:032x}"


@pytest.mark.parametrize(
    "change", ["bounces@shop.example", "x", "", f"bounces+{3:032x}-{0:016x}@shop.example"]
)
def test_an_envelope_sender_that_we_did_not_make_says_nothing(change: str) -> None:
    assert VERP.message_of(change) is None
