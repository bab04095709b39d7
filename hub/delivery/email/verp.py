"""The envelope sender of each message: `bounces+TOKEN@domain`, so a bounce says which message it is about.

The token is short and has lower-case letters and digits only, for servers on the way may change the case of a
local part, and RFC 5321 ends it after 64 characters.
"""

import hashlib
import hmac
import re
from typing import Final

MAC_DIGITS: Final = 16
PREFIX: Final = "bounces+"
_LOCAL: Final = re.compile(r"[0-9a-f]{32}")
_TOKEN: Final = re.compile(rf"([0-9a-f]{{32}})-([0-9a-f]{{{MAC_DIGITS}}})")
_ADDRESS: Final = re.compile(rf"{re.escape(PREFIX)}({_TOKEN.pattern})@", re.IGNORECASE)


class Verp:
    """Makes and reads envelope senders of one mail domain."""

    def __init__(self, key: bytes, mail_domain: str) -> None:
        self._key = key
        self.mail_domain = mail_domain

    def sender(self, message_id: str) -> str:
        """Envelope sender of a message; without a token for ids that are not ours."""
        local = message_id.partition("@")[0]
        if not _LOCAL.fullmatch(local):
            return f"{PREFIX.rstrip('+')}@{self.mail_domain}"
        return f"{PREFIX}{self.token(local)}@{self.mail_domain}"

    def token(self, local: str) -> str:
        """The token of a message by the part of its id before the @."""
        return f"{local}-{self._mac(local)}"

    def message_of(self, address: str) -> str | None:
        """Id of the message that an envelope sender belongs to, or None if we did not make it."""
        found = _ADDRESS.match(address.strip().strip("<>"))
        return self.message_of_token(found[1]) if found else None

    def message_of_token(self, token: str) -> str | None:
        """Id of the message that a token belongs to, or None if we did not make it."""
        found = _TOKEN.fullmatch(token.lower())
        if found is None or not hmac.compare_digest(found[2], self._mac(found[1])):
            return None
        return found[1]

    def _mac(self, local: str) -> str:
        digest = hmac.new(self._key, b"onevoice.verp." + local.encode(), hashlib.sha256).hexdigest()
        return digest[:MAC_DIGITS]
