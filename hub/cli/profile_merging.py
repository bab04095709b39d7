"""`onevoice profile merge`, `split`, `history`: who is one person, and how that came about."""

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, Final

from hub.cli.arguments import number_between, person, shown_time
from hub.cli.errors import DONE
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, open_hub
from onevoice.v1 import profiles_pb2

NUMBER_MAX: Final = (1 << 63) - 1
PERSON_HELP: Final = "type:value, such as email:ada@example.com"
#: Hex digits of a profile id or a hash that tell it apart on a screen.
SHOWN_DIGITS: Final = 12


def add(profile: Commands, common: Sequence[argparse.ArgumentParser]) -> None:
    """Add the commands below `profile`."""
    merge = profile.add_parser(
        "merge",
        parents=common,
        help="say that two profiles are one person",
        description="Say that two profiles are one person. The known one's unit key, creation and id stay; "
        "of two known the older one's. Nothing of either is lost, and a split undoes it.",
    )
    merge.add_argument("person", type=person, metavar="PERSON", help=PERSON_HELP)
    merge.add_argument("other", type=person, metavar="OTHER", help="the other one, type:value")
    merge.set_defaults(run=merge_profiles)
    split = profile.add_parser(
        "split",
        parents=common,
        help="say that one profile is two people",
        description="Undo a merge or a joining, by default the newest one that stands. Each side gets what "
        "it would have had, later events included, and no log-in joins them again.",
    )
    split.add_argument("person", type=person, metavar="PERSON", help=PERSON_HELP)
    what = split.add_mutually_exclusive_group()
    what.add_argument("--source", type=person, metavar="TYPE:VALUE", help="take this identifier out")
    what.add_argument(
        "--merge",
        type=number_between(1, NUMBER_MAX),
        metavar="N",
        help="undo this merge or joining, by its number in `profile history`",
    )
    split.set_defaults(run=split_profile)
    history = profile.add_parser(
        "history",
        parents=common,
        help="show merges, splits, claims and consents of a person, oldest first",
    )
    history.add_argument("person", type=person, metavar="PERSON", help=PERSON_HELP)
    history.set_defaults(run=show_history)


def merge_profiles(arguments: argparse.Namespace, output: Output) -> int:
    """Merge."""
    request = profiles_pb2.MergeRequest(person=arguments.person, other=arguments.other)
    with open_hub(arguments) as hub:
        done = hub.profiles.Merge(request, timeout=CALL_SECONDS)
    line = f"profile {done.other_profile_id} is now part of profile {done.profile_id} ({_known_by(done)})"
    output.show(_document(done), [line])
    return DONE


def split_profile(arguments: argparse.Namespace, output: Output) -> int:
    """Split."""
    request = profiles_pb2.SplitRequest(
        person=arguments.person, source=arguments.source, merge=arguments.merge
    )
    with open_hub(arguments) as hub:
        done = hub.profiles.Split(request, timeout=CALL_SECONDS)
    line = f"profile {done.other_profile_id} is out of profile {done.profile_id} ({_known_by(done)})"
    output.show(_document(done), [line])
    return DONE


def show_history(arguments: argparse.Namespace, output: Output) -> int:
    """Print what happened to a profile."""
    request = profiles_pb2.ProfileHistoryRequest(person=arguments.person)
    with open_hub(arguments) as hub:
        answer = hub.profiles.History(request, timeout=CALL_SECONDS)
    entries = [_entry(entry) for entry in answer.entries]
    output.show({"entries": entries}, [" ".join(_words(entry)) for entry in entries])
    return DONE


def _known_by(done: profiles_pb2.MergeResponse | profiles_pb2.SplitResponse) -> str:
    return f"an edge knows once its sequence has reached {done.sequence}, see `onevoice fleet`"


def _document(done: profiles_pb2.MergeResponse | profiles_pb2.SplitResponse) -> dict[str, Any]:
    return {
        "profile_id": done.profile_id,
        "other_profile_id": done.other_profile_id,
        "sequence": done.sequence,
    }


def _entry(entry: profiles_pb2.ProfileHistoryEntry) -> dict[str, Any]:
    """One line as JSON: what it does not have is left out."""
    found: dict[str, Any] = {field.name: value for field, value in entry.ListFields()}
    if entry.HasField("consent"):
        found["consent"] = {field.name: value for field, value in entry.consent.ListFields()}
    return found


def _words(entry: dict[str, Any]) -> Iterator[str]:
    yield shown_time(entry["at_ms"])
    if "consent" in entry:
        change = entry["consent"]
        yield f"consent: {change['purpose']} {change['state']} as of {shown_time(change['effective_at_ms'])}"
        yield f"(text {change['text_version']}, {change['source']}, {change['node']})"
        return
    yield f"#{entry['number']} {entry['what']}:"
    yield _SENTENCES[entry["what"]].format(
        own=_short(entry["identifier"]),
        other=_short(entry.get("other_identifier", "another identifier")),
        profile=entry["profile_id"][:SHOWN_DIGITS],
        second=entry.get("other_profile_id", "")[:SHOWN_DIGITS],
    )
    if "who" in entry:
        yield f"by {entry['who']}"


_SENTENCES: Final = {
    "created": "profile {profile} began with {own}",
    "joined": "{own}, new, joined profile {profile} of {other}",
    "merged": "profile {second} of {own} became part of profile {profile} of {other}",
    "split": "{own} was taken out of profile {profile} and has profile {second}",
    "moved": "late news: {own} belongs to profile {profile}, not to {second}",
    "kept_apart": "{own} of profile {profile} met {other} of profile {second}: two people",
    "claimed": "{own} said to be {other}, without proof: nothing changed",
    "merge_pending": "{own} met profile {second}",
}


def _short(identifier: str) -> str:
    kind, mark, digits = identifier.partition(":#")
    return f"{kind}{mark}{digits[:SHOWN_DIGITS]}" if mark else identifier
