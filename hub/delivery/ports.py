"""What delivery needs from a channel: a composer that makes a message and a sender that hands it over.

Both are chosen by channel in the composition root; the outbox knows no e-mail and no SMS.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol

import msgspec

from core.bundle import Outbound, Template

EMAIL: Final = "email"

#: `sent`: the provider has taken it. `deferred`: try again later. `failed`: never try this one again.
#: `in_doubt`: it may or may not have been taken.
OutcomeKind = Literal["sent", "deferred", "failed", "in_doubt"]


class Outcome(msgspec.Struct, frozen=True):
    """How a hand-off ended. `suppress`: the address is dead, so nothing may be sent to it again."""

    kind: OutcomeKind
    code: int = 0  # of the provider, such as 451; 0: none
    status: str = ""  # RFC 3463, such as 5.1.1
    detail: str = ""  # short, ours, never the provider's text, which may repeat an address
    suppress: bool = False


class Addressed(msgspec.Struct, frozen=True):
    """A message before it is composed: to whom, and what was decided for her."""

    message_id: str  # 32 hex digits: what stands before the @ of the Message-ID
    recipient: str  # the address in the clear
    channel: str
    placement: str
    template: Template
    blocks: Mapping[str, Mapping[str, Any]]  # slot -> {"block", "value"}, as decided
    profile: Mapping[str, Any]  # attribute without `profile.` -> value, of declared attributes
    locale: str  # the person's, "" if not known
    outbound: Outbound
    now_ms: int


class Composed(msgspec.Struct, frozen=True):
    """A message as its sender takes it; for e-mail `content` is RFC 5322 and signed."""

    message_id: str
    envelope_from: str
    recipient: str
    content: bytes


class Composer(Protocol):
    """Turns a decided message into bytes, in any thread."""

    def compose(self, message: Addressed) -> Composed:
        """Raises ContentError where the template cannot be rendered."""


class Sender(Protocol):
    """Hands messages over, several at once if the caller has several."""

    async def send(self, message: Composed) -> Outcome:
        """Hand one message over. Raises nothing: every end is an outcome."""

    async def close(self) -> None:
        """End connections."""
