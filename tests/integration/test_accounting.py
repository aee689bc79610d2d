"""Rule 3: every row of every file is found in exactly one place, whatever is sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import duckdb
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from integration.conftest import DAY, RECORDS, City, with_columns

CONTRACT = with_columns(
    RECORDS | {"footer": ["合计", "注[:：]"], "partition": {"department": "unit"}},
    {"name": "unit", "header": ["单位"], "type": "text"},
)
HEADER = ("事项", "数量", "领域", "单位")
MAX_QUARANTINE = 0.5
UNITS = {"甲局": "a", "b": "b", "文旅局": "new"}

row = st.one_of(
    st.tuples(
        st.sampled_from(["k1", "k2", "k3", "k4", ""]),
        st.sampled_from(["1", "２", "-1", "很多", "", "1,000万"]).map(lambda text: text),
        st.sampled_from(["交通", "", " 交通 "]),
        st.sampled_from(["", "甲局", "乙局", "无此局"]),
    ),
    st.sampled_from(
        [
            ("合计", "9", "", ""),
            ("注:见附件", "", "", ""),
            ("", "", "", ""),
            ("  ", "", "", ""),
            ("k1", "1"),
            ("k9", "1", "", "", "多"),
            ("合计", "9"),
            (),
        ]
    ),
)
delivery = st.tuples(st.sampled_from(["a", "b", "all"]), st.lists(row, max_size=12))
AMOUNTS = {"1": 1, "２": 2, "-1": -1, "": None, "1,000万": 10_000_000}


@dataclass
class Expected:
    """Hold the expected fate of a file's rows, computed without the code under test."""

    good: set[int] = field(default_factory=set)
    quarantined: set[int] = field(default_factory=set)
    duplicates: set[int] = field(default_factory=set)
    ignored: set[int] = field(default_factory=set)
    read: int = 0

    @property
    def loads(self) -> bool:
        data = self.read - len(self.ignored)
        return data > 0 and len(self.quarantined) / data <= MAX_QUARANTINE


def account(department: str, rows: list[tuple[str, ...]]) -> Expected:
    expected = Expected(read=len(rows))
    sound: dict[int, tuple[str | None, ...]] = {}
    for number, cells in enumerate(rows, start=2):
        first = cells[0] if cells else ""
        if not any(cell.strip() for cell in cells) or first.startswith(("合计", "注:")):
            expected.ignored.add(number)
        elif len(cells) != len(HEADER):
            expected.quarantined.add(number)
        else:
            sound[number] = tuple(cell.strip() or None for cell in cells)
    keys: dict[tuple[str | None, str | None], list[int]] = {}
    for number, (item, amount, _, unit) in sound.items():
        scale = UNITS.get(unit or "")
        if department == "all":
            strays, place = scale is None and unit != "乙局", "b" if unit == "乙局" else scale
        else:
            whose = {"甲局": "a", "乙局": "b"}.get(unit or "")
            strays, place = unit is not None and whose != department, department
        value = AMOUNTS.get(amount or "", "unread")
        if strays or item is None or value == "unread" or value == -1:
            expected.quarantined.add(number)
        keys.setdefault((place, item), []).append(number)

    def content(number: int) -> tuple[Any, ...]:
        item, amount, domain, unit = sound[number]
        return item, AMOUNTS.get(amount or "", amount), domain, unit

    for numbers in keys.values():
        contents = [content(number) for number in numbers]
        if len(set(contents)) > 1:
            expected.quarantined.update(numbers)
            continue
        accepted = [number for number in numbers if number not in expected.quarantined]
        expected.good.update(accepted[:1])
        expected.duplicates.update(accepted[1:])
    return expected


def written(rows: list[tuple[str, ...]]) -> str:
    lines = [",".join(f'"{cell}"' if "," in cell else cell for cell in cells) for cells in rows]
    return "\n".join([",".join(HEADER), *lines]) + "\n"


def test_every_row_is_in_exactly_one_place(make_city: Callable[[], City]) -> None:
    @seed(20210923)
    @settings(max_examples=3, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(delivery, min_size=25, max_size=40))
    def holds(deliveries: list[tuple[str, list[tuple[str, ...]]]]) -> None:
        city = make_city().source(CONTRACT, max_quarantine=MAX_QUARANTINE)
        sent: dict[tuple[str, date], Expected] = {}
        for number, (department, rows) in enumerate(deliveries):
            day = DAY + timedelta(days=number)
            city.land(written(rows), department=department, day=day)
            sent[department, day] = account(department, rows)
        city.take()
        check(city, sent)

    holds()


def check(city: City, sent: dict[tuple[str, date], Expected]) -> None:
    with duckdb.connect(city.settings.warehouse, read_only=True) as warehouse:
        judged = warehouse.execute(
            "SELECT delivery_id, coalesce(department, 'all'), business_date, verdict, rows_read, "
            "accepted, quarantined, duplicates, ignored, withheld FROM delivery"
        ).fetchall()
        loaded = warehouse.execute("SELECT delivery_id, row_number FROM records").fetchall()
        quarantined_rows = warehouse.execute(
            "SELECT delivery_id, row_number FROM quarantine"
        ).fetchall()
        parts = warehouse.execute(
            "SELECT delivery_id, sum(rows) FROM delivery_partition GROUP BY ALL"
        ).fetchall()
    assert len(judged) == len(sent)
    table, quarantine = Counter(loaded), Counter(quarantined_rows)
    assert set(table.values()) | set(quarantine.values()) <= {1}
    in_parts = dict(parts)
    for delivery_id, department, day, verdict, read, *counts in judged:
        expected = sent[department, day]
        accepted, quarantined, duplicates, ignored, withheld = counts
        assert read == sum(counts) == expected.read
        rows = {number for identifier, number in table if identifier == delivery_id}
        out = {number for identifier, number in quarantine if identifier == delivery_id}
        assert out == expected.quarantined, (department, day)
        assert rows == (expected.good if expected.loads else set())
        assert (quarantined, duplicates, ignored) == (
            len(out),
            len(expected.duplicates),
            len(expected.ignored),
        )
        assert (accepted, withheld) == (
            (len(expected.good), 0) if expected.loads else (0, len(expected.good))
        )
        assert in_parts.get(delivery_id, 0) == accepted
        bad = "accepted_with_quarantine" if out else "accepted"
        assert verdict == (bad if expected.loads else "rejected")
