"""What is kept of a run's steps: how long each took, how much it dealt with, why it failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from integration.conftest import DAY, RECORDS, City
from integration.test_publish import METRIC, TARGET

from pipelines import jobs


def kept(city: City) -> list[sa.Row[Any]]:
    engine = sa.create_engine(city.settings.operations_url)
    with engine.connect() as connection:
        found = list(connection.execute(sa.text("SELECT * FROM step ORDER BY number")))
    engine.dispose()
    return found


def test_a_run_keeps_its_steps(city: City) -> None:
    city.metrics(METRIC)
    city.targets(TARGET)
    city.source(RECORDS | {"name": "visits"})
    city.land([("x", 1, ""), ("y", "?", "")])
    city.land([("z", 1, "")], department="b")
    city.land([("w", 1, "")], source="visits")
    city.land("what is this", source="nobodys")
    before = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    report = jobs.run(city.settings, city.catalog, DAY)
    assert report.alerts
    steps = [(row.name, row.source, row.deliveries, row.rows, row.error) for row in kept(city)]
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
    for row in kept(city):
        assert row.run_id == report.run_id
        assert row.seconds > 0
        assert datetime.fromisoformat(row.started_at) >= before


def test_a_step_that_failed_says_why(city: City) -> None:
    city.send([("x", 1, "")])
    changed = [*RECORDS["columns"][:2], dict(RECORDS["columns"][2], type="date")]
    city.source(RECORDS, columns=changed)
    city.land([("x", 1, "")])
    jobs.run(city.settings, city.catalog, DAY)
    failed = [(row.name, row.error) for row in kept(city) if row.error]
    assert failed == [("load", "IncompatibleTableError")]
