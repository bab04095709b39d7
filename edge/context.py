"""The starter profile: what a request itself says of a visitor. It lives in the request only and is stored
nowhere.

What the caller sends wins, except where only the node can know: the country of a trusted proxy or of the
operator's own database, and the Global Privacy Control header, which can only be added.
"""

import ipaddress
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import maxminddb

from edge.errors import SettingsError
from edge.user_agent import read_user_agent

URL_LENGTH_MAX: Final = 2048
PARAMETERS_MAX: Final = 64
CACHED_MAX: Final = 4096
LOCALE_LENGTH_MAX: Final = 35
_CAMPAIGN: Final = ("utm_source", "utm_medium", "utm_campaign")

Headers = Mapping[bytes, bytes]


class Countries:
    """The visitor's country: a trusted proxy's header, else the operator's MMDB file, else unknown."""

    def __init__(self, country_header: str, client_ip_header: str, mmdb: Path | None) -> None:
        self._country_header = country_header.encode()
        self._client_ip_header = client_ip_header.encode()
        self._reader: maxminddb.Reader | None = None
        if mmdb is not None:
            try:
                self._reader = maxminddb.open_database(str(mmdb))
            except (OSError, maxminddb.InvalidDatabaseError) as error:
                message = f"ONEVOICE_MMDB: expected an MMDB file, got {type(error).__name__} for {mmdb}"
                raise SettingsError(message) from error

    def find(self, headers: Headers, client: tuple[str, int] | None) -> str:
        """ISO 3166 code of two letters, or nothing."""
        if self._country_header:
            code = headers.get(self._country_header, b"").decode("latin-1").strip().upper()
            if len(code) == 2 and code.isascii() and code.isalpha():
                return code
        return "" if self._reader is None else self._look_up(headers, client)

    def _look_up(self, headers: Headers, client: tuple[str, int] | None) -> str:
        assert self._reader is not None
        said = headers.get(self._client_ip_header, b"") if self._client_ip_header else b""
        # A proxy appends what it has seen: the last address is the one that it vouches for.
        address = said.decode("latin-1").rpartition(",")[2].strip() or (client[0] if client else "")
        try:
            found: Any = self._reader.get(ipaddress.ip_address(address))
        except ValueError:
            return ""
        country = found.get("country") if isinstance(found, dict) else None
        code = country.get("iso_code") if isinstance(country, dict) else None
        return code if isinstance(code, str) else ""

    def close(self) -> None:
        if self._reader is not None:
            self._reader.close()


def build_context(
    given: Mapping[str, Any], headers: Headers, client: tuple[str, int] | None, countries: Countries
) -> dict[str, Any]:
    """The context of one decision: the caller's, completed by what the request shows."""
    context = dict(given)
    agent = read_user_agent(headers.get(b"user-agent", b""))
    for name, value in (("device", agent.device), ("browser", agent.browser), ("os", agent.os)):
        if value:
            context.setdefault(name, value)
    country = countries.find(headers, client)
    if country:
        context["country"] = country
    if headers.get(b"sec-gpc") == b"1":
        context["gpc"] = True
    if "locale" not in context:
        _add_locale(context, headers.get(b"accept-language", b""))
    _split_url(context)
    return context


def _add_locale(context: dict[str, Any], header: bytes) -> None:
    first = header.split(b",", 1)[0].split(b";", 1)[0].strip()
    if first and first != b"*" and len(first) <= LOCALE_LENGTH_MAX:
        context["locale"] = first.decode("latin-1")


def _split_url(context: dict[str, Any]) -> None:
    """`path` and campaign of the page's address, and the domain of the referrer."""
    url, referrer = context.get("url"), context.get("referrer")
    if isinstance(url, str) and url and len(url) <= URL_LENGTH_MAX:
        for name, value in page_facts(url):
            context.setdefault(name, value)
    if isinstance(referrer, str) and referrer and len(referrer) <= URL_LENGTH_MAX:
        context.setdefault("referrer_domain", domain_of(referrer))


@lru_cache(maxsize=CACHED_MAX)
def page_facts(url: str) -> tuple[tuple[str, str], ...]:
    """`path` and campaign parameters of an address; nothing of one that is none. Pages come again and
    again.
    """
    try:
        parts = urlsplit(url)
        facts = [("path", parts.path)]
        if "utm_" in parts.query:
            given = parse_qsl(parts.query, max_num_fields=PARAMETERS_MAX)
            facts += [(name, value) for name, value in given if name in _CAMPAIGN]
    except ValueError:
        return ()
    return tuple(facts)


@lru_cache(maxsize=CACHED_MAX)
def domain_of(url: str) -> str:
    """The host of an address; empty if there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
