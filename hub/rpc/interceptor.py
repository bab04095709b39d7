"""What every call passes, in this order: key, size, form, concurrency, deadline, errors, figures."""

import asyncio
import contextlib
import inspect
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import grpc
import structlog
from google.protobuf.message import DecodeError

from hub.errors import InvalidError, LimitError
from hub.metrics import Metrics
from hub.rpc.auth import Keyring, authorize, caller, overloaded
from hub.rpc.methods import METHODS, OPEN_SERVICES, Method
from hub.rpc.status import DETAIL_KEY, status_of

if TYPE_CHECKING:
    # Generic in the stubs only.
    Context = grpc.aio.ServicerContext[Any, Any]
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Context = grpc.aio.ServicerContext
    Handler = grpc.RpcMethodHandler

_log = structlog.get_logger("hub.rpc")
FRAMES_LOGGED_MAX: Final = 8


class Refused:
    """Stands for a request that could not be read, until the call has a context to answer in."""

    def __init__(self, error: InvalidError | LimitError) -> None:
        self.error = error


class Gate(grpc.aio.ServerInterceptor):
    """Guards every method of `METHODS`; health and reflection pass; anything else does not exist."""

    def __init__(self, keyring: Keyring, metrics: Metrics, *, concurrency: int) -> None:
        self._keyring = keyring
        self._metrics = metrics
        self._concurrency = concurrency
        self._in_work = 0

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        name = handler_call_details.method
        handler = await continuation(handler_call_details)
        method = METHODS.get(name)
        if handler is None or name.startswith(OPEN_SERVICES):
            return handler
        if method is None:
            return None  # gRPC answers UNIMPLEMENTED
        read = _reader(handler.request_deserializer, method)
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._stream(name, method, handler.stream_stream), read, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            self._unary(name, method, handler.unary_unary), read, handler.response_serializer
        )

    def _unary(self, name: str, method: Method, behaviour: Any) -> Any:
        async def call(request: Any, context: Context) -> Any:
            started, status = time.perf_counter(), grpc.StatusCode.OK
            try:
                caller.set(authorize(self._keyring, context.invocation_metadata() or (), method))
                return await self._guarded(method, behaviour, _whole(request), context)
            except (grpc.aio.AbortError, asyncio.CancelledError):
                status = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:
                status = _logged(name, error)
                await _abort(context, error)
            finally:
                self._metrics.call(name, status.name, time.perf_counter() - started)

        return call

    async def _guarded(self, method: Method, behaviour: Any, request: Any, context: Context) -> Any:
        if self._in_work >= self._concurrency:
            if method.always:
                overloaded.set(True)
                return await behaviour(request, context)
            raise LimitError(
                expected=f"at most {self._concurrency} calls in work", got="one more", code="overload"
            )
        self._in_work += 1
        try:
            remaining = context.time_remaining()
            seconds = method.seconds if remaining is None else min(remaining, method.seconds)
            async with asyncio.timeout(seconds):
                return await behaviour(request, context)
        finally:
            self._in_work -= 1

    def _stream(self, name: str, method: Method, behaviour: Any) -> Any:
        """A stream lives as long as both ends do: no deadline, and it is counted when it ends."""

        async def generate(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
            started, status = time.perf_counter(), grpc.StatusCode.OK
            try:
                caller.set(authorize(self._keyring, context.invocation_metadata() or (), method))
                answers = behaviour(_each_whole(requests), context)
                if inspect.isawaitable(answers):
                    await answers
                    return
                async with contextlib.aclosing(answers):
                    async for answer in answers:
                        yield answer
            except (grpc.aio.AbortError, asyncio.CancelledError):
                status = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:
                status = _logged(name, error)
                await _abort(context, error)
            finally:
                self._metrics.call(name, status.name, time.perf_counter() - started)

        return generate


def _reader(deserialize: Callable[[bytes], Any] | None, method: Method) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        if len(data) > method.request_bytes_max:
            limit = f"at most {method.request_bytes_max} bytes"
            return Refused(LimitError(expected=limit, got=f"{len(data)} bytes", path="$", code="too_large"))
        try:
            return deserialize(data) if deserialize else data
        except DecodeError:
            return Refused(
                InvalidError(expected="a message of the method's type", got="other bytes", path="$")
            )

    return read


def _whole(request: Any) -> Any:
    if isinstance(request, Refused):
        raise request.error
    return request


async def _each_whole(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield _whole(request)


async def _abort(context: Context, error: Exception) -> None:
    status, detail = status_of(error)
    metadata = ((DETAIL_KEY, detail.SerializeToString()),)
    await context.abort(status, detail.message, metadata)


def _logged(name: str, error: Exception) -> grpc.StatusCode:
    """The status of an error. A fault of ours is logged by type and place, as its text may name a person."""
    status, _ = status_of(error)
    if status is grpc.StatusCode.INTERNAL:
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES_LOGGED_MAX:]
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        _log.error("call failed", method=name, error=type(error).__name__, at=places)
    return status
