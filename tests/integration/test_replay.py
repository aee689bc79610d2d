"""Backfill and replay: slices of days in any order, rebuilds, and what was known before them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import DAY, RECORDS, City
from integration.test_order import NEW, state

from pipelines.errors import WorseError
from pipelines.jobs import night, repairs

DAYS = [DAY + timedelta(days=number) for number in range(4)]
STRICT = [
    {**column, "maximum": 50} if column["name"] == "amount" else column
    for column in RECORDS["columns"]
]


@pytest.fixture
def make_tracked(make_city: Callable[[], City]) -> Callable[[], City]:
    def made() -> City:
        city = make_city()
        city.metrics(NEW)
        return city

    return made


def sent(city: City) -> list[Path]:
    """Return what two departments send over four days, corrections last."""
    return [
        city.land(
            [(f"{day:%d}{department}", 10 * number + 1, "x"), ("wide", 60, "y")],
            department=department,
            day=day,
        )
        for number, day in enumerate(DAYS)
        for department in ("a", "b")
    ]


def corrected(city: City) -> None:
    city.land([("23a", 5, "x"), ("new", 6, "y")], department="a", day=DAYS[0])
    city.land([("25b", 7, "x")], department="b", day=DAYS[2])
    city.land([("late", 8, "x")], department="c", day=DAYS[1])  # nothing had come of it yet


def run_night(city: City, first: date, last: date) -> None:
    report = night.run(city.deployment, DAYS[-1], (first, last))
    assert report.errors == []
    assert report.generation is not None


def test_backfills_of_days_in_any_order_give_the_same_rows(
    make_tracked: Callable[[], City],
) -> None:
    straight, slices = make_tracked(), make_tracked()
    for city in (straight, slices):
        sent(city)
    run_night(straight, DAYS[0], DAYS[3])
    corrected(straight)
    run_night(straight, DAYS[0], DAYS[3])

    run_night(slices, DAYS[2], DAYS[3])
    corrected(slices)  # two of the first files are replaced before they were ever taken
    run_night(slices, DAYS[1], DAYS[2])
    run_night(slices, DAYS[0], DAYS[0])
    assert slices.landed() == []
    assert state(slices) == state(straight)


def test_an_old_file_that_turns_up_after_its_correction_changes_nothing(
    make_tracked: Callable[[], City], tmp_path: Path
) -> None:
    city = make_tracked()
    copies = [
        shutil.copy2(path, tmp_path / f"{number}.csv") for number, path in enumerate(sent(city))
    ]
    corrected(city)
    city.take()
    before = state(city)
    for number, path in enumerate(copies):
        day, department = DAYS[number // 2], "ab"[number % 2]
        place = city.settings.landing / str(day) / department / "records.csv"
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)
    city.take()
    assert state(city) == before
    assert city.landed() == []


def test_a_rebuild_is_a_fresh_warehouse_fed_everything_and_forgets_nothing(
    make_tracked: Callable[[], City], tmp_path: Path
) -> None:
    city, fresh = make_tracked(), make_tracked()
    everything: list[tuple[Path, Path]] = []

    def keep() -> None:
        for path in city.landed():
            copy = tmp_path / f"{len(everything)}.csv"
            shutil.copy2(path, copy)
            everything.append((copy, path.relative_to(city.settings.landing)))

    sent(city)
    keep()
    city.take()
    corrected(city)
    keep()
    city.take()
    [(known_at,)] = city.rows("SELECT max(position) FROM delivery")
    figures = known_then(city, known_at)

    city.source(RECORDS, columns=STRICT, max_quarantine=0.1)
    with pytest.raises(WorseError, match="would no longer be taken"):
        repairs.rebuild(city.deployment, "records")
    for each_city in (city, fresh):
        each_city.source(RECORDS, columns=STRICT, max_quarantine=0.5)
    repairs.rebuild(city.deployment, "records")

    for copy, place in everything:  # one receipt of a slot at a time
        target = fresh.settings.landing / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            fresh.take()
            target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(copy, target)
    fresh.take()
    assert state(city) == state(fresh)
    assert ("wide",) not in city.rows("SELECT DISTINCT item FROM records")
    assert known_then(city, known_at) == figures


def known_then(city: City, position: int) -> list[tuple[Any, ...]]:
    return sorted(
        city.rows(
            "SELECT metric, department, business_date, breakdown, value FROM metric_daily "
            "WHERE known_from <= ? AND (known_until IS NULL OR known_until > ?)",
            position,
            position,
        )
    )
