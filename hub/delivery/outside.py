"""An outside system that sends: it decides, claims and reports, with the same outbox, reasons and caps."""

import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from core.events import Event, Identifier
from hub.delivery.engines import Engines
from hub.delivery.handoff import NO_PROFILE, HandOff, Looked, confirm
from hub.delivery.journeys import MESSAGE_ID_BYTES
from hub.delivery.options import DeliveryOptions
from hub.delivery.outcomes import REJECTED, after
from hub.delivery.ports import Outcome
from hub.delivery.recipients import ADDRESS_KINDS, Person, look_up
from hub.delivery.runner import NO_ADDRESS
from hub.errors import InvalidError, NotFoundError
from hub.store import engagements, outbox, suppressions
from hub.store.engine import Connection, Store
from hub.store.outbox import CLAIMED, FAILED, HANDING_OVER, IN_DOUBT, QUEUED, REFUSED, SENT, Message
from hub.store.suppressions import BOUNCE, COMPLAINT, Suppression

#: Reasons of messages that stay as they are.
NOT_DUE: Final = "not_due"
NOT_YOURS: Final = "not_yours"
UNKNOWN: Final = "unknown_message"
BOUNCED: Final = "bounced"
COMPLAINED: Final = "complained"
DELIVERED: Final = "delivered"

#: What a system may report, and the events that engagement becomes.
ENGAGEMENTS: Final = {
    "opened": (engagements.OPEN, "Email Opened"),
    "clicked": (engagements.CLICK, "Email Link Clicked"),
}
REPORTS: Final = ("sent", "delivered", "deferred", "failed", "bounced", "complained", *ENGAGEMENTS)
_ARRIVED: Final = ("sent", "delivered", "complained", *ENGAGEMENTS)

Accept = Callable[[Sequence[Event]], Awaitable[object]]


class Campaign(NamedTuple):
    """What a batch is decided for. The same campaign, placement and address always are one message."""

    id: str
    placement: str
    template: str  # empty: the system has its own


class Given(NamedTuple):
    """A message as the system gets it. `decision`: the placement's answer, empty where it may not go."""

    message: Message
    decision: bytes = b""
    recipient: str = ""


class Report(NamedTuple):
    """What became of a message."""

    message_id: str
    outcome: str  # one of REPORTS
    at_ms: int
    code: int = 0
    status: str = ""
    link: str = ""


class Outside:
    """The outbox as an outside system sees it; `system` is the name that it goes by."""

    def __init__(
        self,
        store: Store,
        engines: Engines,
        handoff: HandOff,
        own_channels: Collection[str],
        accept: Accept,
        options: DeliveryOptions,
        clock: Callable[[], int],
        node: str,
    ) -> None:
        """`own_channels`: those that the hub itself sends on; their journeys' messages are not given away."""
        self._store = store
        self._engines = engines
        self._handoff = handoff
        self._own_channels = own_channels
        self._accept = accept
        self._options = options
        self._clock = clock
        self._node = node

    async def decide(self, system: str, campaign: Campaign, people: Sequence[bytes]) -> list[Given]:
        """Decide a placement for people, by identifier hash, and queue a message for each who may get one.

        Answers are in the order of `people`. Nothing is handed over yet: `claim` checks again.
        """
        channel = self._channel(campaign)
        now_ms = self._clock()
        found = await self._store.read(lambda connection: look_up(connection, people))
        drafts = [_draft(system, campaign, channel, key, found.get(key), now_ms) for key in people]
        ids = [draft.message_id for draft in drafts]
        known = await self._store.read(lambda c: {row.message_id: row for row in outbox.by_id(c, ids)})
        open_rows = {
            draft.message_id: known.get(draft.message_id, draft)
            for draft in drafts
            if known.get(draft.message_id, draft).state == QUEUED
        }
        looked = await self._handoff.look(
            [row._replace(state=CLAIMED) for row in open_rows.values()], compose=False
        )
        decided = {one.message.message_id: one for one in looked}
        fresh = [
            _offered(decided[draft.message_id], now_ms) if draft.message_id in decided else draft
            for draft in {draft.message_id: draft for draft in drafts}.values()
            if draft.message_id not in known and draft.reason != NO_PROFILE
        ]
        await self._store.write(lambda connection: outbox.add(connection, fresh))
        refused = {row.message_id for row in fresh if row.state == REFUSED}
        self._handoff.log(one for one in looked if one.message.message_id in refused)
        stored = {row.message_id: row for row in fresh} | known
        return [self._given(stored.get(draft.message_id, draft), decided) for draft in drafts]

    async def due(self, system: str, channel: str, count: int) -> list[str]:
        """Ids of messages on a channel that this system may claim now, the longest due first."""
        now_ms = self._clock()
        rows = await self._store.read(
            lambda connection: outbox.listed(
                connection, states=[QUEUED], channel=channel, due_ms=now_ms, count=count
            )
        )
        return [row.message_id for row in rows if self._may_claim(row, system)]

    async def claim(self, system: str, message_ids: Sequence[str], *, address: bool) -> list[Given]:
        """Check messages as at any hand-off and hand them over to the system, in the order of the ids.

        From here on each is the system's; what it does not report in time is in doubt.
        """
        taken = await self._store.write(lambda connection: self._take(connection, system, message_ids))
        looked = await self._handoff.look(list(taken.values()), compose=False)
        now_ms = self._clock()
        until_ms = now_ms + self._options.report_ms
        going = await self._store.write(
            lambda connection: confirm(connection, looked, _owner(system), until_ms, now_ms)
        )
        sent = {one.message.message_id: one for one in going}
        self._handoff.log(one for one in looked if one.message.message_id in sent or not one.ok)
        rows = await self._store.read(
            lambda connection: {row.message_id: row for row in outbox.by_id(connection, message_ids)}
        )
        return [
            self._claimed(rows.get(key), key, system, sent.get(key), address=address) for key in message_ids
        ]

    async def report(self, system: str, reports: Sequence[Report]) -> list[str]:
        """Take in what became of messages; a fault for each, empty where it was taken. Again is no harm."""
        events = await self._store.write(lambda connection: self._report(connection, system, reports))
        accepted = [event for _, event in events if event is not None]
        if accepted:
            await self._accept(accepted)
        return [fault for fault, _ in events]

    def _channel(self, campaign: Campaign) -> str:
        active = self._engines.active
        placement = active.placements.get(campaign.placement)
        if placement is None:
            raise NotFoundError(
                expected="a placement of the active catalogue", got="none", path="$.placement"
            )
        if placement.channel not in ADDRESS_KINDS:
            expected = "a placement of a channel with addresses: " + ", ".join(ADDRESS_KINDS)
            raise InvalidError(expected=expected, got=f"channel {placement.channel}", path="$.placement")
        if campaign.template and campaign.template not in active.templates:
            raise NotFoundError(expected="a template of the active catalogue", got="none", path="$.template")
        return placement.channel

    def _may_claim(self, row: Message, system: str) -> bool:
        given_away = row.provider == "" and row.channel not in self._own_channels
        return row.provider == system or given_away

    def _take(self, connection: Connection, system: str, ids: Sequence[str]) -> dict[str, Message]:
        now_ms = self._clock()
        rows = [
            row._replace(provider=system)
            for row in outbox.by_id(connection, ids)
            if row.state == QUEUED and row.not_before_ms <= now_ms and self._may_claim(row, system)
        ]
        until_ms = now_ms + self._options.report_ms
        taken = outbox.take(connection, rows, until_ms=until_ms, owner=_owner(system))
        return {row.message_id: row for row in taken}

    def _given(self, row: Message, decided: Mapping[str, Looked]) -> Given:
        one = decided.get(row.message_id)
        may_go = row.state == QUEUED and one is not None and one.ok and one.decision is not None
        return Given(row, one.decision.body if may_go and one is not None and one.decision else b"")

    def _claimed(
        self, row: Message | None, key: str, system: str, sent: Looked | None, *, address: bool
    ) -> Given:
        if row is None or not self._may_claim(row, system):
            reason = UNKNOWN if row is None else NOT_YOURS
            return Given(_nothing(key, reason))
        if sent is not None and sent.decision is not None:
            return Given(row, sent.decision.body, sent.recipient if address else "")
        if row.state == QUEUED and not row.reason:
            return Given(row._replace(reason=NOT_DUE))
        return Given(row)

    def _report(
        self, connection: Connection, system: str, reports: Sequence[Report]
    ) -> list[tuple[str, Event | None]]:
        now_ms = self._clock()
        rows = {row.message_id: row for row in outbox.by_id(connection, [one.message_id for one in reports])}
        answers: list[tuple[str, Event | None]] = []
        for one in reports:
            row = rows.get(one.message_id)
            if row is None or row.provider != system:
                answers.append((UNKNOWN if row is None else NOT_YOURS, None))
                continue
            rows[row.message_id] = reported(row, one, self._options, now_ms)
            stop = {"bounced": BOUNCE, "complained": COMPLAINT}.get(one.outcome)
            if stop:
                source = f"{system} {one.code or ''} {one.status}".strip()
                suppressions.add(
                    connection, [Suppression(row.source_id, row.channel, stop, one.at_ms, source)]
                )
            answers.append(("", self._engaged(connection, row, one, now_ms)))
        outbox.save(connection, list(rows.values()))
        return answers

    def _engaged(self, connection: Connection, row: Message, report: Report, now_ms: int) -> Event | None:
        if report.outcome not in ENGAGEMENTS:
            return None
        kind, name = ENGAGEMENTS[report.outcome]
        made = engagements.Engagement(row.message_id, kind, report.at_ms, False, report.link)
        engagements.add_once(connection, made)
        if row.channel != "email":
            return None
        return Event(
            message_id=f"{kind}-{row.message_id}-{report.at_ms}",
            kind="track",
            name=name,
            at_ms=min(report.at_ms, now_ms),
            received_ms=now_ms,
            identifiers=(Identifier(ADDRESS_KINDS[row.channel], row.source_id, True),),
            properties={"campaign_id": row.origin, "message_id": row.message_id},
            node=self._node,
        )


def reported(row: Message, report: Report, options: DeliveryOptions, now_ms: int) -> Message:
    """The message after a report; one that says nothing new changes nothing."""
    open_states = (HANDING_OVER, IN_DOUBT)
    detail = " ".join(part for part in (str(report.code or ""), report.status) if part)
    if report.outcome == "deferred":
        deferred = Outcome("deferred", report.code, report.status)
        return after(row, deferred, options, now_ms) if row.state in open_states else row
    if report.outcome in ("failed", "bounced") and row.state in (*open_states, SENT):
        reason = BOUNCED if report.outcome == "bounced" else REJECTED
        return row._replace(
            state=FAILED, reason=reason, detail=detail, changed_at_ms=now_ms, lease_owner="", lease_until_ms=0
        )
    if report.outcome in _ARRIVED and row.state in open_states:
        row = after(row, Outcome("sent", report.code, report.status), options, now_ms)
    if report.outcome in (DELIVERED, COMPLAINED) and row.state == SENT and row.reason != report.outcome:
        return row._replace(reason=report.outcome, changed_at_ms=now_ms)
    return row


def message_id_for(campaign: Campaign, address: bytes) -> str:
    """The id of a campaign's message to an address."""
    name = f"campaign\0{campaign.id}\0{campaign.placement}\0".encode() + address
    return hashlib.sha256(name).digest()[:MESSAGE_ID_BYTES].hex()


def _draft(
    system: str, campaign: Campaign, channel: str, key: bytes, person: Person | None, now_ms: int
) -> Message:
    address = person.address(channel) if person is not None else None
    draft = Message(
        message_id=message_id_for(campaign, address or key),
        instance_id=None,
        origin=campaign.id,
        source_id=address or key,
        channel=channel,
        placement=campaign.placement,
        template=campaign.template,
        provider=system,
        created_at_ms=now_ms,
        not_before_ms=now_ms,
        changed_at_ms=now_ms,
    )
    if address:
        return draft
    return draft._replace(state=REFUSED, reason=NO_PROFILE if person is None else NO_ADDRESS)


def _offered(one: Looked, now_ms: int) -> Message:
    """The row of a message that was decided on and not claimed."""
    if not one.ok:
        return one.message
    return one.message._replace(state=QUEUED, changed_at_ms=now_ms, decision_id="", offer="", treatment="")


def _nothing(message_id: str, reason: str) -> Message:
    return Message(message_id, None, "", b"", "", "", "", "", 0, 0, state="", reason=reason)


def _owner(system: str) -> str:
    return f"outside/{system}"
