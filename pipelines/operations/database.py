"""The operational database: alerts, notifications and timings, which change while a load runs.

SQLAlchemy on SQLite in the data folder, or on the database that CITYBRAIN_OPS_URL names.
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
from pipelines.engine import is_migrated
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
# By table: the column that tells how old a row is.
MOMENTS = {
    "alert": alert_table.c.raised_at,
    "notification": notification_table.c.created_at,
    "step": step_table.c.started_at,
}
_current: set[str] = set()  # URLs whose schema this process knows to be the newest


@contextmanager
def open_operations(settings: Settings) -> Iterator[sa.Connection]:
    """Open the operational database, brought to the newest schema, in one transaction."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    url = settings.operations_url
    # SQLite itself waits for another writer; a server has its own time limits.
    patience = {"timeout": max(5.0, settings.lock_seconds)} if url.startswith("sqlite") else {}
    engine = sa.create_engine(url, connect_args=patience)
    try:
        if url not in _current:
            with engine.connect() as connection:
                is_current = is_migrated(connection, "operations")
            if not is_current:
                # Under a lock, as two processes that start together would both make its tables.
                with (
                    writer_lock(settings, "migrate", "operations.lock"),
                    engine.begin() as connection,
                ):
                    migrate(connection, "operations")
            _current.add(url)
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def store_alerts(
    connection: sa.Connection, alerts: Sequence[Alert], run_id: str, as_of: date
) -> None:
    """Store a run's alerts, replacing those of an earlier attempt at the same run."""
    connection.execute(sa.delete(alert_table).where(alert_table.c.run_id == run_id))
    if alerts:
        common = {"run_id": run_id, "as_of": as_of, "raised_at": clock.now()}
        # A key may be the path of a file, and longer than its column; two may be cut alike.
        by_key = {alert.key[:255]: asdict(alert) for alert in alerts}
        rows = [common | alert | {"key": key} for key, alert in by_key.items()]
        connection.execute(sa.insert(alert_table), rows)


def alerts_of_run(connection: sa.Connection, run_id: str) -> list[Alert]:
    """Return the alerts that a run stored."""
    columns = [alert_table.c[field.name] for field in fields(Alert)]
    query = sa.select(*columns).where(alert_table.c.run_id == run_id).order_by(alert_table.c.key)
    return [Alert(**row._asdict()) for row in connection.execute(query)]


def store_notification(
    connection: sa.Connection, run_id: str, title: str, body: str, channels: int, error: str | None
) -> None:
    """Store what a run sent to how many channels, and `error`: why it did not arrive."""
    connection.execute(sa.delete(notification_table).where(notification_table.c.run_id == run_id))
    now = clock.now()
    connection.execute(
        sa.insert(notification_table).values(
            run_id=run_id,
            created_at=now,
            title=title,
            body=body,
            channels=channels,
            sent_at=now if channels and error is None else None,
            error=error,
        )
    )


def store_step(connection: sa.Connection, timing: Step) -> None:
    """Store how long a step of a run took and how much it dealt with."""
    connection.execute(sa.insert(step_table).values(**asdict(timing)))


def delete_old(settings: Settings, before: Mapping[str, datetime], dry_run: bool) -> dict[str, int]:
    """Delete rows that are older than an instant (UTC) given by table; return their counts.

    A dry run only counts, and neither makes the database nor upgrades it.
    """
    url = sa.make_url(settings.operations_url)
    is_file = url.get_backend_name() == "sqlite" and url.database not in (None, "", ":memory:")
    if is_file and not Path(url.database or "").exists():
        return {}
    if not dry_run:
        with open_operations(settings) as connection:
            return {
                name: connection.execute(
                    sa.delete(METADATA.tables[name]).where(MOMENTS[name] < moment)
                ).rowcount
                for name, moment in before.items()
            }
    engine = sa.create_engine(settings.operations_url)
    try:
        with engine.connect() as connection:
            tables = sa.inspect(connection).get_table_names()
            return {
                name: connection.execute(
                    sa.select(sa.func.count()).where(MOMENTS[name] < moment)
                ).scalar_one()
                for name, moment in before.items()
                if name in tables
            }
    finally:
        engine.dispose()


def export(connection: sa.Connection) -> dict[str, pd.DataFrame]:
    """Return every operational table as a frame, for the published generation."""
    import pandas as pd

    return {
        table.name: pd.read_sql_query(sa.select(table), connection, dtype_backend="numpy_nullable")
        for table in METADATA.tables.values()
    }
