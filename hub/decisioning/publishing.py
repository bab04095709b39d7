"""Publishing: from catalogue files to a signed, approved, active revision; rollback.

    submit -> compile -> approvals of that very content -> next revision, signed -> active

Files, layout, approvals, revision and audit entry of one step are one transaction. Publishing is serial: one
step at a time, whoever asks.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from core.authoring import Catalogue, CatalogueError
from core.authoring.types import Governance
from core.cel.parser import parse
from hub.decisioning.authoring import read_catalogue
from hub.decisioning.bundles import ActiveBundle, Approval, SignedBundle, sign_bundle, verify_bundle
from hub.decisioning.compiling import Check, Compiled, compile_files
from hub.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from hub.governance import roles
from hub.store import audit
from hub.store import revisions as stored
from hub.store.engine import Connection, Store

FILES_MAX: Final = 1_000
FILE_BYTES_MAX: Final = 4 * 1024 * 1024
USER_LENGTH_MAX: Final = 80
#: Who acts where only the key is known.
OPERATOR: Final = "key:operator"
#: How many revisions a restored hub may have forgotten.
REVISIONS_LOST_MAX: Final = 100_000

Files = Mapping[str, str]
Clock = Callable[[], int]
#: Loads a bundle beside the old one, in a thread; what it returns puts it in place, on the event loop.
Prepare = Callable[[SignedBundle], Callable[[], None]]


class Outcome(msgspec.Struct, frozen=True):
    """What became of a submission. `revision` 0: it waits for leave; `unchanged`: it was active before."""

    content_hash: str
    revision: int
    approvals_missing: int
    unchanged: bool = False


class Published(msgspec.Struct, frozen=True):
    """A revision with its files."""

    revision: stored.Revision
    sources: tuple[tuple[str, str], ...]


class Publisher:
    """The hub's publishing office. `active` learns of each new revision."""

    def __init__(
        self,
        store: Store,
        key: Ed25519PrivateKey,
        active: ActiveBundle,
        prepare: Sequence[Prepare],
        now_ms: Clock,
        seen_revision: Callable[[], int] = lambda: 0,
        checks: Sequence[Check] = (),
    ) -> None:
        """`seen_revision`: the highest that an edge has told; a restored hub goes on above it. `checks`: what
        the parts of the hub check in a catalogue beyond what the core does."""
        self._store = store
        self._key = key
        self._active = active
        self._prepare = tuple(prepare)
        self._now_ms = now_ms
        self._seen_revision = seen_revision
        self._checks = tuple(checks)
        self._serial = asyncio.Lock()
        self._catalogue: Catalogue | None = None
        self._sources: tuple[tuple[str, str], ...] = ()

    async def load(self, *, sign_anew: bool = False) -> SignedBundle | None:
        """Activate the newest stored revision, at the start of the hub.

        `sign_anew`: one that another key signed becomes the next revision, signed with this one.
        """
        # The grammar of expressions takes a tenth of a second to load, which no publication should wait for.
        await asyncio.to_thread(parse, "true")
        revision = await self._store.read(stored.last_revision)
        if revision is None:
            return None
        submission = await self._submission(revision.content_hash)
        bundle = _bundle(revision, submission.content)
        try:
            verify_bundle(self._key.public_key(), bundle)
        except InvalidSignature as error:
            if not sign_anew:
                expected = f"the signing key of revision {revision.revision} (or ONEVOICE_SIGN_ANEW=true)"
                raise PreconditionError(expected=expected, got="another", path="keys/signing.key") from error
            await self._activate(
                revision.content_hash, revision.approvals, OPERATOR, rollback_of=revision.revision
            )
            return self._active.active()
        await self._swap(bundle, submission, await asyncio.to_thread(self._load_beside, bundle))
        return bundle

    async def follow(self) -> bool:
        """Activate what another replica of the hub has published; whether there was something."""
        active = self._active.active()
        newest = await self._store.read(stored.last_revision)
        if newest is None or (active is not None and newest.revision <= active.revision):
            return False
        async with self._serial:
            await self.load()
        return True

    async def validate(self, files: Files) -> Compiled:
        """Compile without storing anything. Raises CatalogueError with all faults."""
        _check_files(files)
        layout = await self._store.read(stored.get_layout)
        return await asyncio.to_thread(compile_files, files, layout, self._checks)

    async def publish(self, files: Files, user: str) -> Outcome:
        """Submit files as `user`; with enough approvals they are the next revision."""
        _check_user(user)
        return await _undisturbed(self._publish(files, user))

    async def _publish(self, files: Files, user: str) -> Outcome:
        async with self._serial:
            compiled = await self.validate(files)
            active = self._active.active()
            # The same files can compile to other bytes when slots were given out in between.
            if (active is not None and compiled.content_hash == active.content_hash) or self._is_active(
                files
            ):
                assert active is not None
                return Outcome(active.content_hash, active.revision, 0, unchanged=True)
            governance = self._governance(compiled.catalogue)
            person = roles.person_of(governance, user)
            roles.require_role(person, roles.PUBLISHER)
            if self._catalogue is not None:
                changes = roles.changes_between(self._catalogue, compiled.catalogue)
                roles.require_may_change(person, changes)
                roles.require_own_approvals(person, self._catalogue.governance, compiled.catalogue.governance)
            await self._store.write(lambda connection: self._submit(connection, files, compiled, person.id))
            if roles.is_central(person):
                await self._put_approval(compiled.content_hash, person.id)
            return await self._publish_if_approved(compiled.content_hash, governance, user)

    async def approve(self, content_hash: str, user: str) -> Outcome:
        """Record the approval of one content hash; the last one needed publishes it."""
        _check_user(user)
        return await _undisturbed(self._approve(content_hash, user))

    async def _approve(self, content_hash: str, user: str) -> Outcome:
        async with self._serial:
            active = self._active.active()
            if active is not None and active.content_hash == content_hash:
                return Outcome(content_hash, active.revision, 0, unchanged=True)
            submission = await self._submission(content_hash)
            self._require_current(submission)
            governance = await self._governance_of(submission)
            person = roles.person_of(governance, user)
            roles.require_role(person, roles.APPROVER)
            await self._put_approval(content_hash, person.id)
            return await self._publish_if_approved(content_hash, governance, submission.submitted_by)

    async def rollback(self, to_revision: int, user: str) -> Outcome:
        """Publish an earlier revision's content again, with its approvals. 0: the one before.

        Without a user it is an operator who acts: what comes back was approved once.
        """
        if user:
            _check_user(user)
        return await _undisturbed(self._rollback(to_revision, user))

    async def _rollback(self, to_revision: int, user: str) -> Outcome:
        async with self._serial:
            active = await self._store.read(stored.last_revision)
            if active is None or self._catalogue is None:
                raise PreconditionError(expected="a published revision", got="none", path="$")
            if user:
                person = roles.person_of(self._governance(self._catalogue), user)
                roles.require_role(person, roles.PUBLISHER)
            target = await self._rollback_target(active, to_revision)
            if target.content_hash == active.content_hash:
                return Outcome(active.content_hash, active.revision, 0, unchanged=True)
            number = await self._activate(
                target.content_hash, target.approvals, user or OPERATOR, rollback_of=target.revision
            )
            return Outcome(target.content_hash, number, 0)

    async def get(self, revision: int) -> Published:
        """One revision with its files; 0: the active one."""
        found = await self._store.read(
            lambda connection: (
                stored.get_revision(connection, revision) if revision else stored.last_revision(connection)
            )
        )
        if found is None:
            raise NotFoundError(
                expected="a published revision", got=f"revision {revision}", path="$.revision"
            )
        submission = await self._submission(found.content_hash)
        return Published(found, submission.sources)

    async def _rollback_target(self, active: stored.Revision, to_revision: int) -> stored.Revision:
        target = await self._store.read(
            lambda connection: (
                stored.get_revision(connection, to_revision)
                if to_revision
                else stored.previous_content(connection, active)
            )
        )
        if target is None:
            got = f"revision {to_revision}" if to_revision else "no other content"
            raise NotFoundError(expected="an earlier revision", got=got, path="$.to_revision")
        return target

    def _governance(self, submitted: Catalogue) -> Governance:
        """The active catalogue's governance; the very first submission brings its own."""
        governance = (self._catalogue or submitted).governance
        if governance is None:
            raise PreconditionError(expected="a catalogue with a governance", got="none", path="$.governance")
        return governance

    async def _governance_of(self, submission: stored.Submission) -> Governance:
        if self._catalogue is not None:
            return self._governance(self._catalogue)
        return self._governance(await asyncio.to_thread(read_catalogue, dict(submission.sources)))

    def _submit(self, connection: Connection, files: Files, compiled: Compiled, user: str) -> None:
        now_ms, active = self._now_ms(), self._active.active()
        # Slots are given out at submission, so that content compiled later never claims the same ones.
        stored.append_layout(connection, compiled.layout)
        sources = tuple(sorted(files.items()))
        base = active.revision if active else 0
        stored.put_submission(
            connection,
            stored.Submission(compiled.content_hash, compiled.content, sources, user, now_ms, base),
        )
        before = active.content_hash if active else ""
        audit.add_entry(
            connection,
            audit.Entry(
                now_ms, user, "catalogue.submit", compiled.content_hash, before, compiled.content_hash
            ),
        )

    async def _put_approval(self, content_hash: str, user: str) -> None:
        now_ms = self._now_ms()

        def work(connection: Connection) -> None:
            stored.put_approval(connection, content_hash, stored.Approved(user, roles.APPROVER, now_ms))
            audit.add_entry(connection, audit.Entry(now_ms, user, "catalogue.approve", content_hash))

        await self._store.write(work)

    async def _publish_if_approved(self, content_hash: str, governance: Governance, user: str) -> Outcome:
        given = await self._store.read(lambda connection: stored.get_approvals(connection, content_hash))
        central = {person.id for person in governance.people if roles.is_central(person)}
        # Who has lost the role since does not count any more.
        counting = tuple(approval for approval in given if approval.user in central)
        missing = governance.approvals - len(counting)
        if missing > 0:
            return Outcome(content_hash, 0, missing)
        revision = await self._activate(content_hash, counting, user, rollback_of=0)
        return Outcome(content_hash, revision, 0)

    def _require_current(self, submission: stored.Submission) -> None:
        active = self._active.active()
        revision = active.revision if active else 0
        if submission.base_revision != revision:
            raise ConflictError(
                expected=f"a submission on the active revision {revision}",
                got=f"one on revision {submission.base_revision}: publish the files again",
                path="$.content_hash",
            )

    async def _activate(
        self, content_hash: str, approvals: tuple[stored.Approved, ...], user: str, *, rollback_of: int
    ) -> int:
        """Store the next revision and make it the active one. An engine has loaded the content before."""
        submission = await self._submission(content_hash)
        signed_approvals = tuple(Approval(one.user, one.role, one.at_ms) for one in approvals)
        now_ms = self._now_ms()
        before = await self._store.read(stored.last_revision)
        self._require_followed(before)
        number = self._next_revision(before.revision if before else 0)
        bundle = sign_bundle(self._key, number, content_hash, signed_approvals, submission.content)
        swaps = await asyncio.to_thread(self._load_beside, bundle)
        revision = stored.Revision(
            number, content_hash, approvals, bundle.signature, user, now_ms, rollback_of
        )

        def work(connection: Connection) -> None:
            newest = stored.last_revision(connection)
            if (newest.revision if newest else 0) != (before.revision if before else 0):
                raise ConflictError(
                    expected="to be the only one who publishes", got="another revision meanwhile"
                )
            stored.add_revision(connection, revision)
            action = "catalogue.rollback" if rollback_of else "catalogue.publish"
            old = f"{before.revision} {before.content_hash}" if before else ""
            entry = audit.Entry(now_ms, user, action, f"revision {number}", old, f"{number} {content_hash}")
            audit.add_entry(connection, entry)

        await self._store.write(work)
        await self._swap(bundle, submission, swaps)
        return number

    def _require_followed(self, newest: stored.Revision | None) -> None:
        """What is decided here must rest on the newest revision, which another replica may have published."""
        active = self._active.active()
        if active is not None and newest is not None and newest.revision != active.revision:
            raise ConflictError(expected="to be the only one who publishes", got="another revision meanwhile")

    def _next_revision(self, newest: int) -> int:
        seen = self._seen_revision()
        # An edge refuses what is not above its own; a number beyond all reason is not followed.
        return (seen if newest < seen <= newest + REVISIONS_LOST_MAX else newest) + 1

    def _load_beside(self, bundle: SignedBundle) -> list[Callable[[], None]]:
        """Everybody who needs the bundle loads it, before it is stored: a content that fails goes nowhere."""
        return [prepare(bundle) for prepare in self._prepare]

    async def _swap(
        self, bundle: SignedBundle, submission: stored.Submission, swaps: list[Callable[[], None]]
    ) -> None:
        for swap in swaps:
            swap()
        self._active.activate(bundle)
        # Only who publishes next reads these, and waits for the end of this step.
        self._sources = submission.sources
        self._catalogue = await asyncio.to_thread(read_catalogue, dict(submission.sources))

    def _is_active(self, files: Files) -> bool:
        return tuple(sorted(files.items())) == self._sources

    async def _submission(self, content_hash: str) -> stored.Submission:
        found = await self._store.read(lambda connection: stored.get_submission(connection, content_hash))
        if found is None:
            raise NotFoundError(expected="a submitted content hash", got="another", path="$.content_hash")
        return found


async def _undisturbed(step: Coroutine[Any, Any, Outcome]) -> Outcome:
    """Finish a step that was begun, even if whoever asked for it has gone away."""
    task = asyncio.ensure_future(step)
    # Its error is nobody's any more then.
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return await asyncio.shield(task)


def _bundle(revision: stored.Revision, content: bytes) -> SignedBundle:
    approvals = tuple(Approval(one.user, one.role, one.at_ms) for one in revision.approvals)
    return SignedBundle(revision.revision, revision.content_hash, approvals, revision.signature, content)


def _check_files(files: Files) -> None:
    if not 0 < len(files) <= FILES_MAX:
        raise InvalidError(expected=f"1 to {FILES_MAX} files", got=f"{len(files)}", path="$.files")
    for name, text in files.items():
        if len(text.encode()) > FILE_BYTES_MAX:
            expected = f"files of at most {FILE_BYTES_MAX} bytes"
            raise InvalidError(expected=expected, got=f"{len(text.encode())} bytes in {name}", path="$.files")


def _check_user(user: str) -> None:
    if not 0 < len(user) <= USER_LENGTH_MAX:
        expected = f"the id of a person, 1 to {USER_LENGTH_MAX} characters"
        raise InvalidError(expected=expected, got=f"{len(user)} characters", path="$.user")


__all__ = ["CatalogueError", "Compiled", "Outcome", "Published", "Publisher"]
