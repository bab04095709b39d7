"""Exceptions of the hub. A face maps the type to its own status; nobody acts on the text.

The message says what was expected, what came and where, and never holds personal data or a secret.
"""

from core.errors import CoreError


class HubError(CoreError):
    """The hub refused."""

    code = "refused"

    def __init__(
        self, message: str = "", *, path: str = "", expected: str = "", got: str = "", code: str = ""
    ) -> None:
        super().__init__(message, path=path, expected=expected, got=got)
        if code:
            self.code = code


class SettingsError(HubError):
    """A setting is missing or malformed."""

    code = "settings"


class InvalidError(HubError):
    """The request is malformed."""

    code = "invalid"


class UnauthenticatedError(HubError):
    """The caller gave no valid key."""

    code = "unauthenticated"


class ForbiddenError(HubError):
    """The caller, or the person named, may not do this."""

    code = "forbidden"


class NotFoundError(HubError):
    """There is no such thing."""

    code = "not_found"


class PreconditionError(HubError):
    """The state of the system does not allow this now."""

    code = "precondition"


class ConflictError(HubError):
    """Somebody else changed the same thing at the same time; try again."""

    code = "conflict"


class LimitError(HubError):
    """A limit was passed."""

    code = "limit"


class UnavailableError(HubError):
    """A part of the hub is not there at the moment; try again later."""

    code = "unavailable"


class ContentError(HubError):
    """A template cannot be rendered for this person."""

    code = "no_content"
