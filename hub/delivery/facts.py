"""What a message may say of its person: the declared attributes, as templates read them."""

from datetime import UTC, datetime
from typing import Any, Final

from core.bundle import READ_CONTEXT, TIMESTAMP, Attribute, BundleDocument
from core.record import describe

PROFILE: Final = "profile."


def facts_of(document: BundleDocument, record: bytes, now_ms: int) -> dict[str, Any]:
    """Values by the attribute's name without `profile.`; the declared default where the person lacks one.

    A timestamp is a datetime in UTC, as Liquid's `date` takes it; outside the years 1 to 9999 it is missing.
    """
    found = describe(record, document, now_ms)
    facts = {}
    for attribute in document.attributes:
        value = _value(attribute, found.get(attribute.name, attribute.default))
        if value is not None and attribute.reading != READ_CONTEXT:
            facts[attribute.name.removeprefix(PROFILE)] = value
    return facts


def _value(attribute: Attribute, value: Any) -> Any:
    if attribute.type != TIMESTAMP or value is None:
        return value
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
