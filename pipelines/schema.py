"""How far the stores' schemas are, and how they get further: Alembic, all the way or not at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
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
    """How far a store is: its revision (None: no tables yet), ours, and whether we know its own."""

    there: str | None
    newest: str
    known: bool

    def refusal(self) -> tuple[str, str]:
        """What a revision that we do not know says of a store, and the mend."""
        if self.there and not OUR_REVISION.fullmatch(self.there):
            return (
                f"has another program's tables (revision {self.there})",
                "give each program a database of its own",
            )
        return f"was made by a newer version (revision {self.there})", "install that version"


def schema(connection: sa.Connection, store: str) -> Schema:
    """How far a store's schema is; it changes nothing."""
    known = revisions(store)
    there = _revisions(connection)
    return Schema(", ".join(there) or None, known[-1], set(there) <= set(known))


def _revisions(connection: sa.Connection) -> Sequence[str]:
    from alembic.migration import MigrationContext

    if connection.dialect.name != "duckdb":
        return MigrationContext.configure(connection).get_current_heads()
    # Alembic would ask with a bound value, for which DuckDB loads pandas
    if not rows(connection, "FROM duckdb_tables() WHERE table_name = 'alembic_version'"):
        return ()
    return [row.version_num for row in rows(connection, "FROM alembic_version")]


def migrate(connection: sa.Connection, store: str) -> None:
    """Bring a store (`warehouse` or `operations`) to its newest schema.

    Raises NewerSchemaError when the store has one that this version does not know.
    """
    found = schema(connection, store)
    if found.there == found.newest:
        return
    if not found.known:
        said, mend = found.refusal()
        raise NewerSchemaError(f"this {STORES[store]} {said}; {mend}")
    upgrade(connection, store, found.newest)


def upgrade(connection: sa.Connection, store: str, revision: str) -> None:
    """Bring a store to a later revision: all the way or, when it is killed or fails, not at all."""
    from alembic import command
    from duckdb_sqlalchemy import alembic_impl  # noqa: F401 - tells Alembic of DuckDB

    config = _migrations(store)
    config.attributes["connection"] = connection
    if not connection.in_transaction():  # so that Alembic neither begins one nor commits it
        connection.begin()
    if connection.dialect.name == "duckdb":
        with transaction(connection):
            command.upgrade(config, revision)
        return
    if connection.dialect.name == "sqlite":  # its driver begins none for CREATE TABLE
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    command.upgrade(config, revision)


def revisions(store: str) -> list[str]:
    """Every revision of a store's schema, the first first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_migrations(store))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _migrations(store: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations"))
    config.set_main_option("version_locations", str(SQL / "migrations" / store))
    config.set_main_option("path_separator", "newline")
    return config
