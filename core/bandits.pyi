from typing import final

from core.bundle import BundleDocument

@final
class Bandits:
    def __new__(cls, document: BundleDocument) -> Bandits: ...
