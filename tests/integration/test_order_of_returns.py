"""Feedback workbooks that come back among all else: what stands goes by receipt, as ever.

A return can only be made when its file was judged. So a history is lived once, its workbooks
written from what is quarantined then and mended by chance; the bytes of all that came are then
taken in other orders, several in one run. Returns of one file keep theirs, for each is laid upon
those before it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.conftest import City, as_bytes, with_columns
from integration.test_feedback import mend, opened, table
from integration.test_order import BULK, DAYS, EXAMPLES, HEADER, NEW, state

from pipelines import published
from pipelines.deliveries import feedback_form
from pipelines.feedback import batch
from pipelines.jobs import night, repairs

SURVEY = with_columns(BULK, {"name": "unit", "header": ["单位"], "type": "text"}) | {
    "partition": {"business_date": "on", "department": "unit"},
    "max_quarantine": 0.5,
    "formats": {"csv": {}, "xlsx": {}},
}
UNITS = {"a": "甲局", "b": "乙局"}
NOBODY = ("i9", 9, "x", DAYS[0].isoformat(), "无此局")
CONTENTS: tuple[tuple[tuple[str, object, str], ...], ...] = (
    (("i1", 1, "x"), ("i2", "many", "y")),
    (("i1", 1, "x"), ("i2", 2, "y"), ("i3", "few", "x")),
    (("i1", 7, "x"), ("i4", 4, "x"), ("i4", 5, "x"), ("i5", 5, "y")),  # two of one key
    (("i5", "many", "y"),),  # all of it quarantined: rejected
    (("i2", 2, "y"),),
)
Slot = tuple[str, int | None, str]  # department, day (None: bulk), part
SLOTS: tuple[Slot, ...] = (
    ("a", 0, ""),
    ("a", 0, ""),
    ("a", 0, "p1"),
    ("a", 0, "p2"),
    ("a", 1, ""),
    ("a", None, ""),
    ("a", None, ""),
    ("all", None, ""),
    ("all", None, ""),
)
TOUCHES: tuple[Mapping[str, str], ...] = (
    {},
    {"数量": "2"},
    {"数量": "3"},
    {"数量": "2", "日期": DAYS[1].isoformat()},
    {"数量": "2", "单位": "甲局"},
    {feedback_form.ACTION: feedback_form.DELETE},
    {feedback_form.ACTION: feedback_form.CONFIRM},
)


@dataclass(frozen=True)
class File:
    """An export that comes some seconds after what came before."""

    after: int
    slot: Slot
    content: int


@dataclass(frozen=True)
class Return:
    """One of the workbooks written so far comes back, its rows touched in turn."""

    after: int
    workbook: int
    touches: Sequence[int]


class Arrival(NamedTuple):
    """Describe a file that came: place, bytes, second; and the workbook a return was made from."""

    place: str
    content: bytes
    second: int
    origin: Arrival | None = None

    @property
    def file(self) -> tuple[str, bytes]:
        """The whole file that it is, or mends; that may come several times."""
        return self.origin.file if self.origin else (self.place, self.content)


after = st.sampled_from([1, 60])
files = st.builds(
    File,
    after=after,
    slot=st.sampled_from(SLOTS),
    content=st.sampled_from([0, 0, 1, 1, 2, 2, 3, 4]),
)
come_back = st.builds(
    Return,
    after=after,
    workbook=st.integers(0, 5),
    touches=st.lists(st.integers(0, len(TOUCHES) - 1), min_size=1, max_size=4),
)
histories = st.tuples(
    st.lists(files, min_size=1, max_size=3), come_back, st.lists(files | come_back, max_size=4)
).map(lambda drawn: [*drawn[0], drawn[1], *drawn[2]])


def export(file: File) -> tuple[str, bytes]:
    """Return a file's place in landing and its bytes."""
    department, day, part = file.slot
    days = DAYS if day is None else (DAYS[day],)
    units = UNITS.values() if department == "all" else [UNITS[department]]
    rows = [
        (*row, day.isoformat(), unit)
        for unit in units
        for day in days
        for row in CONTENTS[file.content]
    ]
    rows += [NOBODY] if department == "all" else []
    folder = "bulk" if day is None else str(DAYS[day])
    name = f"records.{part}.csv" if part else "records.csv"
    return f"{folder}/{department}/{name}", as_bytes(rows, (*HEADER, "单位"))


def touched(workbook: Path, touches: Sequence[int]) -> bytes:
    rows = [number for number, _ in table(opened(workbook)[feedback_form.SHEET])]
    return mend(workbook, {row: TOUCHES[touch] for row, touch in zip(rows, cycle(touches))})


def live(city: City, history: Sequence[File | Return], drawer: Path) -> list[Arrival]:
    """Take what comes as it comes, and keep it; workbooks go into a drawer as they are written."""
    came: list[Arrival] = []
    judged: dict[str, Arrival] = {}
    workbooks: list[tuple[Path, Arrival]] = []
    second = 0
    for number, step in enumerate(history):
        second += step.after
        if isinstance(step, File):
            arrival = Arrival(*export(step), second)
        elif workbooks:
            path, origin = workbooks[-1 - step.workbook % len(workbooks)]
            arrival = Arrival(f"{number}/{path.name}", touched(path, step.touches), second, origin)
        else:
            continue
        came.append(arrival)
        put(city, arrival)
        for judgement in city.take()[:1]:
            judged[judgement.delivery.delivery_id] = arrival
        assert city.landed() == []
        if any(isinstance(later, Return) for later in history[number + 1 :]):
            night.publish(city.deployment)
            written = batch.write(city.deployment, out=drawer / str(number))
            assert not [book.error for book in written if book.error]
            workbooks += [(book.file, judged[book.delivery_id]) for book in written if book.file]
    return came


def shuffled(came: Sequence[Arrival], chance: random.Random) -> list[Arrival]:
    """Return the arrivals in another order; a return stays behind what it was made from."""
    order = chance.sample(came, len(came))
    for arrival in came:
        if arrival.origin:
            order.remove(arrival)
            first = max(
                number
                for number, other in enumerate(order, start=1)
                if other.file == arrival.file and other.second < arrival.second
            )
            order.insert(chance.randint(first, len(order)), arrival)
    return order


def put(city: City, arrival: Arrival) -> None:
    city.put(arrival.place, arrival.content, arrival.second / 60)


def take_all(city: City, order: Sequence[Arrival], chance: random.Random) -> None:
    """Take several arrivals in a run, but never a return with what it was made from."""
    waiting: list[Arrival] = []
    for arrival in order:
        origins = (arrival.file, arrival.origin[:2]) if arrival.origin else ()
        is_apart = any(other.place == arrival.place or other[:2] in origins for other in waiting)
        if is_apart or chance.random() < 0.5:
            city.take()
            waiting = []
        put(city, arrival)
        waiting.append(arrival)
    city.take()
    assert city.landed() == []


def stands(city: City) -> dict[str, list[tuple[Any, ...]]]:
    """Return what is in force and what is to be mended; check that every row is accounted for."""
    night.publish(city.deployment)
    with published.connect(city.settings) as connection:
        to_mend = connection.execute(
            "SELECT * EXCLUDE (position) FROM marts.quarantine_current"
        ).fetchall()
    check_accounted(city)
    now = state(city)
    return {"rows": now["rows"], "metrics": now["metrics"], "to mend": sorted(to_mend, key=repr)}


def check_same(replayed: City, lived: City) -> None:
    before = stands(lived)
    assert stands(replayed) == before
    repairs.rebuild(replayed.deployment, "records", force=True)
    assert stands(replayed) == before


def check_accounted(city: City) -> None:
    lost = city.rows(
        "SELECT * FROM delivery LEFT JOIN (SELECT position, count(*) AS kept_out FROM quarantine "
        "GROUP BY position) USING (position) WHERE verdict NOT IN ('unchanged', 'unreadable') "
        "AND (rows_read <> accepted + quarantined + duplicates + ignored + withheld "
        "OR quarantined <> coalesce(kept_out, 0))"
    )
    assert lost == []


@pytest.fixture(scope="module")
def make_survey(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], City]:
    def made() -> City:
        city = City(tmp_path_factory.mktemp("city")).source(SURVEY)
        city.metrics(NEW)
        return city

    return made


@settings(
    max_examples=max(1, EXAMPLES // 2),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories, seed=st.integers(0, 1_000_000))
def test_partitions_in_force_are_the_same_in_every_order_with_returns(
    make_survey: Callable[[], City],
    tmp_path_factory: pytest.TempPathFactory,
    history: list[File | Return],
    seed: int,
) -> None:
    lived, replayed = make_survey(), make_survey()
    chance = random.Random(seed)
    came = live(lived, history, tmp_path_factory.mktemp("drawer"))
    take_all(replayed, shuffled(came, chance), chance)
    check_same(replayed, lived)


BULK_SLOT: Slot = ("a", None, "")
FIRST, OTHER = File(60, SLOTS[0], 0), File(60, SLOTS[0], 1)
MENDED = Return(60, 0, [1])


@pytest.mark.parametrize(
    ("history", "order"),
    [
        # what had come between was taken after the return, and is itself mended
        ([FIRST, OTHER, Return(60, 1, [1]), MENDED], (0, 2, 1, 3)),
        # the file came again, as it was, after the return
        ([FIRST, MENDED, FIRST], (0, 2, 1)),
        # the file came again, as it was, after the return, and was taken before its first receipt
        ([FIRST, MENDED, FIRST], (2, 0, 1)),
        # what is older than the file was taken after a second return struck out what a first put in
        (
            [File(60, BULK_SLOT, 4), File(60, BULK_SLOT, 3), MENDED, Return(60, 0, [5, 1])],
            (1, 2, 3, 0),
        ),
    ],
)
def test_orders_that_once_gave_different_results_agree(
    make_survey: Callable[[], City],
    tmp_path: Path,
    history: list[File | Return],
    order: tuple[int, ...],
) -> None:
    lived, replayed = make_survey(), make_survey()
    came = live(lived, history, tmp_path)
    for number in order:
        put(replayed, came[number])
        replayed.take()
    check_same(replayed, lived)
