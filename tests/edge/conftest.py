"""One running edge for all tests that only ask it things."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from core.decide import Engine
from core.request import Request
from tests.edge.fleet import Edge, anon, digest, fact, granted, known_person, profile, small_bundle

KNOWN = 1  # the anonymous id of Ada, who has a profile
NOW_MS = 1_795_000_000_000


@pytest.fixture(scope="session")
def engine() -> Engine:
    """The seeded bundle's engine in this process."""
    bundle = small_bundle()
    return Engine(bundle.content, bundle.revision)


@pytest.fixture(scope="session")
def edge(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[Edge]:
    """An edge with two workers, a bundle, and one known profile; its hub is away."""
    made = Edge(tmp_path_factory.mktemp("edge"))
    record = profile(engine, granted(), fact("Order Completed", revenue=60.0), fact("Product Added"))
    made.seed(known_person(KNOWN, record, ("anon", anon(KNOWN)), ("email", "ada@example.com")))
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="session")
def visitor(engine: Engine) -> Callable[[], int]:
    """Fresh visitors, of those whom neither holdout nor experiment keeps from the cart reminder."""
    numbers = itertools.count(100)

    def fresh() -> int:
        for number in numbers:
            request = Request("d", ("home.banner",), {}, digest("anon", anon(number)))
            decision = engine.decide(None, [granted(), fact("Product Added")], request, NOW_MS)
            if decision.reasons == ("ok",):
                return number
        raise AssertionError("numbers never end")

    return fresh
