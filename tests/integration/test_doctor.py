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
    """Return a city after its night; tests break copies of it."""
    return ailments.healthy_city(tmp_path_factory.mktemp("well"))


@pytest.fixture
def deployment(well: City, tmp_path: Path) -> Deployment:
    return ailments.copy_of(well, tmp_path)


@pytest.fixture
def suffer(deployment: Deployment) -> Iterator[Callable[[Ailment], Deployment]]:
    """Break the copy, for as long as the test lasts; skips loudly where a disk is needed."""
    with ExitStack() as stack:

        def broken(ailment: Ailment) -> Deployment:
            try:
                return stack.enter_context(ailment(deployment))
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


def test_a_healthy_city_is_reported_healthy_and_left_unchanged(deployment: Deployment) -> None:
    before = files(deployment.settings.data_dir)
    findings = deployment.findings()
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
    assert files(deployment.settings.data_dir) == before


def test_a_new_machine_is_told_to_run(well: City, tmp_path: Path) -> None:
    deployment = Deployment(well.settings).changed(data_dir=tmp_path / "new" / "data")
    findings = deployment.findings()
    assert [(finding.check, finding.level, finding.mend) for finding in bad(findings)] == [
        ("last run", "warning", "citybrain run")
    ]
    assert not (tmp_path / "new").exists()
    assert "can be made" in of(findings, "disk")[0].message


@pytest.mark.parametrize(
    ("ailment", "check", "level", "words", "mend"),
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
def test_every_ailment_is_reported_with_its_mend(
    suffer: Callable[[Ailment], Deployment],
    ailment: Ailment,
    check: str,
    level: str,
    words: str,
    mend: str,
) -> None:
    findings = suffer(ailment).findings()
    assert [
        finding
        for finding in of(findings, check)
        if finding.level == level and words in finding.message and mend in finding.mend
    ], findings
    # nothing else is blamed for it, and no check broke
    assert {finding.check for finding in bad(findings)} == {check}
    assert "secret" not in str(findings)


def test_the_process_that_is_in_the_way_is_named(deployment: Deployment) -> None:
    for code, place, words in (
        (ailments.HOLD_LOCK, deployment.settings.data_dir, ()),
        (ailments.OPEN_WAREHOUSE, deployment.settings.warehouse, ()),
        (ailments.OPEN_WAREHOUSE, deployment.settings.warehouse, ("reading",)),
    ):
        with ailments.running(code, str(place), *words) as process:
            locks = of(deployment.later(timedelta(minutes=1)).findings(), "locks")
        assert f"process {process.pid}" in locks[0].message
    [after] = of(deployment.findings(), "locks")
    assert after.level is Level.OK


def test_a_lock_that_a_killed_process_left_is_no_worry(deployment: Deployment) -> None:
    with ailments.running(ailments.HOLD_LOCK, str(deployment.settings.data_dir)) as process:
        pass
    [finding] = of(deployment.findings(), "locks")
    assert finding.level is Level.OK
    assert f"process {process.pid}" in finding.message
    assert "takes it over by itself" in finding.message


def test_a_run_at_work_is_seen_from_the_published_copy(deployment: Deployment) -> None:
    with ailments.running(ailments.HOLD_LOCK, str(deployment.settings.data_dir)):
        findings = deployment.changed(lock_seconds=600.0).findings()
    assert bad(findings) == []
    assert "being written" in of(findings, "warehouse")[0].message
    assert "finished" in of(findings, "last run")[0].message


def test_the_doctor_holds_the_lock_while_it_examines(deployment: Deployment) -> None:
    path = deployment.settings.data_dir / "warehouse.lock"
    with lock(path) as free, lock(path) as free_for_another:
        assert (free, free_for_another) == (True, False)


def test_a_path_that_this_user_may_not_read_is_named(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(visit: Visit) -> Iterator[Finding]:
        raise PermissionError(13, "Permission denied", "/srv/landing")

    monkeypatch.setitem(CHECKS, "landing", forbidden)
    [finding] = bad(deployment.findings())
    assert finding.message == "could not be checked: Permission denied: /srv/landing"
    assert "let this user read it" in finding.mend


def test_a_check_that_breaks_is_a_failure_of_its_own(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(visit: Visit) -> Iterator[Finding]:
        yield Finding("disk", Level.OK, "so far")
        raise ValueError("of two\nlines")

    monkeypatch.setitem(CHECKS, "disk", breaks)
    findings = deployment.findings()
    [failure] = bad(findings)
    assert (failure.check, failure.level) == ("disk", "failure")
    assert failure.message == "could not be checked: ValueError: of two lines"
    assert len({finding.check for finding in findings}) == 12


# --- stores -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("w0099", "this warehouse was made by a newer version (revision w0099); install that"),
        ("29ce7909c52b", "this warehouse has another program's tables (revision 29ce7909c52b)"),
    ],
)
def test_a_run_refuses_a_warehouse_that_it_does_not_know(
    deployment: Deployment, revision: str, message: str
) -> None:
    with duckdb.connect(deployment.settings.warehouse) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    before = deployment.settings.warehouse.read_bytes()
    with pytest.raises(NewerSchemaError) as raised, open_warehouse(deployment.settings, "test"):
        pass
    assert str(raised.value).startswith(message)
    assert deployment.settings.warehouse.read_bytes() == before


def set_operations_revision(deployment: Deployment, revision: str) -> None:
    engine = sa.create_engine(deployment.settings.operations_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()


def test_another_programs_database_is_not_touched(deployment: Deployment) -> None:
    set_operations_revision(deployment, "29ce7909c52b")
    [finding] = of(bad(deployment.findings()), "operations")
    assert "another program's tables" in finding.message
    with (
        pytest.raises(NewerSchemaError, match="operational database has another"),
        database.open_operations(deployment.settings),
    ):
        pass


def test_a_migration_of_the_next_run_is_announced(deployment: Deployment) -> None:
    with duckdb.connect(deployment.settings.warehouse) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'w0001'")
    set_operations_revision(deployment, "o0001")
    findings = bad(deployment.findings())
    assert [finding.check for finding in findings] == ["warehouse", "operations"]
    assert all("back it up first" in finding.mend for finding in findings)
    assert all(finding.level is Level.WARNING for finding in findings)


def test_a_damaged_warehouse_and_copy(deployment: Deployment) -> None:
    published = deployment.settings.published / "citybrain.duckdb"
    for path in (deployment.settings.warehouse, published):
        path.unlink()
        path.write_bytes(b"nonsense" * 2000)
    findings = {finding.check: finding for finding in bad(deployment.findings())}
    assert findings.keys() == {"warehouse", "published", "last run"}
    assert "backup" in findings["warehouse"].mend
    assert "rollback" in findings["published"].mend
    assert "not known" in findings["last run"].message


def test_a_limit_that_duckdb_does_not_understand(deployment: Deployment) -> None:
    findings = of(bad(deployment.changed(memory_limit="lots").findings()), "warehouse")
    assert [finding.mend for finding in findings] == ["correct CITYBRAIN_MEMORY_LIMIT"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg2//citybrain:secret@host/x", "no database URL"),
        ("postgresql+psycopg2://citybrain:secret@127.0.0.1:port/x", "no database URL"),
        ("nonesuch://citybrain:secret@host/x", "nonesuch"),
        ("postgresql+psycopg2://127.0.0.1:1/x?password=secret", "127.0.0.1"),
    ],
)
def test_no_url_of_the_operational_database_is_shown_whole(
    deployment: Deployment, url: str, words: str
) -> None:
    findings = deployment.changed(ops_url=SecretStr(url)).findings()
    [finding] = bad(findings)
    assert (finding.check, finding.level) == ("operations", "failure")
    assert words in finding.message
    assert "secret" not in str(findings)


def test_a_copy_that_is_behind_and_one_that_is_pinned(deployment: Deployment) -> None:
    settings = deployment.settings
    loaded = deployments.Deployment.load(settings)
    with open_warehouse(settings, "test") as connection:
        [delivery] = rows(connection, "SELECT delivery_id FROM delivery")
    repairs.withdraw(loaded, delivery.delivery_id, "sent by mistake")
    later = replace(deployment, now=datetime.now(UTC).replace(tzinfo=None))
    [behind] = bad(later.findings())
    assert (behind.check, behind.level) == ("published", "warning")
    assert "ledger position 1, the warehouse of 2" in behind.message
    night.publish(loaded)
    assert bad(later.findings()) == []
    rollback(settings)
    [pinned] = bad(later.findings())
    assert "pinned readers to generation 1" in pinned.message
    assert "--unpin" in pinned.mend


# --- the machine --------------------------------------------------------------------------------


def test_versions_other_than_the_pinned_ones(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = {"duckdb": "2.0.0", "great-expectations": None}
    real = machine._installed
    monkeypatch.setattr(machine, "_installed", lambda name: installed.get(name, real(name)))
    findings = bad(deployment.findings())
    assert [finding.message for finding in findings] == [
        "duckdb is 2.0.0, not 1.5.5",
        "great-expectations is missing, not 1.24.1",
    ]
    assert all("--require-hashes" in finding.mend for finding in findings)


def test_a_python_that_was_not_asked_for() -> None:
    assert machine._python_fits(">=3.11,<3.12")
    assert not machine._python_fits(">=3.9,<3.11")
    assert not machine._python_fits(">=3.13")


def test_an_archive_that_others_can_enter(deployment: Deployment) -> None:
    deployment.settings.archive.chmod(0o755)
    [finding] = bad(deployment.findings())
    assert (finding.check, finding.level) == ("disk", "warning")
    assert "mode 0755" in finding.message
    assert finding.mend.startswith("chmod 700")


def test_a_file_in_the_place_of_a_folder(deployment: Deployment) -> None:
    deployment.settings.landing.rmdir()
    deployment.settings.landing.write_bytes(b"")
    findings = of(bad(deployment.findings()), "disk")
    assert [finding.level for finding in findings] == ["failure"]
    assert "Not a directory" in findings[0].message


def test_urls_of_the_digest_are_judged_and_never_shown(deployment: Deployment) -> None:
    urls = "json://user:secret@127.0.0.1/x nonesuch://user:secret@host"
    findings = deployment.changed(notify_urls=SecretStr(urls)).findings()
    [finding] = bad(findings)
    assert (finding.check, finding.level) == ("notification", "failure")
    assert finding.message.startswith("URL 2 of 2")
    assert "secret" not in str(findings)
    sound = deployment.changed(notify_urls=SecretStr(urls.split()[0])).findings()
    assert of(sound, "notification")[0].message == "the digest goes to 1 channel"


def test_a_clock_that_has_gone_back(deployment: Deployment) -> None:
    assert bad(deployment.later(-timedelta(minutes=50)).findings()) == []
    [finding] = bad(deployment.later(-timedelta(hours=2)).findings())
    assert (finding.check, finding.level) == ("time", "failure")


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
    deployment: Deployment, today: date, listed: str, level: str
) -> None:
    assert deployment.settings.config_dir is not None
    if listed:
        text = f"date,working\n{listed},0\n"
        (deployment.settings.config_dir / "holidays.csv").write_text(text, encoding="utf-8")
    [finding] = of(replace(deployment, today=today).findings(), "calendars")
    assert finding.level == level


def test_a_configuration_that_is_not_in_force_yet(deployment: Deployment) -> None:
    assert deployment.settings.config_dir is not None
    with (deployment.settings.config_dir / "departments.csv").open("a", encoding="utf-8") as file:
        file.write("d,丁局,,,,,,\n")
    findings = deployment.findings()
    assert bad(findings) == []
    assert "in force is still" in of(findings, "configuration")[1].message


@pytest.mark.parametrize("then_well", [False, True])
def test_steps_that_failed_when_last_tried(deployment: Deployment, then_well: bool) -> None:
    def step(run_id: str, name: str, error: str | None) -> Step:
        return Step(run_id, name, "records", deployment.now, 1.0, error=error)

    tried = [step("one", "stage", "StorageError"), step("one", "stage", None)]
    tried += [step("two", "stage", None)] if then_well else []
    tried += [step("three", "load", None)]
    with database.open_operations(deployment.settings) as store:
        for tried_step in tried:
            database.store_step(store, tried_step)
    messages = [finding.message for finding in bad(deployment.findings())]
    assert messages == ([] if then_well else ["step stage records of run one failed: StorageError"])


def test_files_that_wait_in_landing_are_reported(deployment: Deployment) -> None:
    for name in ("records.csv", "records.east.csv"):
        _land(deployment, f"{DAY}/b/{name}")
    [young] = of(deployment.findings(), "landing")
    assert (young.level, young.message[:7]) == ("ok", "2 files")
    [old] = bad(deployment.later(timedelta(hours=25)).findings())
    assert (old.check, old.level) == ("landing", "warning")


def test_unknown_files_and_files_being_uploaded_are_reported(deployment: Deployment) -> None:
    for number in range(5):
        _land(deployment, f"readme{number}.txt")
    _land(deployment, f"{DAY}/b/records.csv", age=0)
    findings = of(deployment.changed(settle_seconds=60.0).findings(), "landing")
    assert [finding.level for finding in findings] == ["warning", "ok"]
    assert findings[0].message.endswith("readme0.txt, readme1.txt, readme2.txt and 2 more")
    assert findings[1].message == "1 file still being uploaded"


def test_folders_that_a_killed_run_left_in_staging_are_reported(deployment: Deployment) -> None:
    (deployment.settings.staging / "20251102T180000-0a1b2c").mkdir(parents=True)
    assert bad(deployment.findings()) == []
    [finding] = bad(deployment.later(timedelta(hours=25)).findings())
    assert (finding.check, finding.level, finding.mend) == ("landing", "warning", "citybrain clean")


def _land(deployment: Deployment, place: str, age: float = 3600) -> None:
    path = deployment.settings.landing / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    moment = datetime.now(UTC).timestamp() - age
    os.utime(path, (moment, moment))


# --- the command and its page -------------------------------------------------------------------


def citybrain(deployment: Deployment, monkeypatch: pytest.MonkeyPatch, *words: str):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(deployment.settings.data_dir))
    monkeypatch.setenv("CITYBRAIN_CONFIG_DIR", str(deployment.settings.config_dir))
    return CliRunner().invoke(app, ["doctor", *words])


def test_the_command_for_people_and_for_programs(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = citybrain(deployment, monkeypatch)
    assert plain.exit_code == 0, plain.output
    assert plain.stdout.rstrip().endswith(("healthy", "warning", "warnings"))
    answer = json.loads(citybrain(deployment, monkeypatch, "--json").stdout)
    assert answer.keys() == {"healthy", "findings"}
    assert all(
        finding.keys() == {"check", "level", "message", "mend"} for finding in answer["findings"]
    )
    assert answer["healthy"] == all(finding["level"] == "ok" for finding in answer["findings"])


def test_the_command_fails_with_a_failure_and_examines_everything(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ailments.broken_contract(deployment):
        result = citybrain(deployment, monkeypatch, "--json")
    assert result.exit_code == 1
    answer = json.loads(result.stdout)
    assert answer["healthy"] is False
    assert len({finding["check"] for finding in answer["findings"]}) == 12
    assert "Traceback" not in result.output


def test_settings_that_make_no_sense_are_wrong_usage(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYBRAIN_THREADS", "x")
    result = citybrain(deployment, monkeypatch)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: CITYBRAIN_THREADS: ")


def test_the_doctor_loads_nothing_heavy(deployment: Deployment) -> None:
    code = (
        "import sys; from datetime import date, datetime; from pipelines.doctor import examine; "
        "from pipelines.settings import Settings; "
        "list(examine(Settings(), date(2025, 6, 2), datetime(2025, 6, 2))); "
        "print({'great_expectations', 'pandas', 'airflow', 'apprise'} & set(sys.modules))"
    )
    environment = os.environ | {
        "CITYBRAIN_DATA_DIR": str(deployment.settings.data_dir),
        "CITYBRAIN_CONFIG_DIR": str(deployment.settings.config_dir),
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
                output = ailments.shown(broken, bad(broken.findings()))
        except ailments.CannotMountError:
            continue
        assert output in page, REWRITE
