"""Assignment as statistics see it: uniform, independent between salts, stable under ramps, apart in layers.

Every key is fixed, so a test either always passes or always fails: alpha is the chance that a good hash
would have been refused when the keys were chosen. Critical values are those of the chi-square
distribution's tables.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import pytest

from core import bundle as b
from core.assignment import Experiments
from core.decide import Engine, Request
from core.hashing import bucket
from tests.core.sketch import NOW, Sketch, assignments_slot, int_slot, record

MILLION: Final = 1_000_000
#: Degrees of freedom -> critical value at alpha = 0.001.
CHI_SQUARE: Final = {1: 10.828, 2: 13.816, 3: 16.266, 4: 18.467, 9: 27.877, 19: 43.820, 99: 148.230}
UNITS: Final = 50_000
SALTS: Final = ("home-hero", "a", "", "ünïcode", "x" * 200)


def random_keys(seed: int, count: int = UNITS) -> list[bytes]:
    draw = random.Random(seed)
    return [draw.randbytes(16) for _ in range(count)]


def counted_keys(count: int = UNITS) -> list[bytes]:
    """Keys that differ in few bits, as a store that counts would give them out."""
    return [number.to_bytes(16, "big") for number in range(count)]


KEYS: Final = {"random": random_keys(1), "counted": counted_keys()}


def chi_square(observed: Iterable[int], expected: Iterable[float]) -> float:
    return sum((seen - due) ** 2 / due for seen, due in zip(observed, expected, strict=True))


def even(keys: Sequence[bytes], cells: Sequence[int], count: int) -> float:
    """The statistic of cells against equal shares."""
    found = Counter(cells)
    return chi_square((found[cell] for cell in range(count)), [len(keys) / count] * count)


def experiments(*them: b.Experiment, holdouts: Sequence[b.Holdout] = ()) -> Experiments:
    return Experiments(list(them), list(holdouts), {})


def experiment(name: str, weights: Sequence[int] = (1, 1), **rest: object) -> b.Experiment:
    """With the bounds that decision 0002 gives to the weights."""
    sketch, total = Sketch(), sum(weights)
    bounds = [MILLION * sum(weights[: at + 1]) // total for at in range(len(weights))]
    variants = [b.Variant(f"v{at}", upper, None, {}) for at, upper in enumerate(bounds)]
    sketch.experiment(name, variants, **rest)
    return sketch.experiments[0]


def assigned(one: b.Experiment, keys: Sequence[bytes]) -> list[int | None]:
    table = experiments(one)
    return [table.variant(0, key) for key in keys]


@pytest.mark.parametrize("size", [*range(70), 200])
def test_salts_of_every_length_give_the_bucket_of_the_definition(size: int) -> None:
    """The core keeps salts half hashed, for many keys each."""
    salt, key = ("salt of some length " * 10)[:size], bytes(range(100, 116))
    drawn = bucket(salt, key)
    for share, held in ((drawn, False), (drawn + 1, True)):
        assert experiments(holdouts=[b.Holdout("h", salt, share, [])]).is_held_out(0, key) is held
    bounds = [
        b.Variant("a", drawn, None, {}),
        b.Variant("b", drawn + 1, None, {}),
        b.Variant("c", MILLION, None, {}),
    ]
    one = experiment("x", salt=salt)
    one.variants[:] = bounds
    assert experiments(one).variants(key) == [1]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize("salt", SALTS)
def test_buckets_are_uniform(salt: str, kind: str) -> None:
    keys = KEYS[kind]
    buckets = [bucket(salt, key) for key in keys]
    assert even(keys, [one * 100 // MILLION for one in buckets], 100) < CHI_SQUARE[99]
    # The last digits are what a share of a few millionths looks at.
    assert even(keys, [one % 20 for one in buckets], 20) < CHI_SQUARE[19]


@pytest.mark.parametrize("weights", [(1, 1), (1, 1, 1), (90, 10), (1, 2, 3, 4), (997, 1, 1, 1)])
def test_variants_get_their_weights(weights: tuple[int, ...]) -> None:
    found = Counter(assigned(experiment("weights", weights), KEYS["random"]))
    due = [UNITS * weight / sum(weights) for weight in weights]
    assert chi_square((found[at] for at in range(len(weights))), due) < CHI_SQUARE[len(weights) - 1]


@pytest.mark.parametrize("kind", KEYS)
@pytest.mark.parametrize(("first", "second"), [("a", "b"), ("test-1", "test-2"), ("home", "home:traffic")])
def test_experiments_of_different_salts_are_independent(first: str, second: str, kind: str) -> None:
    """A table of four by four variants: (4 - 1) * (4 - 1) degrees of freedom."""
    keys = KEYS[kind]
    ours = assigned(experiment(first, (1, 1, 1, 1)), keys)
    theirs = assigned(experiment(second, (1, 1, 1, 1)), keys)
    cells = Counter(zip(ours, theirs, strict=True))
    rows, columns = Counter(ours), Counter(theirs)
    pairs = [(row, column) for row in range(4) for column in range(4)]
    due = [rows[row] * columns[column] / len(keys) for row, column in pairs]
    assert chi_square((cells[pair] for pair in pairs), due) < CHI_SQUARE[9]


def test_equal_salts_are_not_independent() -> None:
    """The test above can tell: the same salt puts everyone into the same variant."""
    keys = KEYS["random"]
    one, other = experiment("one", salt="s"), experiment("other", salt="s")
    assert assigned(one, keys) == assigned(other, keys)


def test_traffic_does_not_choose_the_variant() -> None:
    """Those that a ramp lets in are split as everyone is, at every step of it."""
    keys = KEYS["random"]
    before: set[bytes] = set()
    for traffic in (50_000, 200_000, 500_000, MILLION):
        found = dict(zip(keys, assigned(experiment("ramp", traffic=traffic), keys), strict=True))
        now = {key for key, variant in found.items() if variant is not None}
        new = now - before
        split = Counter(found[key] for key in new)
        assert chi_square((split[0], split[1]), [len(new) / 2] * 2) < CHI_SQUARE[1]
        due = UNITS * traffic / MILLION
        assert (len(now) - due) ** 2 <= CHI_SQUARE[1] * due * (1 - traffic / MILLION)
        before = now


def test_raising_traffic_moves_nobody_who_is_in() -> None:
    keys = KEYS["random"]
    held: dict[bytes, int] = {}
    for traffic in (0, 1, 10_000, 100_000, 333_333, 900_000, MILLION):
        found = assigned(experiment("ramp", (3, 1, 2), traffic=traffic), keys)
        now = {key: variant for key, variant in zip(keys, found, strict=True) if variant is not None}
        assert held.items() <= now.items()
        held = now
    assert len(held) == len(keys)


def test_a_changed_split_moves_no_more_than_it_must() -> None:
    """From 50:50 to 70:30 only a part of the second variant moves, and only into the first."""
    keys = KEYS["random"]
    before = assigned(experiment("split", (50, 50)), keys)
    after = assigned(experiment("split", (70, 30)), keys)
    moved = Counter((old, new) for old, new in zip(before, after, strict=True) if old != new)
    assert set(moved) == {(1, 0)}
    assert chi_square((moved[1, 0], UNITS - moved[1, 0]), (0.2 * UNITS, 0.8 * UNITS)) < CHI_SQUARE[1]


def test_experiments_of_a_layer_exclude_each_other_and_fill_their_ranges() -> None:
    ranges = [(0, 200_000), (200_000, 500_000), (500_000, 999_999)]
    layered = [experiment(f"in-{low}", layer="layer", layer_from=low, layer_to=high) for low, high in ranges]
    table = experiments(*layered)
    found: Counter[int] = Counter()
    for key in KEYS["random"]:
        inside = [at for at in range(3) if table.variant(at, key) is not None]
        assert len(inside) <= 1
        found.update(inside)
    shares = [(high - low) / MILLION * UNITS for low, high in ranges[:2]]
    rest = UNITS - found[0] - found[1]
    assert chi_square((found[0], found[1], rest), (*shares, UNITS - sum(shares))) < CHI_SQUARE[2]


def test_a_layer_does_not_choose_the_variant() -> None:
    keys = KEYS["random"]
    found = Counter(assigned(experiment("x", layer="layer", layer_from=0, layer_to=300_000), keys))
    inside = found[0] + found[1]
    assert chi_square((found[0], found[1]), [inside / 2] * 2) < CHI_SQUARE[1]


def test_holdouts_are_nested_as_they_grow_and_independent_of_experiments() -> None:
    keys = KEYS["random"]
    held: set[bytes] = set()
    for share in (0, 10_000, 50_000, 200_000):
        table = experiments(holdouts=[b.Holdout("global", "holdout", share, [])])
        now = {key for key in keys if table.is_held_out(0, key)}
        assert held <= now
        held = now
    assert chi_square((len(held), UNITS - len(held)), (0.2 * UNITS, 0.8 * UNITS)) < CHI_SQUARE[1]
    variants = Counter(assigned(experiment("x"), sorted(held)))
    assert chi_square((variants[0], variants[1]), [len(held) / 2] * 2) < CHI_SQUARE[1]


def test_holdout_and_variant_follow_the_unit_key_and_nothing_else_of_a_record() -> None:
    """After a merge the record is another one; whoever keeps the unit key keeps holdout and variants."""
    sketch = Sketch()
    sketch.attribute("profile.orders", b.INT)
    sketch.placement()
    sketch.treatment(sketch.offer("offer"))
    sketch.holdouts.append(b.Holdout("global", "holdout", 300_000, []))
    sketch.experiment("x", [b.Variant("a", 500_000, None, {}), b.Variant("b", MILLION, None, {})])
    engine = Engine(sketch.content(), 1)
    table = Experiments(sketch.experiments, sketch.holdouts, {})
    seen: Counter[tuple[str, ...]] = Counter()
    for number, key in enumerate(KEYS["random"][:300]):
        answers = []
        for slots in ({}, {16: int_slot(number)}):
            held = record(slots, unit_key=key, sequence=1 + len(slots))
            request = Request(f"d-{number}-{len(slots)}", ("home.hero",), {}, bytes(16))
            answers.append(engine.decide(held, (), request, NOW))
        expected = "holdout" if table.is_held_out(0, key) else "ok"
        assert [answer.reasons for answer in answers] == [(expected,), (expected,)]
        shown = [
            msgspec.json.decode(answer.body)["placements"]["home.hero"]["experiments"] for answer in answers
        ]
        variant = [] if expected == "holdout" else [{"id": "x", "variant": "ab"[table.variant(0, key) or 0]}]
        assert shown == [variant, variant]
        seen[answers[0].reasons] += 1
    assert set(seen) == {("holdout",), ("ok",)}


def shown(one: b.Experiment, keys: Sequence[bytes], found: Sequence[int | None]) -> list[bytes]:
    """A record of each unit that was shown what it was assigned; empty for who was assigned nothing."""
    return [
        record({6: assignments_slot([(one.id, 0, key, f"v{variant}", NOW)])} if variant is not None else {})
        for key, variant in zip(keys, found, strict=True)
    ]


def test_sticky_experiments_move_nobody_who_was_shown_something_and_split_the_rest_by_the_new_weights() -> (
    None
):
    """Weights, traffic up and traffic down, again and again: who is in stays, and newcomers are unbiased."""
    keys = KEYS["random"][:20_000]
    held: dict[bytes, int] = {}
    records = [record()] * len(keys)
    steps = (((50, 50), 100_000), ((90, 10), 300_000), ((10, 90), 200_000), ((1, 3), 900_000), ((3, 1), 0))
    for weights, traffic in steps:
        one = experiment("sticky", weights, traffic=traffic, sticky=True)
        table = experiments(one)
        found = [table.variant(0, key, stored) for key, stored in zip(keys, records, strict=True)]
        now = {key: variant for key, variant in zip(keys, found, strict=True) if variant is not None}
        assert held.items() <= now.items()
        new = [key for key in now if key not in held]
        reached = max(share for _, share in steps[: steps.index((weights, traffic)) + 1])
        due = len(keys) * reached / MILLION
        assert (len(now) - due) ** 2 <= CHI_SQUARE[1] * due * (1 - reached / MILLION)
        if new:
            split = Counter(now[key] for key in new)
            expected = [len(new) * weight / sum(weights) for weight in weights]
            assert chi_square((split[0], split[1]), expected) < CHI_SQUARE[1]
        else:
            assert traffic < reached, "only a lowered share lets nobody in"
        held, records = now, shown(one, keys, found)
    plain = experiments(experiment("sticky", (3, 1), traffic=0))
    assert {plain.variant(0, key) for key in keys} == {None}, "without sticky everybody would have left"


def test_a_holdout_of_experiments_takes_its_share_of_each_and_chooses_no_variant() -> None:
    keys = KEYS["random"]
    programme = b.Holdout("programme", "programme-2026", 100_000, [], [0, 1])
    table = experiments(experiment("a"), experiment("b"), experiment("c"), holdouts=[programme])
    found = [table.variants(key) for key in keys]
    out = [at for at, variants in enumerate(found) if variants[0] is None]
    assert out == [at for at, variants in enumerate(found) if variants[1] is None]
    assert out == [at for at, key in enumerate(keys) if table.is_held_out(0, key)]
    assert chi_square((len(out), UNITS - len(out)), (0.1 * UNITS, 0.9 * UNITS)) < CHI_SQUARE[1]
    assert all(variants[2] is not None for variants in found)
    for at in range(3):
        split = Counter(variants[at] for number, variants in enumerate(found) if variants[1] is not None)
        inside = UNITS - len(out)
        assert chi_square((split[0], split[1]), [inside / 2] * 2) < CHI_SQUARE[1]
