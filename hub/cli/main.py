"""`onevoice`: the operators' command line. Each command is a module with `add` and what it runs."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from hub.cli import (
    audit,
    certs,
    decide,
    evaluate,
    events,
    fleet,
    import_rules,
    outbox,
    people,
    publish,
    tokens,
    validate,
    why,
)
from hub.cli.errors import DONE, CommandError, UsageError, as_json
from hub.cli.output import Output

COMMANDS = (
    validate,
    publish,
    fleet,
    decide,
    why,
    people,
    events,
    outbox,
    audit,
    tokens,
    certs,
    evaluate,
    import_rules,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command: 0 done, 1 refused, 2 used wrongly."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        parsed = make_parser().parse_args(given)
    except _MisusedError as error:
        if "--json" in given:
            print(as_json(error))
        else:
            print(f"{error.usage}{error.program}: error: {error}", file=sys.stderr)
        return error.exit_code
    output = Output(parsed.json)
    try:
        code: int = parsed.run(parsed, output)
        return code
    except CommandError as error:
        print(
            as_json(error) if output.as_json else f"onevoice: {error}",
            file=sys.stdout if output.as_json else sys.stderr,
        )
        return error.exit_code
    except KeyboardInterrupt:
        print("onevoice: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has seen enough.
        sys.stderr.close()
        return DONE


class _MisusedError(UsageError):
    """The arguments are none of a command's."""

    def __init__(self, message: str, program: str, usage: str) -> None:
        super().__init__(message)
        self.program, self.usage = program, usage


class _Parser(argparse.ArgumentParser):
    """Takes no shortened options: what a script says must not change its meaning when options are added."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Leave it to `main` to say so, which knows in what form."""
        raise _MisusedError(message, self.prog, self.format_usage())


def make_parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    parser = _Parser(
        prog="onevoice",
        description="Onevoice from the command line.",
        epilog="A PERSON is type:value with type one of id, loyalty, email, phone, anon, device. "
        "Exit status: 0 done, 1 refused, 2 used wrongly.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in COMMANDS:
        module.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
