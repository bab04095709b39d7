"""Turn "Online Retail II", first year, into Segment-spec NDJSON.

    python -m examples.online_retail FOLDER OUT.ndjson
    onevoice publish examples/catalogues/online_retail --as erin --wait
    onevoice events import OUT.ndjson

The data: Daqing Chen, UCI Machine Learning Repository, licence CC BY 4.0. One row is one line of an invoice.
An invoice becomes `Order Completed`; one whose number begins with C becomes `Order Cancelled`; the three that
begin with A adjust bad debts and become `Order Updated`. Rows without a customer are anonymous visitors: each
such invoice gets an anonymous id of its own, for nothing in the data joins them.
"""

import argparse
import csv
import gzip
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from examples import segment
from examples.segment import Message

FILE = "online_retail_2009_2010.csv.gz"
CURRENCY = "GBP"
ANONYMOUS = uuid.UUID("6ce3ff1b-7f5c-5b07-9d0f-0a3c6f0c8a52")


@dataclass(slots=True)
class Invoice:
    number: str
    at: str
    customer: str
    country: str
    amount: Decimal = Decimal(0)
    products: list[Message] = field(default_factory=list)

    @property
    def person(self) -> dict[str, str]:
        if self.customer:
            return {"userId": self.customer}
        return {"anonymousId": str(uuid.uuid5(ANONYMOUS, self.number))}


def convert(folder: Path) -> Iterator[Message]:
    """All messages, invoice by invoice in the order of their first row."""
    for invoice in read_invoices(folder / FILE).values():
        yield from messages_of(invoice)


def read_invoices(path: Path) -> dict[str, Invoice]:
    """The invoices by number. The lines of some are scattered and minutes apart: the first gives the time."""
    invoices: dict[str, Invoice] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        for number, code, description, quantity, at, price, customer, country in rows:
            invoice = invoices.get(number)
            if invoice is None:
                invoices[number] = invoice = Invoice(number, at.replace(" ", "T") + "Z", customer, country)
            invoice.amount += int(quantity) * Decimal(price)
            invoice.products.append(
                {
                    "product_id": code,
                    "name": description.strip(),
                    "price": float(price),
                    "quantity": int(quantity),
                }
            )
    return invoices


def messages_of(invoice: Invoice) -> Iterator[Message]:
    message_id = f"online-retail:{invoice.number}"
    properties = {"order_id": invoice.number, "currency": CURRENCY, "country": invoice.country}
    lines = {"line_count": len(invoice.products)}
    match invoice.number[0]:
        case "C":
            reversed_amount = {"revenue": float(-invoice.amount)}
            cancelled = {**properties, **reversed_amount, **lines, "products": invoice.products}
            yield segment.track("Order Cancelled", message_id, invoice.at, invoice.person, cancelled)
        case "A":
            adjusted = {**properties, **lines, "revenue": float(invoice.amount), "adjustment": "bad debt"}
            yield segment.track("Order Updated", message_id, invoice.at, invoice.person, adjusted)
        case _:
            paid = {**properties, "revenue": float(invoice.amount)}
            yield from segment.order(message_id, invoice.at, invoice.person, paid, invoice.products)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", type=Path, help=f"the folder that holds {FILE}")
    parser.add_argument("out", type=Path, help="the file to write")
    arguments = parser.parse_args()
    count = segment.write(arguments.out, convert(arguments.folder))
    print(f"{count:,} messages written to {arguments.out}")


if __name__ == "__main__":
    main()
