"""What every table shares: one metadata object, column types, and the names of constraints.

A noun has one module: its `Table`, then the named statements as functions that take a `Connection`.
A module that adds a table is imported by `hub.store.tables`, and a migration makes the table.
"""

from typing import Final

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    }
)

#: 16 bytes: identifier hashes, profile ids, unit keys, event keys.
Key = LargeBinary(16)
#: Milliseconds since 1970 UTC.
Millis = BigInteger
#: A 64-bit number that is a primary key: SQLite keeps a table in the order of an INTEGER key only.
Number = BigInteger().with_variant(Integer, "sqlite")
