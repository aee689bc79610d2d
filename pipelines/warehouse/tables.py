"""Make a source's tables from its contract: a column for each declared one, and lineage."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipelines.contracts.columns import LINEAGE_COLUMNS
from pipelines.contracts.sources import Source
from pipelines.engine import COLUMN_TYPES, literal, quoted, rows, run
from pipelines.errors import IncompatibleTableError, UsageError

Columns = dict[str, tuple[str, str]]  # name → SQL type, Chinese comment

# Columns that every source's table has before those of its contract.
LINEAGE: Columns = {
    name: (COLUMN_TYPES[column_type], comment)
    for name, (column_type, comment) in LINEAGE_COLUMNS.items()
}
# Further columns of its standby table: declared names begin with a letter, so that none collides.
STANDBY: Columns = {
    "_why": ("VARCHAR", "候补原因：mixed 整包与分包并存、conflict 主键冲突、copy 与其他分包重复")
}
SQL_TYPES: dict[str, Any] = {
    "VARCHAR": sa.String(),
    "BIGINT": sa.BigInteger(),
    "DECIMAL(28,6)": sa.Numeric(28, 6),
    "DATE": sa.Date(),
    "TIMESTAMP": sa.DateTime(),
    "BOOLEAN": sa.Boolean(),
}


def source_columns(source: Source) -> Columns:
    """Return every column of a source's table: lineage first, then what the contract declares."""
    declared = {column.name: (COLUMN_TYPES[column.type], column.title) for column in source.columns}
    return LINEAGE | declared


def source_table(source: Source) -> sa.Table:
    """Return a source's table for building queries with SQLAlchemy."""
    columns = [
        sa.Column(name, SQL_TYPES[kind]) for name, (kind, _) in source_columns(source).items()
    ]
    return sa.Table(source.name, sa.MetaData(schema="main"), *columns)


def source_tables(source: Source) -> dict[str, str]:
    """Return a source's tables, quoted, by the names that the .sql files give them.

    Rows are in `standby` while another part of their day keeps them out of the `table`.
    """
    name = quoted(source.name)
    return {"table": f"main.{name}", "standby": f"standby.{name}"}


def ensure_table(connection: sa.Connection, source: Source) -> None:
    """Create the source's tables or add the columns that its contract has gained.

    Raise IncompatibleTableError if a column changed its type or vanished from the contract, and
    UsageError if the warehouse has a table of its own by that name.
    """
    columns = source_columns(source)
    _ensure(connection, source, "main", source.title, columns)
    title = f"{source.title}：候补行，因同日其他分包暂不生效"
    _ensure(connection, source, "standby", title, columns | STANDBY)


def drop_table(connection: sa.Connection, source: Source) -> None:
    """Remove the source's tables, to be rebuilt from the archive.

    Raise UsageError, with nothing removed, if the table of that name is the warehouse's own.
    """
    _existing_columns(connection, source, "main")
    for table in source_tables(source).values():
        run(connection, f"DROP TABLE IF EXISTS {table}")


def _existing_columns(connection: sa.Connection, source: Source, schema: str) -> dict[str, str]:
    """Return the types of the columns of a source's table, empty if it does not exist yet.

    Every source's table has all columns of lineage and no other table or view of the warehouse
    has them, by which a source is kept from writing to, or dropping, what is not its own.
    """
    existing: dict[str, str] = dict(
        rows(
            connection,
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE table_name = $name AND schema_name = $schema AND database_name = "
            "current_database()",
            name=source.name,
            schema=schema,
        )
    )
    if existing and not LINEAGE.keys() <= existing.keys():
        raise UsageError(
            f"sources/{source.name}.yaml: name: the warehouse has a table {source.name} of its "
            "own; give the source another name"
        )
    return existing


def _ensure(
    connection: sa.Connection, source: Source, schema: str, title: str, wanted: Columns
) -> None:
    """Create one of the source's tables as `wanted`, or add the columns that it lacks."""
    existing = _existing_columns(connection, source, schema)
    faults = [
        f"{name} was {kind} and is now {wanted[name][0] if name in wanted else 'gone'}"
        for name, kind in existing.items()
        if name not in wanted or wanted[name][0] != kind
    ]
    if faults:
        raise IncompatibleTableError(
            f"{source.name}: the contract no longer fits its table: {'; '.join(faults)}; "
            f"run `citybrain rebuild {source.name}`"
        )
    added = {name: column for name, column in wanted.items() if name not in existing}
    if not added:
        return
    table = f"{schema}.{quoted(source.name)}"
    if not existing:
        body = ", ".join(f"{quoted(name)} {kind}" for name, (kind, _) in wanted.items())
        run(connection, f"CREATE TABLE {table} ({body})")
    else:
        for name, (kind, _) in added.items():
            run(connection, f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}")
    run(connection, f"COMMENT ON TABLE {table} IS {literal(title)}")
    for name, (_, comment) in added.items():
        run(connection, f"COMMENT ON COLUMN {table}.{quoted(name)} IS {literal(comment)}")
