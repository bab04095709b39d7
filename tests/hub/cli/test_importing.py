"""Batches of an import in flight: several at once, but a person's consents and events keep their order."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.cli import importing
from hub.cli.importing import Journal, Outcome, Progress


def line(person: int, kind: str = "track") -> bytes:
    body = {"type": kind, "userId": f"p-{person}", "event": "Product Viewed", "purpose": "personalization"}
    return json.dumps(body).encode() + b"\n"


class Hub:
    """Answers batches and remembers which were in flight together."""

    def __init__(self) -> None:
        self.in_flight: list[int] = []
        self.together: set[tuple[int, int]] = set()
        self.sent = 0

    def send(self, messages: list[bytes]) -> Callable[[], Outcome]:
        number, self.sent = self.sent, self.sent + 1
        self.together.update((before, number) for before in self.in_flight)
        self.in_flight.append(number)

        def answer() -> Outcome:
            self.in_flight.remove(number)
            return Outcome(len(messages), 0, [])

        return answer


def import_lines(lines: list[bytes], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """One line a batch."""
    monkeypatch.setattr(importing, "BATCH_MESSAGES_MAX", 1)
    hub = Hub()
    journal = Journal(folder / "progress", folder / "aside")
    progress = Progress("file")
    importing.run(io.BytesIO(b"".join(lines)), journal, progress, hub.send, lambda _: None)
    assert progress.accepted == len(lines)
    return hub


def test_events_alone_are_in_flight_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = import_lines([line(1), line(1), line(2)], tmp_path, monkeypatch)
    assert hub.together == {(0, 1), (0, 2), (1, 2)}


@pytest.mark.parametrize(
    "kinds", [("consent", "track"), ("track", "consent"), ("consent", "consent")], ids="-".join
)
def test_a_consent_never_changes_places_with_the_same_persons_lines(
    kinds: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = import_lines([line(1, kinds[0]), line(1, kinds[1])], tmp_path, monkeypatch)
    assert hub.together == set()


def test_another_persons_consent_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = import_lines([line(1, "consent"), line(2)], tmp_path, monkeypatch)
    assert hub.together == {(0, 1)}
