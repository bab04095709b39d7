"""Collects the figures of one run, prints them as a table and writes `benchmarks/results.json`
(contract.md has its form).
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RESULTS_FILE = Path(__file__).parent / "results.json"


@dataclass
class Figure:
    """One measured figure. `ratio` is value / baseline; `gate` and `goal` are held against the ratio, or
    the value without a baseline.
    """

    key: str
    unit: str
    better: str  # "higher" or "lower"
    values: list[float]
    baselines: list[float] = field(default_factory=list)
    baseline_name: str = ""
    goal: float | None = None
    gate: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def judged(self) -> list[float]:
        """What the gate looks at: the ratios of paired runs, or the values themselves."""
        if self.baselines:
            return [value / base for value, base in zip(self.values, self.baselines, strict=True)]
        return self.values

    @property
    def passes(self) -> bool:
        middle = statistics.median(self.judged)
        if self.gate is None:
            return True
        return middle >= self.gate if self.better == "higher" else middle <= self.gate

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"value": statistics.median(self.values), "unit": self.unit}
        if self.baselines:
            row |= {
                "baseline": statistics.median(self.baselines),
                "baseline_name": self.baseline_name,
                "ratio": statistics.median(self.judged),
            }
        row |= {"goal": self.goal, "gate": self.gate, "better": self.better, "n": len(self.values)}
        row |= {"min": min(self.judged), "max": max(self.judged)}
        return {name: cell for name, cell in row.items() if cell is not None} | self.notes


def fdatasync_ms(rounds: int = 50) -> float:
    """Median time of one 4 KiB append with fdatasync on this disk, in ms: stands beside every durable
    figure.
    """
    times = []
    with tempfile.TemporaryFile(dir=Path(__file__).parent) as file:
        for _ in range(rounds):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


class Results:
    """All figures of a run."""

    def __init__(self) -> None:
        self.started_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.load_average = round(os.getloadavg()[0], 1)
        self.figures: dict[str, Figure] = {}

    def add(self, figure: Figure) -> Figure:
        self.figures[figure.key] = figure
        return figure

    def write(self) -> None:
        rows: dict[str, Any] = {"_meta": self._meta()}
        rows |= {key: figure.row() for key, figure in sorted(self.figures.items())}
        RESULTS_FILE.write_text(json.dumps(rows, indent=1) + "\n")

    def table(self) -> list[str]:
        lines = [
            f"{'figure':42} {'value':>12} {'unit':10} {'baseline':>12} {'ratio':>8} {'gate':>8} {'goal':>7}"
        ]
        for key, figure in sorted(self.figures.items()):
            row = figure.row()
            cells = [
                f"{row[name]:.4g}" if name in row else "-" for name in ("baseline", "ratio", "gate", "goal")
            ]
            columns = f"{cells[0]:>12} {cells[1]:>8} {cells[2]:>8} {cells[3]:>7}"
            lines.append(f"{key:42} {row['value']:12.4g} {figure.unit:10} {columns}")
        return lines

    def _meta(self) -> dict[str, Any]:
        def git(*command: str) -> str:
            done = subprocess.run(
                ["git", *command], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
            )
            return done.stdout.strip()

        return {
            "revision": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain")),
            "started_at": self.started_at,
            "machine": f"{platform.machine()} {os.cpu_count()} cores {_processor()}",
            "python": platform.python_version(),
            "load_average": self.load_average,
            "command": " ".join(sys.argv),
            "fdatasync_ms": round(fdatasync_ms(), 3),
        }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
