"""The small decision of `core.decide_small`: 100 rules, 20 experiments, 50 logistic candidates, two
caps and a holdout at one placement.
"""

import random
from collections.abc import Sequence

from benchmarks.workload import EIGHT, FORTY, Rule, catalogue_files, make_rule
from core.compiler import Layout, compile_catalogue
from hub.decisioning.authoring import read_catalogue

PLACEMENT = "home.hero"
OFFERS, RULES, EXPERIMENTS = 50, 100, 20
#: What one placement of a page has to choose from: the decision of the HTTP figures.
PAGE_OFFERS, PAGE_EXPERIMENTS = 12, 3


def small_files(
    names: Sequence[str] = FORTY, offers: int = OFFERS, experiments: int = EXPERIMENTS
) -> dict[str, str]:
    """The catalogue: one placement that ranks offers by logistic models."""
    files = catalogue_files(small_rules(names), names)
    lines = [*_placement(offers), *_models(small_weights(names, offers))]
    lines += [*_offers(offers), *_experiments(experiments), *_limits()]
    files["small.yaml"] = "\n".join(lines) + "\n"
    return files


def small_rules(names: Sequence[str] = FORTY) -> list[Rule]:
    """The rules, which the offers hang on."""
    draw = random.Random(7)
    return [make_rule(draw, names) for _ in range(RULES)]


def numeric(names: Sequence[str] = FORTY) -> list[str]:
    """What the models read: all of them the same, as models of one training do."""
    return [name for name in names if name[0] in "if"]


def small_weights(names: Sequence[str] = FORTY, offers: int = OFFERS) -> list[dict[str, float]]:
    """By offer, the weights of its model."""
    draw = random.Random(8)
    return [{name: round(draw.uniform(-0.002, 0.002), 6) for name in numeric(names)} for _ in range(offers)]


def page_files() -> dict[str, str]:
    """The catalogue of the HTTP figures: eight attributes, 100 rules, 12 candidates, 3 experiments."""
    return small_files(EIGHT, PAGE_OFFERS, PAGE_EXPERIMENTS)


def compiled(files: dict[str, str]) -> bytes:
    """A catalogue as a bundle."""
    content, _ = compile_catalogue(read_catalogue(files), Layout())
    return content


def _placement(offers: int) -> list[str]:
    return [
        "blocks:",
        "  - {id: generic, owner: bench, type: text, value: Welcome}",
        "  - {id: other, owner: bench, type: text, value: Good to see you}",
        *[
            f"  - {{id: headline-{n}, owner: bench, type: text, value: Offer number {n}}}"
            for n in range(offers)
        ],
        "placements:",
        f"  - {{id: {PLACEMENT}, owner: bench, channel: web, purpose: personalization,",
        "     slots: {headline: text}, fallback: {headline: generic}}",
    ]


def _models(weights: list[dict[str, float]]) -> list[str]:
    lines = ["models:"]
    for number, row in enumerate(weights):
        lines += [f"  - id: model-{number}", "    owner: bench", "    kind: logistic", "    features:"]
        lines += [
            f"      - {{attribute: profile.{name}, weight: {weight!r}}}" for name, weight in row.items()
        ]
    return lines


def _offers(offers: int) -> list[str]:
    lines = ["offers:"]
    for number in range(offers):
        # An offer hangs on two of the 100 rules: most can be proposed, some cannot.
        rule = f"segment.r{2 * number:06d} || !segment.r{2 * number + 1:06d}"
        treatment = f"id: offer-{number}-web, placement: {PLACEMENT}, blocks: {{headline: headline-{number}}}"
        lines += [
            f"  - id: offer-{number}",
            "    owner: bench",
            f"    value: {1 + number / 100}",
            f"    model: model-{number}",
            f"    eligibility: '{rule}'",
            f"    treatments: [{{{treatment}}}]",
        ]
    return lines


def _experiments(experiments: int) -> list[str]:
    variants = "[{id: control, weight: 1}, {id: b, weight: 1, blocks: {headline: other}}]"
    test = f"owner: bench, placements: [{PLACEMENT}], traffic: 1.0, variants: {variants}"
    return ["experiments:", *[f"  - {{id: test-{number}, {test}}}" for number in range(experiments)]]


def _limits() -> list[str]:
    return [
        "caps:",
        "  - {id: each, owner: bench, max: 50, window: 7d, per: offer}",
        "  - {id: together, owner: bench, max: 500, window: 1d, per: all}",
        "holdouts:",
        "  - {id: global, owner: bench, share: 0.001}",
    ]
