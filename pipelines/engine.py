"""Opens DuckDB through SQLAlchemy with our limits and macros; reads the project's .sql files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, StaticPool

from pipelines.contracts.models import ColumnType
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
    """An engine on the DuckDB file at `path`; None is a database in memory.

    The file is held exactly while a connection is open. Nothing is ever fetched from outside:
    extensions are neither installed nor loaded by themselves.
    """
    engine = create_engine(
        duckdb_url(path),
        connect_args=connect_args(settings, read_only=read_only),
        poolclass=NullPool if path else StaticPool,
        # a file that a full disk has broken is to be closed, and lets nothing be rolled back
        skip_autocommit_rollback=True,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: object, _entry: ConnectionPoolEntry) -> None:
        execute = connection.execute  # type: ignore[attr-defined]
        execute("SET TimeZone = 'UTC'")
        if macros:
            for script in macro_scripts():
                execute(script)

    return engine


def duckdb_url(path: Path | None) -> str:
    """SQLAlchemy's URL of a DuckDB file."""
    return f"duckdb:///{path or ':memory:'}"


def connect_args(settings: Settings, *, read_only: bool = False) -> dict[str, object]:
    """Our limits; every connection of a process to one file must carry the same."""
    config = {
        "memory_limit": settings.memory_limit,
        "threads": settings.threads,
        "preserve_insertion_order": "false",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    return {"read_only": read_only, "config": config}


@cache
def macro_scripts() -> tuple[str, ...]:
    """The normaliser, and the codes and masks, which are written in its terms."""
    names = ("normalise.sql", "codes.sql", "mask.sql")
    return tuple((SQL / "macros" / name).read_text(encoding="utf-8") for name in names)


@cache
def _statement(name: str) -> str:
    return (SQL / name).read_text(encoding="utf-8")


def sql(name: str, **parts: str) -> str:
    """The statement in warehouse/`name`, its `${part}`s filled in.

    Parts are identifiers and lists of columns made from contracts, whose names are checked;
    values are bound, never filled in.
    """
    return re.sub(r"\$\{(\w+)\}", lambda found: parts[found[1]], _statement(name))


def quoted(name: str) -> str:
    """An identifier as SQL wants it."""
    return '"' + name.replace('"', '""') + '"'


def literal(constant: str) -> str:
    """A text literal as SQL wants it, for declared constants inside expressions."""
    return "'" + constant.replace("'", "''") + "'"


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """One DuckDB transaction: all of the block, or nothing of it."""
    run(connection, "BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        with suppress(Exception):  # a full disk has ended it already
            run(connection, "ROLLBACK")
        raise
    run(connection, "COMMIT")


def run(connection: Connection, statements: str, **values: Any) -> None:
    """Execute SQL text; its `$name`s are bound to `values`.

    Only the last of several statements may have values: DuckDB prepares no others.
    """
    duckdb_of(connection).execute(statements, values or None)


def run_file(
    connection: Connection, name: str, values: Mapping[str, Any] | None = None, **parts: str
) -> None:
    """Execute the statements of a .sql file of warehouse/, each with the `$name`s it mentions.

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
    """DuckDB's own connection below SQLAlchemy's."""
    return connection.connection.driver_connection


def file_literal(path: Path) -> str:
    """A path inside a SQL text literal."""
    return str(path).replace("'", "''")
