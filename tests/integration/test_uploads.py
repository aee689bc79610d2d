"""Files that arrive while a run looks: what is being uploaded waits, and is taken whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from integration.conftest import DAY, City
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.jobs import intake, night
from pipelines.landing import files, receipts

# Appends a row every few milliseconds, in place and without a temporary name, until its input ends;
# then it says how many there are.
WRITER = """
import pathlib, select, sys, time
path, rows = pathlib.Path(sys.argv[1]), 0
path.parent.mkdir(parents=True)
with path.open("w", encoding="utf-8", buffering=1) as file:
    file.write("事项,数量,领域\\n")
    while rows < 3 or not select.select([sys.stdin], [], [], 0.02)[0]:
        file.write(f"k{rows},1,交通\\n")
        rows += 1
        if rows == 3:
            print("writing", flush=True)
print(rows)
"""


def test_a_file_that_a_process_keeps_writing_waits_and_is_taken_whole(city: City) -> None:
    path = city.settings.landing / "2021-09-23" / "a" / "records.csv"
    program = [sys.executable, "-c", WRITER, str(path)]
    writer = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        for attempt in ("first", "second", "third"):
            before = path.stat().st_size
            discovery = intake.discover(city.deployment, attempt, settle_seconds=5)
            assert discovery.pending == discovery.problems == []
            assert discovery.waiting == [Path("2021-09-23/a/records.csv")]
            assert path.stat().st_size > before, "it grew while the run looked"
    finally:
        written, _ = writer.communicate()
    assert writer.returncode == 0
    time.sleep(0.6)
    discovery = intake.discover(city.deployment, "last", settle_seconds=0.5)
    assert discovery.waiting == []
    [delivery] = discovery.pending
    assert delivery.size == path.stat().st_size
    [judgement] = take(city, discovery)
    assert judgement.accounting is not None
    assert judgement.accounting.rows_read == judgement.accounting.accepted == int(written)
    assert city.landed() == []


def take(city: City, discovery: intake.Discovery):
    [chunk] = intake.chunks(city.settings, discovery.pending)
    staged = intake.stage(city.deployment, chunk, "take", 0)
    return intake.load_staged(city.deployment, [staged], "take")


def test_a_marked_file_is_taken_at_once_and_its_marker_goes_with_it(city: City) -> None:
    path = city.land([("k1", 1, "交通")])
    os.utime(path)
    assert intake.discover(city.deployment, "early", settle_seconds=60).pending == []
    path.with_name("records.csv.done").touch()
    discovery = intake.discover(city.deployment, "marked", settle_seconds=60)
    assert len(discovery.pending) == 1
    take(city, discovery)
    assert not (city.settings.landing / "2021-09-23").exists()
    # and with a receipt that brings nothing new
    path = city.land([("k1", 1, "交通")])
    os.utime(path)
    path.with_name("records.csv.done").touch()
    again = intake.discover(city.deployment, "again", settle_seconds=60)
    assert len(again.unchanged) == 1
    assert not (city.settings.landing / "2021-09-23").exists()


def test_orphaned_markers_are_removed_after_a_day(city: City) -> None:
    marker = city.land([("k1", 1, "交通")]).rename(city.settings.landing / "records.csv.done")
    assert marker.stat().st_mtime < time.time() - 86_400
    intake.discover(city.deployment, "night")
    assert not marker.exists()


def test_only_files_that_a_run_would_take_are_reported_as_waiting(city: City) -> None:
    for day in ("2021-09-23", "2021-09-24"):
        os.utime(city.land([("k1", 1, "交通")], day=day))
    discovery = intake.discover(city.deployment, "one", (DAY, DAY), "records", settle_seconds=60)
    assert discovery.waiting == [Path("2021-09-23/a/records.csv")]
    other = intake.discover(city.deployment, "two", source="cameras", settle_seconds=60)
    assert other.waiting == []


def test_an_upload_that_begins_between_listing_and_receipt_waits(city: City, monkeypatch) -> None:
    path = city.land([("k1", 1, "交通")])
    receive = receipts.receive

    def and_before_that_an_upload_begins(*given):
        path.write_text("事项,数量,领域\nk1,1,交通\nk2", encoding="utf-8")
        return receive(*given)

    monkeypatch.setattr(receipts, "receive", and_before_that_an_upload_begins)
    discovery = intake.discover(city.deployment, "half", settle_seconds=60)
    assert discovery.pending == discovery.problems == []
    assert len(discovery.waiting) == 1


def test_a_file_that_another_run_takes_meanwhile_is_no_problem(city: City, monkeypatch) -> None:
    """Let another run take the file after this run's look, as two DAGs' runs may."""
    city.land([("k1", 1, "交通")])
    path = city.land([("k2", 1, "交通")], department="b")
    receive = receipts.receive

    def and_another_run_is_faster(landed, *given):
        if landed.department == "a":
            monkeypatch.setattr(receipts, "receive", receive)
            city.take()
            path.parent.mkdir(parents=True)
            path.write_text("事项,数量,领域\nk3,1,交通\n", encoding="utf-8")
        return receive(landed, *given)

    monkeypatch.setattr(receipts, "receive", and_another_run_is_faster)
    discovery = intake.discover(city.deployment, "slow")
    assert discovery.problems == discovery.waiting == []
    [delivery] = discovery.pending
    assert delivery.department == "b"
    assert city.items() == {"k1", "k2"}


def test_a_file_that_vanishes_after_listing_is_ignored(city: City, monkeypatch) -> None:
    path = city.land([("k1", 1, "交通")])
    listed = list(files._walk(city.settings.landing, []))
    assert listed == [path]
    path.unlink()
    monkeypatch.setattr(files, "_walk", lambda folder, closed: iter(listed))
    assert files.look(city.settings.landing, city.catalog) == ([], [], [])


def test_waiting_files_are_reported_by_the_run_and_raise_no_alert(city: City) -> None:
    os.utime(city.land([("k1", 1, "交通")]))
    report = night.run(city.deployment, DAY, settle_seconds=60)
    assert report.waiting == [Path("2021-09-23/a/records.csv")]
    assert not report.has_rejections
    assert not [alert for alert in report.alerts if "records.csv" in alert.key]
    taken = night.run(city.deployment, DAY)
    assert taken.waiting == []
    assert len(taken.judgements) == 1


@pytest.mark.parametrize("by_option", [True, False])
def test_the_command_waits_on_request_and_names_the_files_it_left(
    city: City, monkeypatch, by_option: bool
) -> None:
    for number in range(7):
        os.utime(city.land([("k1", 1, "交通")], part=f"p{number}"))
    monkeypatch.setenv("CITYBRAIN_CONFIG_DIR", str(city.config))
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(city.settings.data_dir))
    monkeypatch.delenv("CITYBRAIN_SETTLE_SECONDS", raising=False)
    if not by_option:
        monkeypatch.setenv("CITYBRAIN_SETTLE_SECONDS", "60")
    words = ["run", "--as-of", "2021-09-23", *(["--settle", "60"] if by_option else [])]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    names = [f"2021-09-23/a/records.p{number}.csv" for number in range(7)]
    flat = " ".join(result.output.split())
    assert f"7 files are still being uploaded: {', '.join(names[:5])} and 2 more" in flat
    record = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert record["waiting"] == names
    assert (record["problems"], record["deliveries"]) == ([], {})


def test_a_negative_settling_time_is_refused() -> None:
    assert CliRunner().invoke(app, ["run", "--settle", "-1"]).exit_code == 2
