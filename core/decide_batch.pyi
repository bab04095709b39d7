from typing import final

from core.bundle import BundleDocument

@final
class DecideBatch:
    def __new__(cls, document: BundleDocument, revision: object, content_hash: str) -> DecideBatch: ...
