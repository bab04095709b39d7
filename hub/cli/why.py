"""`onevoice why`: each decision about a person, and what made it so."""

import argparse
import json
from collections.abc import Iterator
from typing import Any, Final

from hub.cli.arguments import json_option, number_between, person, shown_time
from hub.cli.errors import DONE
from hub.cli.output import Output
from hub.cli.session import CALL_SECONDS, Commands, hub_options, open_hub
from onevoice.v1 import profiles_pb2

#: What each reason says of a whole placement (core/reasons.py, docs/decisions/0002).
REASONS: Final = {
    "ok": "chosen",
    "no_consent": "the purpose has no consent in force",
    "no_profile": "nothing is known of the person who was named",
    "holdout": "kept out of personalization to measure its effect",
    "not_eligible": "no offer's eligibility or experiment let it through",
    "suppressed": "a suppression, an exclusion or exclusivity stopped the last offer",
    "open_ticket": "an open ticket silences promotions",
    "capped": "shown often enough",
    "brand_safety": "a brand-safety rule stopped the last offer",
    "deadline": "no answer within the placement's deadline",
    "overload": "the node was overloaded",
    "stale": "the profile was older than the placement allows",
    "no_content": "no offer had all of its content",
    "unknown_placement": "the bundle does not have this placement",
    "error": "a fault inside the node",
}
#: What else can be said of a message (docs/decisions/0006).
MESSAGE_REASONS: Final = {
    "suppressed": "the address is suppressed, or a rule stopped the last offer",
    "exited": "the journey was left, so that nothing more of it is sent",
    "quiet_hours": "it is night where she is",
    "no_address": "no address on this channel is known",
    "no_content": "the template or an offer's content was not there",
    "unsubscribe": "she unsubscribed",
    "deferred": "the provider asked to try again later",
    "rejected": "the provider refused it for good",
    "given_up": "it was tried for too long",
    "no_answer": "the provider had it and did not answer: nobody knows whether it arrived",
    "owner_gone": "the hub died while handing it over: nobody knows whether it arrived",
    "not_reported": "the outside system did not report it: nobody knows whether it arrived",
    "resolved": "a person said what became of it",
    "bounced": "it came back",
    "complained": "she complained",
    "delivered": "it was delivered",
}
#: The steps of docs/decisions/0002 at which a candidate can be refused.
STEPS: Final = {
    "3a": "eligibility and validity",
    "3b": "suppression and exclusion",
    "3c": "frequency caps",
    "3d": "brand safety",
    "4": "experiment",
    "6a": "exclusivity",
    "6b": "content",
    "6c": "tags of the content",
}
CAUSES: Final = {"holdout": "holdout", "capped": "cap", "brand_safety": "rule", "no_content": "block or slot"}


def add(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "why",
        parents=[json_option(), hub_options()],
        help="show the decisions about a person and the messages to her, newest first, and why each came so",
    )
    parser.add_argument("person", type=person, metavar="PERSON", help="type:value, such as anon:UUID")
    parser.add_argument("--count", type=number_between(1, 1000), default=10, metavar="N", help="default 10")
    parser.add_argument("--placement", metavar="ID", help="only this placement")
    parser.set_defaults(run=why)


def why(arguments: argparse.Namespace, output: Output) -> int:
    """Print the decisions."""
    request = profiles_pb2.PersonDecisionsRequest(person=arguments.person, count=arguments.count)
    with open_hub(arguments) as hub:
        answer = hub.profiles.Decisions(request, timeout=CALL_SECONDS)
    decisions = [_only(json.loads(row), arguments.placement) for row in answer.decisions]
    decisions = [decision for decision in decisions if decision["placements"]]
    messages = [json.loads(row) for row in answer.messages]
    messages = [row for row in messages if arguments.placement in (None, row["placement"])]
    entries = [(one["at_ms"], list(decision_lines(one))) for one in decisions]
    entries += [(one["at_ms"], list(_message_lines(one))) for one in messages]
    # One list: what was decided, and what became of it, on every channel.
    entries.sort(key=lambda entry: entry[0], reverse=True)
    lines = [line for _, block in entries[: arguments.count] for line in block]
    output.show(
        {"decisions": decisions, "messages": messages}, lines or ["no decision about this person is logged"]
    )
    return DONE


def _message_lines(message: dict[str, Any]) -> Iterator[str]:
    by = f" by {message['provider']}" if message["provider"] else ""
    yield (
        f"{shown_time(message['at_ms'])} message {message['message_id']} of {message['origin']}, "
        f"{message['channel']}{by}"
    )
    reason = message["reason"]
    told = f" ({reason}: {MESSAGE_REASONS.get(reason, REASONS.get(reason, reason))})" if reason else ""
    yield f"  {message['placement']}: {message['state']}{told}"
    if message["detail"]:
        yield f"    the provider said {message['detail']}"
    if message["state"] == "queued":
        yield f"    not before {shown_time(message['not_before_ms'])}, attempts so far {message['attempts']}"
    if message["decision_id"]:
        yield f"    by decision {message['decision_id']}"


def _only(decision: dict[str, Any], placement: str | None) -> dict[str, Any]:
    if placement is None:
        return decision
    kept = [one for one in decision["placements"] if one["placement"] == placement]
    return {**decision, "placements": kept}


def decision_lines(decision: dict[str, Any]) -> Iterator[str]:
    """What is said of one row of the decision log."""
    yield f"{shown_time(decision['at_ms'])} decision {decision['decision_id']} by {decision['node']}"
    yield f"  bundle revision {decision['revision']} {decision['content_hash'][:12]}, {_profile(decision)}"
    for placement in decision["placements"]:
        yield from _placement_lines(placement)


def _profile(decision: dict[str, Any]) -> str:
    if decision["starter"]:
        return "nothing stored about the person"
    stale = ", stale" if decision["stale"] else ""
    return f"profile sequence {decision['sequence']}, age {decision['age_ms']} ms{stale}"


def _placement_lines(placement: dict[str, Any]) -> Iterator[str]:
    if placement["fallback"]:
        chosen = "fallback"
    else:
        chosen = f"offer {placement['offer']}, treatment {placement['treatment']}"
    yield f"  {placement['placement']}: {chosen} ({placement['reason']}: {REASONS[placement['reason']]})"
    if placement["cause"] is not None and placement["fallback"]:
        kind = CAUSES.get(placement["reason"], "rule, offer or experiment")
        yield f"    because of {kind} {placement['cause']}"
    yield f"    consent: {_consent(placement['consent'])}"
    for experiment in placement["experiments"]:
        how = ", as shown before" if experiment.get("sticky") else ""
        yield f"    experiment {experiment['id']}: variant {experiment['variant']}{how}"
    if placement["ai"]:
        yield "    a model or a draw had a part in it"
    if placement.get("bandit"):
        yield f"    {_bandit(placement['bandit'])}"
    if placement.get("diversity"):
        yield f"    {_diversity(placement['diversity'])}"
    for filled in placement.get("filled", []):
        how = ", drawn among several" if filled["drawn"] else ""
        yield f"    slot {filled['slot']} filled by tags: block {filled['block']}{how}"
    for refused in placement["refused"]:
        cause = f" by {refused['cause']}" if refused["cause"] is not None else ""
        yield f"    refused {refused['offer']}: {refused['reason']}{cause} (at {STEPS[refused['step']]})"
    more = placement["refused_count"] - len(placement["refused"])
    if more > 0:
        yield f"    and {more} more refused"


def _bandit(bandit: dict[str, Any]) -> str:
    how = "at random" if bandit["explored"] else "by a draw"
    return f"chosen {how} of {bandit['model']}, with probability {bandit['action_probability']:.4g}"


def _diversity(diversity: dict[str, Any]) -> str:
    relevance, similarity, rank = (diversity[name] for name in ("relevance", "similarity", "rank"))
    return (
        f"best for a page that is not all alike: {relevance:.4g} of the best score, "
        f"likeness {similarity:.4g}, rank {rank:.4g}"
    )


def _consent(consent: dict[str, Any] | None) -> str:
    if consent is None:
        return "none needed"
    since = f" on {shown_time(consent['at_ms'])}" if consent["state"] not in ("missing", "gpc") else ""
    state = "denied by Global Privacy Control" if consent["state"] == "gpc" else consent["state"]
    return f"{consent['purpose']} {state}{since}"
