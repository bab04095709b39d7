from typing import final

from core.bundle import BundleDocument

@final
class IndexPlan:
    def __new__(cls, document: BundleDocument, needed: frozenset[int]) -> IndexPlan: ...
