"""Blocks that are approved one by one (0010)."""

import hashlib
from collections.abc import Mapping
from typing import Any

from tests.oracle.output import to_json


def block_hash(block: Mapping[str, Any]) -> str:
    """The hash of what a block shows, and of the tags that decide where."""
    translations = block.get("translations") or {}
    content = [
        block["id"],
        block["type"],
        block.get("value"),
        block.get("attribute"),
        block.get("prefix", ""),
        block.get("suffix", ""),
        sorted(set(block.get("tags", []))),
        {
            locale: [translations[locale].get(part) for part in ("value", "prefix", "suffix")]
            for locale in sorted(translations)
        },
    ]
    return hashlib.sha256(to_json(content)).hexdigest()


def is_approved(governance: Mapping[str, Any], block: Mapping[str, Any]) -> bool:
    """Whether as many approvers as a revision needs have approved the block as it is."""
    approvers = {person["id"] for person in governance["people"] if "approver" in person["roles"]}
    wanted = (block["id"], block_hash(block))
    by = {
        one["by"]
        for one in governance.get("approved_blocks", [])
        if (one["block"], one["hash"]) == wanted and one["by"] in approvers
    }
    return len(by) >= governance.get("approvals", 1)
