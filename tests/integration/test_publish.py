"""Generations, their readers, the digest, and who may write."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
import sqlalchemy as sa
from integration.conftest import DAY, City
from pydantic import SecretStr

from pipelines import published
from pipelines.deployment import Deployment
from pipelines.errors import NotPublishedError, UsageError, WarehouseBusyError
from pipelines.jobs import night
from pipelines.machine.locks import writer_lock
from pipelines.settings import PROJECT, Settings
from pipelines.warehouse import publish as publishing
from pipelines.warehouse.connection import open_warehouse

A = [("x", 1, "交通"), ("y", 2, "")]
TARGET = {
    "name": "goal",
    "title": "百日攻坚",
    "metric": "added",
    "scope": "city",
    "start": DAY,
    "end": DAY,
    "goal": 100,
}
METRIC = {
    "name": "added",
    "title": "新增",
    "unit": "条",
    "kind": "flow",
    "source": "records",
    "value": {"aggregate": "sum", "column": "amount"},
}


def count(settings: Settings) -> int:
    return int(published.read("SELECT count(*) AS n FROM records", settings=settings)["n"][0])


def numbers(settings: Settings) -> list[int]:
    folder = settings.published / "generations"
    return sorted(int(path.stem) for path in folder.glob("[0-9]*.duckdb"))


@pytest.fixture
def late_city(city: City) -> City:
    """Return a city with a missed target and a rejected delivery."""
    city.metrics(METRIC)
    city.targets(TARGET)
    city.land(A)
    city.land("数量\n1\n", department="b")
    return city


def test_readers_have_a_whole_generation_or_the_one_before(city: City) -> None:
    settings = city.settings
    with pytest.raises(NotPublishedError):
        published.path(settings)
    city.send(A)
    first = night.publish(Deployment(settings, city.catalog))
    assert (first.number, first.in_place, first.pinned) == (1, True, False)
    assert first.path.stat().st_mode & 0o777 == 0o444
    assert published.path(settings) == first.path
    reader = published.connect(settings)
    city.send([("z", 1, "")], department="b")
    assert count(settings) == 2
    night.publish(Deployment(settings, city.catalog))
    assert reader.execute("SELECT count(*) FROM records").fetchall() == [(2,)]
    assert count(settings) == 3
    with pytest.raises(Exception, match="read-only"):
        reader.execute("DELETE FROM records")
    reader.close()


def test_generations_are_kept_and_rolled_back_to(city: City) -> None:
    settings = city.settings.model_copy(update={"keep_generations": 2})
    city.send(A)
    for _ in range(3):
        night.publish(Deployment(settings, city.catalog))
    assert numbers(settings) == [2, 3]
    back = publishing.rollback(settings)
    assert (back.number, publishing.pinned_to(settings)) == (2, 2)
    with pytest.raises(UsageError, match="no generation before"):
        publishing.rollback(settings)
    with pytest.raises(UsageError, match="not kept"):
        publishing.rollback(settings, 1)
    city.send([("z", 1, "")])
    for _ in range(3):
        assert not night.publish(Deployment(settings, city.catalog)).in_place
    assert numbers(settings) == [2, 5, 6]  # what readers have outlives the others
    assert count(settings) == 2
    publishing.unpin(settings)
    assert night.publish(Deployment(settings, city.catalog)).in_place
    assert count(settings) == 1
    assert numbers(settings) == [6, 7]


def test_everything_published_has_a_chinese_comment(late_city: City) -> None:
    night.run(late_city.deployment, DAY)
    undocumented = published.read(
        "SELECT schema_name, table_name, column_name, comment FROM duckdb_columns() "
        "WHERE NOT internal UNION ALL SELECT schema_name, table_name, NULL, comment "
        "FROM duckdb_tables() UNION ALL SELECT schema_name, view_name, NULL, comment "
        "FROM duckdb_views() WHERE NOT internal",
        settings=late_city.settings,
    )
    assert len(undocumented) > 100
    is_chinese = undocumented["comment"].fillna("").str.contains("[一-鿿]", regex=True)
    bare = undocumented[~is_chinese & (undocumented["table_name"] != "alembic_version")]
    assert bare.to_dict("records") == []
    for view in (
        "delivery_status",
        "department_day",
        "metric_current",
        "quarantine_current",
        "target_pace",
    ):
        published.read(f"FROM marts.{view}", settings=late_city.settings)


class Received(HTTPServer):
    status = 200
    bodies: list[dict[str, Any]]


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, Received)
        length = int(self.headers["Content-Length"])
        self.server.bodies.append(json.loads(self.rfile.read(length)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def webhook(status: int) -> Iterator[tuple[Received, str]]:
    with Received(("127.0.0.1", 0), Hook) as server:
        server.status, server.bodies = status, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server, f"json://user:s3cr3t@127.0.0.1:{server.server_port}/t0ken"
        server.shutdown()


def operational(settings: Settings, query: str) -> list[Any]:
    engine = sa.create_engine(settings.operations_url)
    with engine.connect() as connection:
        rows = list(connection.exec_driver_sql(query))
    engine.dispose()
    return rows


@pytest.mark.parametrize("status", [200, 500])
def test_the_digest_goes_out_once_and_its_failure_stops_nothing(
    late_city: City, status: int
) -> None:
    with webhook(status) as (server, url):
        settings = late_city.settings.model_copy(update={"notify_urls": SecretStr(url)})
        report = night.run(Deployment(settings, late_city.catalog), DAY)
    (body,) = server.bodies[:1]
    assert "城市大脑数据归集日报 2021年9月23日" in body["title"]
    assert "百日攻坚" in body["message"]
    assert "【退回】乙局 · 数据归集" in body["message"]
    assert report.generation is not None
    assert report.generation.in_place
    kinds = operational(settings, "SELECT kind, level, department FROM alert ORDER BY kind")
    assert kinds[0] == ("delivery", "critical", "b")
    ((sent_at, error, channels),) = operational(
        settings, "SELECT sent_at, error, channels FROM notification"
    )
    assert channels == 1
    assert (sent_at is None, error is None) == (status != 200, status == 200)
    assert report.notified.startswith("digest sent" if status == 200 else "digest not delivered")
    for path in settings.data_dir.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert b"s3cr3t" not in content
            assert b"t0ken" not in content
    assert "s3cr3t" not in repr(settings) + str(report)


def test_without_a_channel_the_digest_is_only_kept(late_city: City) -> None:
    report = night.run(late_city.deployment, DAY)
    assert "CITYBRAIN_NOTIFY_URLS" in report.notified
    assert operational(late_city.settings, "SELECT sent_at, error, channels FROM notification") == [
        (None, None, 0)
    ]


def test_a_second_writer_learns_who_writes_while_readers_read(city: City) -> None:
    city.send(A)
    night.publish(city.deployment)
    read = (
        "from pipelines import published\n"
        "print(published.read('SELECT count(*) AS n FROM records')['n'][0])\n"
        "from pipelines.settings import Settings\n"
        "from pipelines.warehouse.connection import open_warehouse\n"
        "with open_warehouse(Settings(), 'second'): pass\n"
    )
    environment = os.environ | {
        "CITYBRAIN_DATA_DIR": str(city.settings.data_dir),
        "CITYBRAIN_LOCK_SECONDS": "0.1",
    }
    with open_warehouse(city.settings, "first"):
        with (
            pytest.raises(WarehouseBusyError, match=f"process {os.getpid()} \\(first\\)"),
            open_warehouse(city.settings, "again"),
        ):
            pass
        other = subprocess.run(
            [sys.executable, "-c", read],
            env=environment,
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert other.stdout == "2\n"
    assert f"process {os.getpid()} (first)" in other.stderr


def test_a_writer_waits_and_a_killed_one_leaves_no_lock(city: City) -> None:
    context = multiprocessing.get_context("fork")
    city.settings.data_dir.mkdir()
    holding = context.Event()

    def hold() -> None:
        with writer_lock(city.settings, "holder"):
            holding.set()
            threading.Event().wait(60)

    holder = context.Process(target=hold)
    holder.start()
    assert holding.wait(30)
    with (
        pytest.raises(WarehouseBusyError, match=f"process {holder.pid}"),
        writer_lock(city.settings, "me"),
    ):
        pass
    threading.Timer(0.3, holder.kill).start()
    patient = city.settings.model_copy(update={"lock_seconds": 30})
    with writer_lock(patient, "me"):
        pass
    holder.join()
