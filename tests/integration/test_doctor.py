"""The doctor on a healthy city, and on copies of it that are broken as machines break."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
import sqlalchemy as sa
from integration import ailments
from integration.ailments import Ailment, Deployment
from integration.conftest import DAY, City
from pydantic import SecretStr
from typer.testing import CliRunner

from pipelines import deployment as deployments
from pipelines.cli import app
from pipelines.doctor import CHECKS, Finding, Level, machine, verdict
from pipelines.doctor.readings import lock
from pipelines.doctor.visit import Visit
from pipelines.engine import rows
from pipelines.errors import NewerSchemaError
from pipelines.jobs import night, repairs
from pipelines.machine.logs import Step
from pipelines.operations import database
from pipelines.settings import PROJECT
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.publish import rollback

pytestmark = pytest.mark.xdist_group("doctor")
REWRITE = "the page is not of today: python docs/doctor_examples.py > docs/doctor.md"


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> City:
    """A city after its night; tests break copies of it."""
    return ailments.healthy_city(tmp_path_factory.mktemp("well"))


@pytest.fixture
def there(well: City, tmp_path: Path) -> Deployment:
    return ailments.copy_of(well, tmp_path)


@pytest.fixture
def suffer(there: Deployment) -> Iterator[Callable[[Ailment], Deployment]]:
    """Break the copy, for as long as the test lasts; skips loudly where a disk is needed."""
    with ExitStack() as stack:

        def broken(ailment: Ailment) -> Deployment:
            try:
                return stack.enter_context(ailment(there))
            except ailments.CannotMountError as error:
                pytest.skip(f"NOT TRIED, {ailment.__doc__}: no tmpfs can be mounted here ({error})")

        yield broken


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


def of(findings: list[Finding], check: str) -> list[Finding]:
    return [finding for finding in findings if finding.check == check]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in folder.rglob("*")
    }


def test_a_healthy_city_is_told_so_and_left_as_it_is(there: Deployment) -> None:
    before = files(there.settings.data_dir)
    findings = there.findings()
    assert bad(findings) == []
    assert verdict(findings) == "healthy"
    assert {finding.check for finding in findings} == {
        "configuration",
        "versions",
        "disk",
        "locks",
        "warehouse",
        "operations",
        "calendars",
        "last run",
        "published",
        "landing",
        "notification",
        "time",
    }
    assert files(there.settings.data_dir) == before


def test_a_new_machine_is_told_to_run(well: City, tmp_path: Path) -> None:
    there = Deployment(well.settings).changed(data_dir=tmp_path / "new" / "data")
    findings = there.findings()
    assert [(one.check, one.level, one.mend) for one in bad(findings)] == [
        ("last run", "warning", "citybrain run")
    ]
    assert not (tmp_path / "new").exists()
    assert "can be made" in of(findings, "disk")[0].message


@pytest.mark.parametrize(
    ("ailment", "check", "level", "said", "mend"),
    [
        (
            ailments.broken_contract,
            "configuration",
            "failure",
            "sources/records.yaml: "
            "max_quarantined: nobody knows this key; did you mean `max_quarantine`?",
            "correct its spelling or remove it",
        ),
        (ailments.full_disk, "disk", "failure", "No space left on device", "citybrain clean"),
        (ailments.full_disk, "disk", "failure", "a run needs", "enlarge the disk"),
        (ailments.read_only_disk, "disk", "failure", "Read-only file system", "let this user"),
        (ailments.vanished_mount, "disk", "failure", "archive had a disk of its own", "mount it"),
        (
            ailments.held_lock,
            "locks",
            "warning",
            "(run 20251102T180000-0a1b2c, load) since",
            "still at work",
        ),
        (ailments.foreign_writer, "locks", "failure", "open: no run can", "published copy"),
        (ailments.foreign_reader, "locks", "failure", "open: no run can", "published copy"),
        (
            ailments.newer_warehouse,
            "warehouse",
            "failure",
            "made by a newer version (revision w0099)",
            "install that version",
        ),
        (
            ailments.unreachable_operations,
            "operations",
            "failure",
            "postgresql+psycopg2://citybrain:***@127.0.0.1",
            "CITYBRAIN_OPS_URL",
        ),
        (
            ailments.silent_scheduler,
            "last run",
            "failure",
            "no run has finished since that of 2",
            "see the scheduler",
        ),
        (ailments.unknown_year, "calendars", "warning", "holidays of 2031", "holidays.csv"),
    ],
)
def test_what_is_broken_is_found_with_its_mend(
    suffer: Callable[[Ailment], Deployment],
    ailment: Ailment,
    check: str,
    level: str,
    said: str,
    mend: str,
) -> None:
    findings = suffer(ailment).findings()
    assert [
        one
        for one in of(findings, check)
        if one.level == level and said in one.message and mend in one.mend
    ], findings
    # nothing else is blamed for it, and no check broke
    assert {one.check for one in bad(findings)} == {check}
    assert "secret" not in str(findings)


def test_the_process_that_is_in_the_way_is_named(there: Deployment) -> None:
    for code, place, words in (
        (ailments.HOLD_LOCK, there.settings.data_dir, ()),
        (ailments.OPEN_WAREHOUSE, there.settings.warehouse, ()),
        (ailments.OPEN_WAREHOUSE, there.settings.warehouse, ("reading",)),
    ):
        with ailments.running(code, str(place), *words) as process:
            told = of(there.later(timedelta(minutes=1)).findings(), "locks")
        assert f"process {process.pid}" in told[0].message
    [told_again] = of(there.findings(), "locks")
    assert told_again.level is Level.OK


def test_a_lock_that_a_killed_process_left_is_no_worry(there: Deployment) -> None:
    with ailments.running(ailments.HOLD_LOCK, str(there.settings.data_dir)) as process:
        pass
    [found] = of(there.findings(), "locks")
    assert found.level is Level.OK
    assert f"process {process.pid}" in found.message
    assert "takes it over by itself" in found.message


def test_a_run_at_work_is_seen_from_the_published_copy(there: Deployment) -> None:
    with ailments.running(ailments.HOLD_LOCK, str(there.settings.data_dir)):
        findings = there.changed(lock_seconds=600.0).findings()
    assert bad(findings) == []
    assert "being written" in of(findings, "warehouse")[0].message
    assert "finished" in of(findings, "last run")[0].message


def test_the_doctor_lets_nobody_in_while_it_looks(there: Deployment) -> None:
    path = there.settings.data_dir / "warehouse.lock"
    with lock(path) as free, lock(path) as free_for_another:
        assert (free, free_for_another) == (True, False)


def test_what_this_user_may_not_see_is_named(
    there: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(visit: Visit) -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", "/srv/landing")

    monkeypatch.setitem(CHECKS, "landing", forbidden)
    [found] = bad(there.findings())
    assert found.message == "could not be checked: Permission denied: /srv/landing"
    assert "let this user read it" in found.mend


def test_a_check_that_breaks_is_a_failure_of_its_own(
    there: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(visit: Visit) -> Iterator[Finding]:
        yield Finding("disk", Level.OK, "so far")
        raise ValueError("of two\nlines")

    monkeypatch.setitem(CHECKS, "disk", breaks)
    findings = there.findings()
    [found] = bad(findings)
    assert (found.check, found.level) == ("disk", "failure")
    assert found.message == "could not be checked: ValueError: of two lines"
    assert len({one.check for one in findings}) == 12


# --- stores -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("w0099", "this warehouse was made by a newer version (revision w0099); install that"),
        ("29ce7909c52b", "this warehouse has another program's tables (revision 29ce7909c52b)"),
    ],
)
def test_a_run_refuses_a_warehouse_that_it_does_not_know(
    there: Deployment, revision: str, said: str
) -> None:
    with duckdb.connect(there.settings.warehouse) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    before = there.settings.warehouse.read_bytes()
    with pytest.raises(NewerSchemaError) as told, open_warehouse(there.settings, "test"):
        pass
    assert str(told.value).startswith(said)
    assert there.settings.warehouse.read_bytes() == before


def set_operations_revision(there: Deployment, revision: str) -> None:
    engine = sa.create_engine(there.settings.operations_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()


def test_another_programs_database_is_not_touched(there: Deployment) -> None:
    set_operations_revision(there, "29ce7909c52b")
    [found] = of(bad(there.findings()), "operations")
    assert "another program's tables" in found.message
    with (
        pytest.raises(NewerSchemaError, match="operational database has another"),
        database.open_operations(there.settings),
    ):
        pass


def test_what_the_next_run_migrates_is_told_before(there: Deployment) -> None:
    with duckdb.connect(there.settings.warehouse) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'w0001'")
    set_operations_revision(there, "o0001")
    found = bad(there.findings())
    assert [one.check for one in found] == ["warehouse", "operations"]
    assert all("back it up first" in one.mend for one in found)
    assert all(one.level is Level.WARNING for one in found)


def test_a_damaged_warehouse_and_copy(there: Deployment) -> None:
    published = there.settings.published / "citybrain.duckdb"
    for path in (there.settings.warehouse, published):
        path.unlink()
        path.write_bytes(b"nonsense" * 2000)
    found = {one.check: one for one in bad(there.findings())}
    assert found.keys() == {"warehouse", "published", "last run"}
    assert "backup" in found["warehouse"].mend
    assert "rollback" in found["published"].mend
    assert "not known" in found["last run"].message


def test_a_limit_that_duckdb_does_not_understand(there: Deployment) -> None:
    found = of(bad(there.changed(memory_limit="lots").findings()), "warehouse")
    assert [one.mend for one in found] == ["correct CITYBRAIN_MEMORY_LIMIT"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql+psycopg2//citybrain:secret@host/x", "no database URL"),
        ("postgresql+psycopg2://citybrain:secret@127.0.0.1:port/x", "no database URL"),
        ("nonesuch://citybrain:secret@host/x", "nonesuch"),
        ("postgresql+psycopg2://127.0.0.1:1/x?password=secret", "127.0.0.1"),
    ],
)
def test_no_url_of_the_operational_database_is_shown_whole(
    there: Deployment, url: str, said: str
) -> None:
    findings = there.changed(ops_url=SecretStr(url)).findings()
    [found] = bad(findings)
    assert (found.check, found.level) == ("operations", "failure")
    assert said in found.message
    assert "secret" not in str(findings)


def test_a_copy_that_is_behind_and_one_that_is_pinned(there: Deployment) -> None:
    settings = there.settings
    deployment = deployments.Deployment.load(settings)
    with open_warehouse(settings, "test") as connection:
        [delivery] = rows(connection, "SELECT delivery_id FROM delivery")
    repairs.withdraw(deployment, delivery.delivery_id, "sent by mistake")
    later = replace(there, now=datetime.now(UTC).replace(tzinfo=None))
    [behind] = bad(later.findings())
    assert (behind.check, behind.level) == ("published", "warning")
    assert "ledger position 1, the warehouse of 2" in behind.message
    night.publish(deployment)
    assert bad(later.findings()) == []
    rollback(settings)
    [pinned] = bad(later.findings())
    assert "pinned readers to generation 1" in pinned.message
    assert "--unpin" in pinned.mend


# --- the machine --------------------------------------------------------------------------------


def test_versions_other_than_the_pinned_ones(
    there: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"duckdb": "2.0.0", "great-expectations": None}
    real = machine._installed
    monkeypatch.setattr(machine, "_installed", lambda name: installed.get(name, real(name)))
    found = bad(there.findings())
    assert [one.message for one in found] == [
        "duckdb is 2.0.0, not 1.5.5",
        "great-expectations is missing, not 1.24.1",
    ]
    assert all("--require-hashes" in one.mend for one in found)


def test_a_python_that_was_not_asked_for() -> None:
    assert machine._python_fits(">=3.11,<3.12")
    assert not machine._python_fits(">=3.9,<3.11")
    assert not machine._python_fits(">=3.13")


def test_an_archive_that_others_can_enter(there: Deployment) -> None:
    there.settings.archive.chmod(0o755)
    [found] = bad(there.findings())
    assert (found.check, found.level) == ("disk", "warning")
    assert "mode 0755" in found.message
    assert found.mend.startswith("chmod 700")


def test_a_file_in_the_place_of_a_folder(there: Deployment) -> None:
    there.settings.landing.rmdir()
    there.settings.landing.write_bytes(b"")
    found = of(bad(there.findings()), "disk")
    assert [one.level for one in found] == ["failure"]
    assert "Not a directory" in found[0].message


def test_urls_of_the_digest_are_judged_and_never_shown(there: Deployment) -> None:
    urls = "json://user:secret@127.0.0.1/x nonesuch://user:secret@host"
    findings = there.changed(notify_urls=SecretStr(urls)).findings()
    [found] = bad(findings)
    assert (found.check, found.level) == ("notification", "failure")
    assert found.message.startswith("URL 2 of 2")
    assert "secret" not in str(findings)
    sound = there.changed(notify_urls=SecretStr(urls.split()[0])).findings()
    assert of(sound, "notification")[0].message == "the digest goes to 1 channel"


def test_a_clock_that_has_gone_back(there: Deployment) -> None:
    assert bad(there.later(-timedelta(minutes=50)).findings()) == []
    [found] = bad(there.later(-timedelta(hours=2)).findings())
    assert (found.check, found.level) == ("time", "failure")


# --- nights -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("today", "listed", "level"),
    [
        (date(2025, 12, 31), "", "ok"),
        (date(2030, 6, 1), "", "warning"),
        (date(2030, 10, 31), "2030-10-01", "ok"),
        (date(2030, 11, 1), "2030-10-01", "warning"),
        (date(2030, 11, 1), "2030-10-01,0\n2031-10-01", "ok"),
    ],
)
def test_the_calendar_is_asked_for_in_november(
    there: Deployment, today: date, listed: str, level: str
) -> None:
    assert there.settings.config_dir is not None
    if listed:
        text = f"date,working\n{listed},0\n"
        (there.settings.config_dir / "holidays.csv").write_text(text, encoding="utf-8")
    [found] = of(replace(there, today=today).findings(), "calendars")
    assert found.level == level


def test_a_configuration_that_is_not_in_force_yet(there: Deployment) -> None:
    assert there.settings.config_dir is not None
    with (there.settings.config_dir / "departments.csv").open("a", encoding="utf-8") as file:
        file.write("d,丁局,,,,,,\n")
    findings = there.findings()
    assert bad(findings) == []
    assert "in force is still" in of(findings, "configuration")[1].message


@pytest.mark.parametrize("then_well", [False, True])
def test_steps_that_failed_when_last_tried(there: Deployment, then_well: bool) -> None:
    def step(run_id: str, name: str, error: str | None) -> Step:
        return Step(run_id, name, "records", there.now, 1.0, error=error)

    tried = [step("one", "stage", "StorageError"), step("one", "stage", None)]
    tried += [step("two", "stage", None)] if then_well else []
    tried += [step("three", "load", None)]
    with database.open_operations(there.settings) as store:
        for one in tried:
            database.store_step(store, one)
    found = [one.message for one in bad(there.findings())]
    assert found == ([] if then_well else ["step stage records of run one failed: StorageError"])


def test_what_waits_in_landing(there: Deployment) -> None:
    for name in ("records.csv", "records.east.csv"):
        _land(there, f"{DAY}/b/{name}")
    [young] = of(there.findings(), "landing")
    assert (young.level, young.message[:7]) == ("ok", "2 files")
    [old] = bad(there.later(timedelta(hours=25)).findings())
    assert (old.check, old.level) == ("landing", "warning")


def test_what_is_nobodys_in_landing_and_what_is_still_coming(there: Deployment) -> None:
    for number in range(5):
        _land(there, f"readme{number}.txt")
    _land(there, f"{DAY}/b/records.csv", age=0)
    found = of(there.changed(settle_seconds=60.0).findings(), "landing")
    assert [one.level for one in found] == ["warning", "ok"]
    assert found[0].message.endswith("readme0.txt, readme1.txt, readme2.txt and 2 more")
    assert found[1].message == "1 file still being uploaded"


def test_what_a_killed_run_left_in_staging(there: Deployment) -> None:
    (there.settings.staging / "20251102T180000-0a1b2c").mkdir(parents=True)
    assert bad(there.findings()) == []
    [found] = bad(there.later(timedelta(hours=25)).findings())
    assert (found.check, found.level, found.mend) == ("landing", "warning", "citybrain clean")


def _land(there: Deployment, place: str, age: float = 3600) -> None:
    path = there.settings.landing / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    moment = datetime.now(UTC).timestamp() - age
    os.utime(path, (moment, moment))


# --- the command and its page -------------------------------------------------------------------


def citybrain(there: Deployment, monkeypatch: pytest.MonkeyPatch, *words: str):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(there.settings.data_dir))
    monkeypatch.setenv("CITYBRAIN_CONFIG_DIR", str(there.settings.config_dir))
    return CliRunner().invoke(app, ["doctor", *words])


def test_the_command_for_people_and_for_programs(
    there: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = citybrain(there, monkeypatch)
    assert plain.exit_code == 0, plain.output
    assert plain.stdout.rstrip().endswith(("healthy", "warning", "warnings"))
    told = json.loads(citybrain(there, monkeypatch, "--json").stdout)
    assert told.keys() == {"healthy", "findings"}
    assert all(one.keys() == {"check", "level", "message", "mend"} for one in told["findings"])
    assert told["healthy"] == all(one["level"] == "ok" for one in told["findings"])


def test_the_command_fails_with_a_failure_and_examines_everything(
    there: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ailments.broken_contract(there):
        result = citybrain(there, monkeypatch, "--json")
    assert result.exit_code == 1
    told = json.loads(result.stdout)
    assert told["healthy"] is False
    assert len({one["check"] for one in told["findings"]}) == 12
    assert "Traceback" not in result.output


def test_settings_that_make_no_sense_are_wrong_usage(
    there: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYBRAIN_THREADS", "x")
    result = citybrain(there, monkeypatch)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: CITYBRAIN_THREADS: ")


def test_the_doctor_loads_nothing_heavy(there: Deployment) -> None:
    code = (
        "import sys; from datetime import date, datetime; from pipelines.doctor import examine; "
        "from pipelines.settings import Settings; "
        "list(examine(Settings(), date(2025, 6, 2), datetime(2025, 6, 2))); "
        "print({'great_expectations', 'pandas', 'airflow', 'apprise'} & set(sys.modules))"
    )
    environment = os.environ | {
        "CITYBRAIN_DATA_DIR": str(there.settings.data_dir),
        "CITYBRAIN_CONFIG_DIR": str(there.settings.config_dir),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_the_page_shows_what_the_doctor_says_today(well: City, tmp_path: Path) -> None:
    page = (PROJECT / "docs" / "doctor.md").read_text(encoding="utf-8")
    healthy = Deployment(well.settings)
    assert ailments.shown(healthy, healthy.findings()) in page, REWRITE
    for ailment in ailments.SHOWN:
        folder = tmp_path / ailment.__name__
        folder.mkdir()
        try:
            with ailment(ailments.copy_of(well, folder)) as broken:
                said = ailments.shown(broken, bad(broken.findings()))
        except ailments.CannotMountError:
            continue
        assert said in page, REWRITE
