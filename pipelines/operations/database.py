"""The operational database: alerts and notifications, which people touch while a load runs.

SQLAlchemy on SQLite in the data folder, or on what CITYBRAIN_OPS_URL names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from pipelines import clock
from pipelines.machine.locks import writer_lock
from pipelines.machine.logs import Step
from pipelines.schema import migrate
from pipelines.settings import Settings
from pipelines.tracking.alerts import Alert

if TYPE_CHECKING:
    import pandas as pd

METADATA = sa.MetaData()

alert_table = sa.Table(
    "alert",
    METADATA,
    sa.Column("run_id", sa.String(32), primary_key=True, comment="运行编号"),
    sa.Column("key", sa.String(255), primary_key=True, comment="告警对象"),
    sa.Column("kind", sa.String(16), comment="类别：target、delivery、feed、landing"),
    sa.Column("level", sa.String(16), comment="级别：warning、critical"),
    sa.Column("as_of", sa.Date, comment="截止日"),
    sa.Column("raised_at", sa.DateTime, comment="发出时间（UTC）"),
    sa.Column("source", sa.String(63), comment="数据源"),
    sa.Column("department", sa.String(32), comment="单位代码"),
    sa.Column("target", sa.String(63), comment="目标"),
    sa.Column("title", sa.Text, comment="标题"),
    sa.Column("detail", sa.Text, comment="详情"),
    comment="告警",
)
notification_table = sa.Table(
    "notification",
    METADATA,
    sa.Column("run_id", sa.String(32), primary_key=True, comment="运行编号"),
    sa.Column("created_at", sa.DateTime, comment="生成时间（UTC）"),
    sa.Column("title", sa.Text, comment="标题"),
    sa.Column("body", sa.Text, comment="正文"),
    sa.Column("channels", sa.Integer, comment="通知渠道数"),
    sa.Column("sent_at", sa.DateTime, comment="送达时间（UTC）；空表示未送达"),
    sa.Column("error", sa.Text, comment="未送达的原因"),
    comment="通知摘要",
)
step_table = sa.Table(
    "step",
    METADATA,
    sa.Column("number", sa.Integer, primary_key=True, comment="序号"),
    sa.Column("run_id", sa.String(32), index=True, comment="运行编号"),
    sa.Column("name", sa.String(32), comment="步骤"),
    sa.Column("source", sa.String(63), comment="数据源；空串为不分数据源"),
    sa.Column("started_at", sa.DateTime, comment="开始时间（UTC）"),
    sa.Column("seconds", sa.Float, comment="用时（秒）"),
    sa.Column("deliveries", sa.Integer, comment="处理的报送数"),
    sa.Column("rows", sa.BigInteger, comment="处理的行数"),
    sa.Column("error", sa.String(255), comment="未完成的原因；空表示已完成"),
    comment="运行步骤：用时与数量",
)
AGES = {"alert": "raised_at", "notification": "created_at", "step": "started_at"}
_migrated: set[str] = set()  # URLs that this process has brought to the newest schema


@contextmanager
def open_operations(settings: Settings) -> Iterator[sa.Connection]:
    """The operational database, migrated, in one transaction."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.operations_url
    patience = {"timeout": max(5.0, settings.lock_seconds)} if url.startswith("sqlite") else {}
    engine = sa.create_engine(url, connect_args=patience)
    try:
        if settings.operations_url not in _migrated:
            # two processes that start together would both make its tables
            with writer_lock(settings, "migrate", "operations.lock"), engine.begin() as connection:
                migrate(connection, "operations")
            _migrated.add(settings.operations_url)
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def store_alerts(
    connection: sa.Connection, alerts: Sequence[Alert], run_id: str, as_of: date
) -> None:
    """Keep a run's alerts, replacing those of an earlier attempt at the same run."""
    connection.execute(sa.delete(alert_table).where(alert_table.c.run_id == run_id))
    if alerts:
        common = {"run_id": run_id, "as_of": as_of, "raised_at": clock.now()}
        told = {alert.key[:255]: asdict(alert) for alert in alerts}  # paths may be longer
        rows = [common | alert | {"key": key} for key, alert in told.items()]
        connection.execute(sa.insert(alert_table), rows)


def alerts_of_run(connection: sa.Connection, run_id: str) -> list[Alert]:
    """The alerts that a run stored."""
    columns = [alert_table.c[field.name] for field in fields(Alert)]
    query = sa.select(*columns).where(alert_table.c.run_id == run_id).order_by(alert_table.c.key)
    return [Alert(**row._asdict()) for row in connection.execute(query)]


def store_notification(
    connection: sa.Connection, run_id: str, title: str, body: str, channels: int, error: str | None
) -> None:
    """Keep what was sent for a run; `error` says why it did not arrive."""
    table = notification_table
    connection.execute(sa.delete(table).where(table.c.run_id == run_id))
    sent_at = clock.now() if channels and error is None else None
    connection.execute(
        sa.insert(table).values(
            run_id=run_id,
            created_at=clock.now(),
            title=title,
            body=body,
            channels=channels,
            sent_at=sent_at,
            error=error,
        )
    )


def store_step(connection: sa.Connection, step: Step) -> None:
    """Keep how long a step of a run took and how much it dealt with."""
    connection.execute(sa.insert(step_table).values(**asdict(step)))


def forget(settings: Settings, before: Mapping[str, datetime], dry_run: bool) -> dict[str, int]:
    """Delete rows that are older than an instant (UTC), by table; how many there were.

    A dry run only counts them, and does not even migrate.
    """
    if not _is_there(settings):
        return {}
    if not dry_run:
        with open_operations(settings) as connection:
            return {name: _delete(connection, name, at) for name, at in before.items()}
    engine = sa.create_engine(settings.operations_url)
    try:
        there = [name for name in before if sa.inspect(engine).has_table(name)]
        with engine.connect() as connection:
            return {name: _count(connection, name, before[name]) for name in there}
    finally:
        engine.dispose()


def _is_there(settings: Settings) -> bool:
    """Whether there is a database: a look must not make SQLite's file."""
    url = sa.make_url(settings.operations_url)
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    return not is_file or Path(url.database or "").exists()


def _delete(connection: sa.Connection, name: str, before: datetime) -> int:
    table = METADATA.tables[name]
    return connection.execute(sa.delete(table).where(table.c[AGES[name]] < before)).rowcount


def _count(connection: sa.Connection, name: str, before: datetime) -> int:
    table = METADATA.tables[name]
    query = sa.select(sa.func.count()).select_from(table).where(table.c[AGES[name]] < before)
    found: int = connection.execute(query).scalar_one()
    return found


def export(connection: sa.Connection) -> dict[str, pd.DataFrame]:
    """Every operational table as a frame, for the published generation."""
    import pandas as pd

    return {
        table.name: pd.read_sql_query(sa.select(table), connection, dtype_backend="numpy_nullable")
        for table in METADATA.tables.values()
    }
