"""Outbound: outside systems decide, claim and report; operators list and resolve."""

import re
from collections.abc import Callable, Sequence
from typing import Final

from hub.decisioning.asking import AT_MS_MAX
from hub.delivery import doubts
from hub.delivery.outside import Campaign, Given, Outside, Report
from hub.errors import InvalidError
from hub.rpc.auth import caller
from hub.rpc.ingest import page_size
from hub.rpc.interceptor import Context
from hub.rpc.methods import OPERATOR
from hub.rpc.people import Lookup, parse_person
from hub.store import outbox
from hub.store.engine import Store
from hub.store.outbox import Message
from onevoice.v1 import outbound_pb2, outbound_pb2_grpc

BATCH_MAX: Final = 1_000
CAMPAIGN_LENGTH_MAX: Final = 80
USER_LENGTH_MAX: Final = 80
STATUS_LENGTH_MAX: Final = 32
LINK_LENGTH_MAX: Final = 2_048
SYSTEM: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
MESSAGE_ID: Final = re.compile(r"[0-9a-f]{32}")
STATUS: Final = re.compile(r"[0-9.]*")
OUTCOMES: Final = {
    outbound_pb2.OUTBOUND_OUTCOME_SENT: "sent",
    outbound_pb2.OUTBOUND_OUTCOME_DELIVERED: "delivered",
    outbound_pb2.OUTBOUND_OUTCOME_DEFERRED: "deferred",
    outbound_pb2.OUTBOUND_OUTCOME_FAILED: "failed",
    outbound_pb2.OUTBOUND_OUTCOME_BOUNCED: "bounced",
    outbound_pb2.OUTBOUND_OUTCOME_COMPLAINED: "complained",
    outbound_pb2.OUTBOUND_OUTCOME_OPENED: "opened",
    outbound_pb2.OUTBOUND_OUTCOME_CLICKED: "clicked",
}
RESOLUTIONS: Final[dict[int, doubts.Resolution]] = {
    outbound_pb2.OUTBOUND_RESOLUTION_SENT: "sent",
    outbound_pb2.OUTBOUND_RESOLUTION_RESEND: "resend",
}


class Outbound(outbound_pb2_grpc.OutboundServicer):
    """Decode, call, encode."""

    def __init__(self, outside: Outside, lookup: Lookup, store: Store, now_ms: Callable[[], int]) -> None:
        self._outside = outside
        self._lookup = lookup
        self._store = store
        self._now_ms = now_ms

    async def Decide(
        self, request: outbound_pb2.OutboundDecideRequest, context: Context
    ) -> outbound_pb2.OutboundDecideResponse:
        """Decide a batch and queue its messages."""
        system = _system(request.system)
        if not 0 < len(request.campaign) <= CAMPAIGN_LENGTH_MAX:
            expected = f"1 to {CAMPAIGN_LENGTH_MAX} characters"
            raise InvalidError(expected=expected, got=f"{len(request.campaign)}", path="$.campaign")
        _check_count(request.people, "people")
        keys = []
        for index, person in enumerate(request.people):
            parse_person(person, f"$.people[{index}]")
            keys.append(self._lookup.key_of(person))
        campaign = Campaign(request.campaign, request.placement, request.template)
        given = await self._outside.decide(system, campaign, keys)
        return outbound_pb2.OutboundDecideResponse(messages=map(_message, given))

    async def Claim(
        self, request: outbound_pb2.OutboundClaimRequest, context: Context
    ) -> outbound_pb2.OutboundClaimResponse:
        """Hand messages over, those that are named or those that are due."""
        system = _system(request.system)
        ids: Sequence[str] = request.message_ids
        if ids:
            _check_ids(ids, "message_ids")
        else:
            ids = await self._outside.due(system, request.channel, _count(request.count))
        given = await self._outside.claim(system, list(dict.fromkeys(ids)), address=request.include_address)
        return outbound_pb2.OutboundClaimResponse(messages=map(_message, given))

    async def Report(
        self, request: outbound_pb2.OutboundReportRequest, context: Context
    ) -> outbound_pb2.OutboundReportResponse:
        """Take in what became of messages."""
        system = _system(request.system)
        _check_ids([one.message_id for one in request.reports], "reports")
        now_ms = self._now_ms()
        reports = [_report(one, f"$.reports[{index}]", now_ms) for index, one in enumerate(request.reports)]
        return outbound_pb2.OutboundReportResponse(faults=await self._outside.report(system, reports))

    async def List(
        self, request: outbound_pb2.OutboundListRequest, context: Context
    ) -> outbound_pb2.OutboundListResponse:
        """Messages by state; no address among them."""
        for index, state in enumerate(request.states):
            if state not in outbox.STATES:
                expected = "one of " + ", ".join(outbox.STATES)
                raise InvalidError(expected=expected, got="another state", path=f"$.states[{index}]")
        count = page_size(request.count)
        states = list(request.states) or outbox.STATES
        rows, counts = await self._store.read(
            lambda connection: (
                outbox.listed(connection, states=states, channel=request.channel, count=count),
                outbox.counts(connection),
            )
        )
        return outbound_pb2.OutboundListResponse(
            messages=[_message(Given(row)) for row in rows], counts=counts
        )

    async def Resolve(
        self, request: outbound_pb2.OutboundResolveRequest, context: Context
    ) -> outbound_pb2.OutboundResolveResponse:
        """Say what became of a message in doubt."""
        _check_ids([request.message_id], "message_id")
        resolution = RESOLUTIONS.get(request.resolution)
        if resolution is None:
            raise InvalidError(
                expected="sent or resend", got=f"resolution {request.resolution}", path="$.resolution"
            )
        if len(request.user) > USER_LENGTH_MAX:
            expected = f"at most {USER_LENGTH_MAX} characters"
            raise InvalidError(expected=expected, got=f"{len(request.user)}", path="$.user")
        user = request.user or f"key:{caller.get(OPERATOR)}"
        row = await self._store.write(
            lambda connection: doubts.resolve(
                connection, request.message_id, resolution, user, self._now_ms()
            )
        )
        return outbound_pb2.OutboundResolveResponse(message=_message(Given(row)))


def _system(name: str) -> str:
    if not SYSTEM.fullmatch(name):
        expected = "1 to 64 letters, digits, '.', '_' and '-'"
        raise InvalidError(expected=expected, got=f"{len(name)} characters of another form", path="$.system")
    return name


def _check_count(items: Sequence[object], name: str) -> None:
    if not 0 < len(items) <= BATCH_MAX:
        raise InvalidError(expected=f"1 to {BATCH_MAX}", got=f"{len(items)}", path=f"$.{name}")


def _check_ids(ids: Sequence[str], name: str) -> None:
    _check_count(ids, name)
    for index, one in enumerate(ids):
        if not MESSAGE_ID.fullmatch(one):
            raise InvalidError(expected="32 hex digits", got="another form", path=f"$.{name}[{index}]")


def _count(count: int) -> int:
    if not 0 <= count <= BATCH_MAX:
        raise InvalidError(expected=f"0 to {BATCH_MAX}", got=f"{count}", path="$.count")
    return count or BATCH_MAX


def _report(one: outbound_pb2.OutboundReport, path: str, now_ms: int) -> Report:
    outcome = OUTCOMES.get(one.outcome)
    if outcome is None:
        expected = ", ".join(OUTCOMES.values())
        raise InvalidError(expected=expected, got=f"outcome {one.outcome}", path=f"{path}.outcome")
    if not 0 <= one.at_ms <= AT_MS_MAX:
        expected = f"ms since 1970, at most {AT_MS_MAX}, or 0"
        raise InvalidError(expected=expected, got=f"{one.at_ms}", path=f"{path}.at_ms")
    if len(one.status) > STATUS_LENGTH_MAX or not STATUS.fullmatch(one.status):
        raise InvalidError(expected="a status such as 5.1.1", got="another form", path=f"{path}.status")
    if len(one.link) > LINK_LENGTH_MAX:
        expected = f"at most {LINK_LENGTH_MAX} characters"
        raise InvalidError(expected=expected, got=f"{len(one.link)}", path=f"{path}.link")
    return Report(one.message_id, outcome, one.at_ms or now_ms, one.code, one.status, one.link)


def _message(given: Given) -> outbound_pb2.OutboundMessage:
    row: Message = given.message
    return outbound_pb2.OutboundMessage(
        message_id=row.message_id,
        state=row.state,
        reason=row.reason,
        decision=given.decision,
        not_before_ms=row.not_before_ms,
        address=given.recipient,
        channel=row.channel,
        placement=row.placement,
        template=row.template,
        origin=row.origin,
        attempts=row.attempts,
        changed_at_ms=row.changed_at_ms,
        detail=row.detail,
        system=row.provider,
        created_at_ms=row.created_at_ms,
        handed_over_at_ms=row.handed_over_at_ms,
    )
