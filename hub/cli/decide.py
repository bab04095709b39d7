"""`onevoice decide`: ask an edge or the hub, as a channel would."""

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from google.protobuf.struct_pb2 import Struct

from hub.cli.arguments import json_option, moment, person
from hub.cli.client import find_addresses
from hub.cli.errors import DONE, CommandError, UsageError
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from hub.settings import is_loopback
from onevoice.v1 import decisions_pb2

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
VALUE_SHOWN_MAX: Final = 100
TOKEN_FILE_LENGTH_MAX: Final = 64 * 1024


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "decide", parents=[json_option(), hub_options()], help="ask an edge or the hub for a decision"
    )
    parser.add_argument("placements", nargs="+", metavar="PLACEMENT", help="placement id, such as home.hero")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--edge", metavar="URL", help="ask the edge at this address")
    where.add_argument("--hub", action="store_true", help="ask the hub")
    parser.add_argument("--person", type=person, metavar="PERSON", help="about whom (server or operator key)")
    parser.add_argument("--anonymous", metavar="ID", help="anonymous id of the device")
    parser.add_argument(
        "--user-token-file", metavar="FILE", help="file with a user token of the person, - for standard input"
    )
    parser.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a fact of the request; the value is read as JSON, or else is text",
    )
    parser.add_argument("--trace", action="store_true", help="print each step")
    parser.add_argument(
        "--at", type=moment, default=0, metavar="TIME", help="decide as of this time (operators)"
    )
    parser.add_argument("--id", default="", metavar="ID", help="decision id to use (operators)")
    parser.set_defaults(run=decide)


def decide(arguments: argparse.Namespace, output: Output) -> int:
    """Ask and print."""
    if not (arguments.person or arguments.anonymous or arguments.user_token_file):
        raise UsageError("nobody named: expected --person, --anonymous or --user-token-file")
    arguments.user_token = _user_token(arguments.user_token_file)
    context = _context(arguments.context)
    answer = _ask_edge(arguments, context) if arguments.edge else _ask_hub(arguments, context)
    output.show(answer, _lines(answer))
    return DONE


def _user_token(name: str | None) -> str:
    """A token speaks for its person, so it never stands on a command line, which others may read."""
    if name is None:
        return ""
    try:
        if name == "-":
            text = sys.stdin.read(TOKEN_FILE_LENGTH_MAX)
        else:
            with Path(name).open(encoding="utf-8") as file:
                text = file.read(TOKEN_FILE_LENGTH_MAX)
    except (OSError, ValueError) as error:
        got = error.strerror if isinstance(error, OSError) else "other bytes"
        raise UsageError(f"--user-token-file: expected a readable file, got {got}") from error
    token = text.strip()
    if not token:
        raise UsageError("--user-token-file: expected a user token, got an empty file")
    return token


def _context(pairs: list[str]) -> dict[str, Any]:
    context: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not name or not equals:
            raise UsageError(f"--context: expected NAME=VALUE, got {pair!r}")
        try:
            context[name] = json.loads(text)
        except ValueError:
            context[name] = text
    return context


def _ask_hub(arguments: argparse.Namespace, context: dict[str, Any]) -> dict[str, Any]:
    facts = Struct()
    facts.update(context)
    request = decisions_pb2.DecideRequest(
        anonymous_id=arguments.anonymous or "",
        user_token=arguments.user_token,
        profile=arguments.person or "",
        placements=arguments.placements,
        context=facts,
        trace=arguments.trace,
        at_ms=arguments.at,
        decision_id=arguments.id,
    )
    with open_hub(arguments) as hub:
        answer = hub.decisions.Decide(request, timeout=CALL_SECONDS)
    return {"decision": json.loads(answer.decision), "node": answer.node, "took_us": answer.took_us}


def _ask_edge(arguments: argparse.Namespace, context: dict[str, Any]) -> dict[str, Any]:
    body: dict[str, Any] = {"placements": arguments.placements, "context": context, "trace": arguments.trace}
    given = {
        "anonymous_id": arguments.anonymous,
        "user_token": arguments.user_token,
        "profile": arguments.person,
        "at": arguments.at,
        "decision_id": arguments.id,
    }
    body.update({name: value for name, value in given.items() if value})
    url = arguments.edge.rstrip("/") + "/v1/decide"
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--edge: expected an http:// or https:// address, got {arguments.edge!r}")
    request = urllib.request.Request(  # noqa: S310  (the scheme was checked)
        url,
        json.dumps(body).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {_edge_key(arguments)}"},
    )
    try:
        with _opener(url).open(request, timeout=CALL_SECONDS) as response:
            answer: dict[str, Any] = json.loads(response.read(ANSWER_BYTES_MAX))
            return answer
    except urllib.error.HTTPError as error:
        raise _refused(error) from error
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise CommandError(f"no edge answers at {arguments.edge}: {reason}") from error


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Direct to an edge of this machine, whatever proxy the environment names."""
    if is_loopback(urlsplit(url).hostname or ""):
        return urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return urllib.request.build_opener()


def _refused(error: urllib.error.HTTPError) -> CommandError:
    try:
        detail = json.loads(error.read(ANSWER_BYTES_MAX))["error"]
        return CommandError(f"{error.code}: {detail['message']}", detail)
    except (ValueError, KeyError, TypeError, OSError):
        return CommandError(f"{error.code}: {error.reason}")


def _edge_key(arguments: argparse.Namespace) -> str:
    if arguments.key_file:
        try:
            return str(arguments.key_file.read_text(encoding="utf-8").strip())
        except OSError as error:
            raise UsageError(f"{arguments.key_file}: expected a file with a key, got {error}") from error
    key = os.environ.get("ONEVOICE_KEY")
    if key:
        return key
    running = find_addresses(Path.cwd())
    edges = [str(edge).rstrip("/") for edge in running.get("edges", [])]
    if arguments.edge.rstrip("/") in edges:
        return str(running["keys"]["operator"])
    raise UsageError("no key: expected --key-file FILE or ONEVOICE_KEY")


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    decision = answer["decision"]
    bundle, profile = decision["bundle"], decision["profile"]
    known = (
        "nothing stored"
        if profile["starter"]
        else f"sequence {profile['sequence']}, age {profile['age_ms']} ms"
    )
    yield f"decision {decision['id']} at {decision['now']}, by {answer['node']} in {answer['took_us']} us"
    yield f"bundle revision {bundle['revision']} {bundle['hash'][:12]}; profile: {known}"
    for name, result in decision["placements"].items():
        chosen = f"{result['offer']} ({result['treatment']})" if result["offer"] else "fallback"
        label = ", chosen with a model" if result["ai"] else ""
        yield f"{name}: {chosen}, {result['reason']}{label}"
        for slot, content in result["blocks"].items():
            value = json.dumps(content["value"], ensure_ascii=False)
            yield f"  {slot}: {value[:VALUE_SHOWN_MAX]} ({content['block']})"
        for experiment in result["experiments"]:
            yield f"  experiment {experiment['id']}: variant {experiment['variant']}"
    for step in decision.get("trace", ()):
        what = f"{step['placement']} {step['step']} {step['id']}: {step['verdict']}"
        yield f"  {what} {_detail(step['detail'])}".rstrip()


def _detail(detail: Any) -> str:
    return detail if isinstance(detail, str) else json.dumps(detail, ensure_ascii=False)
