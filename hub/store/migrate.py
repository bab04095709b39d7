"""Bringing a database to the declared schema."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from hub.store.engine import Connection, Store

SCRIPTS: Final = Path(__file__).parent / "migrations"


def migrate(store: Store) -> None:
    """Apply the migrations that this database has not seen; nothing to do costs one query."""
    with store.writing() as connection:
        config = Config()
        config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
        if _revision(connection) != ScriptDirectory.from_config(config).get_current_head():
            config.attributes["connection"] = connection
            command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()
