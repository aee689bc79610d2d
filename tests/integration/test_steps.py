"""Check what is stored of a run's steps: duration, amount, and the cause of a failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog
from integration.conftest import DAY, RECORDS, City
from integration.test_publish import METRIC, TARGET

from pipelines.jobs import night
from pipelines.machine import logs


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder that takes the events of this test."""
    before = structlog.get_config()
    logs.to_folder(tmp_path / "logs")
    yield tmp_path / "logs"
    structlog.configure(**before)


def stored_steps(city: City) -> list[sa.Row[Any]]:
    engine = sa.create_engine(city.settings.operations_url)
    with engine.connect() as connection:
        rows = list(connection.execute(sa.text("SELECT * FROM step ORDER BY number")))
    engine.dispose()
    return rows


def test_a_run_stores_its_steps(city: City) -> None:
    city.metrics(METRIC)
    city.targets(TARGET)
    city.source(RECORDS | {"name": "visits"})
    city.land([("x", 1, ""), ("y", "?", "")])
    city.land([("z", 1, "")], department="b")
    city.land([("w", 1, "")], source="visits")
    city.land("what is this", source="nobodys")
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    report = night.run(city.deployment, DAY)
    assert report.alerts
    steps = [
        (row.name, row.source, row.deliveries, row.rows, row.error) for row in stored_steps(city)
    ]
    assert steps == [
        ("discover", "", 3, None, None),
        ("stage", "records", 2, 3, None),
        ("load", "records", 2, 2, None),
        ("stage", "visits", 1, 1, None),
        ("load", "visits", 1, 1, None),
        ("track", "", None, 1, None),
        ("alerts", "", None, len(report.alerts), None),
        ("publish", "", None, 3, None),
        ("notify", "", None, len(report.alerts), None),
    ]
    for row in stored_steps(city):
        assert row.run_id == report.run_id
        assert row.seconds > 0
        assert datetime.fromisoformat(row.started_at) >= before


def test_each_delivery_is_logged_in_the_log_of_its_run(city: City, logged: Path) -> None:
    city.land([("x", 1, ""), ("y", "?", "")])
    report = night.run(city.deployment, DAY)
    [judgement] = report.judgements
    [file] = logged.glob("*.jsonl")
    events = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    [logged_event] = [event for event in events if event["event"] == "delivery judged"]
    assert logged_event["run_id"] == report.run_id
    assert logged_event["delivery_id"] == judgement.delivery.delivery_id
    assert (logged_event["verdict"], logged_event["rows_read"], logged_event["quarantined"]) == (
        "accepted_with_quarantine",
        2,
        1,
    )
    begun = [event["step"] for event in events if event["event"] == "step started"]
    assert begun == [
        "discover",
        "archive",
        "clear",
        "stage",
        "load",
        "history",
        "clear",
        "track",
        "alerts",
        "publish",
        "notify",
    ]
    assert {event["run_id"] for event in events} == {report.run_id}


def test_a_step_that_failed_says_why(city: City) -> None:
    city.send([("x", 1, "")])
    changed = [*RECORDS["columns"][:2], dict(RECORDS["columns"][2], type="date")]
    city.source(RECORDS, columns=changed)
    city.land([("x", 1, "")])
    night.run(city.deployment, DAY)
    failed = [(row.name, row.error) for row in stored_steps(city) if row.error]
    assert failed == [("load", "IncompatibleTableError")]
