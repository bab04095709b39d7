"""What follows from a request's own facts: a page's path and campaign, a referrer's domain.

An edge completes the context of its requests in the same way, so that the same question gets the same answer.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

URL_LENGTH_MAX: Final = 2048
PARAMETERS_MAX: Final = 64
CAMPAIGN: Final = ("utm_source", "utm_medium", "utm_campaign")


def complete(given: Mapping[str, Any]) -> dict[str, Any]:
    """The context with `path`, `utm_*` and `referrer_domain` where it does not say them itself."""
    context = dict(given)
    url, referrer = context.get("url"), context.get("referrer")
    try:
        if isinstance(url, str) and 0 < len(url) <= URL_LENGTH_MAX:
            _add_page(context, url)
        if isinstance(referrer, str) and 0 < len(referrer) <= URL_LENGTH_MAX:
            context.setdefault("referrer_domain", urlsplit(referrer).hostname or "")
    except ValueError:
        # An address that is none says nothing.
        return context
    return context


def _add_page(context: dict[str, Any], url: str) -> None:
    parts = urlsplit(url)
    context.setdefault("path", parts.path)
    if "utm_" in parts.query:
        for name, value in parse_qsl(parts.query, max_num_fields=PARAMETERS_MAX):
            if name in CAMPAIGN:
                context.setdefault(name, value)
