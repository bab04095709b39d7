"""What an edge's log says of an exception: its type and its places, never its text."""

import json
import logging
from typing import Any

import pytest

from edge.logs import Log
from edge.process import configure_logging

EMAIL = "ada@example.com"


def fail() -> None:
    raise ValueError(f"no such person: {EMAIL}")


def lines(capfdbinary: pytest.CaptureFixture[bytes]) -> tuple[str, list[dict[str, Any]]]:
    text = capfdbinary.readouterr().err.decode()
    return text, [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    found = Log()
    found.configure("worker-0", "info")
    return found


def test_of_an_exception_only_type_and_places_are_logged(
    log: Log, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    try:
        try:
            fail()
        except ValueError as error:
            raise RuntimeError(f"while reading {EMAIL}") from error
    except RuntimeError:
        log.exception("reading failed", count=3)
    text, (line,) = lines(capfdbinary)
    assert EMAIL not in text
    assert (line["level"], line["event"], line["count"], line["error"]) == (
        "error",
        "reading failed",
        3,
        "RuntimeError",
    )
    assert [place.split()[-1] for place in line["places"]] == [
        "test_of_an_exception_only_type_and_places_are_logged"
    ]
    assert __file__ in line["places"][0]


def test_what_a_library_says_of_an_exception_is_its_type_and_places_too(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logging("info", "worker-1")
        try:
            fail()
        except ValueError as error:
            logging.getLogger("uvicorn.error").error("Exception in ASGI application\n", exc_info=error)
            logging.getLogger("grpc").error("call of %s failed", EMAIL)
            logging.getLogger("asyncio").error(f"Task exception was never retrieved\n{error!r}")
        logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    finally:
        root.handlers[:], root.level = handlers, level
    text, (first, second, third) = lines(capfdbinary)
    assert EMAIL not in text
    assert (first["process"], first["logger"], first["error"]) == ("worker-1", "uvicorn.error", "ValueError")
    assert [place.split()[-1] for place in first["places"]][-1] == "fail"
    assert second["message"] == "call of %s failed"
    assert third["message"] == "Task exception was never retrieved"
