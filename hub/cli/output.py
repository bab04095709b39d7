"""What a command prints: lines for people, or with --json one JSON document."""

import json
import sys
from collections.abc import Iterable
from typing import Any, TextIO


class Output:
    """Standard output of a command. Progress goes to standard error and never into the JSON."""

    def __init__(self, as_json: bool, stream: TextIO | None = None, progress: TextIO | None = None) -> None:
        self.as_json = as_json
        self._stream = stream or sys.stdout
        self._progress = progress or sys.stderr

    def show(self, document: Any, lines: Iterable[str]) -> None:
        """Print the result: the document with --json, else the lines."""
        if self.as_json:
            print(json.dumps(document, ensure_ascii=False), file=self._stream)
        else:
            for line in lines:
                print(line, file=self._stream)
        self._stream.flush()

    def note(self, line: str) -> None:
        """Print something on the way to the result, for people only."""
        if not self.as_json:
            print(line, file=self._stream, flush=True)

    def progress(self, line: str, *, last: bool = False) -> None:
        """Renew the progress line, which is overwritten on a terminal and a line of its own elsewhere."""
        if self._progress.isatty():
            print(f"\r\x1b[K{line}", end="\n" if last else "", file=self._progress, flush=True)
        else:
            print(line, file=self._progress, flush=True)
