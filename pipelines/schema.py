"""Migrate the stores: tell how far a store's schema is, and bring it further with Alembic.

Only a store that is older, newer or empty needs this module: `engine.is_migrated` tells the usual
case with one query.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from pipelines.engine import rows, transaction
from pipelines.errors import NewerSchemaError
from pipelines.settings import SQL

if TYPE_CHECKING:
    from alembic.config import Config

STORES = {"warehouse": "warehouse", "operations": "operational database"}
OUR_REVISION = re.compile(r"[a-z]\d{4}")


class Schema(NamedTuple):
    """State of a store's schema: its revision (None: no tables yet), our newest, is it ours?"""

    revision: str | None
    newest: str
    is_known: bool

    def refusal(self) -> tuple[str, str]:
        """Describe what an unknown revision says of the store, and the mend."""
        if self.revision and not OUR_REVISION.fullmatch(self.revision):
            return (
                f"has another program's tables (revision {self.revision})",
                "give each program a database of its own",
            )
        return f"was made by a newer version (revision {self.revision})", "install that version"


def schema(connection: sa.Connection, store: str) -> Schema:
    """Return the state of a store's schema; change nothing."""
    if connection.dialect.name != "duckdb":
        from alembic.migration import MigrationContext

        present = list(MigrationContext.configure(connection).get_current_heads())
    # Alembic would ask DuckDB with a bound value, for which DuckDB imports pandas.
    elif rows(connection, "FROM duckdb_tables() WHERE table_name = 'alembic_version'"):
        present = [row.version_num for row in rows(connection, "FROM alembic_version")]
    else:
        present = []
    known = revisions(store)
    return Schema(", ".join(present) or None, known[-1], set(present) <= set(known))


def migrate(connection: sa.Connection, store: str) -> None:
    """Bring a store (`warehouse` or `operations`) to its newest schema.

    Raise NewerSchemaError if the store has a schema that this version does not know.
    """
    state = schema(connection, store)
    if state.revision == state.newest:
        return
    if not state.is_known:
        fault, mend = state.refusal()
        raise NewerSchemaError(f"this {STORES[store]} {fault}; {mend}")
    upgrade(connection, store, state.newest)


def upgrade(connection: sa.Connection, store: str, revision: str) -> None:
    """Bring a store to a later revision in one transaction, so that a kill leaves the earlier."""
    from alembic import command
    from duckdb_sqlalchemy import alembic_impl  # noqa: F401 - registers DuckDB with Alembic

    config = _migrations(store)
    config.attributes["connection"] = connection
    # Within a transaction of ours Alembic neither begins nor commits one.
    if not connection.in_transaction():
        connection.begin()
    if connection.dialect.name == "duckdb":
        with transaction(connection):
            command.upgrade(config, revision)
        return
    # SQLite's driver begins a transaction before INSERT and UPDATE, but not before CREATE TABLE.
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    command.upgrade(config, revision)


def revisions(store: str) -> list[str]:
    """Return every revision of a store's schema in order: migrations are named after theirs."""
    files = (SQL / "migrations" / store).glob("[a-z]*.py")
    return sorted(path.name.partition("_")[0] for path in files)


def _migrations(store: str) -> Config:
    """Return Alembic's configuration for the migrations of a store."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations"))
    config.set_main_option("version_locations", str(SQL / "migrations" / store))
    config.set_main_option("path_separator", "newline")
    return config
