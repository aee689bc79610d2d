"""Check what `citybrain clean` removes and keeps, and that a rebuild then gives the same rows."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from integration.conftest import DAY, RECORDS, City
from integration.test_load import BULK, BULK_HEADER
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.deployment import Deployment
from pipelines.errors import StorageError, UsageError, WorseError
from pipelines.jobs import housekeeping, intake, night, repairs
from pipelines.jobs.cleaning import Removal
from pipelines.landing import archive
from pipelines.machine.logs import Step
from pipelines.operations import database
from pipelines.settings import Settings
from pipelines.warehouse import publish as publishing

CURRENT = "SELECT * FROM records ORDER BY ALL"
PURGED = "SELECT delivery_id, sha256, reason FROM purge ORDER BY ALL"


def many(first: str, count: int = 400) -> list[tuple[str, int, str]]:
    """Return rows of a file that is worth compressing."""
    return [(f"{first}{number:05}", number, "交通运输") for number in range(count)]


def in_days(days: float) -> datetime:
    return datetime.now(UTC).replace(tzinfo=None) + timedelta(days=days)


def clean(city: City, days: float, dry_run: bool = False, **given: Any) -> list[Removal]:
    changes = {"step_days": 10_000} | given.pop("settings", {})
    settings = city.settings.model_copy(update=changes)
    return housekeeping.clean(settings, in_days(days), dry_run, **given)


def place(city: City, sha256: str) -> Path:
    return archive.archived(city.settings.archive, sha256)


def age(path: Path, days: float) -> None:
    at = time.time() - days * 86_400
    os.utime(path, (at, at))


def tree(root: Path) -> dict[str, tuple[int, int, bytes]]:
    """Map every file below to mode, time and bytes, except locks, which name their last holder."""
    return {
        str(path.relative_to(root)): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            path.read_bytes(),
        )
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


def kinds(removals: list[Removal]) -> list[tuple[str, str]]:
    return [(removal.kind, Path(removal.what).name) for removal in removals]


@pytest.fixture
def littered(city: City) -> City:
    """Return a city with something of every kind that `clean` removes, a month from now."""
    settings = city.settings
    city.land(many("x"), part="p", minute=2)
    city.land([("x", 1, "")], day="2021-09-24", minute=1)
    city.take()
    city.send([("x", 2, "")], day="2021-09-24", minute=3)
    city.land([("y", 1, "")], department="b")
    intake.discover(Deployment(settings, city.catalog), "cut off")
    city.landed()[0].unlink()  # archived, and never recorded
    city_of_today = night.publish(Deployment(settings, city.catalog)).path
    yesterdays = city_of_today.with_name("000000.duckdb")
    yesterdays.write_bytes(b"12345")
    age(yesterdays, 1)
    (settings.staging / "killed" / "records-0000").mkdir(parents=True)
    (settings.staging / "killed" / "records-0000" / "work.duckdb").write_bytes(b"1234")
    (settings.archive / ".unfinished").write_bytes(b"12")
    (settings.published / "generations" / ".building-000009.duckdb").write_bytes(b"123")
    settings.logs.mkdir(exist_ok=True)
    (settings.logs / "2021-09-23.jsonl").write_text("{}\n")
    with database.open_operations(settings) as store:
        database.store_step(store, Step("old", "load", "records", in_days(-80)))
    return city


def test_a_dry_run_changes_nothing_and_says_what_the_real_run_then_does(
    littered: City, tmp_path: Path
) -> None:
    extra = tmp_path / "airflow" / "logs"
    (extra / "dag" / "run").mkdir(parents=True)
    (extra / "dag" / "run" / "attempt=1.log").write_text("line\n")
    settings = littered.settings
    given: dict[str, Any] = {
        "settings": {"keep_generations": 1, "keep_days": 1, "archive_days": 1, "step_days": 90},
        "extra_log_folders": [extra],
    }
    before = tree(tmp_path)
    removals = clean(littered, 31, dry_run=True, **given)
    assert tree(tmp_path) == before
    assert {removal.kind for removal in removals} == {
        "leftover",
        "generation",
        "log",
        "archive",
        "compressed",
        "entries",
    }
    names = [name for _, name in kinds(removals)]
    assert {
        "killed",
        ".unfinished",
        ".building-000009.duckdb",
        "000000.duckdb",
        "2021-09-23.jsonl",
        "attempt=1.log",
    } <= {*names}
    assert all(removal.why for removal in removals)

    free = {name: len(content) for name, (_, _, content) in before.items()}
    assert clean(littered, 31, **given) == removals
    left = tree(tmp_path)
    gone = sum(size for name, size in free.items() if name not in left)
    came = sum(len(content) for name, (_, _, content) in left.items() if name not in before)
    assert sum(removal.bytes for removal in removals) == gone - came
    assert not (extra / "dag").exists()
    assert extra.exists()
    assert not any(settings.staging.iterdir())
    assert clean(littered, 31, **given) == []


def test_compressed_bytes_are_the_same_bytes(city: City) -> None:
    judged = city.send(many("x"))
    small = city.send([("s", 1, "")], department="b")
    raw = place(city, judged.delivery.sha256)
    content, at = raw.read_bytes(), raw.stat().st_mtime_ns
    assert clean(city, 6.9) == []
    removals = clean(city, 7.1, dry_run=True)
    assert clean(city, 7.1) == removals
    [removal] = removals
    packed = archive.compressed(raw)
    assert (removal.kind, removal.what) == ("compressed", f"archive/{raw.parent.name}/{raw.name}")
    assert removal.bytes == len(content) - packed.stat().st_size > len(content) / 2
    assert not raw.exists()
    assert packed.stat().st_mtime_ns == at
    assert stat.S_IMODE(packed.stat().st_mode) == 0o600
    assert [file.name for file in raw.parent.iterdir()] == [packed.name]
    assert place(city, small.delivery.sha256).exists(), "a block of a disk is not made smaller"

    rows = city.rows(CURRENT)
    repairs.rebuild(city.deployment, "records")
    assert city.rows(CURRENT) == rows
    assert len(rows) == 401
    assert not list(city.settings.staging.iterdir())
    # the same bytes again change nothing, and are not archived twice
    city.land(many("x"))
    assert city.take() == []
    assert not raw.exists()
    assert clean(city, 7.1) == []


def test_files_that_are_already_compressed_stay_as_they_are(city: City) -> None:
    content = b"PK\x03\x04" + bytes(10_000)
    judged = city.send(content, suffix=".xlsx")
    assert clean(city, 30) == []
    assert place(city, judged.delivery.sha256).read_bytes() == content


def test_compressing_that_was_cut_off_is_finished_by_the_next(city: City) -> None:
    judged = city.send(many("x"))
    rows = city.rows(CURRENT)
    raw = place(city, judged.delivery.sha256)
    content, packed = raw.read_bytes(), archive.compressed(raw)

    def unfinished() -> None:
        raw.with_name(".tmp12345").write_bytes(b"half")

    def both() -> None:
        archive.compress(raw)
        raw.write_bytes(content)

    def both_and_one_damaged() -> None:
        both()
        packed.write_bytes(packed.read_bytes()[:-9])

    for left in (unfinished, both, both_and_one_damaged):
        left()
        repairs.rebuild(city.deployment, "records")
        assert city.rows(CURRENT) == rows
        removals = clean(city, 8, dry_run=True)
        assert clean(city, 8) == removals
        assert [file.name for file in raw.parent.iterdir()] == [packed.name]
        assert archive.find(city.settings.archive, raw.name) == packed
        packed.unlink()
        raw.write_bytes(content)


def test_a_run_that_is_killed_while_compressing_loses_nothing(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = city.send(many("x"))
    raw = place(city, judged.delivery.sha256)
    content = raw.read_bytes()

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    for owner, name in ((os, "fsync"), (os, "utime"), (Path, "replace"), (Path, "unlink")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, die)
            with pytest.raises(Killed):
                clean(city, 8)
        whole = raw if raw.exists() else archive.compressed(raw)
        folder = city.settings.data_dir
        with archive.raw_bytes(city.settings.archive, raw.name, folder, raw.name) as file:
            assert file.read_bytes() == content
        assert whole.exists()
    clean(city, 12)
    assert [path.name for path in raw.parent.iterdir()] == [f"{raw.name}.zst"]


def test_damaged_archived_bytes_are_no_verdict_on_a_department(city: City) -> None:
    judged = city.send(many("x"))
    rows, ledger = city.rows(CURRENT), city.verdicts()
    raw = place(city, judged.delivery.sha256)
    content = raw.read_bytes()
    archive.compress(raw)
    packed = archive.compressed(raw)
    sound = packed.read_bytes()
    middle = len(sound) // 2
    other = packed.with_name(hashlib.sha256(content[:-1]).hexdigest())
    other.write_bytes(content[:-1])
    archive.compress(other)
    for damaged in (
        b"",
        sound[:middle],
        sound[:middle] + bytes([sound[middle] ^ 255]) + sound[middle + 1 :],
        archive.compressed(other).read_bytes(),
    ):
        packed.write_bytes(damaged)
        with pytest.raises(StorageError, match=rf"{raw.name}\.zst.*restore it from backup"):
            repairs.rebuild(city.deployment, "records")
        assert (city.rows(CURRENT), city.verdicts()) == (rows, ledger)
        assert not [file for file in city.settings.staging.rglob("*") if file.is_file()]
    packed.write_bytes(sound)
    repairs.rebuild(city.deployment, "records")
    assert city.rows(CURRENT) == rows


def test_damaged_raw_bytes_are_reported_and_not_compressed(city: City) -> None:
    judged = city.send(many("x"))
    raw = place(city, judged.delivery.sha256)
    raw.chmod(0o600)
    raw.write_bytes(raw.read_bytes()[:-1])
    assert clean(city, 30) == clean(city, 30, dry_run=True) == []
    assert [file.name for file in raw.parent.iterdir()] == [raw.name]


# --- bytes that go ------------------------------------------------------------------------------


def orphan(city: City, content: bytes) -> Path:
    path = place(city, hashlib.sha256(content).hexdigest())
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_bytes_without_a_ledger_entry_are_removed_unless_young_or_in_landing(city: City) -> None:
    city.send([("x", 1, "")])
    lost, waiting = orphan(city, b"lost"), orphan(city, b"waiting")
    foreign = city.settings.archive / "readme.txt"
    foreign.write_bytes(b"not ours")
    city.land(b"waiting", source="unknown")
    assert clean(city, 0.9) == []
    assert kinds(clean(city, 1.1)) == [("archive", lost.name)]
    assert waiting.exists()
    assert foreign.exists()
    assert city.rows("FROM purge") == []


@pytest.mark.parametrize("loss", ["no warehouse", "a new one"])
def test_an_archive_without_its_ledger_is_kept(city: City, loss: str) -> None:
    first = city.send([("x", 1, "")])
    age(place(city, first.delivery.sha256), 10)
    city.settings.warehouse.unlink()
    if loss == "a new one":
        city.send([("y", 1, "")], department="b")
    assert clean(city, 2) == []
    assert place(city, first.delivery.sha256).exists()


def test_by_default_no_bytes_in_the_ledger_are_removed(city: City) -> None:
    city.send([("x", 1, "")])
    city.send([("x", 2, "")])
    assert clean(city, 4000, dry_run=True) == []


def test_superseded_bytes_are_removed_on_request_and_a_rebuild_is_the_same(city: City) -> None:
    city.source(RECORDS, max_quarantine=0.0)
    common: dict[str, Any] = {"content": [("same", 1, "")]}
    shared: dict[str, Any] = {"department": "old", "day": "2021-05-05"}
    rounds: list[list[dict[str, Any]]] = [
        [
            {"content": [("x", 1, "")]},  # superseded
            {"department": "c", **common},  # superseded, but b's are the same bytes
            {"department": "b", **common},
            {"content": [("w", 1, "")], **shared},  # superseded, but came before the part
            {"content": [("w", 2, "")], "part": "p", **shared},
        ],
        [
            {"content": [("x", "?", "")]},  # refused, and superseded
            {"content": [("c", 2, "")], "department": "c"},
            {"content": [("b", "?", "")], "department": "b"},  # refused: what is there must stay
            {"content": [("w", 3, "")], **shared},
        ],
        [{"content": [("x", 2, "")]}],
    ]
    judged = []
    for some in rounds:
        for delivery in some:
            city.land(**delivery)
        judged.append({judgement.delivery.slot[1]: judgement.delivery for judgement in city.take()})
    needless = [judged[0]["a"], judged[1]["a"]]
    given = {"settings": {"archive_days": 30}}
    removals = clean(city, 1, dry_run=True, **given)
    assert clean(city, 1, **given) == removals
    assert {Path(needed.what).name for needed in removals} == {needed.sha256 for needed in needless}
    assert {row[:2] for row in city.rows(PURGED)} == {
        (delivery.delivery_id, delivery.sha256) for delivery in needless
    }
    assert "30 days" in city.rows(PURGED)[0][2]
    rows = city.rows(CURRENT)
    again = repairs.rebuild(city.deployment, "records")
    assert city.rows(CURRENT) == rows
    assert not {judgement.delivery_id for judgement in needless} & {
        judgement.delivery.delivery_id for judgement in again
    }
    assert clean(city, 1, **given) == []


def test_held_and_withdrawn_deliveries_keep_their_bytes(city: City) -> None:
    city.send([("x", 1, "")])
    second = city.send([("x", 2, "")])
    repairs.withdraw(city.deployment, second.delivery.delivery_id, "误报")
    assert clean(city, 1, settings={"archive_days": 1}) == []


def test_a_history_file_whose_days_were_all_sent_again_stays_as_the_newest_of_its_place(
    city: City,
) -> None:
    city.source(BULK)
    city.send([("x", 1, "", "a", DAY)], header=BULK_HEADER, day="bulk", department="all")
    city.send([("x", 2, "", "a", DAY)], header=BULK_HEADER)
    assert city.items() == {"x"}
    assert clean(city, 1, settings={"archive_days": 1}) == []
    city.send([("y", 1, "", "b", DAY)], header=BULK_HEADER, day="bulk", department="all")
    assert len(clean(city, 1, settings={"archive_days": 1})) == 1


def test_a_requested_purge_removes_needed_bytes_and_rebuilds_report_it(city: City) -> None:
    first = city.send(many("x"))
    superseded = city.send([("y", 1, "")], department="b")
    city.send([("y", 2, "")], department="b")
    late = city.send([("z", 1, "")], department="c", minute=60 * 24 * 300)
    archive.compress(place(city, first.delivery.sha256))
    with pytest.raises(UsageError, match="--reason"):
        clean(city, 1, purge_before=date(2022, 1, 1))
    given: dict[str, Any] = {"purge_before": date(2022, 1, 1), "reason": "保存期满"}
    removals = clean(city, 1, dry_run=True, **given)
    assert clean(city, 1, **given) == removals
    assert len(removals) == 3
    assert {removal.why for removal in removals} == {"保存期满"}
    assert place(city, late.delivery.sha256).exists()
    assert archive.find(city.settings.archive, first.delivery.sha256) is None
    assert [row[2] for row in city.rows(PURGED)] == ["保存期满"] * 3
    rows = city.rows(CURRENT)
    assert len(rows) == 402

    with pytest.raises(WorseError, match=r"2 deliveries with 401 rows .*保存期满.*--force"):
        repairs.rebuild(city.deployment, "records")
    place(city, late.delivery.sha256).rename(city.config / "aside")
    with pytest.raises(UsageError, match="archive has lost"):  # it was lost, and not purged
        repairs.rebuild(city.deployment, "records", force=True)
    (city.config / "aside").rename(place(city, late.delivery.sha256))
    assert city.rows(CURRENT) == rows

    # received again, they are there again: one is enough for the other's loss to be told alone
    city.land(many("x"), minute=1)
    city.take()
    with pytest.raises(WorseError, match="1 deliveries with 1 rows"):
        repairs.rebuild(city.deployment, "records")
    judged = repairs.rebuild(city.deployment, "records", force=True)
    assert superseded.delivery.delivery_id not in {
        judgement.delivery.delivery_id for judgement in judged
    }
    assert city.rows("SELECT department, count(*) FROM records GROUP BY ALL ORDER BY 1") == [
        ("a", 400),
        ("c", 1),
    ]


def test_a_purged_delivery_cannot_be_accepted_until_it_comes_again(city: City) -> None:
    city.source(RECORDS, max_quarantine=0.0)
    rejected = city.send([("x", 1, ""), ("w", "?", "")])
    clean(city, 1, purge_before=date(2022, 1, 1), reason="个人信息")
    with pytest.raises(UsageError, match=r"个人信息.*send them again"):
        repairs.accept(city.deployment, rejected.delivery.delivery_id, "放行")


# --- generations, leftovers, logs ---------------------------------------------------------------


def test_yesterdays_last_generation_outlives_many_of_today(city: City) -> None:
    settings = city.settings.model_copy(update={"keep_generations": 2, "keep_days": 2})
    folder = settings.published / "generations"
    folder.mkdir(parents=True)
    published_so_far = iter(range(1, 99))

    def published(days: float) -> None:
        path = folder / f"{next(published_so_far):06}.duckdb"
        path.write_bytes(b"a generation")
        for generation in publishing.retirable(settings):
            generation.unlink()
        age(path, days)

    def remaining() -> list[int]:
        return [int(path.stem) for path in sorted(folder.glob("*.duckdb"))]

    for days in (9, 9, 5, 5):
        published(days)
    assert remaining() == [3, 4]
    for _ in range(3):
        published(0)
    assert remaining() == [4, 6, 7]
    publishing.rollback(settings, 4)
    for _ in range(3):
        published(-1.5)
    assert remaining() == [4, 9, 10]
    strict = {"keep_generations": 1, "keep_days": 0}
    assert kinds(clean(city, 0, settings=strict)) == [("generation", "000009.duckdb")]
    assert remaining() == [4, 10], "readers keep the one that they have"


def test_a_run_that_is_still_at_work_keeps_its_folder(city: City) -> None:
    old, live = (city.settings.staging / name / "records-0000" for name in ("old", "live"))
    for folder in (old, live):
        folder.mkdir(parents=True)
        (folder / "work.duckdb").write_bytes(b"1")
        for path in (folder / "work.duckdb", folder, folder.parent):
            age(path, 3)
    age(live / "work.duckdb", 0.5)
    assert kinds(clean(city, 0)) == [("leftover", "old")]
    assert live.exists()


def test_links_are_never_followed(city: City, tmp_path: Path) -> None:
    city.send(many("x"))
    outside = tmp_path / "outside"
    (outside / "ab").mkdir(parents=True)
    content = b"kept" * 4000
    for name in ("a.jsonl", ".temporary", "ab/" + hashlib.sha256(content).hexdigest()):
        (outside / name).write_bytes(content)
        age(outside / name, 900)
    settings = city.settings
    settings.logs.mkdir(exist_ok=True)
    (settings.logs / "a.jsonl").symlink_to(outside / "a.jsonl")
    (settings.logs / "folder").symlink_to(outside)
    (settings.archive / ".linked").symlink_to(outside / ".temporary")
    (settings.archive / "fe").unlink(missing_ok=True)
    if not (settings.archive / "fe").exists():
        (settings.archive / "fe").symlink_to(outside / "ab")
    settings.staging.mkdir(exist_ok=True)
    (settings.staging / "run").symlink_to(outside)
    before = tree(outside)
    assert kinds(clean(city, 0.1)) == []
    for folder in (settings.archive, settings.logs, settings.staging):
        moved = tmp_path / f"moved {folder.name}"
        folder.rename(moved)
        folder.symlink_to(moved)
    assert clean(city, 900, settings={"archive_days": 1}) == []
    assert tree(outside) == before


def test_a_log_folder_that_holds_more_than_logs_is_refused(city: City, tmp_path: Path) -> None:
    city.send([("x", 1, "")])
    for folder in (tmp_path, city.settings.data_dir, city.settings.archive / "ab"):
        with pytest.raises(UsageError, match="more than logs"):
            clean(city, 4000, extra_log_folders=[folder])
    assert clean(city, 4000, extra_log_folders=[tmp_path / "none"]) == []


def test_a_refusal_of_one_disk_does_not_stop_the_rest_of_the_cleaning(
    littered: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(publishing, "retirable", refuse)
    with pytest.raises(StorageError, match="No space left"):
        clean(littered, 31)
    assert not (littered.settings.logs / "2021-09-23.jsonl").exists()


def test_old_entries_of_the_operational_database_go(city: City) -> None:
    settings = city.settings
    assert clean(city, 1000) == []  # not even an empty database is made
    assert not settings.data_dir.exists()
    with database.open_operations(settings) as store:
        for days in (-100, -80):
            database.store_step(store, Step("run", "load", "", in_days(days)))
        database.store_notification(store, "run", "", "", 0, None)
    given = {"settings": {"step_days": 90}}
    [removal] = clean(city, 0, **given)
    assert (removal.kind, removal.what) == ("entries", "1 rows of step")
    removals = clean(city, 401, dry_run=True, **given)
    assert clean(city, 401, **given) == removals
    assert [listed.what for listed in removals] == ["1 rows of step", "1 rows of notification"]
    engine = sa.create_engine(settings.operations_url)
    with engine.connect() as connection:
        assert database.export(connection)["step"].empty
    engine.dispose()


# --- the command --------------------------------------------------------------------------------


def test_the_command(littered: City, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(littered.settings.data_dir))
    monkeypatch.setenv("CITYBRAIN_LOCK_SECONDS", "0")
    folder = littered.settings.staging / "killed"
    for path in (folder / "records-0000" / "work.duckdb", folder / "records-0000", folder):
        age(path, 2)

    def citybrain(*words: str) -> Any:
        return CliRunner().invoke(app, ["clean", *words])

    before = tree(littered.settings.data_dir)
    looked = citybrain("--dry-run", "--json")
    assert looked.exit_code == 0
    answer = json.loads(looked.stdout)
    assert answer["dry_run"]
    assert answer["freed"] == sum(removal["bytes"] for removal in answer["removals"]) == 4
    assert answer["removals"] == [
        {"kind": "leftover", "what": "staging/killed", "why": "a run was cut off", "bytes": 4}
    ]
    assert tree(littered.settings.data_dir) == before
    for words in (
        ["--purge-archive-before", "2022-01-01"],
        ["--reason", "x"],
        ["--purge-archive-before", "soon", "--reason", "x"],
        ["--purge-archive-before", "2090-01-01", "--reason", "x"],
    ):
        assert citybrain(*words).exit_code == 2
    done = citybrain("--purge-archive-before", "2022-01-01", "--reason", "保存期满")
    assert done.exit_code == 0
    assert "staging/killed" in done.stdout
    assert "freed" in done.stdout
    assert len(littered.rows("FROM purge")) == 3
    day = f"{datetime.now(UTC):%Y-%m-%d}.jsonl"
    events = [json.loads(line) for line in (littered.settings.logs / day).read_text().splitlines()]
    cleared = [event["what"] for event in events if event["event"] == "cleared away"]
    assert len(cleared) == 4
    with publishing.writer_lock(littered.settings, "test", "housekeeping.lock"):
        busy = citybrain()
    assert (busy.exit_code, "in use by process" in busy.output) == (1, True)


def test_the_command_makes_no_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(tmp_path / "none"))
    result = CliRunner().invoke(app, ["clean", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["removals"]) == (0, [])
    assert not Settings().data_dir.exists()
