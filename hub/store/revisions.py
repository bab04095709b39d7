"""What was submitted, approved and published, and which slot of the record belongs to what."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
import sqlalchemy as sa
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, String, Table, Text
from sqlalchemy.engine import Connection, Row

from hub.store.metadata import Millis, Number, metadata
from hub.store.statements import insert_new, upsert

HASH_LENGTH: Final = 64
USER_LENGTH: Final = 80

submissions = Table(
    "catalogue_submissions",
    metadata,
    Column("content_hash", String(HASH_LENGTH), primary_key=True),
    Column("content", LargeBinary, nullable=False),
    #: JSON: [[path, text], ...] in the order of the paths.
    Column("sources", LargeBinary, nullable=False),
    Column("submitted_by", String(USER_LENGTH), nullable=False),
    Column("submitted_at_ms", Millis, nullable=False),
    #: The active revision at submission, 0: none. Leave to publish holds only as long as it is still active.
    Column("base_revision", BigInteger, nullable=False),
)

approvals = Table(
    "catalogue_approvals",
    metadata,
    Column("content_hash", String(HASH_LENGTH), ForeignKey(submissions.c.content_hash), primary_key=True),
    Column("user", String(USER_LENGTH), primary_key=True),
    Column("role", String(USER_LENGTH), nullable=False),
    Column("at_ms", Millis, nullable=False),
)

revisions = Table(
    "catalogue_revisions",
    metadata,
    Column("revision", Number, primary_key=True, autoincrement=False),
    Column("content_hash", String(HASH_LENGTH), ForeignKey(submissions.c.content_hash), nullable=False),
    #: JSON: [[user, role, at_ms], ...] as signed.
    Column("approvals", Text, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("published_by", String(USER_LENGTH), nullable=False),
    Column("published_at_ms", Millis, nullable=False),
    #: The revision whose content a rollback brought back; 0: no rollback.
    Column("rollback_of", BigInteger, nullable=False),
)

layout = Table(
    "record_layout",
    metadata,
    Column("slot", Integer, primary_key=True, autoincrement=False),
    Column("name", String(160), nullable=False),
    Column("fingerprint", String(256), nullable=False),
    sa.UniqueConstraint("name", "fingerprint"),
)


class Submission(msgspec.Struct, frozen=True):
    """Content that somebody wants published."""

    content_hash: str
    content: bytes
    sources: tuple[tuple[str, str], ...]
    submitted_by: str
    submitted_at_ms: int
    base_revision: int


class Approved(msgspec.Struct, frozen=True, array_like=True):
    """One approval."""

    user: str
    role: str
    at_ms: int


class Revision(msgspec.Struct, frozen=True):
    """A published revision without its content."""

    revision: int
    content_hash: str
    approvals: tuple[Approved, ...]
    signature: bytes
    published_by: str
    published_at_ms: int
    rollback_of: int


def put_submission(connection: Connection, submission: Submission) -> None:
    """Store a submission; the same content submitted again moves to the newer base."""
    row = {
        "content_hash": submission.content_hash,
        "content": submission.content,
        "sources": msgspec.json.encode(submission.sources),
        "submitted_by": submission.submitted_by,
        "submitted_at_ms": submission.submitted_at_ms,
        "base_revision": submission.base_revision,
    }
    upsert(connection, submissions, [row], ["submitted_by", "submitted_at_ms", "base_revision"])


def get_submission(connection: Connection, content_hash: str) -> Submission | None:
    """The submission of that content."""
    row = connection.execute(sa.select(submissions).where(submissions.c.content_hash == content_hash)).first()
    if row is None:
        return None
    sources = msgspec.json.decode(row.sources, type=tuple[tuple[str, str], ...])
    return Submission(
        row.content_hash, row.content, sources, row.submitted_by, row.submitted_at_ms, row.base_revision
    )


def put_approval(connection: Connection, content_hash: str, approval: Approved) -> None:
    """Store one person's approval; the first one stays."""
    row = {
        "content_hash": content_hash,
        "user": approval.user,
        "role": approval.role,
        "at_ms": approval.at_ms,
    }
    insert_new(connection, approvals, [row])


def get_approvals(connection: Connection, content_hash: str) -> tuple[Approved, ...]:
    """The approvals of that content, oldest first."""
    statement = (
        sa.select(approvals)
        .where(approvals.c.content_hash == content_hash)
        .order_by(approvals.c.at_ms, approvals.c.user)
    )
    return tuple(Approved(row.user, row.role, row.at_ms) for row in connection.execute(statement))


def add_revision(connection: Connection, revision: Revision) -> None:
    """Store a revision; its number must be new."""
    row = msgspec.structs.asdict(revision)
    row["approvals"] = msgspec.json.encode(revision.approvals).decode()
    connection.execute(sa.insert(revisions), row)


def get_revision(connection: Connection, number: int) -> Revision | None:
    """One revision."""
    row = connection.execute(sa.select(revisions).where(revisions.c.revision == number)).first()
    return None if row is None else _revision(row)


def last_revision(connection: Connection) -> Revision | None:
    """The newest revision, which is the active one."""
    row = connection.execute(sa.select(revisions).order_by(revisions.c.revision.desc()).limit(1)).first()
    return None if row is None else _revision(row)


def previous_content(connection: Connection, active: Revision) -> Revision | None:
    """The newest earlier revision with other content than the active one."""
    statement = (
        sa.select(revisions)
        .where(revisions.c.revision < active.revision, revisions.c.content_hash != active.content_hash)
        .order_by(revisions.c.revision.desc())
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else _revision(row)


def count_pending(connection: Connection) -> int:
    """Submissions on the active base that were never published."""
    published = sa.select(revisions.c.content_hash)
    last = sa.select(sa.func.coalesce(sa.func.max(revisions.c.revision), 0)).scalar_subquery()
    statement = (
        sa.select(sa.func.count())
        .select_from(submissions)
        .where(submissions.c.content_hash.not_in(published), submissions.c.base_revision == last)
    )
    return int(connection.execute(statement).scalar_one())


def get_layout(connection: Connection) -> list[tuple[str, str, int]]:
    """(attribute or purpose id, fingerprint, slot), by slot."""
    rows = connection.execute(sa.select(layout).order_by(layout.c.slot))
    return [(row.name, row.fingerprint, row.slot) for row in rows]


def append_layout(connection: Connection, entries: Iterable[Sequence[object]]) -> None:
    """Add slots; those that are there stay as they are, and a slot given twice is the database's error."""
    known = set(get_layout(connection))
    fresh = [entry for entry in map(tuple, entries) if entry not in known]
    if fresh:
        rows = [dict(zip(("name", "fingerprint", "slot"), entry, strict=True)) for entry in fresh]
        connection.execute(sa.insert(layout), rows)


def _revision(row: Row[tuple[object, ...]]) -> Revision:
    values = row._asdict()
    values["approvals"] = msgspec.json.decode(values["approvals"], type=tuple[Approved, ...])
    return Revision(**values)
