"""Publishes read-only generations: built aside, verified, put in place with os.replace.

published/
  generations/000001.duckdb …   immutable, the last few are kept
  citybrain.duckdb              the one that readers open: a hard link to one of them
  pinned                        the number that a rollback pinned readers to, if any
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pipelines import clock
from pipelines.engine import duckdb_of, literal, quoted, rows, run, run_file
from pipelines.errors import NotPublishedError, UsageError, VerificationError
from pipelines.machine.disks import require_disks
from pipelines.machine.failures import naming_file
from pipelines.machine.locks import writer_lock
from pipelines.published import READERS_FILE
from pipelines.settings import SQL, Settings
from pipelines.tracking.pace import pace_columns
from pipelines.warehouse.connection import open_warehouse, opened, remove_database
from pipelines.warehouse.ledger import last_position

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pandas as pd

PLACING = "readers.lock"  # held for a moment: a rollback need not wait for a build
KEY = ("target", "department")  # of pace; marts/target_pace.sql puts the name beside its code


@dataclass(frozen=True)
class Generation:
    """A published generation: its number, its file, whether readers have it, what it knows."""

    number: int
    path: Path
    in_place: bool
    pinned: bool
    position: int | None = None
    rows: int | None = None  # of all source tables


def publish(
    settings: Settings,
    sources: Iterable[str],
    operations: Mapping[str, pd.DataFrame],
    comments: sa.MetaData,
) -> Generation:
    """Build, verify and put in place a generation of the warehouse as it is now.

    Readers pinned by a rollback stay where they are. Raises VerificationError, and leaves
    readers alone, when a source's rows are not those that the ledger says. One at a time.
    """
    require_disks(settings, settings.published)
    with writer_lock(settings, "publish", "publish.lock"), naming_file(settings.published):
        return _publish(settings, sources, operations, comments)


def _publish(
    settings: Settings,
    sources: Iterable[str],
    operations: Mapping[str, pd.DataFrame],
    comments: sa.MetaData,
) -> Generation:
    folder = settings.published / "generations"
    folder.mkdir(parents=True, exist_ok=True)
    number = max(_numbers(settings), default=0) + 1
    path = _path(settings, number)
    building = folder / f".building-{number:06}.duckdb"
    remove_database(folder / ".building")  # of a publication that was killed
    try:
        position, counted = _build(settings, building, number, sources, operations, comments)
        _sync(building)
        building.replace(path)
    finally:
        remove_database(building)
    with writer_lock(settings, "publish", PLACING):
        pinned = pinned_to(settings)
        if pinned is None:
            _put_in_place(settings, path)
        _retire(settings)
    return Generation(number, path, pinned is None, pinned is not None, position, counted)


def _build(
    settings: Settings,
    building: Path,
    number: int,
    sources: Iterable[str],
    operations: Mapping[str, pd.DataFrame],
    comments: sa.MetaData,
) -> tuple[int, int]:
    """Make a generation's file: the ledger position that it knows, and its rows."""
    with open_warehouse(settings, "publish") as connection:
        run(connection, "CHECKPOINT")
        shutil.copyfile(settings.warehouse, building)
    with opened(building, settings) as connection:
        counted = verify(connection, sources)
        _add_operations(connection, operations, comments)
        _add_marts(connection)
        position = _add_generation(connection, number)
        run(connection, "CHECKPOINT")
    building.chmod(0o444)
    return position, counted


def verify(connection: sa.Connection, sources: Iterable[str]) -> int:
    """Hold every source table's rows per delivery against the ledger's; how many there are."""
    total = 0
    there = {row[0] for row in rows(connection, "SELECT table_name FROM duckdb_tables()")}
    for source in sources:
        if source not in there:
            continue
        faults = rows(
            connection,
            f"WITH counted AS (SELECT delivery_id, count(*) AS rows FROM {quoted(source)} "
            "GROUP BY delivery_id), told AS (SELECT delivery_id, sum(rows) AS rows "
            "FROM partition_in_force WHERE source = $source GROUP BY delivery_id) "
            "SELECT delivery_id, coalesce(counted.rows, 0), coalesce(told.rows, 0) "
            "FROM counted FULL JOIN told USING (delivery_id) "
            "WHERE coalesce(counted.rows, 0) <> coalesce(told.rows, 0) ORDER BY delivery_id",
            source=source,
        )
        if faults:
            delivery_id, counted, told = faults[0]
            raise VerificationError(
                f"{source}: delivery {delivery_id} has {counted} rows and the ledger says {told} "
                f"({len(faults)} such deliveries); nothing was published, "
                f"run `citybrain rebuild {source}`"
            )
        total += int(rows(connection, f"SELECT count(*) FROM {quoted(source)}")[0][0])
    return total


def rollback(settings: Settings, number: int | None = None) -> Generation:
    """Put an older generation in place and pin readers to it; None is the one before theirs."""
    require_disks(settings, settings.published)
    with writer_lock(settings, "rollback", PLACING), naming_file(settings.published):
        return _roll_back(settings, number)


def _roll_back(settings: Settings, number: int | None) -> Generation:
    numbers = _numbers(settings)
    if not numbers:
        raise NotPublishedError("nothing was published yet; run `citybrain run`")
    current = _current(settings)
    if number is None:
        older = [one for one in numbers if current is None or one < current]
        if not older:
            raise UsageError(f"there is no generation before {current}")
        number = older[-1]
    if number not in numbers:
        known = ", ".join(map(str, numbers))
        raise UsageError(f"generation {number} is not kept; there are {known}")
    path = _path(settings, number)
    pin = settings.published / ".pinned"
    pin.write_text(f"{number}\n", encoding="utf-8")
    _put_in_place(settings, path)
    pin.replace(settings.published / "pinned")
    return Generation(number, path, in_place=True, pinned=True)


def unpin(settings: Settings) -> None:
    """Let readers have the newest generation again."""
    (settings.published / "pinned").unlink(missing_ok=True)


def pinned_to(settings: Settings) -> int | None:
    """The generation that a rollback pinned readers to."""
    try:
        return int((settings.published / "pinned").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # empty, when the disk was full
        return None


def _numbers(settings: Settings) -> list[int]:
    folder = settings.published / "generations"
    return sorted(int(path.stem) for path in folder.glob("[0-9]*.duckdb"))


def _path(settings: Settings, number: int) -> Path:
    return settings.published / "generations" / f"{number:06}.duckdb"


def _current(settings: Settings) -> int | None:
    """The generation whose file readers have."""
    in_place = settings.published / READERS_FILE
    if not in_place.exists():
        return None
    same = [one for one in _numbers(settings) if _path(settings, one).samefile(in_place)]
    return same[0] if same else None


def _put_in_place(settings: Settings, path: Path) -> None:
    """One rename: readers have the old file or the new one, never half of one."""
    unfinished = settings.published / f".{READERS_FILE}"
    unfinished.unlink(missing_ok=True)
    os.link(path, unfinished)
    unfinished.replace(settings.published / READERS_FILE)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def retirable(settings: Settings) -> list[Path]:
    """Generations that need not be kept, the oldest first.

    Kept are the newest few, the last one of each of the newest few days (in Shanghai) on which any
    was published, and the one that readers have.
    """
    numbers = _numbers(settings)
    last_of_day = {_day(_path(settings, number)): number for number in numbers}
    days = sorted(last_of_day)[-settings.keep_days :] if settings.keep_days else []
    kept = {
        *numbers[-settings.keep_generations :],
        *(last_of_day[day] for day in days),
        _current(settings),
        pinned_to(settings),
    }
    return [_path(settings, number) for number in numbers if number not in kept]


def _day(path: Path) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, clock.SHANGHAI).date()


def _retire(settings: Settings) -> None:
    for path in retirable(settings):
        path.unlink()


def _add_operations(
    connection: sa.Connection, frames: Mapping[str, pd.DataFrame], comments: sa.MetaData
) -> None:
    run(connection, "CREATE SCHEMA ops")
    for name, frame in frames.items():
        duckdb_of(connection).register("given", frame)
        run(connection, f"CREATE TABLE ops.{quoted(name)} AS SELECT * FROM given")
        duckdb_of(connection).unregister("given")
        table = comments.tables[name]
        run(connection, f"COMMENT ON TABLE ops.{quoted(name)} IS {literal(table.comment or '')}")
        for column in table.columns:
            there = f"ops.{quoted(name)}.{quoted(column.name)}"
            run(connection, f"COMMENT ON COLUMN {there} IS {literal(column.comment or '')}")


def _add_marts(connection: sa.Connection) -> None:
    """Create the marts; the columns of `target_pace`, and their comments, are those of `Pace`."""
    run(connection, "CREATE SCHEMA marts")
    columns = {name: column for name, (_, column) in pace_columns().items() if column.in_mart}
    listed = ", ".join(f"pace.{quoted(name)}" for name in columns if name not in KEY)
    for path in sorted((SQL / "marts").glob("*.sql")):
        run_file(connection, f"marts/{path.name}", columns=listed)
    for name, column in columns.items():
        place = f"marts.target_pace.{quoted(name)}"
        run(connection, f"COMMENT ON COLUMN {place} IS {literal(column.chinese)}")


def _add_generation(connection: sa.Connection, number: int) -> int:
    position = last_position(connection)
    run(
        connection,
        "CREATE TABLE generation (number INTEGER, published_at TIMESTAMP, position BIGINT);"
        "COMMENT ON TABLE generation IS '本发布版';"
        "COMMENT ON COLUMN generation.number IS '版本号';"
        "COMMENT ON COLUMN generation.published_at IS '发布时间（UTC）';"
        "COMMENT ON COLUMN generation.position IS '发布时的台账序号'",
    )
    run(
        connection,
        "INSERT INTO generation VALUES ($number, $at, $position)",
        number=number,
        at=clock.now(),
        position=position,
    )
    return position
