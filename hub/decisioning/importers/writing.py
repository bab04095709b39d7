"""Writing CEL: literals, paths that may be missing, and joins."""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from core.cel.literals import INT_MAX, INT_MIN

TRUE: Final = "true"
FALSE: Final = "false"
_PLAIN_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_NO_FIELD: Final = frozenset(
    [
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "namespace",
        "null",
        "package",
        "return",
        "true",
        "var",
        "void",
        "while",
    ]
)


class OutsideError(Exception):
    """The condition cannot be said in CEL; the message says why, without the condition's values."""


@dataclass(slots=True, frozen=True)
class Ref:
    """A value in an expression.

    `text` reads it, and is an error where it is missing. `missing` says whether it is, and is never an error.
    """

    text: str
    missing: str = FALSE

    @property
    def null(self) -> str:
        """Whether it is missing or null."""
        return any_of([self.missing, f"{self.text} == null"])


def path(root: str, keys: Iterable[str], *, root_is_map: bool = True) -> Ref:
    """The value under a chain of keys, missing where any of them is or something between them is no map."""
    missing = [] if root_is_map else [f"type({root}) != map"]
    text = root
    for at, key in enumerate(keys):
        if at:
            missing.append(f"type({text}) != map")
        plain = _PLAIN_NAME.fullmatch(key) is not None and key not in _NO_FIELD
        missing.append(f"!has({text}.{key})" if plain else f"!({literal(key)} in {text})")
        text = f"{text}.{key}" if plain else f"{text}[{literal(key)}]"
    return Ref(text, any_of(missing))


def literal(value: Any) -> str:
    """A JSON value as CEL writes it."""
    if value is None or isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    if isinstance(value, int) and INT_MIN <= value <= INT_MAX:
        return str(value)
    return double(float(value))


def double(value: float) -> str:
    """A double as CEL writes it."""
    if not math.isfinite(value):
        return f'double("{value}")'
    text = repr(float(value))
    return text if "." in text or "e" not in text else text.replace("e", ".0e")


def any_of(parts: Iterable[str]) -> str:
    """`a || b`, in parentheses where there are two."""
    return _joined(" || ", list(parts), FALSE, TRUE)


def all_of(parts: Iterable[str]) -> str:
    """`a && b`, in parentheses where there are two."""
    return _joined(" && ", list(parts), TRUE, FALSE)


def _joined(sign: str, parts: list[str], neutral: str, absorbing: str) -> str:
    kept = list(dict.fromkeys(part for part in parts if part != neutral))
    if absorbing in kept:
        return absorbing
    if len(kept) <= 1:
        return kept[0] if kept else neutral
    return f"({sign.join(kept)})"


def join(parts: Iterable[str], positive: bool) -> str:
    """All of the parts hold; or, where each part says that it does not hold, one of them."""
    return all_of(parts) if positive else any_of(parts)


def negated(text: str) -> str:
    """`!text`, of a part that is never an error."""
    flipped = {TRUE: FALSE, FALSE: TRUE}.get(text)
    return flipped or (text[1:] if re.fullmatch(r"!has\([^()]*\)", text) else f"!({_bare(text)})")


def _bare(text: str) -> str:
    """A text without the parentheses around the whole of it."""
    if not text.startswith("(") or not text.endswith(")"):
        return text
    depth, quoted, escaped = 0, "", False
    for at, character in enumerate(text):
        if quoted:
            quoted = quoted if escaped or character != quoted else ""
            escaped = character == "\\" and not escaped
        elif character in "\"'":
            quoted = character
        else:
            depth += (character == "(") - (character == ")")
            if depth == 0 and at < len(text) - 1:
                return text
    return text[1:-1]


def finished(text: str) -> str:
    """The whole expression, as people read it."""
    return _bare(text)
