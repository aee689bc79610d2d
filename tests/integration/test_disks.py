"""A night and its disks: full, write-protected, gone. What is said, what stays, what is mended."""

from __future__ import annotations

import itertools
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
import structlog
from integration.conftest import DAY, RECORDS, City, as_bytes
from integration.disks import Disk, as_anybody, disk
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from pipelines import published
from pipelines.cli import app
from pipelines.engine import connect_args, run
from pipelines.jobs import intake
from pipelines.machine import failures
from pipelines.operations import steps
from pipelines.settings import Settings
from pipelines.warehouse.connection import opened

__all__ = ["disk"]
pytestmark = pytest.mark.xdist_group("disks")
MakeDisk = Callable[..., Disk]
OLD = [("x", 1, "交通"), ("y", 2, "")]
NEW = [("z", 3, "")]
NEXT = date(2021, 9, 24)
FULL = "No space left on device"


@pytest.fixture
def city(tmp_path: Path) -> City:
    """Return a city of two sources with little memory."""
    city = City(tmp_path).source(RECORDS).source(RECORDS | {"name": "visits", "title": "访问"})
    city.settings = city.settings.model_copy(update={"memory_limit": "200MB"})
    return city


@pytest.fixture(autouse=True)
def no_log_stays_open() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def big(rows: int = 20_000) -> list[tuple[str, int, str]]:
    """Return rows of about 100 bytes each that do not compress."""
    chance = random.Random(0)
    return [(f"k{n}", n, f"{chance.getrandbits(320):x}") for n in range(rows)]


def command(city: City, *arguments: str) -> Result:
    """Call `citybrain …` and check that it shows no stack trace."""
    before = structlog.get_config()
    result = CliRunner().invoke(app, arguments, env=environment(city.settings))
    structlog.configure(**before)  # closes the log, which may lie on the disk
    assert isinstance(result.exception, SystemExit | None), repr(result.exception)
    assert "Traceback" not in result.output
    return result


def night(city: City) -> tuple[int, dict[str, Any]]:
    """Call `citybrain run`; return its exit code and its report."""
    result = command(city, "run", "--as-of", str(DAY), "--json", "--fail-on", "never")
    return result.exit_code, json.loads(result.stdout)


def environment(settings: Settings) -> dict[str, str]:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    texts = {
        name: text.get_secret_value() if isinstance(text, SecretStr) else str(text)
        for name, text in given.items()
    }
    return {f"CITYBRAIN_{name.upper()}": text for name, text in texts.items()}


def loaded(city: City) -> None:
    """Load and publish a delivery of each source."""
    city.land(OLD)
    city.land(OLD, source="visits")
    code, report = night(city)
    assert (code, report["errors"]) == (0, [])


def assert_error_names(report: dict[str, Any], place: Path, *words: str) -> None:
    """Check that an error names the place, the reason and the mend, and blames no delivery."""
    about = [error for error in report["errors"] if str(place) in error]
    assert about, report["errors"]
    assert all(word in about[0] for word in words), about
    assert report["deliveries"].keys() <= {"accepted", "unchanged"}
    assert report["problems"] == []


def known(city: City) -> tuple[list[Any], ...]:
    """Return the first day's rows of a department in force, and the whole ledger."""
    return (
        city.rows("SELECT item FROM records WHERE business_date = ? ORDER BY ALL", DAY),
        city.rows("SELECT delivery_id, verdict, position FROM delivery ORDER BY position"),
        city.rows("SELECT * FROM partition_in_force ORDER BY ALL"),
    )


def shown(city: City, source: str = "records") -> int:
    """Count the rows that readers see."""
    query = f"SELECT count(*) AS n FROM {source}"
    return int(published.read(query, settings=city.settings)["n"][0])


def mended(city: City, rows: dict[str, int], entries: int) -> None:
    """Check that the next run takes in everything once, and that another has nothing to do."""
    code, report = night(city)
    assert (code, report["errors"]) == (0, [])
    assert report["deliveries"].keys() <= {"accepted", "unchanged"}
    assert {name: shown(city, name) for name in rows} == rows
    assert city.landed() == []
    assert city.rows("SELECT count(*), count(DISTINCT delivery_id) FROM delivery") == [
        (entries, entries)
    ]
    assert night(city)[1]["deliveries"] == {}
    leftovers = [*city.settings.staging.glob("*"), *city.settings.archive.glob(".*")]
    assert [path for path in leftovers if path.name != ".ballast"] == []


def test_the_archives_disk_is_full(city: City, disk: MakeDisk) -> None:
    archive = disk(city.settings.archive, "16m")
    loaded(city)
    before = known(city)
    archive.fill(leave=1 << 20)
    city.land(big(), day=NEXT)
    city.land(NEW, source="visits", day=NEXT)  # it still has room for this one
    code, report = night(city)
    assert code == 1
    assert_error_names(report, city.settings.archive, FULL, "free some space")
    assert report["deliveries"] == {"accepted": 1}
    assert known(city)[0] == before[0]
    assert (shown(city), shown(city, "visits")) == (2, 3)
    archive.clean()
    mended(city, {"records": 20_002, "visits": 3}, entries=4)


def test_the_staging_disk_is_full(city: City, disk: MakeDisk) -> None:
    """Let DuckDB meet the full disk amid a delivery: no delivery is to blame for it."""
    staging = disk(city.settings.staging, "32m")
    loaded(city)
    before = known(city)
    staging.fill(leave=4 << 20)
    city.land(big(60_000), day=NEXT)
    city.land(OLD, department="b")  # staged together with it
    city.land(NEW, source="visits", day=NEXT)
    code, report = night(city)
    assert code == 1
    assert_error_names(report, city.settings.staging, FULL, "free some space")
    assert report["deliveries"] == {"accepted": 1}
    assert known(city)[0] == before[0]
    assert (shown(city), shown(city, "visits")) == (2, 3)
    staging.clean()
    mended(city, {"records": 60_004, "visits": 3}, entries=5)


def test_the_warehouses_disk_is_full(city: City, disk: MakeDisk, tmp_path: Path) -> None:
    settings = city.settings
    data = disk(settings.data_dir, "24m")
    for folder in (settings.landing, settings.archive, settings.staging, settings.published):
        disk(folder)
    loaded(city)
    before = known(city)
    data.fill(leave=1 << 20)
    city.land(big(60_000), source="visits", day=NEXT)
    city.land(NEW)  # a correction, of a source that comes first
    code, report = night(city)
    assert code == 1
    assert_error_names(report, settings.warehouse, FULL, "free some space")
    assert report["deliveries"] == {"accepted": 1}
    assert city.items() == {"z"}
    assert city.items("visits") == {"x", "y"}
    assert known(city)[1][:2] == before[1]
    assert shown(city, "visits") == 2
    data.clean()
    mended(city, {"records": 1, "visits": 60_002}, entries=4)


def test_a_first_warehouse_that_finds_no_room_is_made_when_there_is(
    city: City, disk: MakeDisk
) -> None:
    settings = city.settings
    data = disk(settings.data_dir, "24m")
    for folder in (settings.landing, settings.archive, settings.staging, settings.published):
        disk(folder)
    data.fill()
    city.land(OLD)
    code, report = night(city)
    assert code == 1
    assert_error_names(report, settings.data_dir, FULL, "free some space")
    assert report["published"] is None
    data.clean()
    mended(city, {"records": 2}, entries=1)


def test_the_published_disk_is_full(city: City, disk: MakeDisk) -> None:
    shelf = disk(city.settings.published, "16m")
    loaded(city)
    reader = published.connect(city.settings)
    shelf.fill(leave=1 << 20)
    city.land(NEW)
    code, report = night(city)
    assert code == 1
    assert_error_names(report, city.settings.published, FULL, "free some space")
    assert report["deliveries"] == {"accepted": 1}
    assert city.items() == {"z"}
    assert shown(city) == 2, "readers keep what they had"
    assert reader.execute("SELECT count(*) FROM records").fetchall() == [(2,)]
    reader.close()
    generations = city.settings.published / "generations"
    assert [path.name for path in generations.iterdir()] == ["000001.duckdb"]
    shelf.clean()
    mended(city, {"records": 1, "visits": 2}, entries=3)


def test_the_operational_databases_disk_is_full(city: City, disk: MakeDisk, tmp_path: Path) -> None:
    store = disk(tmp_path / "operations", "1m")
    url = f"sqlite:///{store.place}/operations.sqlite"
    city.settings = city.settings.model_copy(update={"ops_url": SecretStr(url)})
    loaded(city)
    store.fill()
    city.land("数量\n1\n", day=NEXT)  # something to be alarmed by
    city.land(NEW, source="visits")
    result = night(city)
    assert result[0] == 1
    [error] = result[1]["errors"]
    assert f"{store.place}/operations.sqlite: disk is full" in error
    assert (shown(city), shown(city, "visits")) == (2, 1), "readers have what was loaded"
    store.clean()
    code, report = night(city)
    assert (code, report["errors"]) == (0, [])
    assert [key.split(":")[0] for key in report["alerts"]] == ["delivery"]


def test_the_data_folder_is_write_protected(city: City, disk: MakeDisk) -> None:
    data = disk(city.settings.data_dir)
    loaded(city)
    before = known(city)
    city.land(NEW)
    data.protect()
    code, report = night(city)
    assert code == 1
    assert_error_names(
        report, city.settings.data_dir, "Read-only file system", "let this user write there"
    )
    assert report["published"] is None
    assert known(city) == before
    assert shown(city) == 2
    data.unprotect()
    mended(city, {"records": 1, "visits": 2}, entries=3)


def test_every_changing_command_reports_why_it_cannot_write(
    city: City, disk: MakeDisk, tmp_path: Path
) -> None:
    data = disk(city.settings.data_dir)
    loaded(city)
    city.land("数量\n1\n", day=NEXT)
    night(city)
    [(taken,), (rejected,)] = city.rows(
        "SELECT delivery_id FROM delivery WHERE source = 'records' ORDER BY position"
    )
    sent = tmp_path / "sent.csv"
    sent.write_bytes(as_bytes(NEW, HEADER))
    where = ("--source", "records", "--department", "a", "--date", str(NEXT))
    data.protect()
    for arguments in (
        ("submit", str(sent), *where),
        ("accept", rejected, "--reason", "r"),
        ("withdraw", taken, "--reason", "r"),
        ("rebuild", "records"),
        ("publish",),
        ("publish", "--unpin"),
        ("rollback",),
    ):
        result = command(city, *arguments)
        assert result.exit_code == 1, (arguments, result.output)
        complaint = " ".join(result.stderr.split())
        assert "error: " in complaint, arguments
        assert "Read-only file system" in complaint, (arguments, complaint)
        assert "let this user write there" in complaint, (arguments, complaint)
    for arguments in (("status",), ("deliveries",), ("sql", "SELECT 1"), ("check",)):
        assert command(city, *arguments).exit_code == 0


def test_the_published_folder_is_write_protected(city: City, disk: MakeDisk) -> None:
    shelf = disk(city.settings.published)
    loaded(city)
    city.land(NEW)
    shelf.protect()
    code, report = night(city)
    assert code == 1
    assert_error_names(
        report, city.settings.published, "Read-only file system", "let this user write there"
    )
    assert (city.items(), shown(city)) == ({"z"}, 2)
    shelf.unprotect()
    mended(city, {"records": 1, "visits": 2}, entries=3)


def test_landing_is_write_protected(city: City, disk: MakeDisk) -> None:
    """Load what lies in landing, report that it cannot be cleared, and do not load it again."""
    landing = disk(city.settings.landing)
    loaded(city)
    city.land(NEW)
    city.land(NEW, source="visits")
    landing.protect()
    for expected in ({"accepted": 2}, {"unchanged": 2}):
        code, report = night(city)
        assert code == 1
        assert_error_names(
            report, city.settings.landing, "Read-only file system", "are not taken twice"
        )
        assert report["deliveries"] == expected
        assert (city.items(), shown(city)) == ({"z"}, 1)
        assert len(city.landed()) == 2
    landing.unprotect()
    code, report = night(city)
    assert (code, report["deliveries"]) == (0, {"unchanged": 2})
    assert city.landed() == []
    assert city.rows("SELECT count(*), count(DISTINCT delivery_id) FROM delivery") == [(4, 4)]


@pytest.mark.parametrize("folder", ["landing", "archive", "published"])
def test_a_mount_has_vanished(city: City, disk: MakeDisk, folder: str) -> None:
    place = getattr(city.settings, folder)
    gone = disk(place)
    loaded(city)
    if folder == "landing":
        city.land(NEW)
    gone.pull_out()
    if folder != "landing":
        city.land(NEW)
    code, report = night(city)
    assert code == 1
    assert_error_names(report, place, "had a disk of its own and has none now", "mount it again")
    assert report["deliveries"] == {}
    assert (report["published"] is None) == (folder == "published")
    assert list(place.iterdir()) == [], "nothing is put where it would be hidden"
    gone.plug_in()
    mended(city, {"records": 1, "visits": 2}, entries=3)


def test_memory_runs_out(city: City) -> None:
    """Report exhausted memory as the machine's fault, not as a delivery's."""
    loaded(city)
    before = known(city)
    settings = city.settings
    city.settings = settings.model_copy(update={"memory_limit": "48MB"})
    city.land(big(300_000), day=NEXT)
    city.land(NEW, source="visits", day=NEXT)
    code, report = night(city)
    assert code == 1
    [error] = report["errors"]
    assert "out of memory (CITYBRAIN_MEMORY_LIMIT is 48MB)" in error
    assert report["deliveries"] == {"accepted": 1}
    assert known(city)[0] == before[0]
    assert (shown(city), shown(city, "visits")) == (2, 3)
    city.settings = settings.model_copy(update={"memory_limit": "1GB"})
    mended(city, {"records": 300_002, "visits": 3}, entries=4)


def test_a_database_broken_by_a_full_disk_is_closed_and_reopened(
    city: City, disk: MakeDisk
) -> None:
    """Reopen the file: after a full disk DuckDB refuses even a rollback."""
    place = disk(city.settings.data_dir, "8m")
    file = city.settings.warehouse
    with opened(file, city.settings) as connection:
        run(connection, "CREATE TABLE t AS SELECT md5(range::VARCHAR) AS a FROM range(3)")
        connection.execute(sa.text("INSERT INTO t SELECT md5(range::VARCHAR) FROM range(9000)"))
    with opened(file, city.settings) as connection:
        connection.execute(sa.text("UPDATE t SET a = sha256(a)"))
        place.fill()
        with pytest.raises(duckdb.FatalException) as raised:
            run(connection, "CHECKPOINT")
    assert failures.describe_machine_failure(raised.value) == FULL
    place.clean()
    with opened(file, city.settings) as connection:
        result = connection.execute(sa.text("SELECT count(*), max(length(a)) FROM t"))
        assert tuple(result.one()) == (9003, 64)


@pytest.mark.parametrize("cause", ["memory", "disk"])
def test_a_machine_failure_inside_gx_is_no_verdict(
    tmp_path: Path, disk: MakeDisk, cause: str
) -> None:
    """Let the machine's error through as it was, though GX catches every exception."""
    from pipelines.deliveries.reasons import Reason
    from pipelines.staging.checks import Judge, Rule

    place = disk(tmp_path / "work", "96m")
    file = place.place / "work.duckdb"
    with duckdb.connect(file, config={"threads": 1}) as connection:
        connection.execute("CREATE SCHEMA chunk")
        connection.execute(
            "CREATE TABLE chunk.staged AS SELECT md5(range::VARCHAR) AS item FROM range(600_000)"
        )
    settings = Settings(memory_limit="24MB", threads=1)
    if cause == "disk":
        place.fill()
    else:
        (place.place / "work.duckdb.tmp").write_text("no folder to spill into")
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "item"}}
    rule = Rule(unique, Reason(code="rule", column="item"), critical=True, column="item")
    with (
        closing(Judge(f"duckdb:///{file}", connect_args(settings))) as judge,
        pytest.raises(duckdb.Error) as raised,
    ):
        judge.broken("chunk.staged", [rule])
    assert failures.describe_machine_failure(raised.value)


def test_files_without_read_permission_are_reported_and_stop_no_other_file(city: City) -> None:
    secret = city.land(OLD)
    closed = city.land(OLD, department="b").parent
    pipe = city.settings.landing / str(DAY) / "c" / "records.csv"
    pipe.parent.mkdir()
    os.mkfifo(pipe)
    link = city.settings.landing / str(NEXT)
    link.symlink_to(closed.parent, target_is_directory=True)
    city.land(OLD, source="visits")
    secret.chmod(0)
    closed.chmod(0)
    with as_anybody():
        code, report = night(city)
    assert code == 0, "they are problems of files, and --fail-on says whether these matter"
    assert report["errors"] == []
    problems = {problem["path"]: problem["message"] for problem in report["problems"]}
    assert problems == {
        f"{DAY}/a/records.csv": "it cannot be read: Permission denied",
        f"{DAY}/b": "it cannot be read: Permission denied",
        f"{DAY}/c/records.csv": "not a regular file",
        f"{NEXT}": "not a regular file",
    }
    assert report["deliveries"] == {"accepted": 1}
    closed.chmod(0o755)
    secret.chmod(0o644)
    code, report = night(city)
    assert report["deliveries"] == {"accepted": 2}
    assert len(report["problems"]) == 2


@pytest.mark.parametrize("manners", ["renamed", "in place"])
def test_a_file_is_sent_again_and_again_while_runs_take_it(city: City, manners: str) -> None:
    """Take renamed files whole, always; the last version counts, however it was written."""
    settings, deployment = city.settings, city.deployment
    place = city.land(versions(0))
    halt = threading.Event()

    def send() -> None:
        for number in itertools.takewhile(lambda _: not halt.is_set(), itertools.count(1)):
            place.parent.mkdir(parents=True, exist_ok=True)
            target = place.with_suffix(".part") if manners == "renamed" else place
            with suppress(FileNotFoundError), target.open("wb") as file:  # its folder was empty
                content = as_bytes(versions(number), HEADER)
                for start in range(0, len(content), 20_000):
                    file.write(content[start : start + 20_000])
                    file.flush()
                target.rename(place)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        for _ in range(3):
            run_id = steps.new_run_id()
            discovery = intake.discover(deployment, run_id)
            assert discovery.errors == discovery.problems == []
            for number, chunk in enumerate(intake.chunks(settings, discovery.pending)):
                staged = intake.stage(deployment, chunk, run_id, number)
                intake.load_staged(deployment, [staged], run_id)
    finally:
        halt.set()
        sender.join()
    if manners == "renamed":
        assert city.rows(
            "SELECT count(DISTINCT split_part(item, '-', 1)), count(*) % 37 FROM records"
        ) == [(1, 801 % 37)]
        assert set(city.verdicts()) == {"accepted"}
    last = place.read_text() if place.exists() else None
    night(city)
    if last is not None:
        assert city.items() == {line.split(",")[0] for line in last.splitlines()[1:]}
    night(city)  # what a newer one overtook while it was put aside, has its turn now
    assert city.landed() == []


def test_a_file_that_replaces_another_before_clearing_is_taken_next(city: City) -> None:
    city.land([("a", 1, "")])
    deployment = city.deployment
    discovery = intake.discover(deployment, "first")
    staged = intake.stage(deployment, discovery.pending, "first", 0)
    city.land([("b", 1, "")])  # of the same size
    intake.load_staged(deployment, [staged], "first")
    assert city.items() == {"a"}
    assert len(city.landed()) == 1
    mended(city, {"records": 1}, entries=2)
    assert city.items() == {"b"}


def test_nothing_that_was_put_aside_is_overwritten(city: City) -> None:
    """Clear a newer file after a run moved the older one aside and was killed."""
    aside = city.land([("b", 1, "")], minute=1)
    aside.rename(aside.with_name(".records.csv.0a1b2c3d.taken"))
    older = city.land([("a", 1, "")], minute=0)
    older.rename(older.with_name(".records.csv.taken"))  # as former versions called it
    city.land([("c", 1, "")], minute=2)
    for _ in range(3):
        night(city)
    sent = "SELECT count(*), count(DISTINCT sha256) FROM delivery WHERE verdict = 'accepted'"
    assert city.rows(sent) == [(3, 3)]
    assert city.items() == {"c"}
    assert city.landed() == []


HEADER = ("事项", "数量", "领域")


def versions(number: int) -> list[tuple[str, int, str]]:
    """Return a file's rows, each with the file's version; a file has 801 or 37 rows."""
    return [(f"v{number}-{row}", row, "x" * 60) for row in range(801 + 37 * (number % 7))]
