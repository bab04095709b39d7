"""`onevoice import`: conditions of other systems, said in CEL."""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from hub.cli.arguments import json_option
from hub.cli.errors import DONE, REFUSED, UsageError
from hub.cli.output import Output
from hub.cli.session import Commands
from hub.decisioning.importers import growthbook, jsonlogic, unleash
from hub.decisioning.importers.verdicts import Case, MalformedError, agrees, verdict

FILE_BYTES_MAX: Final = 64 * 1024 * 1024
SYSTEMS: Final[dict[str, tuple[Callable[[Any], Iterator[Case]], str]]] = {
    "growthbook": (growthbook.cases, "conditions of features' rules, over `profile`"),
    "unleash": (unleash.cases, "features with their strategies, constraints and segments, over `context`"),
    "jsonlogic": (jsonlogic.cases, "rules, over `data`"),
}
EPILOG: Final = (
    'Each condition is a line of OUT: {"name", "cel", "verdict", "expected"} with a verdict where the file '
    'has something to evaluate it with, or {"name", "refused"} with the reason. The exit status is 1 where a '
    "verdict is not the expected one."
)


def add(commands: Commands) -> None:
    """Add the command and its systems."""
    parser = commands.add_parser("import", help="say other systems' conditions in CEL (no hub needed)")
    systems = parser.add_subparsers(metavar="SYSTEM", required=True)
    for name, (_, what) in SYSTEMS.items():
        system = systems.add_parser(name, parents=[json_option()], help=what, epilog=EPILOG)
        system.add_argument(
            "file", type=Path, metavar="FILE", help="JSON, as the system or its test suite has it"
        )
        system.add_argument("--verdicts", type=Path, metavar="OUT", required=True, help="where the lines go")
        system.set_defaults(run=run, system=name)


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Write a line for each condition, and count them."""
    document = _read(arguments.file)
    read_cases = SYSTEMS[arguments.system][0]
    counts: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    try:
        with arguments.verdicts.open("w", encoding="utf-8", errors="backslashreplace") as out:
            for line in _lines(arguments.file, read_cases(document)):
                print(json.dumps(line, ensure_ascii=False), file=out)
                _count(line, counts, reasons)
    except OSError as error:
        raise UsageError(f"{arguments.verdicts}: expected a file that can be written, got {error}") from error
    names = ("conditions", "translated", "refused", "as_expected", "not_as_expected")
    summary = {name: counts[name] for name in names}
    output.show({**summary, "reasons": dict(reasons.most_common())}, _shown(summary, reasons))
    return REFUSED if counts["not_as_expected"] else DONE


def _lines(path: Path, cases: Iterable[Case]) -> Iterator[dict[str, Any]]:
    try:
        for case in cases:
            yield verdict(case)
    except MalformedError as error:
        raise UsageError(f"{path}: expected {error}") from error
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path}: expected the form that the system writes, got something else") from error


def _count(line: dict[str, Any], counts: Counter[str], reasons: Counter[str]) -> None:
    counts["conditions"] += 1
    if "refused" in line:
        counts["refused"] += 1
        reasons[line["refused"]] += 1
        return
    counts["translated"] += 1
    if "expected" in line:
        counts["as_expected" if agrees(line) else "not_as_expected"] += 1


def _shown(summary: dict[str, int], reasons: Counter[str]) -> Iterator[str]:
    yield f"{summary['conditions']} conditions: {summary['translated']} in CEL, {summary['refused']} outside"
    for reason, count in reasons.most_common():
        yield f"  {count} {reason}"
    yield f"{summary['as_expected']} verdicts as expected, {summary['not_as_expected']} not"


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise UsageError(f"{path}: expected at most {FILE_BYTES_MAX} bytes")
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path}: expected JSON, got {error}") from error
