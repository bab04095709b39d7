"""How alembic runs here: on the connection, and inside the transaction, that hub.store.migrate passes."""

from alembic import context

from hub.store.metadata import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
