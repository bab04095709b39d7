"""What a mail server's refusal means: its reason, and whether the address is dead."""

import re
from typing import Final, Literal

#: Where in the dialogue a refusal came.
Phase = Literal["connection", "sender", "recipient", "data"]

#: Reasons after which nothing is sent to the address again: there is no such mailbox, and there will be none.
HARD: Final = frozenset({"userunknown", "hostunknown", "hasmoved", "notaccept"})

_STATUS: Final = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.])")


def status_of(text: str) -> str:
    """The enhanced status (RFC 3463) in a reply, such as `5.1.1`; empty if there is none."""
    found = _STATUS.search(text)
    return found[1] if found else ""


def reason_of(status: str, code: int, text: str, phase: Phase) -> str:
    """The reason of a refusal."""
    return "userunknown" if status == "5.1.1" else "undefined"
