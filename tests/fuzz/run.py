"""Fuzz one target for some seconds: `python -m tests.fuzz.run guided|watched TARGET SECONDS`.

`guided` grows a corpus in build/fuzz/TARGET under atheris, which follows the branches of the Python code.
`watched` changes that corpus blindly: AddressSanitizer of gcc, which `make fuzz` runs it under, and atheris
each want to be the one that the compiled code reports to. Either stops at the first finding and leaves the
input in build/fuzz/findings; one that is understood moves to tests/fuzz/kept/TARGET.
"""

import faulthandler
import hashlib
import random
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
WORK: Final = ROOT / "build" / "fuzz"
#: An input that takes longer is a hang.
HANG_SECONDS: Final = 20
MEGABYTES_MAX: Final = 4096


def corpus(name: str) -> Path:
    folder = WORK / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_seeds(name: str) -> None:
    from tests.fuzz.targets import TARGETS

    for data in TARGETS[name].inputs(name):
        (corpus(name) / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def guided(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["core", "hub.decisioning"]):
        from tests.fuzz.targets import TARGETS
    write_seeds(name)
    run = TARGETS[name].run
    options = [
        "-max_len=65536",
        f"-max_total_time={seconds}",
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={MEGABYTES_MAX}",
        f"-artifact_prefix={WORK / 'findings'}/{name}-",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus(name))], run)
    atheris.Fuzz()


def watched(name: str, seconds: int) -> None:
    from core._build import BUILD_MODE
    from tests.fuzz.havoc import changed
    from tests.fuzz.targets import TARGETS

    write_seeds(name)
    inputs = [path.read_bytes() for path in sorted(corpus(name).iterdir())]
    draw = random.Random(time.time_ns())
    current = WORK / "findings" / f"{name}-watched"
    end, count, slowest = time.monotonic() + seconds, 0, 0.0
    while time.monotonic() < end:
        data = inputs[count] if count < len(inputs) else changed(inputs, draw)
        current.write_bytes(data)  # before it is tried: a sanitizer ends the process on the spot
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
        started = time.monotonic()
        TARGETS[name].run(data)
        slowest = max(slowest, time.monotonic() - started)
        faulthandler.cancel_dump_traceback_later()
        count += 1
    current.unlink(missing_ok=True)
    print(
        f"{name}: {count} inputs on the {BUILD_MODE} build, slowest {slowest:.2f} s, no finding", flush=True
    )


def main() -> None:
    way, name, seconds = sys.argv[1:]
    (WORK / "findings").mkdir(parents=True, exist_ok=True)
    {"guided": guided, "watched": watched}[way](name, int(seconds))


if __name__ == "__main__":
    main()
