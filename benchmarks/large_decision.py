"""The large decision of `core.decide_large`: 1,000 rules, 200 offers, caps, 10 experiments, a model of 100
trees that ranks some 50 candidates, three placements whose content is put together from blocks.
"""

import random
from collections.abc import Sequence
from typing import Any, Final

import lightgbm
import numpy as np

from benchmarks.workload import FORTY, Rule, catalogue_files

HERO: Final = "home.hero"
TILES: Final = ("home.left", "home.right")
PLACEMENTS: Final = (HERO, *TILES)
#: Of the 200 offers those that trees rank; a sixth of them is not eligible.
HERO_OFFERS: Final = 60
OFFERS: Final = 200
EXPERIMENTS: Final = 10
RULES_AN_OFFER: Final = 5
NUMERIC: Final = tuple(name for name in FORTY if name[0] in "if")
OF_OFFERS: Final = tuple(f"x{number}" for number in range(40 - len(NUMERIC)))
TREES, LEAVES, TRAINING_ROWS = 100, 31, 3_000
BLOCKS: Final = 60
RANKED: Final = 50


def large_files(rules: Sequence[Rule], seed: int = 20261124) -> dict[str, str]:
    """The catalogue around a workload's rules."""
    draw = random.Random(seed)
    files = catalogue_files(rules)
    lines = [*_blocks(), *_placements(), *_offers(draw), *_guards(), *_experiments(), *_model()]
    files["large.yaml"] = "\n".join(lines) + "\n"
    files["models/hero.txt"] = booster().model_to_string()
    return files


def booster() -> lightgbm.Booster:
    """100 trees of 31 leaves over rows of person and offer, 40 columns, all of them asked for."""
    draw = np.random.default_rng(20261124)
    rows = draw.uniform(0, 1000, (TRAINING_ROWS, len(NUMERIC) + len(OF_OFFERS)))
    target = rows @ draw.normal(size=rows.shape[1]) + 500 * np.sin(rows[:, -1] / 100)
    options = {"objective": "binary", "verbose": -1, "num_leaves": LEAVES, "num_threads": 1, "seed": 1}
    names = [*NUMERIC, *OF_OFFERS]
    data = lightgbm.Dataset(rows, (target > np.median(target)).astype(float), feature_name=names)
    return lightgbm.train(options, data, TREES)


def rows_of(document: Any, profile: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Rows of person and offer, for RANKED of the offers that the trees rank."""
    offers = [offer for offer in document.offers if offer.columns][:RANKED]
    person = [float(profile[name]) for name in NUMERIC]
    return np.array([[*person, *offer.columns] for offer in offers])


def _blocks() -> list[str]:
    texts = [
        f"  - {{id: text-{n}, owner: bench, type: text, value: Offer number {n}, tags: [season-{n % 7}]}}"
        for n in range(BLOCKS)
    ]
    links = [
        f"  - {{id: link-{n}, owner: bench, type: url, value: 'https://shop.example/{n}'}}"
        for n in range(BLOCKS)
    ]
    greeting = "{id: greeting, owner: bench, type: text, attribute: profile.s0, prefix: 'For ', value: you}"
    return ["blocks:", *texts, *links, f"  - {greeting}"]


def _placements() -> list[str]:
    slots = "slots: {greeting: text, headline: text, link: url}"
    return [
        "placements:",
        *[
            f"  - {{id: {name}, owner: bench, channel: web, purpose: personalization, {slots},"
            " fallback: {greeting: null, headline: text-0, link: null}}"
            for name in PLACEMENTS
        ],
    ]


def _offers(draw: random.Random) -> list[str]:
    lines = ["offers:"]
    for number in range(OFFERS):
        a, b, c, d, e = (RULES_AN_OFFER * number + k for k in range(RULES_AN_OFFER))
        rule = f"segment.r{a:06d} || !segment.r{b:06d} || segment.r{c:06d} && segment.r{d:06d}"
        placement = HERO if number < HERO_OFFERS else TILES[number % 2]
        block = number % BLOCKS
        treatment = (
            f"id: offer-{number}-web, placement: {placement}, "
            f"blocks: {{greeting: greeting, headline: text-{block}, link: link-{block}}}"
        )
        lines += [
            f"  - id: offer-{number}",
            "    owner: bench",
            f"    tags: [range-{number % 5}]",
            f"    value: {1 + number / 100}",
            f"    exclusive_group: group-{number % 40}",
            f"    eligibility: '{rule}'",
            f"    weights: [{{when: segment.r{e:06d}, factor: 1.25}}]",
            f"    treatments: [{{{treatment}}}]",
        ]
        if number < HERO_OFFERS:
            values = ", ".join(f"{name}: {draw.uniform(0, 1000):.3f}" for name in OF_OFFERS)
            lines += ["    model: hero", f"    attributes: {{{values}}}"]
    return lines


def _guards() -> list[str]:
    return [
        "rules:",
        "  - {id: quiet, owner: bench, kind: suppression, when: profile.i0 > 900 && profile.i1 > 900,",
        "     applies_to: {tags: [range-0, range-1]}}",
        "  - {id: safe, owner: bench, kind: brand_safety, when: profile.i2 > 950,",
        "     applies_to: {block_tags: [season-3]}}",
        "caps:",
        "  - {id: each, owner: bench, max: 50, window: 7d, per: offer}",
        "  - {id: together, owner: bench, max: 500, window: 1d, per: all}",
        "  - {id: range, owner: bench, max: 5, window: 1d, per: all, applies_to: {tags: [range-2]}}",
        "holdouts:",
        "  - {id: global, owner: bench, share: 0.001}",
    ]


def _experiments() -> list[str]:
    variants = "[{id: control, weight: 1}, {id: b, weight: 1, blocks: {headline: text-1}}]"
    return [
        "experiments:",
        *[
            f"  - {{id: test-{n}, owner: bench, placements: [{PLACEMENTS[n % 3]}], variants: {variants}}}"
            for n in range(EXPERIMENTS)
        ],
    ]


def _model() -> list[str]:
    inputs = [f"{name}: profile.{name}" for name in NUMERIC] + [f"{name}: offer.{name}" for name in OF_OFFERS]
    return [
        "models:",
        "  - {id: hero, owner: bench, kind: trees, artifact: models/hero.txt,",
        f"     inputs: {{{', '.join(inputs)}}}}}",
    ]
