"""Bounces and complaints, judged by a collection of real ones, and by what matters most of them."""

import base64
import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.delivery.email.bounces import REPORTS_MAX, Report, read_mail
from hub.delivery.email.replies import HARD, reason_of
from tests.shared import shared_data

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:flufl")

#: Of 296 mails; the others are mostly what Sisimai calls `filtered` for one sender's notices by name.
RIGHT_ABOUT_SUPPRESSING = 282


@pytest.fixture(scope="module")
def mails() -> list[tuple[dict[str, Any], list[Report]]]:
    lines = gzip.decompress(shared_data("bounce_mails/bounces_dev.jsonl.gz").read_bytes()).splitlines()
    cases = [json.loads(line) for line in lines]
    return [(case, read_mail(base64.b64decode(case["raw_base64"]))) for case in cases]


def test_dead_addresses_are_told_from_living_ones(mails: list[tuple[dict[str, Any], list[Report]]]) -> None:
    right = [
        any(one["hard_bounce"] for one in case["expected"]) == any(report.hard for report in reports)
        for case, reports in mails
    ]
    assert (len(right), sum(right)) == (296, RIGHT_ABOUT_SUPPRESSING)


def test_every_complaint_is_one(mails: list[tuple[dict[str, Any], list[Report]]]) -> None:
    for case, reports in mails:
        told = sorted(one.get("feedback_type") or "" for one in case["expected"])
        assert sorted(report.feedback for report in reports if report.feedback) == [
            one for one in told if one
        ]
        wanted = any(one in ("abuse", "opt-out") for one in told)
        assert any(report.complaint for report in reports) == wanted, case["name"]


SOFT = (
    "mailboxfull",
    "expired",
    "speeding",
    "systemerror",
    "systemfull",
    "toomanyconn",
    "vacation",
    "delivered",
)


def test_nothing_that_passes_suppresses(mails: list[tuple[dict[str, Any], list[Report]]]) -> None:
    for case, reports in mails:
        if all(one["reason"] in SOFT for one in case["expected"]):
            assert not any(report.hard or report.complaint for report in reports), case["name"]


@pytest.mark.parametrize(
    ("status", "code", "text", "hard"),
    [
        ("5.1.1", 550, "550 5.1.1 <a@b> user unknown", True),
        ("5.1.2", 550, "550 5.1.2 host unknown", True),
        ("5.1.10", 556, "556 5.1.10 null MX", True),
        ("5.1.6", 551, "551 5.1.6 moved", True),
        ("5.2.2", 552, "552 5.2.2 over quota", False),
        ("5.1.1", 552, "552 sorry, mailbox is over quota (#5.1.1)", False),
        ("4.2.0", 450, "450 4.2.0 greylisted, try again", False),
        ("5.7.1", 550, "550 5.7.1 user unknown to our policy: blocked", False),
        ("5.1.1", 550, "550 5.1.1 your IP 192.0.2.1 is blacklisted", False),
        ("5.7.26", 550, "550 5.7.26 unauthenticated email", False),
        ("5.2.1", 550, "550 5.2.1 account is disabled", False),
        ("5.3.4", 552, "552 5.3.4 message too big", False),
        ("", 550, "550 no such user here", True),
        ("", 554, "554 transaction failed", False),
        ("", 0, "", False),
    ],
)
def test_a_reply_is_judged_by_its_words_and_then_by_its_status(
    status: str, code: int, text: str, hard: bool
) -> None:
    assert (reason_of(status, code, text) in HARD) == hard


def test_a_code_for_mailboxes_is_believed_where_a_recipient_was_refused() -> None:
    assert reason_of("", 550, "550 no", "recipient") == "userunknown"
    assert reason_of("", 550, "550 no", "data") == "undefined"


@given(st.binary(max_size=3000))
def test_any_bytes_are_read(content: bytes) -> None:
    assert len(read_mail(content)) <= REPORTS_MAX
    assert (
        len(read_mail(b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\n" + content)) <= REPORTS_MAX
    )


def test_an_ordinary_mail_says_nothing() -> None:
    assert read_mail(b"From: ada@example.com\r\nSubject: hello\r\n\r\nuser unknown 550 x@y.example\r\n") == []
