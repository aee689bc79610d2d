"""Publish read-only generations: build aside, verify, put in place with one rename.

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

PLACING = "readers.lock"  # held for a moment, so that a rollback need not wait for a build
KEY = ("target", "department")  # of pace; marts/target_pace.sql puts the name beside its code


@dataclass(frozen=True)
class Generation:
    """A published generation; `in_place`: readers have it, `position`: of the ledger then."""

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
    """Build, verify and place a generation under the lock of `publish`; retire old ones."""
    folder = settings.published / "generations"
    folder.mkdir(parents=True, exist_ok=True)
    number = max(_numbers(settings), default=0) + 1
    path = _path(settings, number)
    building = folder / f".building-{number:06}.duckdb"
    # A publication that was killed has left its file; the lock says that nobody is building now.
    remove_database(folder / ".building")
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
    """Make a generation's file; return its ledger position and its number of source rows."""
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
    """Compare every source table's rows per delivery with the ledger's; return how many there are.

    Raise VerificationError if they differ.
    """
    total = 0
    tables = {row[0] for row in rows(connection, "SELECT table_name FROM duckdb_tables()")}
    for source in sources:
        if source not in tables:
            continue
        faults = rows(
            connection,
            f"WITH counted AS (SELECT delivery_id, count(*) AS rows FROM {quoted(source)} "
            "GROUP BY delivery_id), recorded AS (SELECT delivery_id, sum(rows) AS rows "
            "FROM partition_in_force WHERE source = $source GROUP BY delivery_id) "
            "SELECT delivery_id, coalesce(counted.rows, 0), coalesce(recorded.rows, 0) "
            "FROM counted FULL JOIN recorded USING (delivery_id) "
            "WHERE coalesce(counted.rows, 0) <> coalesce(recorded.rows, 0) ORDER BY delivery_id",
            source=source,
        )
        if faults:
            delivery_id, counted, recorded = faults[0]
            raise VerificationError(
                f"{source}: delivery {delivery_id} has {counted} rows and the ledger says "
                f"{recorded} ({len(faults)} such deliveries); nothing was published, "
                f"run `citybrain rebuild {source}`"
            )
        total += int(rows(connection, f"SELECT count(*) FROM {quoted(source)}")[0][0])
    return total


def rollback(settings: Settings, number: int | None = None) -> Generation:
    """Put an older generation in place and pin readers to it; None: that before theirs."""
    require_disks(settings, settings.published)
    with writer_lock(settings, "rollback", PLACING), naming_file(settings.published):
        return _roll_back(settings, number)


def _roll_back(settings: Settings, number: int | None) -> Generation:
    """Put a generation in place and pin readers to it, while `rollback` holds the lock.

    Raise NotPublishedError if there is no generation, UsageError if there is no such one.
    """
    numbers = _numbers(settings)
    if not numbers:
        raise NotPublishedError("nothing was published yet; run `citybrain run`")
    current = _current(settings)
    if number is None:
        older = [each for each in numbers if current is None or each < current]
        if not older:
            raise UsageError(f"there is no generation before {current}")
        number = older[-1]
    if number not in numbers:
        known = ", ".join(map(str, numbers))
        raise UsageError(f"generation {number} is not kept; there are {known}")
    path = _path(settings, number)
    # The pin takes effect last: a kill before leaves readers unpinned, with the older generation
    # until the next publication.
    pin = settings.published / ".pinned"
    pin.write_text(f"{number}\n", encoding="utf-8")
    _put_in_place(settings, path)
    pin.replace(settings.published / "pinned")
    return Generation(number, path, in_place=True, pinned=True)


def unpin(settings: Settings) -> None:
    """Let readers have the newest generation again."""
    (settings.published / "pinned").unlink(missing_ok=True)


def pinned_to(settings: Settings) -> int | None:
    """Return the number of the generation that a rollback pinned readers to, if any."""
    try:
        return int((settings.published / "pinned").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # a full disk leaves the file empty
        return None


def _numbers(settings: Settings) -> list[int]:
    folder = settings.published / "generations"
    return sorted(int(path.stem) for path in folder.glob("[0-9]*.duckdb"))


def _path(settings: Settings, number: int) -> Path:
    return settings.published / "generations" / f"{number:06}.duckdb"


def _current(settings: Settings) -> int | None:
    """Return the number of the generation whose file readers have, if any."""
    in_place = settings.published / READERS_FILE
    if not in_place.exists():
        return None
    same = [each for each in _numbers(settings) if _path(settings, each).samefile(in_place)]
    return same[0] if same else None


def _put_in_place(settings: Settings, path: Path) -> None:
    """Replace the readers' file in one rename: they open the old one or the new, never a part."""
    unfinished = settings.published / f".{READERS_FILE}"
    unfinished.unlink(missing_ok=True)
    os.link(path, unfinished)
    unfinished.replace(settings.published / READERS_FILE)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def retirable(settings: Settings) -> list[Path]:
    """Return the generations that nobody needs any more, the oldest first.

    Needed are the newest few, the last of each of the newest few days (in Shanghai) on which any
    was published, and that of the readers.
    """
    numbers = _numbers(settings)
    last_of_day = {_day(_path(settings, number)): number for number in numbers}
    days = sorted(last_of_day)[-settings.keep_days :] if settings.keep_days else []
    needed = {
        *numbers[-settings.keep_generations :],
        *(last_of_day[day] for day in days),
        _current(settings),
        pinned_to(settings),
    }
    return [_path(settings, number) for number in numbers if number not in needed]


def _day(path: Path) -> date:
    return datetime.fromtimestamp(path.stat().st_mtime, clock.SHANGHAI).date()


def _retire(settings: Settings) -> None:
    for path in retirable(settings):
        path.unlink()


def _add_operations(
    connection: sa.Connection, frames: Mapping[str, pd.DataFrame], comments: sa.MetaData
) -> None:
    """Copy the operational tables into the schema `ops`, with their comments."""
    run(connection, "CREATE SCHEMA ops")
    for name, frame in frames.items():
        duckdb_of(connection).register("given", frame)
        run(connection, f"CREATE TABLE ops.{quoted(name)} AS SELECT * FROM given")
        duckdb_of(connection).unregister("given")
        table = comments.tables[name]
        run(connection, f"COMMENT ON TABLE ops.{quoted(name)} IS {literal(table.comment or '')}")
        for column in table.columns:
            place = f"ops.{quoted(name)}.{quoted(column.name)}"
            run(connection, f"COMMENT ON COLUMN {place} IS {literal(column.comment or '')}")


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
    """Write the generation's one row; return the ledger position that it publishes."""
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
