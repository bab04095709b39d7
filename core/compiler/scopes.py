"""Which rules and caps apply to which offers, looked up from the offer's side."""

from collections.abc import Iterable

from core.authoring import Path
from core.authoring.types import AppliesTo, Offer
from core.compiler.work import Work


class ScopeIndex:
    """Scopes by what they name: any list that names an offer, one of its tags or its placement applies;
    none of them applies to all."""

    def __init__(self, scopes: Iterable[tuple[int, AppliesTo]]) -> None:
        self._everywhere: set[int] = set()
        self._by_offer: dict[str, set[int]] = {}
        self._by_tag: dict[str, set[int]] = {}
        self._by_placement: dict[str, set[int]] = {}
        for at, scope in scopes:
            if not (scope.offers or scope.tags or scope.placements):
                self._everywhere.add(at)
            for names, index in (
                (scope.offers, self._by_offer),
                (scope.tags, self._by_tag),
                (scope.placements, self._by_placement),
            ):
                for name in names:
                    index.setdefault(name, set()).add(at)

    def applying(self, offer: Offer, placements: Iterable[str]) -> list[int]:
        """The numbers, ascending, of the scopes that apply to an offer in at least one of the placements."""
        found = self._everywhere | self._by_offer.get(offer.id, set())
        for tag in offer.tags:
            found |= self._by_tag.get(tag, set())
        for placement in placements:
            found |= self._by_placement.get(placement, set())
        return sorted(found)


def check_scope(work: Work, path: Path, scope: AppliesTo) -> None:
    """Note every offer and placement that a scope names and the catalogue lacks; tags are free words."""
    work.indexes("offers", scope.offers, (*path, "offers"))
    work.indexes("placements", scope.placements, (*path, "placements"))
