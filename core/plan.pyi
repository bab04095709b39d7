from typing import final

from core.bundle import BundleDocument

@final
class FoldPlan:
    def __init__(self, document: BundleDocument) -> None: ...
    def canonical(self, name: str) -> str: ...

@final
class Feed: ...

@final
class Test: ...
