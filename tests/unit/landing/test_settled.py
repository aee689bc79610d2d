"""Check which files are whole, by age and by marker, and what becomes of markers."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.landing.files import look
from pipelines.landing.receipts import clear, receive, tidy

PLACE = "2021-10-01/gaj/records.csv"
MINUTE = 60.0
DAY = 86_400.0


def put(folder: Path, relative: str = PLACE, age: float = 0.0, data: bytes = b"x") -> Path:
    path = folder / relative
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    changed = time.time() - age
    os.utime(path, (changed, changed))
    return path


def mark(path: Path, age: float = 0.0) -> Path:
    return put(path.parent, f"{path.name}.done", age, b"")


def is_taken(folder, catalog, settle_seconds: float = MINUTE) -> bool:
    """Return whether the only file in landing would be taken; check that it waits otherwise."""
    landed, problems, waiting = look(folder, catalog, settle_seconds)
    assert problems == []
    assert len(landed) + len(waiting) == 1
    return bool(landed)


@pytest.mark.parametrize(
    ("age", "settle_seconds", "taken"),
    [(0, 60, False), (50, 60, False), (70, 60, True), (50, 30, True), (0, 0, True), (-90, 0, True)],
)
def test_a_file_is_taken_once_it_has_been_still(folder, catalog, age, settle_seconds, taken):
    put(folder, age=age)
    assert is_taken(folder, catalog, settle_seconds) is taken


def test_a_time_in_the_future_is_of_another_clock_and_ours_tells_the_age(folder, catalog):
    put(folder, age=-DAY)
    assert not is_taken(folder, catalog)
    time.sleep(0.2)
    assert is_taken(folder, catalog, 0.1)


@pytest.mark.parametrize(
    ("file_age", "marker_age", "taken"), [(5, 0, True), (5, 5, True), (5, 9, False), (70, 99, True)]
)
def test_a_marker_says_that_the_file_it_lies_beside_is_whole(
    folder, catalog, file_age, marker_age, taken
):
    path = put(folder, age=file_age)
    marker = mark(path, marker_age)
    times = path.stat().st_mtime_ns if file_age == marker_age else marker.stat().st_mtime_ns
    os.utime(marker, ns=(times, times))
    assert is_taken(folder, catalog) is taken


def test_the_marker_of_another_file_is_ignored(folder, catalog):
    path = put(folder)
    mark(path.with_name("records.a.csv"))
    mark(path.with_suffix(""))
    assert not is_taken(folder, catalog)


def test_files_wait_one_by_one_and_unknown_files_are_reported_at_once(folder, catalog):
    waits = put(folder, "2021-10-01/gaj/records.csv")
    still = put(folder, "2021-10-01/wjw/records.csv", age=99)
    put(folder, "2021-10-01/gaj/recs.csv")
    landed, problems, waiting = look(folder, catalog, MINUTE)
    assert [file.path for file in landed] == [still]
    assert [file.path for file in waiting] == [waits]
    assert [problem.path for problem in problems] == ["2021-10-01/gaj/recs.csv"]


@pytest.mark.parametrize("name", ["records.csv.done", "records.csv.DONE", ".done", "x.done"])
def test_markers_are_never_deliveries_nor_problems(folder, catalog, name):
    put(folder, f"2021-10-01/gaj/{name}", age=99)
    put(folder, name, age=99)
    assert look(folder, catalog, MINUTE) == ([], [], [])


def test_a_name_too_long_to_have_a_marker_settles_by_its_age(folder, config):
    config.edit(
        "sources/records.yaml",
        "footer:",
        r"file_patterns: ['long/x+_(?P<department>\w+)_(?P<business_date>\d+)\.csv']" "\nfooter:",
    )
    name = f"long/{'x' * 235}_gaj_20211001.csv"
    path = put(folder, name)
    assert len(path.name) > 255 - len(".done")
    assert not is_taken(folder, config.catalog())
    path = put(folder, name, age=99)
    assert is_taken(folder, config.catalog())
    (landed,), *_ = look(folder, config.catalog())
    clear(receive(landed, config.catalog(), folder.parent / "archive"), folder)
    assert list(folder.iterdir()) == []


# --- receive ------------------------------------------------------------------------------------


def test_an_upload_that_begins_after_listing_is_not_received(folder, catalog, settings):
    path = put(folder, age=99)
    (landed,), *_ = look(folder, catalog, MINUTE)
    path.write_bytes(b"the first half of a correct")
    with pytest.raises(UsageError, match="still being uploaded"):
        receive(landed, catalog, settings.archive, MINUTE)
    assert not settings.archive.exists()


def test_a_file_that_another_run_has_taken_is_ignored(folder, catalog, settings):
    path = put(folder)
    (landed,), *_ = look(folder, catalog)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        receive(landed, catalog, settings.archive)


# --- clear --------------------------------------------------------------------------------------


@pytest.fixture
def delivery(folder, catalog, settings):
    """Return a received file with its marker."""
    path = put(folder, age=99)
    mark(path)
    (landed,), *_ = look(folder, catalog, MINUTE)
    return receive(landed, catalog, settings.archive, MINUTE)


def test_a_marker_goes_with_its_file(folder, delivery):
    clear(delivery, folder)
    assert list(folder.iterdir()) == []
    clear(delivery, folder)


def test_the_marker_of_a_replaced_file_stays(folder, delivery):
    delivery.path.write_bytes(b"other")
    clear(delivery, folder)
    assert sorted(path.name for path in delivery.path.parent.iterdir()) == [
        "records.csv",
        "records.csv.done",
    ]


def test_a_marker_whose_file_is_gone_goes_after_a_day_with_its_folders(folder):
    old = mark(folder / PLACE, DAY + MINUTE)
    young = mark(folder / "2021-10-02/gaj/records.csv", DAY - MINUTE)
    with_file = mark(put(folder, "2021-10-03/gaj/records.csv", age=9 * DAY), 9 * DAY)
    uploading = mark(folder / "2021-10-04/gaj/records.csv", 9 * DAY)
    put(uploading.parent, "records.csv.part")
    tidy(folder)
    assert not old.exists()
    assert not (folder / "2021-10-01").exists()
    assert young.exists()
    assert with_file.exists()
    assert [path.name for path in uploading.parent.iterdir()] == ["records.csv.part"]


def test_an_absent_landing_folder_has_no_markers(folder):
    tidy(folder / "absent")
    tidy(folder)
    assert folder.is_dir()
