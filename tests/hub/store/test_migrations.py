"""The migrations, applied in order, give the schema that the modules declare."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from hub.store import migrate, tables
from hub.store.engine import Store


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
