"""How a settings object is read: each field is a command-line option and an environment variable.

A field `grpc_port` is `--grpc-port` and `ONEVOICE_GRPC_PORT`; the command line wins. A secret comes from the
environment or from a file named by `--name-file` or `ONEVOICE_NAME_FILE`, never from the command line, where
every process of the machine could read it.
"""

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

from hub.errors import SettingsError

PREFIX: Final = "ONEVOICE_"
VALUE_SHOWN_MAX: Final = 60
SECRET_FILE_BYTES_MAX: Final = 64 * 1024

Parser = Callable[[str], Any]
T = TypeVar("T")


def setting(default: Any, parse: Parser, expected: str, text: str, *, secret: bool = False) -> Any:
    """Declare a field: default, parser (ValueError: malformed), the form to tell people, help text."""
    metadata = {"parse": parse, "expected": expected, "help": text, "secret": secret}
    return dataclasses.field(default=default, metadata=metadata)


def variable(field: "dataclasses.Field[Any]") -> str:
    """The environment variable of a field."""
    return PREFIX + field.name.upper()


def read(kind: type[T], program: str, arguments: Sequence[str], environment: Mapping[str, str]) -> T:
    """Build the settings object. Raises SettingsError with key, value and expected form; `--help` exits."""
    given = vars(_parser(kind, program).parse_args(arguments))
    values = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        source, text = _lookup(field, given, environment)
        if text is not None:
            values[field.name] = _parse(field, source, text)
    return kind(**values)


def _parser(kind: type[Any], program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description=(kind.__doc__ or "").strip().split("\n", 1)[0],
        epilog="Every option can be given as the environment variable beside it; the command line wins.",
        allow_abbrev=False,
    )
    for field in dataclasses.fields(kind):
        name = field.name.replace("_", "-")
        default = "" if field.default in (None, (), "") else f"; default {field.default}"
        if field.metadata["secret"]:
            parser.add_argument(
                f"--{name}-file",
                dest=f"{field.name}_file",
                metavar="PATH",
                help=f"{field.metadata['help']} [{variable(field)} or {variable(field)}_FILE{default}]",
            )
        else:
            shown = f"{field.metadata['help']} ({field.metadata['expected']}) [{variable(field)}{default}]"
            parser.add_argument(f"--{name}", dest=field.name, metavar="VALUE", help=shown.replace("%", "%%"))
    return parser


def _lookup(
    field: "dataclasses.Field[Any]", given: Mapping[str, Any], environment: Mapping[str, str]
) -> tuple[str, str | None]:
    """Where the value of a field was found, and its text."""
    key = variable(field)
    if not field.metadata["secret"]:
        if given[field.name] is not None:
            return f"--{field.name.replace('_', '-')}", given[field.name]
        return key, environment.get(key)
    named = given[f"{field.name}_file"]
    path = named if named is not None else environment.get(f"{key}_FILE")
    if path is None:
        return key, environment.get(key)
    if named is None and key in environment:
        raise SettingsError(f"{key}: expected either {key} or {key}_FILE, got both", path=key)
    source = f"{key}_FILE" if named is None else f"--{field.name.replace('_', '-')}-file"
    return source, _read_secret(source, Path(path))


def _read_secret(source: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(SECRET_FILE_BYTES_MAX + 1)
        if len(data) > SECRET_FILE_BYTES_MAX:
            raise SettingsError(
                f"{source}: expected at most {SECRET_FILE_BYTES_MAX} bytes in {path}, got more", path=source
            )
        return data.decode().strip()
    except OSError as error:
        raise SettingsError(
            f"{source}: expected a readable file, got {error.strerror} for {path}", path=source
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{source}: expected UTF-8 text in {path}, got other bytes", path=source
        ) from error


def _parse(field: "dataclasses.Field[Any]", source: str, text: str) -> Any:
    try:
        return field.metadata["parse"](text)
    except ValueError as error:
        shown = text if len(text) <= VALUE_SHOWN_MAX else text[:VALUE_SHOWN_MAX] + "..."
        got = f"{len(text)} characters of another form" if field.metadata["secret"] else repr(shown)
        expected = field.metadata["expected"]
        raise SettingsError(
            f"{source}: expected {expected}, got {got}", path=source, expected=expected, got=got
        ) from error


def text(value: str) -> str:
    """Any text but the empty one."""
    if not value.strip():
        raise ValueError("empty")
    return value.strip()


def one_of(*choices: str) -> Parser:
    """One word of a closed list."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(value)
        return value

    return parse


def boolean(value: str) -> bool:
    """`1`, `true`, `yes`, `on` or their opposites."""
    word = value.strip().lower()
    if word not in ("1", "true", "yes", "on", "0", "false", "no", "off"):
        raise ValueError(value)
    return word in ("1", "true", "yes", "on")


def integer(low: int, high: int) -> Parser:
    """A whole number from `low` to `high`."""

    def parse(value: str) -> int:
        number = int(value)
        if not low <= number <= high:
            raise ValueError(value)
        return number

    return parse


def path(value: str) -> Path:
    """A path of the file system; `~` is the home folder."""
    return Path(text(value)).expanduser()


def secrets(length_min: int, count_max: int) -> Parser:
    """One or more secrets, separated by commas or white space."""

    def parse(value: str) -> tuple[str, ...]:
        found = tuple(value.replace(",", " ").split())
        if not 0 < len(found) <= count_max or any(len(one) < length_min for one in found):
            raise ValueError("secrets")
        return found

    return parse


def rates(count_max: int) -> Parser:
    """NAME=NUMBER, separated by commas; numbers above 0."""

    def parse(value: str) -> tuple[tuple[str, float], ...]:
        found = {}
        for part in value.split(","):
            name, separator, number = part.strip().partition("=")
            rate = float(number)
            if not name or not separator or not 0 < rate < float("inf"):
                raise ValueError(part)
            found[name] = rate
        if len(found) > count_max:
            raise ValueError("too many")
        return tuple(sorted(found.items()))

    return parse


def paths(count_max: int) -> Parser:
    """One or more paths, separated by commas."""

    def parse(value: str) -> tuple[Path, ...]:
        found = tuple(path(one) for one in value.split(","))
        if len(found) > count_max:
            raise ValueError("too many")
        return found

    return parse
