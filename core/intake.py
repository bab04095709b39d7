"""Taking messages in: one Segment-spec message, or one consent change, becomes one `core.events.Event`.

Shared by every node, so that an edge and the hub make the same event of the same message. Identifiers leave
as keyed hashes, identifier traits sealed to the hub; no error repeats a value, because any value may be
personal.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from core.errors import EventError
from core.events import (
    MESSAGE_ID_LENGTH_MAX,
    NAME_LENGTH_MAX,
    PROPERTIES_BYTES_MAX,
    Consent,
    Event,
    Identifier,
)
from core.exposures import take_exposure
from core.identifiers import STRENGTH, VALUE_LENGTH_MAX, hash_identifier, normalise

KINDS: Final = ("track", "identify", "page", "screen", "group", "alias")
#: Event names of the kinds that bring none.
NAMES: Final = {
    "identify": "Identify",
    "page": "Page Viewed",
    "screen": "Screen Viewed",
    "group": "Group",
    "alias": "Alias",
}
CONSENT_NAME: Final = "Consent Changed"
CONSENT_STATES: Final = ("granted", "denied", "withdrawn")
#: Traits that identify a person, and the identifier type each one is (None: sealed, yet no identifier).
IDENTIFIER_TRAITS: Final[dict[str, str | None]] = {
    "email": "email",
    "phone": "phone",
    "loyaltyId": "loyalty",
    "loyalty_id": "loyalty",
    "address": None,
}
PRIVATE_PROPERTIES: Final = ("email", "phone")
TRAITS_BYTES_MAX: Final = 16 * 1024
ADDRESS_BYTES_MAX: Final = 2 * 1024
TEXT_VERSION_LENGTH_MAX: Final = 128
SOURCE_LENGTH_MAX: Final = 128
TIME_LENGTH_MAX: Final = 40
_PURPOSE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}")

Seal = Callable[[bytes], bytes]
NewId = Callable[[], str]
Person = tuple[str, str]

_pack = msgspec.msgpack.Encoder().encode
_json = msgspec.json.Encoder().encode


def take_in(
    message: dict[str, Any],
    *,
    kind: str | None,
    identifier_key: bytes,
    trusted: bool,
    user: Person | None,
    received_ms: int,
    node: str,
    seal: Seal | None,
    new_id: NewId,
) -> Event:
    """Validate one Segment-spec message.

    Parameters
    ----------
    message : the decoded JSON object
    kind : the route's kind; None takes the message's own `type`
    identifier_key : the fleet's key for identifier hashes
    trusted : a server key sent it: what it says of identifiers is verified; else it only claims
    user : (type, normalised value) that a checked user token vouches for
    received_ms : the node's time
    node : name of the node
    seal : seals identifier traits to the hub; None (no sealing key known yet) drops them
    new_id : makes a message id where the message brings none

    Returns
    -------
    The event; `sealed` opens to a JSON object with some of `email phone loyaltyId loyalty_id address userId`.

    Raises
    ------
    EventError
        With path, expected and got.
    """
    _expect_object(message, "$")
    kind = _kind(message, kind)
    properties = _properties(message, kind)
    traits, private = _split_traits(_section(message, "traits", TRAITS_BYTES_MAX))
    identifiers = _Identifiers(identifier_key)
    _collect_identifiers(identifiers, message, kind, private, trusted, user)
    _move_private(message, properties, private)
    if "exposure" in properties or "experiments" in properties:
        take_exposure(properties, identifier_key, identifiers.proved(), trusted=trusted)
    sealed = seal(_json(private)) if private and seal is not None else b""
    return Event(
        message_id=_message_id(message, new_id),
        kind=kind,
        name=_name(message, kind),
        at_ms=min(_client_time(message, received_ms), received_ms),
        received_ms=received_ms,
        identifiers=identifiers.sorted("$.anonymousId", "anonymousId or userId"),
        properties=properties,
        traits=traits,
        sealed=sealed,
        node=node,
    )


def take_in_consent(
    message: dict[str, Any],
    *,
    identifier_key: bytes,
    user: Person | None,
    received_ms: int,
    node: str,
    new_id: NewId,
) -> Event:
    """Validate one consent change.

    `{"anonymous_id"?, "purpose", "state", "text_version", "source", "timestamp"?, "message_id"?}`: a grant
    takes effect at the smaller of the client's time and receipt, a denial or withdrawal at receipt.

    Raises
    ------
    EventError
        With path, expected and got.
    """
    _expect_object(message, "$")
    identifiers = _Identifiers(identifier_key)
    if user is not None:
        identifiers.add(*user, verified=True)
    if message.get("anonymous_id") is not None:
        identifiers.add_text("anon", message["anonymous_id"], "$.anonymous_id", verified=True)
    consent = Consent(
        purpose=_purpose(message.get("purpose")),
        state=_one_of(message.get("state"), CONSENT_STATES, "$.state"),
        text_version=_text(message.get("text_version"), TEXT_VERSION_LENGTH_MAX, "$.text_version"),
        source=_text(message.get("source"), SOURCE_LENGTH_MAX, "$.source"),
    )
    granted_ms = min(_time(message, "timestamp", received_ms), received_ms)
    return Event(
        message_id=_message_id(message, new_id, "message_id"),
        kind="consent",
        name=CONSENT_NAME,
        at_ms=granted_ms if consent.state == "granted" else received_ms,
        received_ms=received_ms,
        identifiers=identifiers.sorted("$.anonymous_id", "anonymous_id or user_token"),
        consent=consent,
        node=node,
    )


class _Identifiers:
    """Identifier hashes of one message; proof beats claim where both name the same identifier."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._verified: dict[tuple[str, bytes], bool] = {}

    def add(self, kind: str, value: str, *, verified: bool) -> None:
        entry = (kind, hash_identifier(self._key, kind, value))
        self._verified[entry] = verified or self._verified.get(entry, False)

    def add_text(self, kind: str, value: object, path: str, *, verified: bool) -> None:
        # Some shops number their customers; JSON keeps the number, an identifier is always text.
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        text = normalise(kind, value) if isinstance(value, str) else ""
        if not isinstance(value, str) or not 0 < len(text) <= VALUE_LENGTH_MAX:
            raise EventError(
                expected=f"a string of 1 to {VALUE_LENGTH_MAX} characters", got=_shape(value), path=path
            )
        self.add(kind, text, verified=verified)

    def proved(self) -> list[bytes]:
        """Hashes of the identifiers that are no mere claims."""
        return [digest for (_, digest), verified in self._verified.items() if verified]

    def sorted(self, path: str, expected: str) -> tuple[Identifier, ...]:
        """Strongest first, verified before claimed."""
        if not self._verified:
            raise EventError(expected=expected, got="neither", path=path)
        entries = [Identifier(kind, digest, verified) for (kind, digest), verified in self._verified.items()]
        entries.sort(key=lambda entry: (not entry.verified, STRENGTH[entry.kind], entry.hash))
        return tuple(entries)


def _collect_identifiers(
    identifiers: _Identifiers,
    message: dict[str, Any],
    kind: str,
    private: dict[str, Any],
    trusted: bool,
    user: Person | None,
) -> None:
    if user is not None:
        identifiers.add(*user, verified=True)
    if message.get("anonymousId") is not None:
        identifiers.add_text("anon", message["anonymousId"], "$.anonymousId", verified=True)
    if message.get("userId") is not None:
        identifiers.add_text("id", message["userId"], "$.userId", verified=trusted)
    if kind == "alias":
        _collect_alias(identifiers, message, trusted)
    if kind != "identify":
        return
    for name, type_ in IDENTIFIER_TRAITS.items():
        if type_ is not None and private.get(name) is not None:
            identifiers.add_text(type_, private[name], f"$.traits.{name}", verified=trusted)


def _collect_alias(identifiers: _Identifiers, message: dict[str, Any], trusted: bool) -> None:
    """`previousId` is a device's id in Segment's use of alias; from a site it is only a claim."""
    if message.get("userId") is None:
        raise EventError(expected="a string", got="nothing", path="$.userId")
    identifiers.add_text("anon", message.get("previousId"), "$.previousId", verified=trusted)


def _kind(message: dict[str, Any], kind: str | None) -> str:
    said = message.get("type")
    if kind is None:
        return _one_of(said, KINDS, "$.type")
    if said is not None and said != kind:
        raise EventError(expected=kind, got="another type", path="$.type")
    return kind


def _name(message: dict[str, Any], kind: str) -> str:
    if kind == "track":
        return _text(message.get("event"), NAME_LENGTH_MAX, "$.event")
    return NAMES[kind]


def _properties(message: dict[str, Any], kind: str) -> dict[str, Any]:
    """Properties; the name and category of a page or screen and the id of a group go with them."""
    properties = _section(message, "properties", PROPERTIES_BYTES_MAX)
    extra = ("groupId",) if kind == "group" else ("name", "category") if kind in ("page", "screen") else ()
    for field in extra:
        value = message.get(field)
        if field == "groupId" or value is not None:
            properties[field] = _text(value, VALUE_LENGTH_MAX, f"$.{field}")
    return properties


def _section(message: dict[str, Any], name: str, bytes_max: int) -> dict[str, Any]:
    section = message.get(name)
    if section is None:
        return {}
    _expect_object(section, f"$.{name}")
    _check_size(section, f"$.{name}", bytes_max)
    return dict(section)


def _check_size(value: object, path: str, bytes_max: int) -> None:
    try:
        size = len(_pack(value))
    except (OverflowError, RecursionError, UnicodeEncodeError, TypeError, ValueError) as error:
        raise EventError(
            expected="integers of 64 bits and moderate nesting", got="other values", path=path
        ) from error
    if size > bytes_max:
        raise EventError(expected=f"at most {bytes_max} bytes", got=f"{size} bytes", path=path)


def _split_traits(traits: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(traits that stay readable, identifier traits to be sealed)."""
    private = {name: traits.pop(name) for name in IDENTIFIER_TRAITS if name in traits}
    private = {name: value for name, value in private.items() if value is not None}
    for name, kind in IDENTIFIER_TRAITS.items():
        value = private.get(name)
        if kind is None and value is not None:
            _check_size(value, f"$.traits.{name}", ADDRESS_BYTES_MAX)
        elif value is not None and (
            not isinstance(value, str | int) or isinstance(value, bool) or len(str(value)) > VALUE_LENGTH_MAX
        ):
            expected = f"a string of at most {VALUE_LENGTH_MAX} characters"
            raise EventError(expected=expected, got=_shape(value), path=f"$.traits.{name}")
    return traits, private


def _move_private(message: dict[str, Any], properties: dict[str, Any], private: dict[str, Any]) -> None:
    """Raw identifiers outside the traits go the same way: the customer number, and an order's e-mail and
    phone.
    """
    if message.get("userId") is not None:
        private["userId"] = message["userId"]
    for name in PRIVATE_PROPERTIES:
        value = properties.pop(name, None)
        if value is not None:
            _check_size(value, f"$.properties.{name}", ADDRESS_BYTES_MAX)
            private.setdefault(name, value)


def _message_id(message: dict[str, Any], new_id: NewId, field: str = "messageId") -> str:
    if message.get(field) is None:
        return new_id()
    return _text(message[field], MESSAGE_ID_LENGTH_MAX, f"$.{field}")


def _client_time(message: dict[str, Any], received_ms: int) -> int:
    """The client's time in the node's clock; where `sentAt` shows how far the client's is off, that is
    taken out.
    """
    said_ms = _time(message, "originalTimestamp", _time(message, "timestamp", received_ms))
    if message.get("sentAt") is None:
        return said_ms
    sent_ms = _time(message, "sentAt", received_ms)
    if message.get("originalTimestamp") is None and message.get("timestamp") is None:
        return received_ms
    return max(0, received_ms - (sent_ms - said_ms))


def _time(message: dict[str, Any], field: str, absent_ms: int) -> int:
    """Milliseconds since 1970 UTC of an ISO 8601 time (without an offset: UTC)."""
    value = message.get(field)
    if value is None:
        return absent_ms
    expected = "an ISO 8601 time since 1970"
    if not isinstance(value, str) or len(value) > TIME_LENGTH_MAX:
        raise EventError(expected=expected, got=_shape(value), path=f"$.{field}")
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        at_ms = round(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise EventError(expected=expected, got="another string", path=f"$.{field}") from error
    if at_ms < 0:
        raise EventError(expected=expected, got="an earlier time", path=f"$.{field}")
    return at_ms


def _purpose(value: object) -> str:
    if not isinstance(value, str) or _PURPOSE.fullmatch(value) is None:
        raise EventError(expected=f"a purpose ({_PURPOSE.pattern})", got=_shape(value), path="$.purpose")
    return value


def _one_of(value: object, allowed: tuple[str, ...], path: str) -> str:
    if not isinstance(value, str) or value not in allowed:
        raise EventError(expected="one of " + ", ".join(allowed), got=_shape(value), path=path)
    return value


def _text(value: object, length_max: int, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= length_max:
        raise EventError(expected=f"a string of 1 to {length_max} characters", got=_shape(value), path=path)
    return value


def _expect_object(value: object, path: str) -> None:
    if not isinstance(value, dict):
        raise EventError(expected="an object", got=_shape(value), path=path)


def _shape(value: object) -> str:
    """What came, without saying it: the value may be personal."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"another string of {len(value)} characters"
    return {bool: "a boolean", int: "an integer", float: "a number", list: "a list", dict: "an object"}.get(
        type(value), "another type"
    )
