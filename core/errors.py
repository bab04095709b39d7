"""Exceptions of the decision core; every one carries what was expected, what came, and where."""


class CoreError(Exception):
    """The decision core refused its input."""

    def __init__(self, message: str = "", *, path: str = "", expected: str = "", got: str = "") -> None:
        super().__init__(message or self._message(path, expected, got))
        self.path = path
        self.expected = expected
        self.got = got

    def _message(self, path: str, expected: str, got: str) -> str:
        if not expected:
            return (type(self).__doc__ or "").strip()
        return f"expected {expected}, got {got} at {path}" if path else f"expected {expected}, got {got}"


class RecordError(CoreError):
    """The bytes are not a profile record of a known format, or their checksum does not match."""


class BundleError(CoreError):
    """The bytes are not a bundle that this core can load."""


class FrameError(CoreError):
    """The bytes are not a well-formed sync frame payload."""


class JournalError(CoreError):
    """The bytes are not a well-formed journal segment."""


class EventError(CoreError):
    """The message is not a Segment-spec event that can be accepted."""


class ExpressionError(CoreError):
    """The expression is not in the supported language, or does not type-check."""

    def __init__(self, message: str = "", *, line: int = 1, column: int = 1, **where: str) -> None:
        super().__init__(message, **where)
        self.line = line
        self.column = column


class UnsupportedError(ExpressionError):
    """The expression is CEL, but uses a part of it that is refused by its name."""


class EvaluationError(CoreError):
    """The expression has no value for these inputs; CEL's logic may absorb it."""


class ExhaustedError(CoreError):
    """Evaluating the expression takes more work than is allowed; nothing absorbs it."""


class RequestError(CoreError):
    """The decision request is malformed."""
