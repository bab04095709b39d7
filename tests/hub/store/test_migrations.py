"""The migrations, applied in order, give the schema that the modules declare."""

import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from hub.data.resolution import Link, Seen, resolve
from hub.store import identity_history, identity_links, migrate, sources, tables
from hub.store.engine import Connection, Store


def test_migrations_give_the_declared_schema(store: Store) -> None:
    with store.writing() as connection:
        context = MigrationContext.configure(connection)
        assert compare_metadata(context, tables.metadata) == []


def test_migrating_again_changes_nothing(store: Store) -> None:
    with store.writing() as connection:
        before = MigrationContext.configure(connection).get_current_revision()
    migrate.migrate(store)
    with store.writing() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == before


def test_profiles_of_before_the_links_come_out_as_they_were(store: Store) -> None:
    with store.writing() as connection:
        # Back to the schema without links, as a hub of then left it.
        tables.metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE alembic_version"))
        config = Config()
        config.set_main_option("script_location", str(migrate.SCRIPTS))
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        # A device whose person logged in and brought an address; an address with a number and a device.
        _profile_of_before(connection, b"a", {b"a": ("anon", 10), b"i": ("id", 20), b"e": ("email", 20)})
        _profile_of_before(connection, b"x", {b"x": ("email", 10), b"y": ("id", 30), b"z": ("anon", 30)})
        _profile_of_before(connection, b"s", {b"s": ("device", 5)})
        history = sa.table("identity_history", *map(sa.column, _HISTORY_OF_BEFORE))
        rows = [("claimed", b"q"), ("merge_pending", b"x"), ("joined", b"")]
        for operation, other in rows:
            values = (7, operation, _key(b"a"), _key(b"a"), _key(other) if other else b"", "m")
            connection.execute(sa.insert(history), dict(zip(_HISTORY_OF_BEFORE, values, strict=True)))
    migrate.migrate(store)
    with store.writing() as connection:
        found = list(sources.of_profiles(connection, map(_key, (b"a", b"x", b"s"))))
        keys = [source.source_id for source in found]
        links = [Link(*row) for row in identity_links.touching(connection, keys, 99)]
        seen = {source.source_id: Seen(source.kind, source.first_ms) for source in found}
        groups = {group.leader: group for group in resolve(seen, links).groups}
        assert {leader: group.created_ms for leader, group in groups.items()} == {
            _key(b"a"): 10,
            _key(b"x"): 10,
            _key(b"s"): 5,
        }
        assert groups[_key(b"a")].sources == {_key(b"a"), _key(b"i"), _key(b"e")}
        assert groups[_key(b"x")].sources == {_key(b"x"), _key(b"y"), _key(b"z")}
        assert all(
            source.own_profile_id == _key(source.source_id[:1])
            for source in found
            if source.source_id in groups
        )
        assert len({source.own_profile_id for source in found}) == len(found)
        told = identity_history.of_profile(connection, _key(b"a"), [])
        assert [(line.operation, line.other_source_id, line.other_profile_id) for line in told] == [
            ("claimed", _key(b"q"), None),
            ("merge_pending", None, _key(b"x")),
            ("joined", None, None),
        ]


_HISTORY_OF_BEFORE = ("at_ms", "operation", "source_id", "profile_id", "other", "message_id")


def _key(name: bytes) -> bytes:
    return name.ljust(16, b"-")


def _profile_of_before(connection: Connection, leader: bytes, held: dict[bytes, tuple[str, int]]) -> None:
    """A profile with the identifiers of (type, joined at), as the first migrations hold it."""
    profile = (
        "INSERT INTO profiles (profile_id, unit_key, created_at_ms, known, record, edge_record, sequence, "
        "packed_at_ms) VALUES (:profile, :profile, :at, :known, :bytes, :bytes, 1, 1)"
    )
    source_of = (
        "INSERT INTO sources (source_id, kind, profile_id, state, joined_at_ms) "
        "VALUES (:source, :kind, :profile, :bytes, :at)"
    )
    first = {"profile": _key(leader), "at": held[leader][1], "known": True, "bytes": b""}
    connection.execute(sa.text(profile), first)
    for source, (kind, at_ms) in held.items():
        row = {"source": _key(source), "kind": kind, "profile": _key(leader), "at": at_ms, "bytes": b""}
        connection.execute(sa.text(source_of), row)
