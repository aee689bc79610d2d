"""Asking a store's connection: statements, files of warehouse/, rows, transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pipelines.engine import sql


@contextmanager
def transaction(connection: sa.Connection) -> Iterator[None]:
    """One DuckDB transaction: all of the block, or nothing of it."""
    run(connection, "BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        with suppress(Exception):  # a full disk has ended it already
            run(connection, "ROLLBACK")
        raise
    run(connection, "COMMIT")


def run(connection: sa.Connection, statements: str) -> None:
    """Execute SQL text as it is, several statements included."""
    duckdb_of(connection).execute(statements)


def run_file(connection: sa.Connection, name: str, **parts: str) -> None:
    """Execute a .sql file of warehouse/."""
    run(connection, sql(name, **parts))


def rows(connection: sa.Connection, query: str, **values: Any) -> list[Any]:
    """All rows (named tuples) of a query with bound `:values`."""
    return list(connection.execute(sa.text(query), values))


def keep(connection: sa.Connection, name: str, table: pa.Table) -> None:
    """A temporary table with the rows of `table`."""
    duckdb = duckdb_of(connection)
    duckdb.register(f"{name}_given", table)
    duckdb.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM {name}_given")
    duckdb.unregister(f"{name}_given")


def duckdb_of(connection: sa.Connection) -> Any:
    """DuckDB's own connection below SQLAlchemy's."""
    return connection.connection.driver_connection


def file_literal(path: Path) -> str:
    """A path inside a SQL text literal."""
    return str(path).replace("'", "''")
