"""The links between identifiers that ingestion has at hand, and those that are to be written."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

from hub.data.resolution import Link, Pair
from hub.store import identity_links
from hub.store.engine import Connection

#: Whoever is logged in shows the same pair with each event, so the last ones are kept.
LINKS_KEPT_MAX: Final = 65_536


class Links:
    """A bounded cache of known pairs. Within a transaction it holds every pair that was loaded or put."""

    def __init__(self, limit: int = LINKS_KEPT_MAX) -> None:
        self._limit = limit
        self._links: OrderedDict[Pair, Link] = OrderedDict()
        self._unsaved: dict[Pair, Link] = {}
        self._whole: dict[bytes, set[Pair]] = {}  # identifiers all of whose links are here

    def clear(self) -> None:
        self._links.clear()
        self._unsaved.clear()
        self._whole.clear()

    def begin(self) -> None:
        """Start a transaction: what others have linked meanwhile is looked up anew."""
        self._whole.clear()

    def load(self, connection: Connection, pairs: Iterable[Pair]) -> None:
        """Bring in those pairs that are known."""
        missing = [pair for pair in pairs if pair not in self._links]
        for row in identity_links.by_pair(connection, missing):
            self._links[row.stronger, row.weaker] = Link(*row)

    def get(self, pair: Pair) -> Link | None:
        """The link of a loaded pair, if there is one."""
        return self._links.get(pair)

    def put(self, link: Link) -> None:
        """Set what is known of a pair."""
        self._links[link.pair] = self._unsaved[link.pair] = link
        for end in link.pair:
            if end in self._whole:
                self._whole[end].add(link.pair)

    def touching(self, connection: Connection, keys: Iterable[bytes], limit: int) -> list[Link]:
        """Links with one of the identifiers at either end, unsaved ones too; beyond `limit` some lack."""
        keys = set(keys)
        missing = keys - self._whole.keys()
        found: list[Link] = []
        if missing:
            self.save(connection)
            found = [Link(*row) for row in identity_links.touching(connection, missing, limit)]
            if len(found) < limit:
                self._keep(missing, found)
        known = {pair for key in keys & self._whole.keys() for pair in self._whole[key]}
        return list({link.pair: link for link in (*found, *(self._links[pair] for pair in known))}.values())

    def _keep(self, keys: Iterable[bytes], found: Iterable[Link]) -> None:
        """Remember, for the transaction, that these are all links of the identifiers."""
        self._whole.update({key: set() for key in keys})
        for link in found:
            self._links[link.pair] = link
            for end in link.pair:
                if end in self._whole:
                    self._whole[end].add(link.pair)

    def within(self, connection: Connection, keys: Iterable[bytes]) -> list[Link]:
        """Links with two of the identifiers at their ends, unsaved ones included."""
        keys = set(keys)
        if keys <= self._whole.keys():
            pairs = {pair for key in keys for pair in self._whole[key]}
            return [self._links[pair] for pair in pairs if keys.issuperset(pair)]
        self.save(connection)
        return [Link(*row) for row in identity_links.within(connection, list(keys))]

    def save(self, connection: Connection) -> None:
        """Write what was put."""
        if self._unsaved:
            identity_links.save(connection, [link._asdict() for link in self._unsaved.values()])
            self._unsaved.clear()

    def trim(self) -> None:
        """Keep the newest, between transactions."""
        while len(self._links) > self._limit:
            self._links.popitem(last=False)
