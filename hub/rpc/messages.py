"""Segment-spec messages of trusted callers, as the hub's own intake takes them in."""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from core.errors import EventError
from core.events import Event, encode_event
from core.identifiers import VALUE_LENGTH_MAX, normalise
from core.intake import Person, take_in, take_in_consent
from core.journal import RECORD_OVERHEAD
from core.sealing import seal
from hub.data.event_log import BATCH_BYTES_MAX

MESSAGE_BYTES_MAX: Final = 64 * 1024
#: One message of the event log must hold the event with what stands around it.
EVENT_BYTES_MAX: Final = BATCH_BYTES_MAX - RECORD_OVERHEAD
SEALED_KEPT_MAX: Final = 20_000
MESSAGE_ID_BYTES: Final = 16

#: `type` of a consent change, and what its fields are called in Segment's spelling.
CONSENT_TYPE: Final = "consent"
CONSENT_FIELDS: Final = {"messageId": "message_id", "anonymousId": "anonymous_id"}

_decode = msgspec.json.Decoder(dict[str, Any]).decode


@dataclass(frozen=True)
class Rejected:
    """A message that was not taken, by its index."""

    index: int
    path: str
    expected: str
    got: str


class Reader:
    """Makes events of messages. It waits for nothing and may run in any thread."""

    def __init__(
        self, identifier_key: bytes, sealing_key: bytes, node: str, now_ms: Callable[[], int]
    ) -> None:
        """`sealing_key`: the hub's public one, so that identifiers are sealed in the log's files too."""
        self._identifier_key = identifier_key
        self._seal = _Sealer(sealing_key)
        self._node = node
        self._now_ms = now_ms

    def read(self, messages: Sequence[bytes]) -> tuple[list[Event], list[Rejected]]:
        """Events of those messages that are well-formed, and why the others are not."""
        events, rejected = [], []
        received_ms = self._now_ms()
        for index, message in enumerate(messages):
            try:
                events.append(self._event(message, received_ms))
            except EventError as error:
                rejected.append(Rejected(index, error.path, error.expected, error.got))
        return events, rejected

    def consent(self, person: Person, message: dict[str, Any]) -> Event:
        """The event of a consent change that a trusted caller reports of a person."""
        return take_in_consent(
            message,
            identifier_key=self._identifier_key,
            user=person,
            received_ms=self._now_ms(),
            node=self._node,
            new_id=_new_id,
        )

    def _consent_event(self, message: dict[str, Any], received_ms: int) -> Event:
        """A consent change among the messages: its person is named as in those, for files hold both."""
        user_id = message.get("userId")
        if user_id is not None and not (
            isinstance(user_id, str) and 0 < len(user_id.strip()) <= VALUE_LENGTH_MAX
        ):
            expected = f"a string of 1 to {VALUE_LENGTH_MAX} characters"
            raise EventError(path="$.userId", expected=expected, got="another value")
        return take_in_consent(
            {CONSENT_FIELDS.get(name, name): value for name, value in message.items()},
            identifier_key=self._identifier_key,
            user=("id", normalise("id", user_id)) if user_id is not None else None,
            received_ms=received_ms,
            node=self._node,
            new_id=_new_id,
        )

    def _event(self, message: bytes, received_ms: int) -> Event:
        _check_size(message, MESSAGE_BYTES_MAX)
        try:
            fields = _decode(message)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise EventError(path="$", expected="a JSON object", got="other bytes") from error
        if fields.get("type") == CONSENT_TYPE:
            return self._consent_event(fields, received_ms)
        event = take_in(
            fields,
            kind=None,
            identifier_key=self._identifier_key,
            trusted=True,
            user=None,
            received_ms=received_ms,
            node=self._node,
            seal=self._seal,
            new_id=_new_id,
        )
        # An event is hardly larger than its message; only near the limit is it worth packing to see.
        if len(message) > EVENT_BYTES_MAX // 2:
            _check_size(encode_event(event), EVENT_BYTES_MAX)
        return event


class _Sealer:
    """Seals identifier traits. A person's are the same in each of her events, so the last ones are kept."""

    def __init__(self, public_key: bytes) -> None:
        self._public_key = public_key
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()

    def __call__(self, plain: bytes) -> bytes:
        sealed = self._kept.get(plain)
        if sealed is None:
            sealed = self._kept[plain] = seal(self._public_key, plain)
            if len(self._kept) > SEALED_KEPT_MAX:
                self._kept.popitem(last=False)
        return sealed


def _check_size(data: bytes, bytes_max: int) -> None:
    if len(data) > bytes_max:
        raise EventError(path="$", expected=f"at most {bytes_max} bytes", got=f"{len(data)} bytes")


def _new_id() -> str:
    return secrets.token_hex(MESSAGE_ID_BYTES)
