"""Matching many profiles at once finds for each what matching it alone does."""

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import bundle as b
from core.batch import THREADS_MAX
from core.decide import Engine
from core.errors import RecordError
from tests.core.sketch import NOW, Sketch, int_slot, record
from tests.core.test_rule_index import KINDS, packed, random_set, value_of
from tests.properties.profiles import examples


@given(st.integers(0, 2**32))
@examples(15)
def test_a_batch_finds_what_one_match_finds(seed: int) -> None:
    draw = random.Random(seed)
    sketch, known = random_set(draw, draw.choice((1, 40, 1200)))
    engine = Engine(sketch.content(), 1)
    for count in (0, 1, 63, draw.randrange(64, 400)):
        records = [
            None if draw.random() < 0.05 else packed([value_of(draw, kind, known) for kind in KINDS])
            for _ in range(count)
        ]
        matches = engine.match_batch(records, NOW, threads=draw.randint(1, 3))
        expected = [engine.match(one, {}, NOW) for one in records]
        assert (matches.rule_count, matches.profile_count) == (len(sketch.rules), count)
        for rule in range(len(sketch.rules)):
            holders = [at for at, rules in enumerate(expected) if rule in rules]
            if draw.random() < 0.2:
                assert matches.profiles_of(rule) == holders
            assert matches.count(rule) == len(holders)
        assert [matches.rules_of(at) for at in range(count)] == expected


def counting_engine() -> Engine:
    """A rule for each of ten values of one number, and one for a fact of the context."""
    sketch = Sketch()
    number, device = sketch.attribute("profile.n", b.INT), sketch.attribute("context.device", b.STRING)
    for value in range(10):
        sketch.rule(f"n{value}", sketch.condition(b.OP_RANGE, number, lo=value, hi=value))
    sketch.rule("tv", sketch.condition(b.OP_STRING_IN, device, strings=["tv"]))
    return Engine(sketch.content(), 1)


def test_the_context_is_the_same_for_all() -> None:
    engine = counting_engine()
    records = [record({16: int_slot(at % 12)}) for at in range(300)]
    matches = engine.match_batch(records, NOW, context={"device": "tv"}, threads=2)
    assert matches.profiles_of(3) == list(range(3, 300, 12))
    assert matches.count(10) == 300
    assert engine.match_batch(records, NOW).count(10) == 0
    assert engine.match(records[3], {"device": "radio"}, NOW) == [3]


def test_the_first_damaged_record_is_named_and_leaves_no_trace() -> None:
    engine = counting_engine()
    records = [record({16: int_slot(at % 12)}) for at in range(500)]
    expected = engine.match_batch(records, NOW).bits
    damaged = records.copy()
    for at in (499, 300, 140):
        damaged[at] = records[at][:-1] + bytes([records[at][-1] ^ 1])
    with pytest.raises(RecordError, match="expected the checksum of the bytes") as error:
        engine.match_batch(damaged, NOW, threads=2)
    assert error.value.path == "$.records[140].checksum"
    assert engine.match_batch(records, NOW, threads=2).bits == expected


def test_what_is_no_record_at_all_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes-like"):
        counting_engine().match_batch([record(), "text"], NOW)  # type: ignore[list-item]


def test_rules_and_profiles_beyond_the_last_are_refused() -> None:
    matches = counting_engine().match_batch([record()], NOW, threads=THREADS_MAX + 1)
    for ask in (matches.profiles_of, matches.count):
        with pytest.raises(IndexError, match="expected a rule below 11, got 11"):
            ask(11)
    with pytest.raises(IndexError, match="expected a profile below 1, got 1"):
        matches.rules_of(1)


def test_other_threads_run_meanwhile_but_not_on_the_same_engine() -> None:
    """The batch holds no GIL: another thread sees the engine busy while it works."""
    engine = counting_engine()
    records = [record({16: int_slot(at % 12)}) for at in range(1000)] * 200
    done, refused = threading.Event(), []

    def ask() -> None:
        while not done.is_set():
            try:
                engine.match(records[0], {}, NOW)
            except RuntimeError as error:
                refused.append(str(error))

    other = threading.Thread(target=ask)
    other.start()
    while not refused:
        try:
            engine.match_batch(records, NOW)
        except RuntimeError:
            continue
    done.set()
    other.join()
    assert refused[0] == "the engine is deciding in another thread"
