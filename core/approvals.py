"""What people approve of a block: the hash of what it shows (docs/decisions/0010)."""

import hashlib
from collections.abc import Mapping
from typing import Final

import msgspec

from core import bundle as b

TYPE_NAMES: Final = {b.SLOT_TEXT: "text", b.SLOT_URL: "url", b.SLOT_NUMBER: "number", b.SLOT_BOOL: "bool"}

Translations = Mapping[str, tuple[str | None, str | None, str | None]]


def block_hash(block: b.Block, attribute: str | None, translations: Translations) -> str:
    """SHA-256 in hex of all that a block can show and of the tags that decide where.

    `attribute`: the name of the one it shows; `translations`: by locale, "" for the block's own words.
    """
    words = {locale: translations[locale] for locale in sorted(translations) if locale}
    content = [
        block.id,
        TYPE_NAMES[block.type],
        block.value,
        attribute,
        block.prefix,
        block.suffix,
        sorted(set(block.tags)),
        words,
    ]
    return hashlib.sha256(msgspec.json.encode(content)).hexdigest()


def hash_in(document: b.BundleDocument, index: int) -> str:
    """The hash of a block of a bundle."""
    block = document.blocks[index]
    attribute = document.attributes[block.attribute].name if block.attribute >= 0 else None
    return block_hash(block, attribute, document.outbound.translations.get(block.id, {}))
