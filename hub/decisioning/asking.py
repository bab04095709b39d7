"""A question put to the hub: who is meant, checked and hashed, before anything is looked up."""

import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from joserfc.jwk import OKPKey

from core.errors import CoreError
from core.identifiers import hash_identifier, parse
from core.user_token import verify_user_token
from hub.decisioning.context import complete
from hub.errors import ForbiddenError, InvalidError, PreconditionError

PLACEMENTS_MAX: Final = 64
PLACEMENT_LENGTH_MAX: Final = 128
CONTEXT_FIELDS_MAX: Final = 64
UUID_PATTERN: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
DECISION_ID_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
DECISION_ID_BYTES: Final = 16
#: 9999-12-31, the last day that RFC 3339 can write.
AT_MS_MAX: Final = 253_402_300_799_999
OPERATOR: Final = "operator"


class Question(msgspec.Struct, frozen=True):
    """One decision request as it came."""

    placements: Sequence[str]
    anonymous_id: str = ""
    user_token: str = ""
    profile: str = ""
    context: Mapping[str, Any] = {}
    trace: bool = False
    at_ms: int = 0
    decision_id: str = ""


class Asked(msgspec.Struct, frozen=True):
    """A checked question. `keys`: identifier hashes to look under, the strongest first; empty: nobody."""

    question: Question
    context: dict[str, Any]
    keys: tuple[bytes, ...]
    unit_key: bytes
    named: bool
    now_ms: int
    decision_id: str

    @property
    def device(self) -> bytes:
        """The hash of the device among the keys, which others may use too; empty: none is shown."""
        return self.keys[-1] if self.question.anonymous_id else b""


class Desk:
    """Checks questions and finds out who is meant. It holds no connection and waits for nothing."""

    def __init__(
        self,
        identifier_key: bytes,
        user_token_keys: Sequence[OKPKey],
        site: str,
        now_ms: Callable[[], int],
        *,
        allow_time_travel: bool,
    ) -> None:
        self._identifier_key = identifier_key
        self._user_token_keys = user_token_keys
        self._site = site
        self._now_ms = now_ms
        self._allow_time_travel = allow_time_travel

    def now_ms(self) -> int:
        """The moment of a request, read once for all of its questions."""
        return self._now_ms()

    def take(self, question: Question, role: str, path: str, moment_ms: int) -> Asked:
        """Check one question that a caller of `role` put; `path`: where it stands in the request."""
        _check_placements(question.placements, f"{path}.placements")
        if len(question.context) > CONTEXT_FIELDS_MAX:
            expected = f"at most {CONTEXT_FIELDS_MAX} fields"
            raise InvalidError(expected=expected, got=f"{len(question.context)}", path=f"{path}.context")
        now_ms, decision_id = self._moment(question, role, path, moment_ms)
        keys, unit_key, named = self._who(question, path)
        context = complete(question.context)
        return Asked(question, context, keys, unit_key, named, now_ms, decision_id)

    def person_key(self, person: str, path: str) -> bytes:
        """Identifier hash of `type:value`."""
        try:
            return hash_identifier(self._identifier_key, *parse(person))
        except CoreError as error:
            raise InvalidError(expected=error.expected, got=error.got, path=path) from error

    def _moment(self, question: Question, role: str, path: str, moment_ms: int) -> tuple[int, str]:
        if not question.at_ms and not question.decision_id:
            return moment_ms, secrets.token_hex(DECISION_ID_BYTES)
        where = f"{path}.at_ms" if question.at_ms else f"{path}.decision_id"
        if not self._allow_time_travel:
            raise PreconditionError(expected="nothing: time travel is off here", got="a value", path=where)
        if role != OPERATOR:
            raise ForbiddenError(expected="an operator key for time travel", got=f"role {role}", path=where)
        if not 0 <= question.at_ms <= AT_MS_MAX:
            expected = f"ms since 1970, at most {AT_MS_MAX}"
            raise InvalidError(expected=expected, got=f"{question.at_ms}", path=where)
        decision_id = question.decision_id or secrets.token_hex(DECISION_ID_BYTES)
        if not DECISION_ID_PATTERN.fullmatch(decision_id):
            expected = f"an id of the form {DECISION_ID_PATTERN.pattern}"
            raise InvalidError(expected=expected, got="another form", path=f"{path}.decision_id")
        return question.at_ms or moment_ms, decision_id

    def _who(self, question: Question, path: str) -> tuple[tuple[bytes, ...], bytes, bool]:
        """Identifier hashes, strongest first; unit key; whether the caller named the person.

        An anonymous visitor is assigned by her device's hash, on hub and edge alike, so that she keeps her
        variants when a log-in makes her a profile.
        """
        keys = []
        if question.profile:
            keys.append(self.person_key(question.profile, f"{path}.profile"))
        if question.user_token:
            # A token is judged by the true time: time travel must not revive an expired one.
            now_s = self._now_ms() // 1000
            user = verify_user_token(question.user_token, self._user_token_keys, self._site, now_s)
            keys.append(hash_identifier(self._identifier_key, *user))
        named = bool(keys)
        if question.anonymous_id:
            if not UUID_PATTERN.fullmatch(question.anonymous_id):
                got = f"another string of {len(question.anonymous_id)} characters"
                raise InvalidError(expected="a UUID", got=got, path=f"{path}.anonymous_id")
            keys.append(hash_identifier(self._identifier_key, "anon", question.anonymous_id.lower()))
            return tuple(keys), keys[-1], named
        if not keys:
            expected = "anonymous_id, user_token or profile"
            raise InvalidError(expected=expected, got="none of them", path=path)
        return tuple(keys), keys[0], named


def _check_placements(placements: Sequence[str], path: str) -> None:
    if not 0 < len(placements) <= PLACEMENTS_MAX:
        expected = f"1 to {PLACEMENTS_MAX} placements"
        raise InvalidError(expected=expected, got=f"{len(placements)}", path=path)
    for index, placement in enumerate(placements):
        if not 0 < len(placement) <= PLACEMENT_LENGTH_MAX:
            expected = f"1 to {PLACEMENT_LENGTH_MAX} characters"
            raise InvalidError(expected=expected, got=f"{len(placement)}", path=f"{path}[{index}]")
