"""Prints the last run as the tables of docs/performance.md: `python -m benchmarks.report [PREFIX ...]`, the
figures whose keys begin so, all by default.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any

from benchmarks.results import RESULTS_FILE

HEAD = "| figure | ours | beside it | ratio | goal | gate | baseline |\n|---|---|---|---|---|---|---|"


def report(rows: dict[str, Any], prefixes: tuple[str, ...]) -> Iterator[str]:
    meta = rows["_meta"]
    machine, revision = f"{meta['machine']}, Python {meta['python']}", meta["revision"][:10]
    yield f"{machine}, {meta['started_at']}, revision {revision}.\n"
    yield HEAD
    for key, row in rows.items():
        if key != "_meta" and key.startswith(prefixes):
            yield line(key, row)


def line(key: str, row: dict[str, Any]) -> str:
    unit = row["unit"]
    cells = [f"`{key}`", f"{row['value']:.3g} {unit}"]
    cells += [f"{row['baseline']:.3g} {unit}" if "baseline" in row else ""]
    cells += [f"{row['ratio']:.3g}{missed(row)}" if "ratio" in row else missed(row).strip()]
    cells += [f"{row[name]:.3g}" if name in row else "" for name in ("goal", "gate")]
    return f"| {' | '.join([*cells, row.get('baseline_name', '')])} |"


def missed(row: dict[str, Any]) -> str:
    """A mark behind what is short of its goal."""
    if "goal" not in row:
        return ""
    judged = row.get("ratio", row["value"])
    fine = judged >= row["goal"] if row["better"] == "higher" else judged <= row["goal"]
    return "" if fine else " (!)"


if __name__ == "__main__":
    for text in report(json.loads(RESULTS_FILE.read_text()), tuple(sys.argv[1:]) or ("",)):
        print(text)
