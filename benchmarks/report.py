"""The last run as the table of docs/performance.md: `python -m benchmarks.report` prints the figures of the
core, with `--into FILE` it replaces the table that stands there between its two marks.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS_FILE

PREFIX = "core."
BEGIN, END = "<!-- figures -->\n", "<!-- end of figures -->\n"
HEAD = "| figure | ours | beside it | ratio | goal | gate | baseline |\n|---|---|---|---|---|---|---|"


def report(rows: dict[str, Any]) -> Iterator[str]:
    meta = rows["_meta"]
    machine, revision = f"{meta['machine']}, Python {meta['python']}", meta["revision"][:10]
    beside = f", load average {meta['load_average']} when it began" if "load_average" in meta else ""
    yield f"{machine}, {meta['started_at']}, revision {revision}{beside}.\n"
    yield HEAD
    for key, row in rows.items():
        if key.startswith(PREFIX):
            yield line(key, row)


def line(key: str, row: dict[str, Any]) -> str:
    unit = row["unit"]
    cells = [f"`{key}`", f"{spelled(row['value'])} {unit}"]
    cells += [f"{spelled(row['baseline'])} {unit}" if "baseline" in row else ""]
    cells += [f"{row['ratio']:.3g}{missed(row)}" if "ratio" in row else missed(row).strip()]
    cells += [f"{row[name]:.3g}" if name in row else "" for name in ("goal", "gate")]
    return f"| {' | '.join([*cells, row.get('baseline_name', '')])} |"


def spelled(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"


def missed(row: dict[str, Any]) -> str:
    """A mark behind what is short of its goal."""
    if "goal" not in row:
        return ""
    judged = row.get("ratio", row["value"])
    fine = judged >= row["goal"] if row["better"] == "higher" else judged <= row["goal"]
    return "" if fine else " (!)"


def main() -> None:
    parser = argparse.ArgumentParser(description="The last run's figures of the core as a table.")
    parser.add_argument("--into", type=Path, help="replace the table of this file")
    into: Path | None = parser.parse_args().into
    text = "\n".join(report(json.loads(RESULTS_FILE.read_text()))) + "\n"
    if into is None:
        print(text, end="")
        return
    before, _, rest = into.read_text(encoding="utf-8").partition(BEGIN)
    _, found, after = rest.partition(END)
    assert found, f"{into} has no marks for the table"
    into.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
