"""The sample shop: invented customers and a year of their doings, the same for the same seed and day.

    python -m examples.shop.sample OUT.ndjson --customers 10000 --until 2026-11-23

Everything is written person by person: the order of events does not matter to Onevoice, and people that lie
together in the file are folded together. Every message id begins with `sample:`.
"""

import argparse
import random
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from examples import segment
from examples.segment import Message
from examples.shop.accounts import SAMPLE_ACCOUNTS
from examples.shop.products import CATEGORIES, CURRENCY, Product, in_category

SEED = 20_261
CUSTOMERS = 10_000
DAYS = 365
#: Visits of a typical and of a keen customer in the year.
VISITS_TYPICAL, VISITS_KEEN = 1.9, 6.5
ITEMS_PER_ORDER_MAX = 3

TEXT_VERSION = "2025-11"
CONSENT_SOURCE = "sample shop"
#: Share of customers that granted each purpose when they joined.
GRANTED = {"personalization": 0.82, "analytics": 0.78, "email": 0.55, "sms": 0.2, "ads": 0.35}
WITHDRAWN_SHARE = 0.05

FIRST_NAMES = (
    "Alma", "Anton", "Ayse", "Clara", "Dario", "Elif", "Emil", "Eva", "Finn", "Freja", "Greta", "Hugo",
    "Ida", "Ines", "Iris", "Ivan", "Jan", "Jonna", "Kaan", "Karl", "Kira", "Lars", "Lena", "Leo",
    "Lina", "Luca", "Mads", "Malik", "Maria", "Mila", "Nadia", "Nils", "Olga", "Omar", "Otto", "Pia",
    "Rosa", "Sami", "Sara", "Selma",
)  # fmt: skip
COUNTRIES = ("DE", "FR", "GB", "IT", "NL", "NO", "SE")
COUNTRY_WEIGHTS = (40, 15, 12, 8, 10, 8, 7)


@dataclass(frozen=True)
class Customer:
    """Who somebody is, and what the draws below depend on."""

    number: int
    email: str
    first_name: str
    country: str
    tier: str
    joined: datetime
    visits: int
    buys: float  # chance that a visit ends with an order
    likes: tuple[str, ...]
    grants: tuple[str, ...]
    withdraws: bool = False
    open_tickets: int = 0

    @property
    def user_id(self) -> str:
        return f"customer-{self.number:05d}"

    @property
    def behaviour(self) -> bool:
        """Whether the shop may record what this person looks at."""
        return "personalization" in self.grants or "analytics" in self.grants


def generate(customers: int, until: date, seed: int = SEED) -> Iterator[Message]:
    """All messages of the first `customers` people, up to the beginning of the day `until` (UTC)."""
    end = datetime(until.year, until.month, until.day, tzinfo=UTC)
    for number in range(1, customers + 1):
        draw = random.Random(f"{seed}:{number}")
        yield from Story(draw_customer(draw, number, end), draw, end).messages()


def draw_customer(draw: random.Random, number: int, end: datetime) -> Customer:
    first_name = draw.choice(FIRST_NAMES)
    keen = draw.random() < 0.2
    visits = 1 + min(60, int(draw.expovariate(1 / (VISITS_KEEN if keen else VISITS_TYPICAL))))
    customer = Customer(
        number=number,
        email=f"{first_name.lower()}.{number:05d}@example.com",
        first_name=first_name,
        country=draw.choices(COUNTRIES, COUNTRY_WEIGHTS)[0],
        tier=draw.choices(("none", "silver", "gold", "platinum"), (70, 20, 8, 2))[0],
        joined=end - timedelta(days=DAYS) * draw.random(),
        visits=visits,
        buys=0.3 if keen else 0.12,
        likes=tuple(draw.sample(list(CATEGORIES), k=2)),
        grants=tuple(purpose for purpose, share in GRANTED.items() if draw.random() < share),
        withdraws=draw.random() < WITHDRAWN_SHARE,
        open_tickets=int(draw.random() < 0.01),
    )
    return known_customer(customer, end) if number <= len(SAMPLE_ACCOUNTS) else customer


def known_customer(drawn: Customer, end: datetime) -> Customer:
    """The people whom the log-in page names: each one shows a rule at work."""
    email, first_name, _ = SAMPLE_ACCOUNTS[drawn.number - 1]
    joined = end - timedelta(days=300)
    grants = ("personalization", "analytics", "email")
    common = (drawn.number, email, first_name, "DE")
    return (
        Customer(*common, "gold", joined, 24, 1.0, ("boots", "jackets"), grants),
        Customer(*common, "none", joined, 12, 0.0, ("tents", "camp-kitchen"), grants),
        Customer(*common, "silver", joined, 8, 0.3, ("boots", "lamps"), grants, open_tickets=1),
        Customer(*common, "silver", joined, 8, 0.3, ("jackets", "lamps"), grants, withdraws=True),
    )[drawn.number - 1]


class Story:
    """What one customer did; every draw comes from the customer's own generator."""

    def __init__(self, customer: Customer, draw: random.Random, end: datetime) -> None:
        self._customer = customer
        self._draw = draw
        self._end = end
        self._count = 0
        self._orders = 0
        self._device = str(uuid.UUID(int=draw.getrandbits(128), version=4))

    def messages(self) -> Iterator[Message]:
        yield from self._consents()
        yield self._identify()
        for at in sorted(self._moment() for _ in range(self._customer.visits)):
            yield from self._visit(at)
        if self._customer.number <= len(SAMPLE_ACCOUNTS):
            # Whoever logs in as one of them finds a shop that remembers a visit of this week.
            favourite = in_category(self._customer.likes[0])[0]
            yield self._track("Product Viewed", self._end - timedelta(days=2), favourite.as_event())
        yield from self._service()
        if self._customer.withdraws:
            for purpose in self._customer.grants:
                yield self._consent(purpose, "withdrawn", self._end - timedelta(days=1))

    def _moment(self) -> datetime:
        """A time after joining: by day rather than by night, lately rather than long ago."""
        whole = (self._end - self._customer.joined).total_seconds()
        at = self._end - timedelta(seconds=whole * self._draw.random() ** 1.5)
        at = at.replace(hour=min(23, max(6, int(self._draw.gauss(16, 4)))))
        return max(self._customer.joined, min(at, self._end - timedelta(hours=1)))

    def _consents(self) -> Iterator[Message]:
        for purpose in GRANTED:
            state = "granted" if purpose in self._customer.grants else "denied"
            yield self._consent(purpose, state, self._customer.joined)

    def _consent(self, purpose: str, state: str, at: datetime) -> Message:
        change = {
            "purpose": purpose,
            "state": state,
            "text_version": TEXT_VERSION,
            "source": CONSENT_SOURCE,
        }
        return segment.consent(self._id(), stamp(at), {"userId": self._customer.user_id}, change)

    def _identify(self) -> Message:
        birthday = date(1945, 1, 1) + timedelta(days=self._draw.randrange(60 * 365))
        traits = {
            "email": self._customer.email,
            "first_name": self._customer.first_name,
            "country": self._customer.country,
            "loyalty": {"tier": self._customer.tier},
            "birthday": f"{birthday.isoformat()}T00:00:00Z",
        }
        return segment.identify(self._id(), stamp(self._customer.joined), self._person(), traits)

    def _visit(self, at: datetime) -> Iterator[Message]:
        """Views, often something put into the cart, sometimes an order."""
        cart: list[Product] = []
        for _ in range(self._draw.randint(1, 6)):
            at += timedelta(seconds=self._draw.randint(15, 240))
            product = self._pick()
            if self._customer.behaviour:
                yield self._track("Product Viewed", at, product.as_event())
            if len(cart) < ITEMS_PER_ORDER_MAX and self._draw.random() < 0.25 + 0.4 * self._customer.buys:
                cart.append(product)
                if self._customer.behaviour:
                    line = {**product.as_event(), "quantity": 1, "value": product.price}
                    yield self._track("Product Added", at + timedelta(seconds=5), line)
        if self._draw.random() < self._customer.buys:
            yield from self._order(at + timedelta(minutes=3), cart or [self._pick()])

    def _pick(self) -> Product:
        favourite = self._draw.random() < 0.75
        category = self._draw.choice(self._customer.likes if favourite else list(CATEGORIES))
        return self._draw.choice(in_category(category))

    def _order(self, at: datetime, products: list[Product]) -> Iterator[Message]:
        self._orders += 1
        order = {"order_id": f"sample-{self._customer.number:05d}-{self._orders}", "currency": CURRENCY}
        revenue = round(sum(product.price for product in products), 2)
        paid = {**order, "revenue": revenue, "main_category": products[0].category}
        lines = [{**product.as_event(), "quantity": 1} for product in products]
        yield from segment.order(self._id(), stamp(at), self._person(), paid, lines)
        if self._draw.random() < 0.04:
            back = {**order, "revenue": revenue}
            yield self._track("Order Refunded", min(at + timedelta(days=9), self._end), back)

    def _service(self) -> Iterator[Message]:
        for index in range(self._customer.open_tickets + int(self._draw.random() < 0.04)):
            at = self._end - timedelta(days=self._draw.randint(2, 5))
            ticket = {"ticket_id": f"sample-{self._customer.number:05d}-{index}"}
            yield self._track("Ticket Opened", at, ticket)
            if index >= self._customer.open_tickets:
                yield self._track("Ticket Closed", at + timedelta(days=1), ticket)

    def _track(self, name: str, at: datetime, properties: Mapping[str, object]) -> Message:
        return segment.track(name, self._id(), stamp(at), self._person(), properties)

    def _person(self) -> dict[str, str]:
        return {"userId": self._customer.user_id, "anonymousId": self._device}

    def _id(self) -> str:
        self._count += 1
        return f"sample:{self._customer.number}:{self._count}"


def stamp(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("out", type=Path, help="the file to write")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--until", type=date.fromisoformat, default=datetime.now(UTC).date())
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    messages = generate(arguments.customers, arguments.until, arguments.seed)
    print(f"{segment.write(arguments.out, messages):,} messages written to {arguments.out}")


if __name__ == "__main__":
    main()
