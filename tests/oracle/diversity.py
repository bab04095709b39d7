"""Maximal marginal relevance among the offers of one page (0010)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Offer = Mapping[str, Any]


def similarity(offer: Offer, chosen: Sequence[Offer], by: str) -> float:
    """How like an offer is to the most like of those chosen."""
    return max(_alike(offer, other, by) for other in chosen)


def relevances(scores: Mapping[str, float], free: set[str]) -> dict[str, float]:
    """Scores in parts of the best one; `free`: what exclusivity lets pass."""
    scale = max((scores[name] for name in free if math.isfinite(scores[name])), default=0.0)
    if scale > 0:
        return {name: min(1.0, max(-1.0, score / scale)) for name, score in scores.items()}
    return {name: float((score > 0) - (score < 0)) for name, score in scores.items()}


def rank(strength: float, relevance: float, likeness: float) -> float:
    return (1.0 - strength) * relevance - strength * likeness


def _alike(one: Offer, other: Offer, by: str) -> float:
    if one["id"] == other["id"]:
        return 1.0
    if by == "tags":
        a, b = set(one.get("tags", [])), set(other.get("tags", []))
        return len(a & b) / len(a | b) if a | b else 0.0
    if not one.get("vector") or not other.get("vector"):
        return 0.0
    sums = [0.0] * 4
    for place, (x, y) in enumerate(zip(_unit(one["vector"]), _unit(other["vector"]), strict=True)):
        sums[place % 4] = sums[place % 4] + x * y
    return min(1.0, max(0.0, (sums[0] + sums[1]) + (sums[2] + sums[3])))


def _unit(vector: Sequence[float]) -> list[float]:
    total = 0.0
    for component in vector:
        total = total + float(component) * float(component)
    return [float(component) / math.sqrt(total) for component in vector]
