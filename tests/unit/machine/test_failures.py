"""Check, by real refusals, that the machine's failures are told from a delivery's faults."""

from __future__ import annotations

import errno
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from integration.disks import Disk, disk
from pydantic import SecretStr

from pipelines.engine import open_duckdb
from pipelines.errors import StorageError, UsageError, WarehouseBusyError
from pipelines.machine import failures
from pipelines.settings import Settings

__all__ = ["disk"]
pytestmark = pytest.mark.xdist_group("disks")
Fail = Callable[[Path], Any]
FREE = "MB free of"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    return Settings(data_dir=data, memory_limit="20MB", threads=1)


def raised(fail: Fail, path: Path) -> Exception:
    with pytest.raises(Exception) as caught:
        fail(path)
    return caught.value


def write(path: Path) -> None:
    with path.open("wb") as file, failures.naming_file(path):
        file.write(b"x" * 2_000_000)


def fill_table(path: Path) -> None:
    with duckdb.connect(path, config={"threads": 1}) as connection:
        connection.execute("CREATE TABLE t AS SELECT md5(range::VARCHAR) AS a FROM range(200_000)")


def fill_table_by_sqlalchemy(path: Path) -> None:
    engine = open_duckdb(path, Settings(threads=1))
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(
                "CREATE TABLE t AS SELECT md5(range::VARCHAR) AS a FROM range(200_000)"
            )
            connection.commit()
    finally:
        engine.dispose()


def commit_table(path: Path) -> None:
    """Commit rows that fit into memory, so that only the commit meets the disk."""
    with duckdb.connect(path, config={"threads": 1}) as connection:
        connection.execute("CREATE TABLE t (a VARCHAR)")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO t SELECT md5(range::VARCHAR) FROM range(60_000)")
        connection.execute("COMMIT")


def fill_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t AS SELECT randomblob(2000000) AS a")


def copy_to_parquet(path: Path) -> None:
    duckdb.sql(f"COPY (SELECT md5(range::VARCHAR) FROM range(200_000)) TO '{path}'")


@pytest.mark.parametrize(
    "fail", [write, fill_table, fill_table_by_sqlalchemy, commit_table, copy_to_parquet]
)
def test_a_full_disk(
    fail: Fail, settings: Settings, tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    disk(tmp_path / "full", "1m")
    error = raised(fail, tmp_path / "full" / "file")
    assert failures.describe_machine_failure(error) == "No space left on device"
    described = failures.machine_error(settings, "load records", error)
    assert isinstance(described, StorageError)
    assert str(described).startswith(f"load records: {tmp_path}/full/file")
    assert re.search(rf"No space left on device \([01] {FREE} 1\);", str(described))
    assert "free some space (`citybrain clean`" in str(described)


def test_a_full_disk_of_the_operational_database(
    settings: Settings, tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    disk(tmp_path / "full", "1m")
    place = tmp_path / "full" / "operations.sqlite"
    given = settings.model_copy(update={"ops_url": SecretStr(f"sqlite:///{place}")})
    error = raised(fill_sqlite, place)
    assert failures.describe_machine_failure(error) == "disk is full"
    assert str(failures.machine_error(given, "alerts", error)).startswith(
        f"alerts: {place}: disk is"
    )
    wrapped = sa.exc.OperationalError("INSERT", {}, error)
    assert failures.describe_machine_failure(wrapped) == "disk is full"


@pytest.mark.parametrize("fail", [write, fill_table, fill_sqlite, copy_to_parquet])
def test_a_write_protected_disk(
    fail: Fail, settings: Settings, tmp_path: Path, disk: Callable[..., Disk]
) -> None:
    disk(tmp_path / "fixed", "4m").protect()
    error = raised(fail, tmp_path / "fixed" / "file")
    described = str(failures.machine_error(settings, "publish", error))
    if fail is fill_sqlite:
        assert failures.describe_machine_failure(error) == "unable to open database file"
        assert f"{settings.data_dir}/operations.sqlite: unable to open" in described
    else:
        assert failures.describe_machine_failure(error) == "Read-only file system"
        assert f"{tmp_path}/fixed/file: Read-only" in described
        assert "let this user write there" in described


def test_a_database_that_may_only_be_read(settings: Settings, tmp_path: Path) -> None:
    place = tmp_path / "operations.sqlite"
    sqlite3.connect(place).execute("CREATE TABLE t (a)").connection.close()
    connection = sqlite3.connect(f"file:{place}?mode=ro", uri=True)
    error = raised(lambda _: connection.execute("INSERT INTO t VALUES (1)"), place)
    connection.close()
    assert failures.describe_machine_failure(error) == "readonly database"


@pytest.mark.parametrize("content", [b"", b"nothing of the kind" * 1000])
def test_a_file_that_is_no_database_is_named(
    settings: Settings, tmp_path: Path, content: bytes
) -> None:
    place = tmp_path / "warehouse.duckdb"
    place.write_bytes(content)
    error = raised(fill_table, place)
    assert "restore it from a backup" in str(failures.machine_error(settings, "track", error))
    if content:
        error = raised(fill_sqlite, place)
        assert failures.describe_machine_failure(error) == "is not a database"


def test_exhausted_memory_is_reported_with_advice(settings: Settings, tmp_path: Path) -> None:
    """Advise to raise our limit, or to ask for less memory than the machine has."""

    def sort(_: Path) -> None:
        with duckdb.connect(config={"memory_limit": "6MB", "threads": 1}) as connection:
            connection.execute("SET temp_directory = ''")
            connection.execute("SELECT * FROM range(9_000_000) ORDER BY hash(range)").fetchall()

    described = str(failures.machine_error(settings, "stage records", raised(sort, tmp_path)))
    assert described.startswith(
        "stage records: out of memory (CITYBRAIN_MEMORY_LIMIT is 20MB); raise it, or lower "
        "CITYBRAIN_CHUNK_BYTES, then run again"
    )
    error = raised(lambda _: bytearray(1 << 60), tmp_path)
    assert failures.describe_machine_failure(error) == "out of memory"
    assert "run less at the same time" in str(failures.machine_error(settings, "stage", error))


def test_who_has_a_file_open_is_named(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.duckdb"
    hold = f"import duckdb, sys; c = duckdb.connect({str(file)!r}); print(1, flush=True); input()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"1\n"
    described = failures.machine_error(settings, "load", raised(fill_table, file))
    holder.communicate()
    assert isinstance(described, WarehouseBusyError)
    assert f"(PID {holder.pid})" in str(described)
    assert "close it there" in str(described)


def test_a_locked_operational_database(settings: Settings) -> None:
    place = settings.data_dir / "operations.sqlite"
    first, second = sqlite3.connect(place), sqlite3.connect(place, timeout=0)
    first.execute("BEGIN IMMEDIATE")
    error = raised(lambda _: second.execute("BEGIN IMMEDIATE"), place)
    described = failures.machine_error(settings, "alerts", error)
    first.close()
    second.close()
    assert isinstance(described, WarehouseBusyError)
    assert f"another program has {place} open" in str(described)


def test_an_operational_server_that_does_not_answer(settings: Settings) -> None:
    psycopg2 = pytest.importorskip("psycopg2")
    given = settings.model_copy(
        update={"ops_url": SecretStr("postgresql://clerk:s3cret@127.0.0.1:1/ops")}
    )
    error = raised(lambda _: psycopg2.connect(given.operations_url), settings.data_dir)
    described = str(failures.machine_error(given, "alerts", error))
    assert "alerts: the operational database: " in described
    assert "Connection refused" in described
    assert "see whether it answers" in described
    assert "s3cret" not in described


@pytest.mark.parametrize(
    "fail",
    [
        lambda _: duckdb.sql("SELECT 'No space left on device'::INTEGER").fetchall(),
        lambda _: duckdb.sql("SELECT error('Read-only file system')").fetchall(),
        lambda _: duckdb.sql("FROM nowhere"),
        lambda _: sqlite3.connect(":memory:").execute("SELECT 1 FROM nowhere"),
        lambda _: int("disk is full"),
        lambda _: [][0],
    ],
)
def test_faults_of_a_delivery_or_of_our_code_are_no_machine_failure(
    fail: Fail, tmp_path: Path
) -> None:
    """Ignore the words of an error: a cell may say anything."""
    error = raised(fail, tmp_path)
    assert failures.describe_machine_failure(error) is None


def test_our_own_errors_pass_unchanged(settings: Settings) -> None:
    ours = UsageError("No space left on device")
    assert failures.describe_machine_failure(ours) is None
    with pytest.raises(UsageError) as caught, failures.translating(settings, "load"):
        raise ours
    assert caught.value is ours
    with pytest.raises(ValueError), failures.translating(settings, "load"):
        raise ValueError


def test_which_of_the_two_files_of_an_operation_is_named(
    settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "there").touch()
    error = raised(lambda _: os.rename(tmp_path / "there", "/proc/nowhere"), tmp_path)  # noqa: PTH104
    assert str(failures.machine_error(settings, "x", error)).startswith("x: /proc/nowhere: ")


@pytest.mark.parametrize(
    ("number", "ours"), [(errno.EIO, True), (errno.EACCES, True), (errno.EINVAL, False)]
)
def test_an_error_of_a_damaged_file_is_no_machine_failure(number: int, ours: bool) -> None:
    assert failures.is_disk_failure(OSError(number, os.strerror(number))) is ours
    assert not failures.is_disk_failure(OSError("Corrupt snappy compressed data."))
