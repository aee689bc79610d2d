"""Open DuckDB through SQLAlchemy with our limits and macros, and run the project's .sql files.

SQL has two kinds of places: `$name` is a value, which DuckDB binds, and `${name}` is an identifier
or a list of identifiers, which `sql` fills in from names that the contracts' rules have checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, StaticPool

from pipelines.contracts.columns import ColumnType
from pipelines.settings import SQL, Settings

if TYPE_CHECKING:
    import pyarrow as pa

COLUMN_TYPES = {
    ColumnType.TEXT: "VARCHAR",
    ColumnType.INTEGER: "BIGINT",
    ColumnType.DECIMAL: "DECIMAL(28,6)",
    ColumnType.DATE: "DATE",
    ColumnType.TIMESTAMP: "TIMESTAMP",
    ColumnType.BOOLEAN: "BOOLEAN",
}


def open_duckdb(
    path: Path | None, settings: Settings, *, read_only: bool = False, macros: bool = False
) -> Engine:
    """Return an engine on the DuckDB file at `path`; None is a database in memory.

    The file is held exactly while a connection is open. `macros` makes those of warehouse/macros
    known to each connection.
    """
    engine = create_engine(
        f"duckdb:///{path or ':memory:'}",
        connect_args=connect_args(settings, read_only=read_only),
        poolclass=NullPool if path else StaticPool,
        # A file that a full disk has damaged refuses the rollback before a connection closes.
        skip_autocommit_rollback=True,
    )
    event.listen(engine, "connect", _set_time_zone)
    if macros:
        event.listen(engine, "connect", _create_macros)
    return engine


def connect_args(settings: Settings, *, read_only: bool = False) -> dict[str, object]:
    """Return our limits; all connections of a process to one file must have the same.

    DuckDB fetches nothing from outside: it may neither install nor load extensions by itself.
    """
    config = {
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return {"read_only": read_only, "config": config}


def _set_time_zone(connection: Any, _entry: ConnectionPoolEntry) -> None:
    """Make instants read and written as UTC, whatever the machine's time zone."""
    connection.execute("SET TimeZone = 'UTC'")


def _create_macros(connection: Any, _entry: ConnectionPoolEntry) -> None:
    for script in macro_scripts():
        connection.execute(script)


@cache
def macro_scripts() -> tuple[str, ...]:
    """Return the macros of warehouse/macros, each script after those whose macros it uses."""
    names = ("normalise.sql", "codes.sql", "mask.sql")
    return tuple((SQL / "macros" / name).read_text(encoding="utf-8") for name in names)


def sql(name: str, **parts: str) -> str:
    """Return the text of warehouse/`name` with its `${part}`s, which are identifiers, filled in."""
    text = (SQL / name).read_text(encoding="utf-8")
    return re.sub(r"\$\{(\w+)\}", lambda place: parts[place[1]], text)


def quoted(name: str) -> str:
    """Quote an identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(constant: str) -> str:
    """Quote a declared text for places where DuckDB binds no values, such as COMMENT ON."""
    return "'" + constant.replace("'", "''") + "'"


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """Run the block as one DuckDB transaction: all of it takes effect, or nothing."""
    run(connection, "BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        # After an error of the disk DuckDB has rolled back already, and refuses to do it twice.
        with suppress(Exception):
            run(connection, "ROLLBACK")
        raise
    run(connection, "COMMIT")


def run(connection: Connection, statements: str, **values: Any) -> None:
    """Run SQL text; its `$name`s are bound to `values`.

    Only the last of several statements may have values: DuckDB prepares no others.
    """
    duckdb_of(connection).execute(statements, values or None)


def run_file(
    connection: Connection, name: str, values: Mapping[str, Any] | None = None, /, **parts: str
) -> None:
    """Run the statements of a .sql file of warehouse/, each with the `$name`s it mentions.

    DuckDB binds values to one statement at a time, so the file is split as DuckDB itself does it.
    """
    duckdb = duckdb_of(connection)
    for statement in duckdb.extract_statements(sql(name, **parts)):
        bound = {parameter: (values or {})[parameter] for parameter in statement.named_parameters}
        duckdb.execute(statement, bound)


def rows(connection: Connection, query: str, **values: Any) -> list[Any]:
    """Return all rows (named tuples) of a query; its `$name`s are bound to `values`."""
    return list(connection.exec_driver_sql(query, values))


def keep(connection: Connection, name: str, table: pa.Table) -> None:
    """Copy `table` into a table: `schema.name` belongs to the database, `name` is temporary."""
    duckdb = duckdb_of(connection)
    temporary = "" if "." in name else "TEMP "
    duckdb.register("_given_rows", table)
    duckdb.execute(f"CREATE OR REPLACE {temporary}TABLE {name} AS SELECT * FROM _given_rows")
    duckdb.unregister("_given_rows")


def duckdb_of(connection: Connection) -> Any:
    """Return DuckDB's own connection below SQLAlchemy's."""
    return connection.connection.driver_connection


def is_migrated(connection: Connection, store: str) -> bool:
    """Tell, with one query, whether a store has the newest migration of warehouse/migrations.

    `store` is `warehouse` or `operations`. A store without tables has none. PostgreSQL aborts the
    transaction of a query that fails, so give this a connection of its own.
    """
    newest = max(path.name for path in (SQL / "migrations" / store).glob("[a-z]*.py"))
    try:
        revisions = connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
    except DBAPIError:
        return False
    return [tuple(row) for row in revisions] == [(newest.partition("_")[0],)]
