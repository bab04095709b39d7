"""Exposure tokens: what a node assigned to whom, for the client to send back once it has displayed it.

A client says what it displayed, and may say anything. An assignment is kept (sticky) only if the token shows
that a node of this fleet made it, for this very person: a visitor cannot choose her variant, nor enter an
experiment that lets nobody in, nor speak for somebody else. Callers with a server key need none.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

#: 64 experiments with ids of 80 characters, in base 64.
TOKEN_LENGTH_MAX: Final = 24 * 1024
#: No identifier has this type, so no token is an identifier's hash.
_PURPOSE: Final = b"exposure\0"
_MAC_BYTES: Final = 16

#: Experiment, variant, and the sticky version of an experiment that is sticky.
Assigned = tuple[str, str, int | None]


class _Token(msgspec.Struct, frozen=True, array_like=True):
    decision_id: str
    placement: str
    assigned: list[Assigned]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Token).decode


def exposure_token(
    key: bytes, person: bytes, decision_id: str, placement: str, assigned: Sequence[Assigned]
) -> str:
    """The token of one answered placement.

    Parameters
    ----------
    key : the fleet's key for identifier hashes
    person : 16 bytes, the identifier hash that the request showed
    assigned : the experiments of the answer
    """
    content = _encode(_Token(decision_id, placement, list(assigned)))
    return base64.urlsafe_b64encode(_mac(key, person, content) + content).decode()


def take_exposure(properties: dict[str, Any], key: bytes, people: Iterable[bytes], *, trusted: bool) -> None:
    """Put what is proved about experiments into the properties of a client's event.

    `exposure`, the token, gives way to the `experiments` that it holds, if a node made it for one of these
    people (identifier hashes). Without one an untrusted caller's own `experiments` stay, without the sticky
    version that would have them stored. Whatever the event's name is: a catalogue may have aliases.
    """
    token = properties.get("exposure")
    found = _opened(token, key, people) if isinstance(token, str) else None
    if found is not None:
        del properties["exposure"]
        properties["experiments"] = [_named(*entry) for entry in found.assigned]
    elif not trusted and "experiments" in properties:
        properties["experiments"] = _claimed(properties["experiments"])


def _opened(token: str, key: bytes, people: Iterable[bytes]) -> _Token | None:
    if len(token) > TOKEN_LENGTH_MAX:
        return None
    try:
        raw = base64.b64decode(token, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    mac, content = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not any(hmac.compare_digest(mac, _mac(key, person, content)) for person in people):
        return None
    return _decode(content)


def _mac(key: bytes, person: bytes, content: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + person + content, "sha256")[:_MAC_BYTES]


def _named(experiment: str, variant: str, version: int | None) -> dict[str, Any]:
    named: dict[str, Any] = {"id": experiment, "variant": variant}
    return named if version is None else {**named, "sticky_version": version}


def _claimed(experiments: Any) -> Any:
    if not isinstance(experiments, list):
        return experiments
    return [
        {name: value for name, value in one.items() if name != "sticky_version"}
        if isinstance(one, dict)
        else one
        for one in experiments
    ]
