"""From error types to gRPC status codes, and the error detail that travels with them."""

from typing import Final

import grpc

from core.errors import CoreError
from core.user_token import UserTokenError
from hub import errors
from onevoice.v1 import common_pb2

#: Trailing metadata that holds a serialised onevoice.v1.ErrorDetail.
DETAIL_KEY: Final = "onevoice-error-bin"
MESSAGE_LENGTH_MAX: Final = 1_000

_CODES: Final[tuple[tuple[type[CoreError], grpc.StatusCode, str], ...]] = (
    (UserTokenError, grpc.StatusCode.UNAUTHENTICATED, "user_token"),
    (errors.InvalidError, grpc.StatusCode.INVALID_ARGUMENT, ""),
    (errors.UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED, ""),
    (errors.ForbiddenError, grpc.StatusCode.PERMISSION_DENIED, ""),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND, ""),
    (errors.PreconditionError, grpc.StatusCode.FAILED_PRECONDITION, ""),
    (errors.ConflictError, grpc.StatusCode.ABORTED, ""),
    (errors.LimitError, grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    (errors.UnavailableError, grpc.StatusCode.UNAVAILABLE, ""),
    (errors.HubError, grpc.StatusCode.FAILED_PRECONDITION, ""),
    # What the core refuses came with the request.
    (CoreError, grpc.StatusCode.INVALID_ARGUMENT, "invalid"),
)


def status_of(error: BaseException) -> tuple[grpc.StatusCode, common_pb2.ErrorDetail]:
    """Status code and detail of an error. What is not ours is an internal error and tells nothing."""
    for kind, status, code in _CODES:
        if isinstance(error, kind):
            return status, common_pb2.ErrorDetail(
                code=code or getattr(error, "code", "refused"),
                message=str(error)[:MESSAGE_LENGTH_MAX],
                path=error.path,
                expected=error.expected,
                got=error.got,
            )
    if isinstance(error, TimeoutError):
        detail = common_pb2.ErrorDetail(code="deadline", message="the deadline of the call passed")
        return grpc.StatusCode.DEADLINE_EXCEEDED, detail
    return grpc.StatusCode.INTERNAL, common_pb2.ErrorDetail(
        code="internal", message="an error inside the hub"
    )
