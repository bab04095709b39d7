"""How a command ends other than well."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

import grpc

from onevoice.v1 import common_pb2

DONE: Final = 0
REFUSED: Final = 1
USED_WRONGLY: Final = 2
_DETAIL_KEY: Final = "onevoice-error-bin"


class CommandError(Exception):
    """The command was refused. `detail` goes out with --json."""

    exit_code = REFUSED

    def __init__(self, message: str, detail: Mapping[str, object] | None = None) -> None:
        super().__init__(message)
        self.detail = dict(detail or {"code": "refused", "message": message})


class UsageError(CommandError):
    """The command was used wrongly."""

    exit_code = USED_WRONGLY

    def __init__(self, message: str) -> None:
        super().__init__(message, {"code": "usage", "message": message})


def from_rpc(error: grpc.RpcError, target: str) -> CommandError:
    """What the hub answered, or that it did not."""
    status = error.code() if isinstance(error, grpc.Call) else grpc.StatusCode.UNKNOWN
    detail = _detail(error)
    if detail is not None:
        fields = {name: getattr(detail, name) for name in ("code", "message", "path", "expected", "got")}
        return CommandError(detail.message, {**fields, "status": status.name})
    if status is grpc.StatusCode.UNAVAILABLE:
        message = f"no hub answers at {target}: start it, or name it with --address"
    elif status is grpc.StatusCode.DEADLINE_EXCEEDED:
        message = f"the hub at {target} did not answer in time"
    else:
        message = f"{status.name}: {error.details() if isinstance(error, grpc.Call) else 'no details'}"
    return CommandError(message, {"code": status.name.lower(), "message": message, "status": status.name})


def _detail(error: grpc.RpcError) -> common_pb2.ErrorDetail | None:
    metadata: Iterable[tuple[str, str | bytes]] = ()
    if isinstance(error, grpc.Call):
        metadata = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == _DETAIL_KEY and isinstance(value, bytes):
            return common_pb2.ErrorDetail.FromString(value)
    return None


def as_json(error: CommandError) -> str:
    """The error as the other faces write it."""
    return json.dumps({"error": error.detail}, ensure_ascii=False)
