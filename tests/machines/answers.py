"""What must come out the same on every machine, as lines of a name and a hash of bytes.

    python -m tests.machines.answers WORLDS [SCALE]

WORLDS is a file of random questions, made if it is not there. `make aarch64` runs this on the machine that it
is run on, on an x86-64 without AVX and on an aarch64, and compares the lines.
"""

import hashlib
import math
import pickle
import random
import struct
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec
from hypothesis import HealthCheck, Phase, given, settings

from core import bundle as b
from core.authoring import CatalogueError
from core.compiler.ensembles import make_trees, used
from core.compiler.lightgbm import read_lightgbm
from core.compiler.sampling import beta_draw, gaussian_draw, log
from core.decide import Engine
from core.hashing import bucket, xxh64
from core.mathx import exp
from core.scoring import Models
from tests.core.sketch import NOW
from tests.core.test_rule_index import KINDS, packed, random_set, value_of
from tests.properties.chance import Chance
from tests.properties.forests import lightgbm_text
from tests.properties.worlds import questions
from tests.vectors.build import REVISION, build
from tests.vectors.load import Vector, load_vectors

SEED: Final = 20_261_124
#: Values at which trees turn.
VALUES: Final = (0.0, -0.0, 1e-36, 17.0, 18.0, 5.0, 2.0**31, 1e300, -1e300, float("nan"), float("inf"))


class Dice(Chance):
    """Draws of a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def whole(self, least: int, most: int) -> int:
        return self._random.randint(least, most)


def answers(vectors: Iterable[Vector], worlds: Iterable[Vector], scale: int) -> Iterator[tuple[str, str]]:
    """Name and hash of each part; `scale` multiplies how much is asked."""
    for name, part in PARTS.items():
        yield name, _digest(part(scale))
    yield "vectors", _digest(decisions(vectors))
    yield "worlds", _digest(decisions(worlds))


def _digest(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for one in parts:
        found.update(struct.pack("<I", len(one)) + one)
    return found.hexdigest()


def arithmetic(scale: int) -> Iterator[bytes]:
    """The core's exp and log over the whole range, and draws that are made of them."""
    draw = random.Random(SEED)
    edges = [0.0, -0.0, 709.782712893384, -745.1332191019412, 709.79, -745.2, -708.0, 1e-320, float("inf")]
    for x in (*edges, *(draw.uniform(-750.0, 720.0) for _ in range(20_000 * scale))):
        yield struct.pack("<2d", x, exp(x))
    for _ in range(2_000 * scale):
        yield struct.pack("<d", log(draw.random() * 2.0 ** draw.randint(-1000, 1000) or 1.0))
    for sample in range(200 * scale):
        yield struct.pack(
            "<2d", beta_draw("m", "o", sample, 0.3, 4.0), gaussian_draw("m", "o", sample, 1.0, 0.5)
        )


def hashes(scale: int) -> Iterator[bytes]:
    """xxh64 of every length, and buckets."""
    draw = random.Random(SEED)
    for length in range(300 * scale):
        data = draw.randbytes(length % 1_000)
        yield struct.pack("<2QI", xxh64(data), xxh64(data, draw.getrandbits(64)), bucket("salt", data))


def trees(scale: int) -> Iterator[bytes]:
    """Random forests, each row alone and all rows at once."""
    for seed in range(40 * scale):
        draw = random.Random(seed)
        ensemble = read_lightgbm(lightgbm_text(Dice(seed)))
        asked = used(ensemble)
        inputs = [b.TreeInput(at) for at in range(len(asked))]
        made = make_trees(ensemble, inputs, b.LINK_LOGISTIC)
        models = Models([b.Model("m", b.MODEL_TREES, 0.0, [], made)], [], [])
        rows = [[draw.choice((*VALUES, draw.gauss(0.0, 20.0))) for _ in asked] for _ in range(67)]
        for raw in (True, False):
            flat = array("d", (value for row in rows for value in row))
            out = array("d", bytes(8 * len(rows)))
            if asked:
                models.score_rows(0, memoryview(flat).cast("B").cast("d", [len(rows), len(asked)]), out, raw)
            yield _doubles(out)
            yield _doubles(models.score(0, array("d", row), raw) for row in rows)


def matching(scale: int) -> Iterator[bytes]:
    """Random sets of rules, one profile at a time and many at once."""
    for seed in range(4 * scale):
        draw = random.Random(seed)
        sketch, known = random_set(draw, (40, 1_200)[seed % 2])
        engine = Engine(sketch.content(), 1)
        records = [packed([value_of(draw, kind, known) for kind in KINDS]) for _ in range(200)]
        yield engine.match_batch(records, NOW, threads=2).bits
        yield from (array("q", engine.match(one, {}, NOW)).tobytes() for one in records[:50])


def make_worlds(scale: int) -> list[Vector]:
    """Random whole catalogues, people and questions. Hypothesis draws others on another machine."""
    found: list[Vector] = []

    @settings(
        max_examples=100 * scale,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(questions())
    def collect(vector: Vector) -> None:
        found.append(vector)

    collect()
    return found


def decisions(asked: Iterable[Vector]) -> Iterator[bytes]:
    """Bundle, record, decision, log and scores."""
    for vector in asked:
        with suppress(CatalogueError):
            yield from _asked(vector)


def _doubles(values: Iterable[float]) -> bytes:
    """The sign of a NaN is the machine's: what makes one gives -NaN on x86-64, NaN on aarch64."""
    return array("d", (math.nan if math.isnan(value) else value for value in values)).tobytes()


def _asked(vector: Vector) -> Iterator[bytes]:
    built = build(vector)
    engine = Engine(built.bundle, REVISION)
    decision = engine.decide(built.record, built.overlay, built.request, built.now_ms, at_edge=built.at_edge)
    scores = engine.score(built.record, built.request.context, built.now_ms)
    yield built.bundle
    yield built.record or b""
    yield decision.body
    yield msgspec.json.encode(decision.log_row())
    yield _doubles(scores)


PARTS: Final[dict[str, Callable[[int], Iterator[bytes]]]] = {
    "arithmetic": arithmetic,
    "hashes": hashes,
    "trees": trees,
    "matching": matching,
}


def main(file: str, scale: str = "1") -> None:
    path = Path(file)
    if not path.exists():
        path.write_bytes(pickle.dumps(make_worlds(int(scale))))
    for name, digest in answers(load_vectors(), pickle.loads(path.read_bytes()), int(scale)):
        print(name, digest, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
