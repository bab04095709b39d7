"""What the example shop sells."""

from dataclasses import dataclass

CURRENCY = "EUR"

CATEGORIES = {
    "boots": "Boots",
    "jackets": "Jackets",
    "backpacks": "Backpacks",
    "tents": "Tents",
    "camp-kitchen": "Camp kitchen",
    "lamps": "Lamps",
    "care": "Care",
}
#: Not a category of its own: what is shown to everybody.
BESTSELLERS = "bestsellers"


@dataclass(frozen=True)
class Product:
    id: str
    name: str
    category: str
    price: float
    weight_grams: int
    text: str

    def as_event(self) -> dict[str, object]:
        """The product's properties in a Segment-spec event."""
        return {
            "product_id": self.id,
            "name": self.name,
            "category": self.category,
            "price": self.price,
            "currency": CURRENCY,
        }


PRODUCTS = {
    product.id: product
    for product in (
        Product("fjell", "Fjell boot", "boots", 189.0, 1240, "Waxed leather, resoled as often as you like."),
        Product("myr", "Myr boot", "boots", 149.0, 980, "Light and dry, for wet meadows."),
        Product(
            "frost", "Frost winter boot", "boots", 219.0, 1480, "Wool lining for twenty degrees below zero."
        ),
        Product("sti", "Sti trail shoe", "boots", 119.0, 640, "For running where others walk."),
        Product("regn", "Regn shell jacket", "jackets", 249.0, 410, "Three layers and taped seams."),
        Product("vind", "Vind wind jacket", "jackets", 129.0, 190, "Packs into its own pocket."),
        Product("dun", "Dun down jacket", "jackets", 279.0, 520, "Recycled down, warm when still."),
        Product("ull", "Ull wool jacket", "jackets", 199.0, 760, "Boiled wool from one valley."),
        Product("dag", "Dag 22 backpack", "backpacks", 89.0, 780, "For one day and a thermos."),
        Product("uke", "Uke 55 backpack", "backpacks", 229.0, 1890, "For a week and a tent."),
        Product("helg", "Helg 38 backpack", "backpacks", 159.0, 1320, "For the weekend."),
        Product("by", "By 18 rucksack", "backpacks", 69.0, 540, "For the way to work."),
        Product("en", "En one-person tent", "tents", 319.0, 1150, "Stands in three minutes."),
        Product("to", "To two-person tent", "tents", 429.0, 1890, "Two doors, no quarrel."),
        Product("fire", "Fire four-person tent", "tents", 599.0, 4300, "Room to stand for most."),
        Product("duk", "Duk tarpaulin", "tents", 79.0, 480, "A roof, wherever two trees are."),
        Product("glo", "Glo gas stove", "camp-kitchen", 59.0, 83, "A litre in three minutes."),
        Product("bal", "Bal fire bowl", "camp-kitchen", 139.0, 5200, "Leaves no trace in the grass."),
        Product("kopp", "Kopp enamel cup", "camp-kitchen", 12.0, 140, "Gets better with every dent."),
        Product("panne", "Panne iron pan", "camp-kitchen", 49.0, 1700, "For a lifetime of pancakes."),
        Product("lykt", "Lykt lantern", "lamps", 39.0, 210, "Forty hours on one charge."),
        Product("panna", "Panna head lamp", "lamps", 54.0, 78, "Four hundred lumens, red at night."),
        Product("stjerne", "Stjerne string light", "lamps", 24.0, 160, "Ten metres of calm."),
        Product("blink", "Blink safety light", "lamps", 14.0, 32, "Seen from a kilometre."),
        Product("voks", "Voks leather wax", "care", 11.0, 100, "Twice a year, and boots stay dry."),
        Product("vask", "Vask shell wash", "care", 13.0, 300, "Brings the drops back."),
        Product("sokk", "Sokk wool socks", "care", 19.0, 90, "Three pairs are enough for a year."),
        Product("nal", "Nal repair kit", "care", 16.0, 60, "Thread, patches and patience."),
    )
}

BESTSELLER_IDS = ("fjell", "regn", "helg", "to")


def in_category(category: str) -> list[Product]:
    if category == BESTSELLERS:
        return [PRODUCTS[product_id] for product_id in BESTSELLER_IDS]
    return [product for product in PRODUCTS.values() if product.category == category]
