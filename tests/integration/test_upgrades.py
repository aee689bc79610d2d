"""A deployment of the first schema is opened by every later one, and nothing in it is lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from integration import former_rows
from integration.conftest import RECORDS, City
from integration.test_disks import command
from integration.test_publish import METRIC, TARGET

from pipelines import published
from pipelines.deliveries.delivery import Verdict
from pipelines.engine import run
from pipelines.jobs import night, repairs
from pipelines.operations import database
from pipelines.schema import revisions, upgrade
from pipelines.warehouse.connection import opened

DAY = former_rows.DAY
LATER = 60 * 24 * 7  # minutes
Rows = dict[str, list[tuple[Any, ...]]]
TABLES = (
    "SELECT schema_name || '.' || table_name, list(column_name ORDER BY column_index) "
    "FROM duckdb_columns() WHERE NOT internal AND table_name <> 'alembic_version' "
    "AND database_name = current_database() GROUP BY ALL ORDER BY ALL"
)
UNCOMMENTED = (
    "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL "
    "UNION ALL SELECT table_name, NULL FROM duckdb_tables() WHERE comment IS NULL "
    "UNION ALL SELECT view_name, NULL FROM duckdb_views() WHERE NOT internal AND comment IS NULL"
)


@pytest.fixture
def city(tmp_path: Path) -> City:
    """Return a deployment as the first version left it: both stores and the archive."""
    city = City(tmp_path).source(RECORDS)
    city.metrics(METRIC)
    city.targets(TARGET)
    settings = city.settings
    settings.data_dir.mkdir()
    with opened(settings.warehouse, settings) as connection:
        upgrade(connection, "warehouse", revisions("warehouse")[0])
        for statement in former_rows.WAREHOUSE:
            run(connection, statement)
    to_operations(city, revisions("operations")[0], *former_rows.OPERATIONS)
    for name, content in former_rows.FILES.items():
        digest = former_rows.sha256(name)
        (settings.archive / digest[:2]).mkdir(parents=True, exist_ok=True)
        (settings.archive / digest[:2] / digest).write_bytes(content.encode())
    return city


def to_warehouse(city: City, revision: str) -> None:
    with opened(city.settings.warehouse, city.settings) as connection:
        upgrade(connection, "warehouse", revision)


def to_operations(city: City, revision: str, *statements: str) -> None:
    engine = sa.create_engine(city.settings.operations_url)
    try:
        with engine.begin() as connection:
            upgrade(connection, "operations", revision)
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def in_warehouse(city: City, tables: dict[str, list[str]] | None = None) -> Rows:
    """Return every table's rows: all columns, or those that `tables` names."""
    tables = tables or dict(city.rows(TABLES))
    return {
        table: city.rows(f"SELECT {quoted(columns)} FROM {table} ORDER BY ALL")
        for table, columns in tables.items()
    }


def in_operations(city: City, tables: dict[str, list[str]] | None = None) -> Rows:
    engine = sa.create_engine(city.settings.operations_url)
    inspector = sa.inspect(engine)
    tables = tables or {
        table: [column["name"] for column in inspector.get_columns(table)]
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }
    with engine.connect() as connection:
        contents = {
            table: [
                tuple(row)
                for row in connection.exec_driver_sql(
                    f"SELECT {quoted(columns)} FROM {table} ORDER BY 1"
                )
            ]
            for table, columns in tables.items()
        }
    engine.dispose()
    return contents


def quoted(columns: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def at_revision(city: City, store: str) -> str:
    if store == "warehouse":
        return city.rows("SELECT version_num FROM alembic_version")[0][0]
    return in_operations(city, {"alembic_version": ["version_num"]})["alembic_version"][0][0]


def test_every_row_outlives_every_upgrade_of_the_warehouse(city: City) -> None:
    tables = dict(city.rows(TABLES))
    before = in_warehouse(city)
    assert all(before.values()), "every table of the first schema holds something"
    for revision in revisions("warehouse")[1:]:
        to_warehouse(city, revision)
        assert at_revision(city, "warehouse") == revision
        assert in_warehouse(city, tables) == before, revision
        uncommented = [row for row in city.rows(UNCOMMENTED) if row[0] != "alembic_version"]
        assert uncommented == [], revision


def test_every_row_outlives_every_upgrade_of_the_operational_store(city: City) -> None:
    before = in_operations(city)
    assert all(before.values()), "every table of the first schema holds something"
    tables = {"alert": ["run_id", "key", "title"], "notification": ["run_id", "sent_at", "body"]}
    contents = in_operations(city, tables)
    for revision in revisions("operations")[1:]:
        to_operations(city, revision)
        assert at_revision(city, "operations") == revision
        assert in_operations(city, tables) == contents, revision
        assert in_operations(city).keys() >= before.keys()


def test_the_first_receipt_of_a_partition_is_known_after_the_upgrade(city: City) -> None:
    to_warehouse(city, "w0002")
    known = city.rows(
        "SELECT position, strftime(first_received_at, '%M'), is_standby "
        "FROM delivery_partition ORDER BY position"
    )
    assert known == [(1, "01", False), (2, "01", False), (3, "03", False), (6, "06", False)]
    assert city.rows("SELECT position FROM partition_in_force ORDER BY ALL") == [(2,), (3,)]


def test_a_night_goes_on_where_the_first_version_left_off(city: City) -> None:
    before = city.rows("SELECT metric, department, value, known_from FROM metric_daily ORDER BY 4")
    city.minute = LATER
    city.land([("x", 1, "交通"), ("z", 7, "")])  # a correction of what is in force
    city.land(former_rows.FILES["mixed"], department="b")  # under another contract: judged again
    city.land(former_rows.FILES["slip"], day=former_rows.EVE)  # withdrawn bytes load again
    report = night.run(city.deployment, DAY)
    assert report.errors == []
    assert report.generation is not None
    assert [judgement.verdict for judgement in report.judgements] == [
        Verdict.ACCEPTED,
        Verdict.ACCEPTED_WITH_QUARANTINE,
        Verdict.ACCEPTED,
    ]
    assert city.items() == {"x", "z", "k", "v"}
    superseded = city.rows("SELECT superseded FROM delivery WHERE run_id = ?", report.run_id)
    assert ([former_rows.delivery_id("second")],) in superseded
    after = city.rows("SELECT metric, department, value, known_from FROM metric_daily ORDER BY 4")
    assert after[: len(before)] == before, "knowledge is appended"
    now = "SELECT department, value FROM metric_daily WHERE known_until IS NULL ORDER BY ALL"
    assert city.rows(now) == [("a", 8), ("a", 9), ("b", 5)]
    assert operational(city, "alert")[0] == ("run6", "target:goal")

    repairs.rebuild(city.deployment, "records")
    assert city.items() == {"x", "z", "k", "v"}
    night.publish(city.deployment)
    assert "goal" in command(city, "status", "--json").stdout
    listed = command(city, "deliveries", "--json").stdout
    assert all(former_rows.delivery_id(name) in listed for name in former_rows.FILES)
    assert "an integer" in command(city, "quarantine", "--json").stdout
    ops = published.read("SELECT DISTINCT run_id FROM ops.alert", settings=city.settings)
    assert "run6" in set(ops["run_id"])


def operational(city: City, table: str) -> list[tuple[Any, ...]]:
    with database.open_operations(city.settings) as store:
        query = f"SELECT run_id, key FROM {table} ORDER BY raised_at"
        return [tuple(row) for row in store.exec_driver_sql(query)]


def test_a_rebuild_comes_first_when_the_contract_has_changed_with_the_version(city: City) -> None:
    city.source(
        RECORDS, columns=[*RECORDS["columns"][:2], dict(RECORDS["columns"][2], type="date")]
    )
    city.land("事项,数量,领域\nx,1,2021-01-01\n", minute=LATER)
    report = night.run(city.deployment, DAY)
    assert ["citybrain rebuild records" in error for error in report.errors] == [True]
    repairs.rebuild(city.deployment, "records", force=True)
    assert night.run(city.deployment, DAY).errors == []
    assert city.rows("SELECT item, domain FROM records WHERE domain IS NOT NULL") == [
        ("x", date(2021, 1, 1))
    ]


def test_readers_of_a_former_generation_get_advice(city: City) -> None:
    """Let readers open the former version's generation between the upgrade and the publication."""
    generations = city.settings.published / "generations"
    generations.mkdir(parents=True)
    (generations / "000001.duckdb").write_bytes(city.settings.warehouse.read_bytes())
    (city.settings.published / "citybrain.duckdb").hardlink_to(generations / "000001.duckdb")
    for arguments in (("status",), ("deliveries",), ("quarantine",)):
        result = command(city, *arguments)
        assert result.exit_code == 1, arguments
        assert "citybrain publish" in result.stderr, arguments
    assert command(city, "sql", "SELECT count(*) FROM delivery").exit_code == 0
    assert command(city, "publish").exit_code == 0
    for arguments in (("status",), ("deliveries",), ("quarantine",)):
        assert command(city, *arguments).exit_code == 0


def obstruct_warehouse(city: City, is_present: bool) -> None:
    with duckdb.connect(city.settings.warehouse) as connection:
        connection.execute(
            "CREATE SCHEMA standby" if is_present else "DROP SCHEMA standby"
        )  # in the way of what w0002 does last but one


def obstruct_operations(city: City, is_present: bool) -> None:
    engine = sa.create_engine(city.settings.operations_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE INDEX ix_step_run_id ON alert (run_id)"
            if is_present
            else "DROP INDEX ix_step_run_id"
        )  # in the way of what o0002 does last
    engine.dispose()


@pytest.mark.parametrize(
    ("store", "obstruct", "climb", "revision", "new"),
    [
        ("warehouse", obstruct_warehouse, to_warehouse, "w0002", "is_standby"),
        ("operations", obstruct_operations, to_operations, "o0002", "step"),
    ],
)
def test_an_upgrade_that_fails_half_way_has_done_nothing(
    city: City,
    store: str,
    obstruct: Callable[[City, bool], None],
    climb: Callable[[City, str], None],
    revision: str,
    new: str,
) -> None:
    """Run the upgrade in a transaction: killed half-way, it has done nothing either."""
    obstruct(city, True)
    with pytest.raises(Exception, match="already exists"):
        climb(city, revision)
    assert at_revision(city, store) == revisions(store)[0]
    content = in_operations(city) if store == "operations" else str(city.rows(TABLES))
    assert new not in content
    obstruct(city, False)
    climb(city, revision)
    assert at_revision(city, store) == revision
