"""The starter profile: what a request shows, and who may say what."""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import pytest

from edge.context import Countries, build_context
from edge.errors import SettingsError
from edge.user_agent import UserAgent, read_user_agent
from tests.shared import shared_data

NOWHERE = Countries("", "", None)
WINDOWS = b"Mozilla/5.0 (Windows NT 10.0; Win64; x64) (KHTML, like Gecko) Chrome/120.0 Safari/537.36"
IPHONE = b"Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) Version/17.0 Mobile/15E148 Safari/604.1"


def context(
    given: dict[str, Any], headers: dict[bytes, bytes] | None = None, countries: Countries = NOWHERE
) -> Any:
    return build_context(given, headers or {}, ("203.0.113.7", 1), countries)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"", UserAgent("", "", "")),
        (WINDOWS, UserAgent("desktop", "chrome", "windows")),
        (WINDOWS + b" Edg/120.0", UserAgent("desktop", "edge", "windows")),
        (IPHONE, UserAgent("mobile", "safari", "ios")),
        (
            b"Mozilla/5.0 (iPad; CPU OS 9_3 like Mac OS X) Version/9.0 Safari/601.1",
            UserAgent("tablet", "safari", "ios"),
        ),
        (
            b"Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/120.0 Mobile Safari/537.36",
            UserAgent("mobile", "chrome", "android"),
        ),
        (
            b"Mozilla/5.0 (Linux; Android 13; SM-X900) Chrome/120.0 Safari/537.36",
            UserAgent("tablet", "chrome", "android"),
        ),
        (
            b"Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0",
            UserAgent("desktop", "firefox", "linux"),
        ),
        (
            b"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15) Version/17.0 Safari/605.1",
            UserAgent("desktop", "safari", "macos"),
        ),
        (
            b"Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            UserAgent("bot", "", ""),
        ),
        (
            b"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) SamsungBrowser/2.2 Safari/538.1",
            UserAgent("tv", "samsung", "linux"),
        ),
        (b"\xff" * 100_000, UserAgent("desktop", "", "")),
    ],
)
def test_a_user_agent_is_told_in_three_words(header: bytes, expected: UserAgent) -> None:
    assert read_user_agent(header) == expected


def device(text: str) -> str:
    return read_user_agent(text.encode("latin-1", "replace")).device


def test_most_crawlers_are_told_from_people() -> None:
    listed = json.loads((shared_data("user_agents") / "crawlers_dev.json").read_text("utf-8"))
    instances = [text for crawler in listed for text in crawler["instances"]]
    found = sum(device(text) == "bot" for text in instances)
    assert found / len(instances) > 0.85


def test_no_ordinary_browser_is_taken_for_a_crawler() -> None:
    with gzip.open(shared_data("user_agents") / "ua_dev.jsonl.gz", "rt", encoding="utf-8") as lines:
        known = [json.loads(line) for line in lines]
    ordinary = (
        "Chrome",
        "Firefox",
        "Safari",
        "IE",
        "Opera",
        "Edge",
        "Chrome Mobile",
        "Mobile Safari",
        "Opera Mini",
    )
    flagged = [
        one["user_agent_string"]
        for one in known
        if one["family"] in ordinary and device(one["user_agent_string"]) == "bot"
    ]
    assert [text for text in flagged if "Google Web Preview" not in text] == []


def test_the_request_completes_what_the_caller_says() -> None:
    given = {
        "url": "https://shop.example/a/b?utm_source=mail&utm_campaign=x%20y&utm_other=1&q=2",
        "referrer": "https://www.google.com/search?q=shoes",
        "store": "berlin",
    }
    headers = {b"user-agent": IPHONE, b"accept-language": b"de-DE,de;q=0.9"}
    assert context(given, headers) == {
        **given,
        "device": "mobile",
        "browser": "safari",
        "os": "ios",
        "path": "/a/b",
        "utm_source": "mail",
        "utm_campaign": "x y",
        "referrer_domain": "www.google.com",
        "locale": "de-DE",
    }


def test_the_caller_may_say_it_better() -> None:
    given = {
        "device": "kiosk",
        "locale": "fr",
        "path": "/x",
        "url": "https://a.example/y",
        "referrer_domain": "r",
    }
    found = context(given, {b"user-agent": WINDOWS, b"accept-language": b"de"})
    assert {name: found[name] for name in given} == given


@pytest.mark.parametrize(
    "given",
    [{"url": 5}, {"url": "http://[bad"}, {"referrer": "http://[bad"}, {"url": "x" * 5000}, {"referrer": ""}],
)
def test_an_address_that_is_none_says_nothing(given: dict[str, Any]) -> None:
    found = context(given)
    assert set(found) - {"referrer_domain"} == set(given)
    assert found.get("referrer_domain", "") == ""


@pytest.mark.parametrize(
    ("header", "found"), [(b"*", None), (b"", None), (b"x" * 40, None), (b"en;q=1", "en")]
)
def test_a_language_is_taken_if_it_is_one(header: bytes, found: str | None) -> None:
    assert context({}, {b"accept-language": header}).get("locale") == found


@pytest.mark.parametrize(
    ("said", "expected"), [(b"de", "DE"), (b" DE ", "DE"), (b"XYZ", "FR"), (b"1!", "FR"), (b"", "FR")]
)
def test_only_a_trusted_header_says_the_country(said: bytes, expected: str) -> None:
    trusting = Countries("cf-ipcountry", "", None)
    assert context({"country": "FR"}, {b"cf-ipcountry": said}, trusting)["country"] == expected
    assert "country" not in context({}, {b"cf-ipcountry": said})


def test_a_country_database_is_asked_for_the_visitors_address(tmp_path: Path) -> None:
    path = tmp_path / "countries.mmdb"
    path.write_bytes(country_database("DE"))
    countries = Countries("", "x-real-ip", path)
    assert context({"country": "FR"}, {}, countries)["country"] == "DE"
    assert context({}, {b"x-real-ip": b"10.0.0.1, 203.0.113.9"}, countries)["country"] == "DE"
    assert "country" not in context({}, {b"x-real-ip": b"nonsense"}, countries)
    countries.close()


@pytest.mark.parametrize("content", [None, b"", b"no database"])
def test_a_country_database_that_is_none_stops_the_start(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match="ONEVOICE_MMDB"):
        Countries("", "", path)


def country_database(code: str) -> bytes:
    """The smallest MMDB (format 2.0, IPv4, 24 bits a record): one node whose both branches are this
    country.
    """

    def text(value: str) -> bytes:
        return bytes([0x40 | len(value)]) + value.encode()

    def number(kind: int, value: int, size: int) -> bytes:
        data = value.to_bytes(size, "big")
        return (bytes([(kind << 5) | size]) if kind < 8 else bytes([size, kind - 7])) + data

    data = b"\xe1" + text("country") + b"\xe1" + text("iso_code") + text(code)
    pointer = 1 + 16  # node count, then 16 zero bytes before the data section
    tree = struct.pack(">I", pointer)[1:] * 2
    fields = {
        "binary_format_major_version": number(5, 2, 2),
        "binary_format_minor_version": number(5, 0, 2),
        "build_epoch": number(9, 1, 8),
        "database_type": text("Test-Country"),
        "description": b"\xe0",
        "ip_version": number(5, 4, 2),
        "languages": bytes([0, 4]),
        "node_count": number(6, 1, 4),
        "record_size": number(5, 24, 2),
    }
    metadata = bytes([0xE0 | len(fields)]) + b"".join(text(name) + value for name, value in fields.items())
    return tree + b"\0" * 16 + data + b"\xab\xcd\xefMaxMind.com" + metadata
