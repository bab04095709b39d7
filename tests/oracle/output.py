"""The decision as JSON bytes: no spaces, keys in the order they came, values as msgspec writes them."""

import json
from typing import Any

from tests.oracle.numbers import json_number


def to_json(value: Any) -> bytes:
    return _text(value).encode()


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return json_number(value)
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list():
            return "[" + ",".join(_text(item) for item in value) + "]"
    return "{" + ",".join(f"{_text(key)}:{_text(item)}" for key, item in value.items()) + "}"
