"""Exceptions of the edge. A face maps the type to its status; nobody acts on the text.

Messages say what was expected, what came and where, and never hold personal data or a secret.
"""

from core.errors import CoreError


class EdgeError(CoreError):
    """The edge refused."""

    code = "refused"


class SettingsError(EdgeError):
    """A setting is missing or malformed."""

    code = "settings"


class JournalFailedError(EdgeError):
    """The journal cannot take events now; nothing of the request was acknowledged."""

    code = "journal"


class QueueFullError(EdgeError):
    """More events wait for the disk than this worker takes."""

    code = "busy"


class SnapshotDamagedError(EdgeError):
    """The snapshot cannot be trusted."""

    code = "snapshot_damaged"


class BundleRefusedError(EdgeError):
    """A bundle was not signed, not approved, older, or does not load."""

    code = "bundle_refused"


class FrameRefusedError(EdgeError):
    """A frame does not follow what is here."""

    code = "frame_refused"
