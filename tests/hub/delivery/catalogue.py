"""A catalogue with two journeys, a cap that pages and e-mails share, and everything that stops a message."""

from tests.catalogues import FOLDER, files_of

FILES = files_of(FOLDER / "outbound")
SHOP = "shop.yaml"


def changed(old: str, new: str) -> dict[str, str]:
    """The catalogue with one text replaced."""
    text = FILES[SHOP]
    assert old in text
    return {SHOP: text.replace(old, new)}


def quiet(start: str, end: str, zone: str = "UTC") -> dict[str, str]:
    """The catalogue with quiet hours for e-mail."""
    hours = f'{{channels: [email], start: "{start}", end: "{end}"}}'
    return changed("settings:\n", f"settings:\n  time_zone: {zone}\n  quiet_hours: [{hours}]\n")


def experimenting(*weights: int) -> dict[str, str]:
    """The catalogue with a sticky experiment on the e-mail's text, of these weights."""
    variants = ", ".join(f"{{id: v{n}, weight: {weight}}}" for n, weight in enumerate(weights))
    one = f"{{id: text, owner: ada, placements: [mail.main], sticky: true, variants: [{variants}]}}"
    return changed("journeys:\n", f"experiments:\n  - {one}\njourneys:\n")


def without_journey(journey: str) -> dict[str, str]:
    """The catalogue with everybody held out of one journey."""
    return changed(
        "journeys:\n",
        f"holdouts:\n  - {{id: control, owner: ada, share: 1.0, journeys: [{journey}]}}\njourneys:\n",
    )


def held_out() -> dict[str, str]:
    """The catalogue with everybody in the holdout."""
    return changed("journeys:\n", "holdouts:\n  - {id: all, owner: ada, share: 1.0}\njourneys:\n")
