"""Source tables, made from contracts: one column a declared column, and lineage."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipelines.contracts.sources import Source
from pipelines.engine import COLUMN_TYPES, literal, quoted, rows, run
from pipelines.errors import IncompatibleTableError

LINEAGE = {
    "department": ("VARCHAR", "报送单位代码"),
    "business_date": ("DATE", "业务日期"),
    "part": ("VARCHAR", "分包名；整包为空串"),
    "delivery_id": ("VARCHAR", "报送编号，见 delivery"),
    "sheet": ("VARCHAR", "工作表"),
    "row_number": ("BIGINT", "文件中的行号，从 1 起"),
}


def source_table(source: Source) -> sa.Table:
    """The table as SQLAlchemy sees it, for building queries."""
    types: dict[str, Any] = {
        "VARCHAR": sa.String(),
        "BIGINT": sa.BigInteger(),
        "DECIMAL(28,6)": sa.Numeric(28, 6),
        "DATE": sa.Date(),
        "TIMESTAMP": sa.DateTime(),
        "BOOLEAN": sa.Boolean(),
    }
    columns = [sa.Column(name, types[kind]) for name, (kind, _) in _columns(source).items()]
    return sa.Table(source.name, sa.MetaData(), *columns)


def _columns(source: Source) -> dict[str, tuple[str, str]]:
    """Every column of a source's table: its SQL type and Chinese comment."""
    own = {column.name: (COLUMN_TYPES[column.type], column.title) for column in source.columns}
    return LINEAGE | own


def standby_table(source: Source) -> str:
    """The table of rows that another part of their day keeps out, quoted for SQL."""
    return f"standby.{quoted(source.name)}"


def ensure_table(connection: sa.Connection, source: Source) -> None:
    """Create the source's tables or add the columns that its contract has gained.

    Raises IncompatibleTableError when a column changed its type or vanished from the contract.
    """
    columns = _columns(source)
    _ensure(connection, source, "main", source.title, columns)
    why = {
        "why": ("VARCHAR", "候补原因：mixed 整包与分包并存、conflict 主键冲突、copy 与其他分包重复")
    }
    title = f"{source.title}：候补行，因同日其他分包暂不生效"
    _ensure(connection, source, "standby", title, columns | why)


def _ensure(
    connection: sa.Connection,
    source: Source,
    schema: str,
    title: str,
    wanted: dict[str, tuple[str, str]],
) -> None:
    table = f"{schema}.{quoted(source.name)}"
    there: dict[str, str] = dict(
        rows(
            connection,
            "SELECT column_name, data_type FROM duckdb_columns() "
            "WHERE table_name = $name AND schema_name = $schema AND database_name = "
            "current_database()",
            name=source.name,
            schema=schema,
        )
    )
    faults = [
        f"{name} was {kind} and is now {wanted[name][0] if name in wanted else 'gone'}"
        for name, kind in there.items()
        if name not in wanted or wanted[name][0] != kind
    ]
    if faults:
        raise IncompatibleTableError(
            f"{source.name}: the contract no longer fits its table: {'; '.join(faults)}; "
            f"run `citybrain rebuild {source.name}`"
        )
    added = {name: column for name, column in wanted.items() if name not in there}
    if not there:
        body = ", ".join(f"{quoted(name)} {kind}" for name, (kind, _) in wanted.items())
        run(connection, f"CREATE TABLE {table} ({body})")
    else:
        for name, (kind, _) in added.items():
            run(connection, f"ALTER TABLE {table} ADD COLUMN {quoted(name)} {kind}")
    if added:
        run(connection, f"COMMENT ON TABLE {table} IS {literal(title)}")
        for name, (_, comment) in added.items():
            run(connection, f"COMMENT ON COLUMN {table}.{quoted(name)} IS {literal(comment)}")


def drop_table(connection: sa.Connection, source: Source) -> None:
    """Remove the source's tables, to be rebuilt from the archive."""
    run(connection, f"DROP TABLE IF EXISTS {quoted(source.name)}")
    run(connection, f"DROP TABLE IF EXISTS {standby_table(source)}")
