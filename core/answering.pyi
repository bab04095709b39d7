from typing import final

from core.bundle import BundleDocument

@final
class Answering:
    def __new__(cls, document: BundleDocument, revision: object, content_hash: str) -> Answering: ...
