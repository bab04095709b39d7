from typing import Final

from typing_extensions import Buffer

from core.bundle import BundleDocument
from core.header import Header as Header

RECORD_BYTES_MAX: Final[int]
SLOTS_MAX: Final[int]
SYSTEM_SLOTS: Final[int]
STRING_BYTES_MAX: Final[int]
STRINGS_MAX: Final[int]
BUCKETS_MAX: Final[int]
IMPRESSIONS_MAX: Final[int]
ASSIGNMENTS_MAX: Final[int]
UNIT_KEY_BYTES: Final[int]

def read_header(record: Buffer, *, verify: bool = True) -> Header: ...
def verify(record: Buffer) -> None: ...
def project(record: Buffer, slots: frozenset[int]) -> bytes: ...
def restamp(record: Buffer, sequence: int, packed_at_ms: int) -> bytes: ...
def describe(record: Buffer, document: BundleDocument, now_ms: int) -> dict[str, object]: ...
