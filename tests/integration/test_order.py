"""The order of processing does not matter: what stands is what processing by receipt would leave.

Receipts of one department's days (corrections, resends, parts with shared keys, whole files among
parts, bulk files, rejected ones) are taken in one order and in others, in one run or in several.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.conftest import RECORDS, City

from pipelines.jobs import repairs

DAYS = (date(2021, 9, 23), date(2021, 9, 24))
NEW = {
    "name": "amount_new",
    "title": "新增",
    "unit": "条",
    "kind": "flow",
    "source": "records",
    "value": {"aggregate": "sum", "column": "amount"},
    "by": "domain",
}
BULK = RECORDS | {
    "columns": [*RECORDS["columns"], {"name": "on", "header": ["日期"], "type": "date"}],
    "partition": {"business_date": "on"},
    "max_quarantine": 0.4,
}
EXAMPLES = int(os.environ.get("CITYBRAIN_TEST_EXAMPLES", "8"))  # each is three cities
HEADER = ("事项", "数量", "领域", "日期")
CONTENTS: tuple[tuple[tuple[str, object, str], ...], ...] = (
    (("i1", 1, "x"), ("i2", 2, "y")),
    (("i1", 1, "x"), ("i3", 3, "y")),
    (("i1", 7, "x"), ("i4", 4, "x")),
    (("i5", 5, "y"),),
    (("i5", "many", "y"),),  # all of it quarantined: rejected
)


@dataclass(frozen=True)
class Receipt:
    """A file that arrives at a minute; a slot of None is bulk, over both days."""

    minute: float
    day: int | None
    part: str
    content: int


receipts = st.lists(
    st.builds(
        Receipt,
        minute=st.integers(0, 400).map(lambda second: second / 60),  # some come together
        day=st.sampled_from([0, 0, 0, 1, None]),
        part=st.sampled_from(["", "", "p1", "p2"]),
        content=st.integers(0, len(CONTENTS) - 1),
    ),
    min_size=2,
    max_size=6,
    unique_by=lambda receipt: receipt.minute,
)


def land(city: City, receipt: Receipt) -> None:
    days = DAYS if receipt.day is None else (DAYS[receipt.day],)
    rows = [(*row, day.isoformat()) for day in days for row in CONTENTS[receipt.content]]
    city.land(
        rows,
        day="bulk" if receipt.day is None else DAYS[receipt.day],
        part=receipt.part,
        header=HEADER,
        minute=receipt.minute,
    )


def take_all(city: City, order: Sequence[Receipt], together: random.Random) -> None:
    """Take receipts in an order; now and then several, of different slots, in one run."""
    waiting: set[tuple[int | None, str]] = set()
    for receipt in order:
        slot = (receipt.day, receipt.part)
        if slot in waiting or together.random() < 0.5:
            city.take()
            waiting = set()
        land(city, receipt)
        waiting.add(slot)
    city.take()


def state(city: City) -> dict[str, list[tuple[Any, ...]]]:
    """Return everything that does not depend on when it was computed."""
    return {
        name: sorted(city.rows(query), key=repr)
        for name, query in {
            "rows": "SELECT * FROM records",
            "standby": "SELECT * FROM standby.records",
            "metrics": "SELECT metric, department, business_date, breakdown, value, numerator, "
            "denominator FROM metric_daily WHERE known_until IS NULL",
            "partitions": "SELECT delivery_id, department, business_date, part, rows, is_standby "
            "FROM delivery_partition WHERE known_until IS NULL",
            "judgements": "SELECT delivery_id, verdict, accepted, quarantined, duplicates, "
            "withheld, reasons FROM delivery WHERE (delivery_id, position) IN (SELECT "
            "(delivery_id, max(position)) FROM delivery_partition WHERE known_until IS NULL "
            "AND part <> '' GROUP BY delivery_id)",
        }.items()
    }


@pytest.fixture(scope="module")
def make_bulk_city(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], City]:
    def made() -> City:
        city = City(tmp_path_factory.mktemp("city")).source(BULK)
        city.metrics(NEW)
        return city

    return made


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=receipts, seed=st.integers(0, 1_000_000))
def test_partitions_in_force_are_the_same_in_every_order_of_processing(
    make_bulk_city: Callable[[], City], drawn: list[Receipt], seed: int
) -> None:
    in_order, shuffled = make_bulk_city(), make_bulk_city()
    chance = random.Random(seed)
    by_receipt = sorted(drawn, key=lambda receipt: receipt.minute)
    take_all(in_order, by_receipt, chance)
    take_all(shuffled, chance.sample(drawn, len(drawn)), chance)
    assert state(shuffled) == state(in_order)

    before = state(shuffled)
    repairs.rebuild(shuffled.deployment, "records", force=True)
    assert state(shuffled) == before
