from typing import Any, Final, final

from core.bundle import BundleDocument

#: Names of the values in `Decision.log_row()`, in order.
LOG_FIELDS: Final[tuple[str, ...]]
#: Names of the values of one placement in `log_row()[-1]`.
LOG_PLACEMENT_FIELDS: Final[tuple[str, ...]]
#: Refused candidates that a row holds, by priority; the last field has the count of all.
REFUSED_LOGGED_MAX: Final[int]

CONSENT_STATES: Final[tuple[str, ...]]
OPTED_OUT: Final[str]
STEPS: Final[tuple[str, ...]]

@final
class Answers:
    def __new__(cls) -> Answers: ...

@final
class Names:
    def __new__(cls, document: BundleDocument) -> Names: ...

@final
class Decision:
    @property
    def body(self) -> bytes: ...
    @property
    def known(self) -> int: ...
    @property
    def fallbacks(self) -> int: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...
    def exposures(self) -> list[tuple[str, list[tuple[str, str, int | None]]]]: ...
    def log_row(self) -> tuple[Any, ...]: ...
