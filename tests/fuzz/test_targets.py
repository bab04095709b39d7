"""The fuzz targets in the ordinary suite: seeds, what once failed, and changes with fixed seeds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.havoc import changed
from tests.fuzz.targets import TARGETS
from tests.properties.profiles import examples

#: A change in each; catalogues take longest.
EXAMPLES = {
    "bundle": 150,
    "index": 30,
    "record": 400,
    "batch": 60,
    "frame": 400,
    "journal": 400,
    "expression": 200,
    "catalogue": 60,
}


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_kept_inputs_pass(name: str) -> None:
    inputs = list(TARGETS[name].inputs(name))
    assert len(inputs) >= 2
    for data in inputs if name != "catalogue" else inputs[:40]:
        TARGETS[name].run(data)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_inputs_are_refused_or_work(name: str) -> None:
    target = TARGETS[name]
    inputs = list(target.inputs(name))

    @examples(EXAMPLES[name])
    @given(
        st.one_of(st.integers(0, 2**48).map(lambda seed: changed(inputs, random.Random(seed))), st.binary())
    )
    def check(data: bytes) -> None:
        target.run(data)

    check()
