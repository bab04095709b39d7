"""`onevoice profile`, `consent`, `export`, `erase`: what is held about one person."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hub.cli import profile_merging
from hub.cli.arguments import json_option, moment, person, shown_time
from hub.cli.errors import DONE, CommandError
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from onevoice.v1 import consents_pb2, profiles_pb2

STATES: Final = {
    "granted": consents_pb2.CONSENT_STATE_GRANTED,
    "denied": consents_pb2.CONSENT_STATE_DENIED,
    "withdrawn": consents_pb2.CONSENT_STATE_WITHDRAWN,
}
_WORDS: Final = {number: word for word, number in STATES.items()}
SOURCE: Final = "onevoice command line"


def add(commands: Commands) -> None:
    """Add the commands."""
    common = [json_option(), hub_options()]
    profile = commands.add_parser(
        "profile", help="show, merge or split profiles, and tell their history"
    ).add_subparsers(metavar="WHAT", required=True)
    profile_merging.add(profile, common)
    show = profile.add_parser("show", parents=common, help="show all that a decision can know of a person")
    consent = commands.add_parser("consent", help="show or record consents")
    kinds = consent.add_subparsers(metavar="WHAT", required=True)
    history = kinds.add_parser("show", parents=common, help="show every consent change of a person")
    change = kinds.add_parser("set", parents=common, help="record a consent change")
    export = commands.add_parser(
        "export", parents=common, help="print or write everything held about a person"
    )
    erase = commands.add_parser("erase", parents=common, help="remove a person from the hub and every edge")
    for parser, run in (
        (show, show_profile),
        (history, show_consents),
        (change, set_consent),
        (export, export_person),
        (erase, erase_person),
    ):
        parser.add_argument(
            "person", type=person, metavar="PERSON", help="type:value, such as email:ada@example.com"
        )
        parser.set_defaults(run=run)
    change.add_argument(
        "purpose", metavar="PURPOSE", help="personalization, email, sms, analytics, ads or your own"
    )
    change.add_argument("state", choices=tuple(STATES), help="what the person said")
    change.add_argument(
        "--text-version", default="unstated", metavar="TEXT", help="version of the text that was shown"
    )
    change.add_argument(
        "--source", default=SOURCE, metavar="TEXT", help=f"where it was said (default: {SOURCE})"
    )
    change.add_argument(
        "--at", type=moment, default=0, metavar="TIME", help="when it was said (default: now)"
    )
    export.add_argument("--out", type=Path, metavar="FILE", help="write to a file instead of standard output")


def show_profile(arguments: argparse.Namespace, output: Output) -> int:
    """Print a profile."""
    with open_hub(arguments) as hub:
        answer = hub.profiles.Get(profiles_pb2.GetRequest(person=arguments.person), timeout=CALL_SECONDS)
    profile = json.loads(answer.profile)
    output.show(profile, _tree(profile))
    return DONE


def show_consents(arguments: argparse.Namespace, output: Output) -> int:
    """Print the history of consents, oldest first."""
    request = consents_pb2.HistoryRequest(person=arguments.person)
    with open_hub(arguments) as hub:
        answer = hub.consents.History(request, timeout=CALL_SECONDS)
    changes = [
        {
            "purpose": change.purpose,
            "state": _WORDS[change.state],
            "effective_at_ms": change.effective_at_ms,
            "received_at_ms": change.received_at_ms,
            "text_version": change.text_version,
            "source": change.source,
            "node": change.node,
        }
        for change in answer.changes
    ]
    output.show(
        {"changes": changes}, [_consent_line(change) for change in changes] or ["no consent was ever given"]
    )
    return DONE


def set_consent(arguments: argparse.Namespace, output: Output) -> int:
    """Record a change."""
    request = consents_pb2.RecordRequest(
        person=arguments.person,
        purpose=arguments.purpose,
        state=STATES[arguments.state],
        text_version=arguments.text_version,
        source=arguments.source,
        at_ms=arguments.at,
    )
    with open_hub(arguments) as hub:
        at_ms = hub.consents.Record(request, timeout=CALL_SECONDS).effective_at_ms
    output.show(
        {"purpose": arguments.purpose, "state": arguments.state, "effective_at_ms": at_ms},
        [f"{arguments.purpose} {arguments.state} as of {shown_time(at_ms)}"],
    )
    return DONE


def export_person(arguments: argparse.Namespace, output: Output) -> int:
    """Print or write the whole document."""
    request = profiles_pb2.ExportRequest(person=arguments.person)
    with open_hub(arguments) as hub:
        document = json.loads(hub.profiles.Export(request, timeout=CALL_SECONDS).document)
    text = json.dumps(document, ensure_ascii=False, indent=2)
    if arguments.out is None:
        output.show(document, [text])
        return DONE
    try:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{arguments.out}: expected a file to write to, got {error}") from error
    output.show({"file": str(arguments.out), "bytes": len(text)}, [f"written to {arguments.out}"])
    return DONE


def erase_person(arguments: argparse.Namespace, output: Output) -> int:
    """Erase."""
    request = profiles_pb2.EraseRequest(person=arguments.person)
    with open_hub(arguments) as hub:
        sequence = hub.profiles.Erase(request, timeout=CALL_SECONDS).sequence
    line = f"erased; gone from an edge once its sequence has reached {sequence} (see `onevoice fleet`)"
    output.show({"sequence": sequence}, [line])
    return DONE


def _consent_line(change: dict[str, Any]) -> str:
    when = shown_time(change["effective_at_ms"])
    where = f"text {change['text_version']}, {change['source']}, {change['node']}"
    return f"{when} {change['purpose']} {change['state']} ({where})"


def _tree(value: dict[str, Any], indent: str = "") -> Iterator[str]:
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield f"{indent}{name}:"
            yield from _tree(item, indent + "  ")
        elif isinstance(item, list) and item and isinstance(item[0], dict):
            yield f"{indent}{name}:"
            yield from (f"{indent}  {json.dumps(entry, ensure_ascii=False)}" for entry in item)
        else:
            yield f"{indent}{name}: {json.dumps(item, ensure_ascii=False)}"
