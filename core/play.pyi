from typing import final

from core.arbitration import Arbitration
from core.bundle import BundleDocument
from core.candidates import Candidates
from core.scoring import Models

@final
class Play:
    def __new__(
        cls,
        document: BundleDocument,
        by_placement: list[list[int]],
        candidates: Candidates,
        models: Models,
        arbitration: Arbitration,
    ) -> Play: ...
