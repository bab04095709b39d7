from collections.abc import Sequence
from typing import Any, final

from typing_extensions import Buffer

from core.answers import LOG_FIELDS as LOG_FIELDS
from core.answers import LOG_PLACEMENT_FIELDS as LOG_PLACEMENT_FIELDS
from core.answers import REFUSED_LOGGED_MAX as REFUSED_LOGGED_MAX
from core.answers import Decision as Decision
from core.batch import MATCHES_BYTES_MAX as MATCHES_BYTES_MAX
from core.batch import THREADS_MAX as THREADS_MAX
from core.batch import Matches as Matches
from core.bundle import BundleDocument
from core.events import Event
from core.fold import FoldPlan
from core.request import Request as Request

@final
class Engine:
    """One bundle, checked as a whole, ready to decide: for one thread at a time."""

    def __new__(cls, content: bytes, revision: int) -> Engine: ...
    @property
    def revision(self) -> int: ...
    @property
    def content_hash(self) -> str: ...
    @property
    def document(self) -> BundleDocument: ...
    @property
    def fold_plan(self) -> FoldPlan: ...
    def decide(
        self,
        record: Buffer | None,
        overlay: Sequence[Event],
        request: Request,
        now_ms: int,
        *,
        at_edge: bool = True,
    ) -> Decision: ...
    def fallback(self, request: Request, now_ms: int, reason: str, *, at_edge: bool = True) -> Decision: ...
    def decide_batch(
        self,
        records: list[Buffer | None],
        requests: list[Request],
        now_ms: int,
        *,
        at_edge: bool = True,
        threads: int = 1,
    ) -> list[Decision]: ...
    def match(self, record: Buffer | None, context: dict[str, Any], now_ms: int) -> list[int]: ...
    def score(self, record: Buffer | None, context: dict[str, Any], now_ms: int) -> list[float]: ...
    def match_batch(
        self,
        records: list[Buffer | None],
        now_ms: int,
        *,
        context: dict[str, Any] | None = None,
        threads: int = 1,
    ) -> Matches: ...
