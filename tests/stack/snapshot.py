"""Return what a data folder holds, in a form that two folders with the same input must share.

Left out is only what tells when and in which run something happened: instants but the receipt,
ledger positions, run ids. What is appended by every run (pace, alerts, digests) counts once.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
from stack.commands import City

OF_RUNS = {"run", "step", "generation"}  # tables about runs: nothing in them is comparable
BY_EVERY_RUN = {"pace", "alert", "notification", "configuration"}
AFTER_PUBLICATION = {"notification"}  # a generation has the digests of the runs before its own
INCOMPARABLE = {"position", "known_from", "run_id", "stage_seconds"}
WHOLE = {"received_at"}  # the one instant that repeats
SHOWN, SHOWN_CHARACTERS = 2, 200  # of the rows that differ in a table

Rows = Counter[tuple[str, ...]]


@dataclass
class Snapshot:
    """Tables by their name (rows counted, order aside), and sets of files by their kind."""

    tables: dict[str, Rows] = field(default_factory=dict)
    verdicts: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def differences(self, other: Snapshot) -> list[str]:
        """Return in what `other` differs from this snapshot, table by table."""
        lines = list(other.faults)
        for name in sorted(self.tables.keys() | other.tables.keys()):
            wanted, actual = self.tables.get(name, Rows()), other.tables.get(name, Rows())
            lines += _describe_rows(name, "lost", wanted - actual) + _describe_rows(
                name, "too many", actual - wanted
            )
        return lines


def _describe_rows(name: str, what: str, rows: Rows) -> list[str]:
    if not rows:
        return []
    shown = "; ".join(
        f"{count} x {', '.join(row)}"[:SHOWN_CHARACTERS] for row, count in rows.most_common(SHOWN)
    )
    return [f"{name}: {rows.total()} rows {what}, as {shown}"]


def take(city: City) -> Snapshot:
    """Return everything comparable in the three databases, the archive and landing."""
    snapshot = Snapshot()
    for label, file in (("warehouse", city.warehouse), ("published", city.readers_file)):
        with duckdb.connect(file, read_only=True, config={"threads": 1}) as connection:
            for schema, table in _tables(connection):
                if table not in AFTER_PUBLICATION:
                    rows = _rows(connection, schema, table)
                    snapshot.tables[f"{label} {schema}.{table}"] = rows
            snapshot.faults += _twice(connection, label)
            verdicts = connection.execute("SELECT DISTINCT verdict FROM delivery").fetchall()
            snapshot.verdicts |= {row[0] for row in verdicts}
    snapshot.tables |= _operations(city)
    snapshot.tables["archive"] = Counter((path.name,) for path in _archived(city))
    snapshot.faults += [
        f"archive: {path.name} has other bytes than its name says"
        for path in _archived(city)
        if hashlib.sha256(path.read_bytes()).hexdigest() != path.name
    ]
    waiting = (path.relative_to(city.landing) for path in _files(city.landing))
    snapshot.tables["landing"] = Counter((path.as_posix(),) for path in waiting)
    return snapshot


def torn(city: City) -> list[str]:
    """Return what a killed run's warehouse holds half: nothing may be there in part."""
    if not city.warehouse.exists():
        return []
    with duckdb.connect(city.warehouse, read_only=True, config={"threads": 1}) as connection:
        faults = _twice(connection, "killed")
        for (source,) in connection.execute(
            "SELECT DISTINCT source FROM delivery_partition"
        ).fetchall():
            faults += [
                f"killed: {source} has {counted} rows of {delivery} and should have {promised}"
                for delivery, counted, promised in connection.execute(
                    f'WITH counted AS (SELECT delivery_id, count(*) AS rows FROM "{source}" '
                    "GROUP BY delivery_id), told AS (SELECT delivery_id, sum(rows) AS rows "
                    "FROM delivery_partition WHERE source = ? AND known_until IS NULL "
                    "GROUP BY delivery_id HAVING sum(rows) > 0) "
                    "SELECT delivery_id, counted.rows, told.rows FROM counted "
                    "FULL JOIN told USING (delivery_id) "
                    "WHERE counted.rows IS DISTINCT FROM told.rows",
                    (source,),
                ).fetchall()
            ]
    return faults


def leftovers(city: City) -> list[str]:
    """Return what killed runs left that no run has use for, as paths in the data folder."""
    staged = city.data.glob("staging/*")
    hidden = (
        path
        for folder in ("archive", "published")
        for path in _files(city.data / folder)
        if path.name.startswith(".")
    )
    return sorted(path.relative_to(city.data).as_posix() for path in (*staged, *hidden))


def age(place: Path, seconds: float) -> None:
    """Make a file, or a folder with all that is in it, look that much older than it is."""
    for path in (*place.rglob("*"), place):
        then = path.stat().st_mtime - seconds
        os.utime(path, (then, then))


def _tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, str]]:
    tables = connection.execute(
        "SELECT table_schema, table_name FROM information_schema.tables ORDER BY ALL"
    ).fetchall()
    return [(schema, table) for schema, table in tables if table not in OF_RUNS]


def _rows(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> Rows:
    columns = connection.execute(
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = ? AND table_name = ? ORDER BY ordinal_position",
        (schema, table),
    ).fetchall()
    shown = [text for name, kind in columns if (text := _comparable(name, kind))]
    values = connection.execute(f'SELECT {", ".join(shown)} FROM "{schema}"."{table}"').fetchall()
    return _counted(table, values)


def _counted(table: str, values: Iterable[Sequence[object]]) -> Rows:
    rows = Counter(tuple(map(repr, row)) for row in values)
    return Counter(set(rows)) if table in BY_EVERY_RUN else rows


def _operations(city: City) -> dict[str, Rows]:
    """Return the operational database, which is SQLite's here, table by table."""
    tables: dict[str, Rows] = {}
    connection = sqlite3.connect(city.operations)
    try:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'"):
            if table in OF_RUNS:
                continue
            columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
            shown = [text for _, name, kind, *_ in columns if (text := _comparable(name, kind))]
            values = connection.execute(f"SELECT {', '.join(shown)} FROM {table}").fetchall()
            tables[f"operations {table}"] = _counted(table, values)
    finally:
        connection.close()
    return tables


def _comparable(name: str, kind: str) -> str | None:
    """Return the column as it may be compared: for end positions, whether there is one."""
    if name == "known_until":
        return "known_until IS NULL AS in_force"
    is_instant = kind.startswith(("TIMESTAMP", "DATETIME")) and name not in WHOLE
    return None if is_instant or name in INCOMPARABLE else f'"{name}"'


def _twice(connection: duckdb.DuckDBPyConnection, label: str) -> list[str]:
    """Return what must be there at most once, whatever else is the same."""
    once = {
        "ledger position": "SELECT position FROM delivery",
        "receipt": "SELECT delivery_id, received_at FROM delivery WHERE cause = 'landing'",
        "partition in force": "SELECT source, department, business_date, part "
        "FROM delivery_partition WHERE known_until IS NULL",
        "metric in force": "SELECT metric, department, business_date, breakdown "
        "FROM metric_daily WHERE known_until IS NULL",
    }
    return [
        f"{label}: {what} {row} is there twice"
        for what, query in once.items()
        for row in _repeated(connection.execute(query).fetchall())
    ]


def _repeated(rows: Sequence[tuple[object, ...]]) -> Iterable[tuple[object, ...]]:
    return (row for row, count in Counter(rows).items() if count > 1)


def _archived(city: City) -> list[Path]:
    return [path for path in _files(city.data / "archive") if not path.name.startswith(".")]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
