"""Check decisions by people, changed contracts, rebuilds, and runs that are cut off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from integration.conftest import DAY, RECORDS, City, with_columns

from pipelines.deliveries.delivery import StagedChunk, Verdict
from pipelines.errors import IncompatibleTableError, UsageError
from pipelines.jobs import intake, night, repairs
from pipelines.warehouse.loading import load

A = [("x", 1, "交通"), ("y", 2, "")]
B = [("x", 5, "交通"), ("z", 3, "")]
TOTAL = {
    "name": "total",
    "title": "合计",
    "unit": "条",
    "kind": "flow",
    "source": "records",
    "value": {"aggregate": "sum", "column": "amount"},
}
CURRENT = "SELECT * EXCLUDE (delivery_id) FROM records ORDER BY ALL"
FIGURES = (
    "SELECT metric, department, business_date, breakdown, value FROM metric_daily "
    "WHERE known_until IS NULL ORDER BY ALL"
)
KNOWN_AT = (
    "SELECT business_date, value FROM metric_daily WHERE known_from <= $1 "
    "AND (known_until IS NULL OR known_until > $1) ORDER BY ALL"
)


def test_an_accepted_delivery_loads_its_good_rows_and_rebuilds_honour_it(city: City) -> None:
    city.source(RECORDS, max_quarantine=0.0)
    city.send(A)
    held = city.send([("x", 7, ""), ("w", "?", "")])
    assert held.verdict is Verdict.REJECTED
    prefix = held.delivery.delivery_id[:8]
    judged = repairs.accept(city.deployment, prefix, "已核实")
    assert judged.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert [warning.code for warning in judged.warnings] == ["too_many_quarantined", "overruled"]
    for _ in range(2):
        assert city.rows("SELECT item, amount FROM records") == [("x", 7)]
        repairs.rebuild(city.deployment, "records")
    assert city.rows("SELECT kind, reason FROM decision") == [("accept", "已核实")]
    with pytest.raises(UsageError, match="not held or rejected"):
        repairs.accept(city.deployment, prefix, "再次")
    assert len(city.rows("FROM decision")) == 1


def test_accepting_a_delivery_without_split_rows_replaces_nothing(city: City) -> None:
    """Accept a delivery that lacks columns: it has no good rows, and a decision makes none."""
    city.send(A)
    rejected = city.send("数量\n1\n2\n")
    with pytest.raises(UsageError, match="required column item is missing"):
        repairs.accept(city.deployment, rejected.delivery.delivery_id, "放行")
    assert city.rows("FROM decision") == []
    assert city.items() == {"x", "y"}


def test_a_withdrawn_correction_does_not_come_back_by_a_rebuild(city: City) -> None:
    """Keep a withdrawn day away, and the delivery that it had corrected, too."""
    city.send(A)
    wrong = city.send(B)
    city.send(A, department="b")
    repairs.withdraw(city.deployment, wrong.delivery.delivery_id, "误报")
    for _ in range(2):
        assert city.rows("SELECT department, item FROM records ORDER BY ALL") == [
            ("b", "x"),
            ("b", "y"),
        ]
        repairs.rebuild(city.deployment, "records")
    night.publish(city.deployment)
    with pytest.raises(UsageError, match="provides no rows"):
        repairs.withdraw(city.deployment, wrong.delivery.delivery_id, "再次")
    assert len(city.rows("FROM decision")) == 1


def test_a_new_column_joins_the_table(city: City) -> None:
    city.send(A)
    city.source(with_columns(RECORDS, {"name": "note", "header": ["备注"], "type": "text"}))
    city.send([("n", 1, "", "新")], department="b", header=("事项", "数量", "领域", "备注"))
    assert city.rows("SELECT item, note FROM records ORDER BY item") == [
        ("n", "新"),
        ("x", None),
        ("y", None),
    ]
    comments = "SELECT comment FROM duckdb_columns() WHERE column_name = 'note'"
    assert city.rows(comments) == [("备注",), ("备注",)]  # its own table, and standby's


def test_another_type_asks_for_a_rebuild_that_equals_a_fresh_start(
    make_city: Callable[[], City],
) -> None:
    city, fresh = make_city(), make_city()
    changed = [RECORDS["columns"][0], {"name": "amount", "header": ["数量"], "type": "decimal"}]
    fresh.source(RECORDS, columns=changed)
    deliveries = [
        ([("x", 1, ""), ("y", 2, "")], "a"),
        ([("x", 7, ""), ("y", "2.5", "")], "a"),
        ([("x", "0.5", "")], "b"),
    ]
    for each_city in (city, fresh):
        each_city.metrics(TOTAL)
    for content, department in deliveries:
        city.send(content, department=department)
    for number, (content, department) in enumerate(deliveries):
        fresh.land(
            content,
            department=department,
            minute=number + 1,
            suffix=(".csv", ".txt", ".csv")[number],
        )
    fresh.take()
    before = city.rows(KNOWN_AT, 3)
    assert sorted(before) == [(DAY, 0), (DAY, 7)]  # what could not be read is quarantined

    city.source(RECORDS, columns=changed)
    city.land([("x", 9, "")], department="c")
    with pytest.raises(IncompatibleTableError, match="citybrain rebuild records"):
        city.take()
    assert len(city.landed()) == 1
    report = night.run(city.deployment, DAY)
    assert any("citybrain rebuild records" in error for error in report.errors)
    assert report.has_rejections
    (city.landed()[0]).unlink()

    progress: list[tuple[str, int, int]] = []
    repairs.rebuild(city.deployment, "records", lambda *counts: progress.append(counts))
    assert progress[-1] == ("staging", 3, 3)
    assert city.rows(CURRENT) == fresh.rows(CURRENT)
    assert city.rows(FIGURES) == fresh.rows(FIGURES)
    assert [row[0] for row in city.rows("SELECT amount::DOUBLE FROM records ORDER BY 1")] == [
        0.5,
        2.5,
        7.0,
    ]
    assert city.rows(KNOWN_AT, 3) == before
    night.publish(city.deployment)
    assert city.landed() == []


def test_a_rebuild_judges_formats_by_the_contract_too(city: City) -> None:
    city.send(A)
    for suffix, department, code in ((".xlsx", "b", "other_format"), (".jsonl", "c", "format")):
        bad = city.send('{"事项": "j"}\n', department=department, suffix=suffix)
        assert bad.verdict is Verdict.UNREADABLE
        assert bad.reasons[0].code == code
    judged = repairs.rebuild(city.deployment, "records")
    assert [judgement.verdict.value for judgement in judged] == [
        "accepted",
        "unreadable",
        "unreadable",
    ]
    assert city.items() == {"x", "y"}


def test_a_delivery_loaded_during_a_rebuild_is_not_lost(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    city.send(A)
    stage = intake.stage
    came = []

    def stage_slowly(*given: Any) -> StagedChunk:
        if not came:
            came.append(True)
            city.send(B, department="b")
        return stage(*given)

    monkeypatch.setattr(intake, "stage", stage_slowly)
    repairs.rebuild(city.deployment, "records")
    assert city.rows("SELECT department, count(*) FROM records GROUP BY ALL ORDER BY 1") == [
        ("a", 2),
        ("b", 2),
    ]


class Killed(BaseException):
    """Stand for a kill signal: no `except Exception` catches it."""


@contextmanager
def killed(monkeypatch: pytest.MonkeyPatch, module: object, name: str) -> Iterator[None]:
    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module, name, die)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("module", [load, intake], ids=["in the transaction", "before clearing"])
def test_a_load_that_is_cut_off_is_finished_by_the_next(
    city: City, monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    city.metrics(TOTAL)
    city.send(A)
    tables = ("records", "delivery", "delivery_partition", "metric_daily", "quarantine")
    state = {name: city.rows(f"FROM {name} ORDER BY ALL") for name in tables}
    city.land(B)
    city.land(A, department="b")
    with killed(monkeypatch, module, "record_metrics" if module is load else "discard"):
        city.take()
    if module is load:
        assert {name: city.rows(f"FROM {name} ORDER BY ALL") for name in tables} == state
        assert len(city.landed()) == 2
    city.take()
    assert city.landed() == []
    assert city.items() == {"x", "y", "z"}
    assert city.verdicts() == ["accepted"] * 3
    assert city.rows(FIGURES) == [("total", "a", DAY, "", 8), ("total", "b", DAY, "", 3)]
    with_rows = city.rows("SELECT count(*) FROM delivery_partition WHERE known_until IS NULL")
    assert with_rows == [(2,)]


def test_a_redefined_metric_is_computed_anew_even_if_cut_off(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    city.metrics(TOTAL)
    first = city.send(A)
    city.send(B, department="b")
    position = city.rows("SELECT max(position) FROM delivery")[0][0]
    before = city.rows(KNOWN_AT, position)
    repairs.withdraw(city.deployment, first.delivery.delivery_id, "误报")
    city.metrics(TOTAL | {"value": {"aggregate": "count"}})
    with killed(monkeypatch, intake, "recompute_metrics"):
        night.track(city.deployment, DAY, "cut off")
    night.track(city.deployment, DAY, "again")
    assert city.rows(FIGURES) == [("total", "b", DAY, "", 2)]
    # what was known, by the definition of then, is still known
    assert city.rows(KNOWN_AT, position) == before
    assert city.rows("SELECT count(*) FROM metric_daily WHERE known_until < known_from") == [(0,)]


def test_every_decision_has_a_position_of_its_own(city: City) -> None:
    first = city.send(A)
    repairs.withdraw(city.deployment, first.delivery.delivery_id, "误报")
    city.send(B)
    positions = city.rows("SELECT position FROM delivery UNION ALL SELECT position FROM decision")
    assert len(set(positions)) == 3


def test_a_prefix_that_fits_none_or_several_is_refused(city: City) -> None:
    city.send(A)
    city.send(B)
    for prefix in ("", "zz"):
        with pytest.raises(UsageError, match="citybrain deliveries"):
            repairs.withdraw(city.deployment, prefix, "误报")
