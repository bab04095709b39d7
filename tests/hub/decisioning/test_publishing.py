"""Publishing on both engines: approvals, ownership, revisions, rollback, layout, audit."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.bundle import decode_bundle
from core.decide import Engine
from hub.checks import CATALOGUE_CHECKS
from hub.decisioning.bundles import ActiveBundle, SignedBundle, verify_bundle
from hub.decisioning.publishing import CatalogueError, Outcome, Publisher
from hub.errors import ConflictError, ForbiddenError, InvalidError, NotFoundError, PreconditionError
from hub.store import audit
from hub.store import revisions as stored
from hub.store.engine import Store
from tests.hub.asyncs import run_async
from tests.hub.catalogues import central, changed, small_files, two_approvals
from tests.hub.keys import SIGNING_KEY
from tests.oracle.approvals import block_hash

#: A change to what ada owns.
CHANGED = changed("blocks.yaml", "value: Free returns}", "value: Returns are free}")
#: Another aggregation of ada's `cart_items`, which therefore is another slot.
RETYPED = changed("attributes.yaml", "window: 14d, granularity: 6h", "window: 7d, granularity: 6h")


def with_attribute(name: str) -> dict[str, str]:
    """The small catalogue with one more attribute, ada's."""
    attribute = f"  - {{id: {name}, owner: ada, type: string, source: {{trait: {name}}}}}\n"
    return changed("attributes.yaml", "attributes:\n", f"attributes:\n{attribute}")


def two_changes() -> dict[str, str]:
    """A change by ben, who may publish alone."""
    return changed("blocks.yaml", "value: We care", "value: You care", central())


def without_wine() -> dict[str, str]:
    """The small catalogue without ben's offer `wine`."""
    files = small_files()
    text = files["offers.yaml"]
    begin, end = text.index("  - id: wine"), text.index("  - id: cart-reminder")
    return {**files, "offers.yaml": text[:begin] + text[end:]}


@dataclass
class Office:
    """A publisher, and what the rest of a hub hears of it."""

    store: Store
    now_ms: int = 1_000
    refuse: bool = False
    loaded: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.active = ActiveBundle()
        self.publisher = Publisher(
            self.store, SIGNING_KEY, self.active, [self._prepare], self._clock, checks=CATALOGUE_CHECKS
        )

    def _clock(self) -> int:
        self.now_ms += 1
        return self.now_ms

    def _prepare(self, bundle: SignedBundle) -> Callable[[], None]:
        if self.refuse:
            raise RuntimeError("a part of the hub cannot load this")
        Engine(bundle.content, bundle.revision)
        return lambda: self.loaded.append(bundle.revision)

    async def first(self, files: dict[str, str] | None = None) -> Outcome:
        """Publish the small catalogue: ada submits, ben approves."""
        waiting = await self.publisher.publish(files or small_files(), "ada")
        return await self.publisher.approve(waiting.content_hash, "ben")


@run_async
async def test_a_submission_waits_for_an_approver_and_then_is_active(store: Store) -> None:
    office = Office(store)
    waiting = await office.publisher.publish(small_files(), "ada")
    assert (waiting.revision, waiting.approvals_missing) == (0, 1)
    assert office.active.active() is None
    outcome = await office.publisher.approve(waiting.content_hash, "ben")
    assert (outcome.revision, outcome.approvals_missing) == (1, 0)
    bundle = office.active.active()
    assert bundle is not None
    assert bundle.content_hash == waiting.content_hash
    assert [(one.user, one.role) for one in bundle.approvals] == [("ben", "approver")]
    assert office.loaded == [1]


@run_async
async def test_a_publisher_who_is_an_approver_needs_nobody_else_where_one_approval_is_enough(
    store: Store,
) -> None:
    office = Office(store)
    outcome = await office.publisher.publish(central(), "ben")
    assert (outcome.revision, outcome.approvals_missing) == (1, 0)


@run_async
async def test_two_approvals_are_two_people(store: Store) -> None:
    office = Office(store)
    waiting = await office.publisher.publish(two_approvals(), "ada")
    first = await office.publisher.approve(waiting.content_hash, "ben")
    again = await office.publisher.approve(waiting.content_hash, "ben")
    assert (first.approvals_missing, again.approvals_missing) == (1, 1)
    assert (await office.publisher.approve(waiting.content_hash, "lea")).revision == 1


@run_async
async def test_an_edit_voids_approvals(store: Store) -> None:
    office = Office(store)
    waiting = await office.publisher.publish(two_approvals(), "ada")
    await office.publisher.approve(waiting.content_hash, "ben")
    edited = changed("blocks.yaml", "value: Free returns", "value: Free returns!", two_approvals())
    after = await office.publisher.publish(edited, "ada")
    assert after.content_hash != waiting.content_hash
    assert after.approvals_missing == 2


@run_async
async def test_the_signature_covers_revision_hash_and_approvals(store: Store) -> None:
    office = Office(store)
    await office.first()
    bundle = office.active.active()
    assert bundle is not None
    public = SIGNING_KEY.public_key()
    verify_bundle(public, bundle)
    other = Ed25519PrivateKey.generate().public_key()
    for key, forged in (
        (other, bundle),
        (public, SignedBundle(2, bundle.content_hash, bundle.approvals, bundle.signature, b"")),
        (public, SignedBundle(1, "0" * 64, bundle.approvals, bundle.signature, b"")),
        (public, SignedBundle(1, bundle.content_hash, (), bundle.signature, b"")),
    ):
        with pytest.raises(InvalidSignature):
            verify_bundle(key, forged)


@run_async
async def test_the_same_content_is_the_same_revision(store: Store) -> None:
    office = Office(store)
    await office.first()
    again = await office.publisher.publish(small_files(), "ada")
    assert (again.revision, again.unchanged) == (1, True)
    # Slots that others were given in between change the compiled bytes, but not what was authored.
    await office.publisher.publish(with_attribute("extra"), "ada")
    still = await office.publisher.publish(small_files(), "ada")
    assert (still.revision, still.unchanged) == (1, True)


@run_async
async def test_rollback_is_a_new_revision_of_old_content_with_its_approvals(store: Store) -> None:
    office = Office(store)
    first = await office.first()
    second = await office.publisher.publish(CHANGED, "ada")
    await office.publisher.approve(second.content_hash, "lea")
    back = await office.publisher.rollback(0, "ada")
    assert (back.revision, back.content_hash) == (3, first.content_hash)
    bundle = office.active.active()
    assert bundle is not None
    assert [one.user for one in bundle.approvals] == ["ben"]
    verify_bundle(SIGNING_KEY.public_key(), bundle)
    forward = await office.publisher.rollback(2, "")
    assert (forward.revision, forward.content_hash) == (4, second.content_hash)
    same = await office.publisher.rollback(2, "ada")
    assert (same.revision, same.unchanged) == (4, True)


@run_async
async def test_a_restarted_hub_goes_on_with_the_newest_revision(store: Store) -> None:
    office = Office(store)
    await office.first()
    again = Office(store)
    bundle = await again.publisher.load()
    assert bundle == office.active.active() == again.active.active()
    assert again.loaded == [1]
    assert (await again.publisher.publish(small_files(), "ada")).unchanged


@run_async
async def test_a_hub_with_another_key_refuses_the_stored_bundle_or_signs_it_anew(store: Store) -> None:
    first = await Office(store).first()
    key = Ed25519PrivateKey.generate()
    active = ActiveBundle()
    other = Publisher(store, key, active, [], lambda: 7)
    with pytest.raises(PreconditionError, match="the signing key of revision 1"):
        await other.load()
    assert active.active() is None
    bundle = await other.load(sign_anew=True)
    assert bundle is not None
    verify_bundle(key.public_key(), bundle)
    assert (bundle.revision, bundle.content_hash) == (2, first.content_hash)
    assert [one.user for one in bundle.approvals] == ["ben"]
    assert await other.load() == bundle
    entry = (await store.read(lambda connection: audit.list_entries(connection, 1)))[0]
    assert (entry.who, entry.action) == ("key:operator", "catalogue.rollback")


@run_async
async def test_a_step_that_was_begun_is_finished_though_its_caller_goes_away(store: Store) -> None:
    office = Office(store)
    await office.publisher.publish(central(), "ben")
    asked = asyncio.create_task(office.publisher.rollback(1, "ben"))
    await asyncio.sleep(0)
    publishing = asyncio.create_task(office.publisher.publish(two_changes(), "ben"))
    await asyncio.sleep(0)
    publishing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await publishing
    await asked
    bundle = await asyncio.wait_for(office.active.newer_than(1), 15)
    stored_last = await store.read(stored.last_revision)
    assert stored_last is not None
    assert stored_last.revision == bundle.revision == 2
    assert (await office.publisher.publish(two_changes(), "ben")).unchanged


@run_async
async def test_faults_come_all_at_once_and_nothing_is_stored(store: Store) -> None:
    office = Office(store)
    files = changed("offers.yaml", "profile.orders_90d >= 1", "profile.nonsense >= 1")
    files["blocks.yaml"] = files["blocks.yaml"].replace("type: url, value: /img/hero.webp", "type: uri")
    with pytest.raises(CatalogueError) as caught:
        await office.publisher.publish(files, "ada")
    assert {fault.file for fault in caught.value.faults} >= {"offers.yaml", "blocks.yaml"}
    assert await store.read(stored.count_pending) == 0
    assert await store.read(stored.get_layout) == []


@run_async
async def test_what_the_hub_checks_comes_with_the_faults_of_the_core(store: Store) -> None:
    office = Office(store)
    files = changed("governance.yaml", "time_zone: Europe/Berlin", "time_zone: Europe")
    with pytest.raises(CatalogueError) as caught:
        await office.publisher.publish(files, "ada")
    [fault] = caught.value.faults
    assert (fault.file, fault.path, fault.got) == ("governance.yaml", "$.settings.time_zone", "'Europe'")
    assert files["governance.yaml"].splitlines()[fault.line - 1].endswith("time_zone: Europe")
    files["blocks.yaml"] = files["blocks.yaml"].replace("attribute: profile.vip", "attribute: profile.age")
    with pytest.raises(CatalogueError) as caught:
        await office.publisher.validate(files)
    assert [(fault.file, fault.expected.split(",")[0]) for fault in caught.value.faults] == [
        ("blocks.yaml", "an attribute of type bool in a bool block"),
        ("blocks.yaml", "attributes with `edge: true`"),
        ("governance.yaml", "a time zone of the IANA database"),
    ]
    assert caught.value.count == 3
    assert await store.read(stored.count_pending) == 0


@run_async
async def test_what_a_part_of_the_hub_cannot_load_is_not_published(store: Store) -> None:
    office = Office(store)
    waiting = await office.publisher.publish(small_files(), "ada")
    office.refuse = True
    with pytest.raises(RuntimeError, match="cannot load"):
        await office.publisher.approve(waiting.content_hash, "ben")
    assert office.active.active() is None
    assert await store.read(stored.last_revision) is None
    office.refuse = False
    assert (await office.publisher.approve(waiting.content_hash, "ben")).revision == 1


@run_async
async def test_slots_are_never_reused(store: Store) -> None:
    office = Office(store)
    first = await office.first()
    slots = {name: slot for name, _, slot in await store.read(stored.get_layout)}
    waiting = await office.publisher.publish(RETYPED, "ada")
    after = await store.read(stored.get_layout)
    assert len({slot for _, _, slot in after}) == len(after) == len(slots) + 1
    fresh = [name for name, _, slot in after if slot not in slots.values()]
    assert [name.removeprefix("profile.") for name in fresh] == ["cart_items"]
    # The first content still compiles to its own slots after a rollback.
    await office.publisher.approve(waiting.content_hash, "ben")
    back = await office.publisher.rollback(0, "ada")
    assert back.content_hash == first.content_hash


@run_async
async def test_two_submissions_at_once_get_different_slots(store: Store) -> None:
    office = Office(store)
    await office.first()
    one = await office.publisher.publish(with_attribute("one"), "ada")
    two = await office.publisher.publish(with_attribute("two"), "ada")
    contents = [
        await store.read(lambda connection, name=name: stored.get_submission(connection, name))  # type: ignore[misc]
        for name in (one.content_hash, two.content_hash)
    ]
    slots = []
    for submission, name in zip(contents, ("profile.one", "profile.two"), strict=True):
        assert submission is not None
        document = decode_bundle(submission.content)
        slots += [attribute.slot for attribute in document.attributes if attribute.name == name]
    assert len(set(slots)) == 2


@run_async
async def test_approving_what_was_submitted_on_an_older_revision_is_refused(store: Store) -> None:
    office = Office(store)
    await office.first()
    one = await office.publisher.publish(with_attribute("one"), "ada")
    two = await office.publisher.publish(with_attribute("two"), "ada")
    assert (await office.publisher.approve(two.content_hash, "ben")).revision == 2
    with pytest.raises(ConflictError, match="publish the files again"):
        await office.publisher.approve(one.content_hash, "ben")


@pytest.mark.parametrize(
    ("files", "user", "expected"),
    [
        (CHANGED, "zoe", "person"),
        (CHANGED, "ben", "role publisher"),
        (changed("blocks.yaml", "value: We care", "value: You care"), "ada", "what ada owns"),
        (changed("governance.yaml", "stale_after: 30d", "stale_after: 31d"), "ada", "what ada owns"),
        (changed("offers.yaml", "priority: 20", "priority: 21"), "ada", "what ada owns"),
        (changed("attributes.yaml", "id: tier\n    owner: ben", "id: tier\n    owner: ada"), "ada", "owns"),
    ],
)
@run_async
async def test_who_may_not_publish_is_refused(
    store: Store, files: dict[str, str], user: str, expected: str
) -> None:
    office = Office(store)
    await office.first()
    with pytest.raises(ForbiddenError, match=expected):
        await office.publisher.publish(files, user)
    assert (await store.read(stored.last_revision)) == (await office.publisher.get(1)).revision


@run_async
async def test_removing_what_somebody_else_owns_is_refused(store: Store) -> None:
    office = Office(store)
    await office.first()
    with pytest.raises(ForbiddenError, match="offers wine"):
        await office.publisher.publish(without_wine(), "ada")


@run_async
async def test_an_approval_of_somebody_who_is_no_approver_any_more_does_not_count(store: Store) -> None:
    office = Office(store)
    three = changed("governance.yaml", "approvals: 1", "approvals: 3", central())
    three = changed("governance.yaml", "roles: [owner, editor, publisher]", "roles: [owner, approver]", three)
    first = await office.publisher.publish(three, "ben")
    for approver in ("ada", "lea"):
        first = await office.publisher.approve(first.content_hash, approver)
    assert first.revision == 1
    text = changed("blocks.yaml", "value: We care", "value: You care", three)
    waiting = await office.publisher.publish(text, "ben")
    assert (await office.publisher.approve(waiting.content_hash, "lea")).approvals_missing == 1
    demoted = changed("governance.yaml", "roles: [legal, approver]", "roles: [legal]", three)
    demoted = changed("governance.yaml", "approvals: 3", "approvals: 2", demoted)
    second = await office.publisher.publish(demoted, "ben")
    for approver in ("ada", "lea"):
        second = await office.publisher.approve(second.content_hash, approver)
    assert second.revision == 2
    assert (await office.publisher.publish(text, "ben")).approvals_missing == 1
    with pytest.raises(ForbiddenError, match="role approver"):
        await office.publisher.approve(waiting.content_hash, "lea")


@run_async
async def test_malformed_requests_are_refused(store: Store) -> None:
    office = Office(store)
    with pytest.raises(InvalidError, match="id of a person"):
        await office.publisher.publish(small_files(), "")
    with pytest.raises(InvalidError, match="files"):
        await office.publisher.publish({}, "ada")
    with pytest.raises(NotFoundError):
        await office.publisher.approve("0" * 64, "ben")
    with pytest.raises(PreconditionError):
        await office.publisher.rollback(0, "ada")
    with pytest.raises(NotFoundError):
        await office.publisher.get(0)
    await office.first()
    with pytest.raises(NotFoundError, match="earlier revision"):
        await office.publisher.rollback(7, "ada")
    with pytest.raises(ForbiddenError):
        await office.publisher.rollback(1, "lea")


@run_async
async def test_the_files_of_a_revision_come_back_as_they_were(store: Store) -> None:
    office = Office(store)
    await office.first()
    published = await office.publisher.get(0)
    assert dict(published.sources) == small_files()
    assert published.revision.published_by == "ada"


@run_async
async def test_every_step_is_in_the_audit_record(store: Store) -> None:
    office = Office(store)
    await office.first()
    waiting = await office.publisher.publish(CHANGED, "ada")
    await office.publisher.approve(waiting.content_hash, "lea")
    await office.publisher.rollback(0, "")
    entries = await store.read(lambda connection: audit.list_entries(connection, 100))
    steps = [(entry.who, entry.action) for entry in reversed(entries)]
    assert steps == [
        ("ada", "catalogue.submit"),
        ("ben", "catalogue.approve"),
        ("ada", "catalogue.publish"),
        ("ada", "catalogue.submit"),
        ("lea", "catalogue.approve"),
        ("ada", "catalogue.publish"),
        ("key:operator", "catalogue.rollback"),
    ]
    assert entries[0].before.startswith("2 ")
    assert entries[0].after.startswith("3 ")
    assert [entry.number for entry in entries] == sorted((entry.number for entry in entries), reverse=True)


@run_async
async def test_waiting_for_a_newer_bundle_ends_with_the_activation(store: Store) -> None:
    office = Office(store)
    heard: list[int] = []
    stop = office.active.subscribe(lambda bundle: heard.append(bundle.revision))
    waiting = asyncio.create_task(office.active.newer_than(0))
    await office.first()
    assert (await asyncio.wait_for(waiting, 5)).revision == 1
    stop()
    await office.publisher.rollback(1, "ada")
    assert heard == [1]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(office.active.newer_than(1), 0.01)


@run_async
async def test_another_replica_follows_and_two_that_publish_at_once_conflict(store: Store) -> None:
    one, two = Office(store), Office(store)
    await one.first()
    assert two.active.active() is None
    assert await two.publisher.follow()
    assert two.active.active() == one.active.active()
    assert not await two.publisher.follow()
    waiting = await one.publisher.publish(CHANGED, "ada")
    await one.publisher.approve(waiting.content_hash, "lea")
    # The other one has not heard of revision 2 yet.
    theirs = await two.publisher.publish(with_attribute("theirs"), "ada")
    with pytest.raises(ConflictError, match="another revision meanwhile"):
        await two.publisher.approve(theirs.content_hash, "ben")
    assert await two.publisher.follow()
    assert two.loaded == [1, 2]


@run_async
async def test_a_restored_hub_goes_on_above_what_edges_have_seen(store: Store) -> None:
    office = Office(store)
    await office.first()
    seen = 7
    restored = Publisher(store, SIGNING_KEY, ActiveBundle(), [], lambda: 5_000, lambda: seen)
    await restored.load()
    waiting = await restored.publish(CHANGED, "ada")
    assert (await restored.approve(waiting.content_hash, "lea")).revision == 8
    seen = 2**60
    assert (await restored.rollback(1, "ada")).revision == 9


@run_async
async def test_nobody_approves_a_block_in_anothers_name(store: Store) -> None:
    office = Office(store)
    await office.publisher.publish(central(), "ben")
    image = {"id": "hero-image", "type": "url", "value": "/img/hero.webp", "tags": ["imagery"]}

    def approved(*people: str) -> dict[str, str]:
        given = [f"{{block: hero-image, hash: {block_hash(image)}, by: {person}}}" for person in people]
        text = f"  approved_blocks: [{', '.join(given)}]\n  people:\n"
        return changed("governance.yaml", "  people:\n", text, central())

    with pytest.raises(ForbiddenError, match="new approvals of blocks by ben, got one of hero-image by lea"):
        await office.publisher.publish(approved("ben", "lea"), "ben")
    assert (await office.publisher.publish(approved("ben"), "ben")).revision == 2
    # What was there before is no new approval, whoever submits.
    again = changed("blocks.yaml", "value: Free returns}", "value: Returns are free}", approved("ben"))
    assert (await office.publisher.publish(again, "ada")).approvals_missing == 1
