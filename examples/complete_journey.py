"""Turn "The Complete Journey 2.0" into Segment-spec NDJSON.

    python -m examples.complete_journey FOLDER OUT.ndjson
    onevoice publish examples/catalogues/complete_journey --as erin --wait
    onevoice events import OUT.ndjson

The data: 84.51 (dunnhumby), licence CC0: one year of a grocer's loyalty households. A basket becomes
`Order Completed`, demographics become `identify`, and two events of one's own are declared in the catalogue:
`Campaign Addressed` (a campaign reached a household) and `Coupon Redeemed`.

The data holds no consents. The converter assumes that the loyalty programme's terms covered analytics and
says so in the source of each consent that it writes; without one, behaviour would not shape a profile.
"""

import argparse
import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from examples import segment
from examples.segment import Message

CURRENCY = "USD"
ENROLLED_AT = "2016-12-31T00:00:00Z"
CONSENT_SOURCE = "complete-journey converter (assumed)"
CONSENT_TEXT = "loyalty-programme-terms"
DEMOGRAPHICS = (
    "age",
    "income",
    "home_ownership",
    "marital_status",
    "household_size",
    "household_comp",
    "kids_count",
)


@dataclass(slots=True)
class Basket:
    household: str
    number: str
    store: str
    at: str
    revenue: Decimal = Decimal(0)
    discount: Decimal = Decimal(0)
    products: list[Message] = field(default_factory=list)


def convert(folder: Path) -> Iterator[Message]:
    """All messages: consents first, then demographics, campaigns, baskets, redemptions."""
    baskets = read_baskets(folder)
    addressed = read(folder / "campaigns.csv.gz")
    redemptions = read(folder / "coupon_redemptions.csv.gz")
    demographics = read(folder / "demographics.csv")
    households = {basket.household for basket in baskets}
    households.update(row["household_id"] for row in (*addressed, *redemptions, *demographics))
    yield from consents(sorted(households, key=int))
    yield from identities(demographics)
    yield from campaigns(folder, addressed)
    for basket in baskets:
        yield from orders(basket)
    yield from coupons(redemptions)


def read(path: Path) -> list[dict[str, str]]:
    with (
        gzip.open(path, "rt", encoding="utf-8", newline="")
        if path.suffix == ".gz"
        else path.open(encoding="utf-8", newline="")
    ) as file:
        return list(csv.DictReader(file))


def read_baskets(folder: Path) -> list[Basket]:
    """The baskets, in the order of their first line."""
    products = {row["product_id"]: row for row in read(folder / "products.csv.gz")}
    baskets: dict[str, Basket] = {}
    for row in read(folder / "transactions_sample.csv.gz"):
        number = row["basket_id"]
        if number not in baskets:
            at = row["transaction_timestamp"].replace(" ", "T") + "Z"
            baskets[number] = Basket(row["household_id"], number, row["store_id"], at)
        basket = baskets[number]
        basket.revenue += Decimal(row["sales_value"])
        basket.discount += sum(Decimal(row[c]) for c in ("retail_disc", "coupon_disc", "coupon_match_disc"))
        basket.products.append(line_of(row, products.get(row["product_id"], {})))
    return list(baskets.values())


def line_of(row: dict[str, str], product: dict[str, str]) -> Message:
    """One line. The data gives what was paid for the whole line; the price is that by piece."""
    quantity = float(row["quantity"])
    line: Message = {"product_id": row["product_id"], "quantity": quantity}
    if quantity:
        line["price"] = round(float(row["sales_value"]) / quantity, 4)
    names = {"name": "product_type", "category": "product_category", "brand": "brand"}
    return line | {key: product[column] for key, column in names.items() if product.get(column)}


def consents(households: list[str]) -> Iterator[Message]:
    for household in households:
        message_id = f"complete-journey:consent:{household}"
        consent = {
            "purpose": "analytics",
            "state": "granted",
            "text_version": CONSENT_TEXT,
            "source": CONSENT_SOURCE,
        }
        yield segment.consent(message_id, ENROLLED_AT, person(household), consent)


def identities(rows: list[dict[str, str]]) -> Iterator[Message]:
    for row in rows:
        traits = {name: row[name] for name in DEMOGRAPHICS if row[name]}
        message_id = f"complete-journey:demographics:{row['household_id']}"
        yield segment.identify(message_id, ENROLLED_AT, person(row["household_id"]), traits)


def campaigns(folder: Path, rows: list[dict[str, str]]) -> Iterator[Message]:
    """A household is addressed on the day its campaign begins: the data does not say when it was."""
    descriptions = {row["campaign_id"]: row for row in read(folder / "campaign_descriptions.csv")}
    for row in rows:
        campaign, household = row["campaign_id"], row["household_id"]
        description = descriptions[campaign]
        properties = {
            "campaign_id": campaign,
            "campaign_type": description["campaign_type"],
            "ends_on": description["end_date"],
        }
        message_id = f"complete-journey:campaign:{campaign}:{household}"
        at = description["start_date"] + "T00:00:00Z"
        yield segment.track("Campaign Addressed", message_id, at, person(household), properties)


def orders(basket: Basket) -> Iterator[Message]:
    properties = {
        "order_id": basket.number,
        "revenue": float(basket.revenue),
        "discount": float(basket.discount),
        "currency": CURRENCY,
        "store_id": basket.store,
    }
    message_id = f"complete-journey:basket:{basket.number}"
    yield from segment.order(message_id, basket.at, person(basket.household), properties, basket.products)


def coupons(rows: list[dict[str, str]]) -> Iterator[Message]:
    """A household may redeem the same coupon twice on a day, so the row number names the redemption."""
    for index, row in enumerate(rows):
        properties = {"coupon_upc": row["coupon_upc"], "campaign_id": row["campaign_id"]}
        message_id = f"complete-journey:redemption:{index}"
        at = row["redemption_date"] + "T00:00:00Z"
        yield segment.track("Coupon Redeemed", message_id, at, person(row["household_id"]), properties)


def person(household: str) -> dict[str, str]:
    return {"userId": household}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help="the folder that holds the data set's CSV files")
    parser.add_argument("out", type=Path, help="the file to write")
    arguments = parser.parse_args()
    count = segment.write(arguments.out, convert(arguments.folder))
    print(f"{count:,} messages written to {arguments.out}")


if __name__ == "__main__":
    main()
