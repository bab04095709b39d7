from typing import final

from core.bundle import BundleDocument

@final
class Kernel:
    def __new__(cls, document: BundleDocument) -> Kernel: ...
