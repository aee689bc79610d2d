"""The Airflow DAG `nightly`: pace → alerts → publish → notify → housekeeping.

It runs by the clock, and after ingests that changed a source.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from datetime import date, datetime
from pathlib import Path

from airflow.sdk import (
    DAG,
    AssetAny,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    Param,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

from dags import parameters
from dags.configuration import sound_deployment, sound_sources
from dags.conventions import (
    TIMEZONE,
    WAREHOUSE,
    backfilled_day,
    mistakes_fail_at_once,
    moment_of_run,
    parameter,
    run_name,
    source_asset,
    task_defaults,
)
from pipelines import clock
from pipelines.settings import Settings

log = logging.getLogger(__name__)

BY_THE_CLOCK = CronTriggerTimetable("30 7 * * *", timezone=TIMEZONE)
DOCUMENTATION = """# 每晚：进度、告警、发布

依次完成：计算各项目标截至某日的进度，记录告警，发布供查询的新版本，发送一份摘要通知，最后清理过期
文件（同 `citybrain clean`），包括 Airflow 的日志。

**何时运行**：每天 07:30（北京时间），即使当天没有报送——没有数据同样会使目标落后；此外，任何数据源
采集入库后也会运行，使迟到的数据当天发布。运行期间完成的采集，合并到下一次运行中发布。

**截至日**：取参数 `as_of`；为空时取 CITYBRAIN_AS_OF；仍为空时取运行日的前一天（北京时间）。回填
（backfill）的每次运行，一律取其逻辑日期的前一天。

**注意**：查询者看到的总是最近一次运行的结果。指定较早的日期运行之后，请不带参数再运行一次；回填时
请把同时运行数设为 1。
"""


def nightly() -> DAG:
    """Make the DAG that tracks, alerts, publishes and notifies."""
    sources = sound_sources(Settings().config_dir)
    assets = [source_asset(source.name) for source in sources]
    with DAG(
        dag_id="nightly",
        dag_display_name="nightly 进度、告警、发布",
        description="目标进度、告警、发布、摘要通知",
        doc_md=DOCUMENTATION,
        schedule=AssetOrTimeSchedule(timetable=BY_THE_CLOCK, assets=AssetAny(*assets))
        if assets
        else BY_THE_CLOCK,
        catchup=False,
        max_active_runs=1,
        default_args=task_defaults("数据资源局", priority=1) | {"pool": WAREHOUSE},
        tags=["nightly", *sorted({source.content for source in sources})],
        params={
            "as_of": Param(
                None,
                type=["null", "string"],
                format="date",
                title="截至日",
                description="进度截至哪一天，如 2021-10-31。"
                "留空则取 CITYBRAIN_AS_OF；仍为空则取运行日的前一天。",
            )
        },
    ) as dag:

        @task
        def pace() -> dict[str, str]:
            """Compute and store the pace; return the run's id, day and start."""
            from pipelines.jobs import night

            started_at = clock.now()
            with mistakes_fail_at_once():
                as_of = parameters.as_of(
                    parameter("as_of"),
                    os.environ.get("CITYBRAIN_AS_OF"),
                    moment_of_run(),
                    clock.today(),
                    backfilled_day(),
                )
                # Pace rows are appended: another attempt is another run.
                run_id = run_name(get_current_context()["ti"].try_number)
                paces = night.track(sound_deployment(), as_of, run_id)
            log.info("pace: %s targets as of %s, run %s", f"{len(paces):,}", as_of, run_id)
            return {
                "run_id": run_id,
                "as_of": as_of.isoformat(),
                "started_at": started_at.isoformat(),
            }

        @task
        def alerts(run: dict[str, str]) -> None:
            """Store the run's alerts and close it, in one task, so that no load comes between."""
            from pipelines.jobs import night

            run_id, as_of = run["run_id"], date.fromisoformat(run["as_of"])
            started_at = datetime.fromisoformat(run["started_at"])
            with mistakes_fail_at_once():
                deployment = sound_deployment()
                raised = night.raise_alerts(deployment, as_of, run_id)
                night.close_run(deployment, as_of, run_id, started_at)
            log.info("alerts: %s as of %s, run %s", f"{len(raised):,}", as_of, run_id)

        @task
        def publish(run: dict[str, str]) -> None:
            """Publish a generation: build, verify, put in place."""
            from pipelines.jobs import night

            with mistakes_fail_at_once():
                deployment = sound_deployment()
                placed = night.publish(deployment, run["run_id"])
            where = "in place" if placed.in_place else "built; readers are pinned to an older one"
            log.info("publish: generation %s %s: %s", placed.number, where, placed.path)

        @task
        def notify(run: dict[str, str]) -> None:
            """Send the run's digest, except for a backfill: its days are old news."""
            from pipelines.jobs import night

            if backfilled_day() is not None:
                raise AirflowSkipException("notify: nobody is told of a backfill")
            with mistakes_fail_at_once():
                deployment = sound_deployment()
                as_of = date.fromisoformat(run["as_of"])
                log.info("notify: %s", night.notify(deployment, as_of, run["run_id"]))

        @task
        def housekeeping() -> None:
            """Remove what nobody needs any more, Airflow's old logs included."""
            from airflow.sdk.configuration import conf

            from pipelines.jobs.housekeeping import clean

            logs = Path(conf.get("logging", "base_log_folder"))
            with mistakes_fail_at_once():
                now = clock.now()
                removals = clean(Settings(), now, extra_log_folders=[logs])
            kinds = Counter(removal.kind for removal in removals)
            freed = sum(removal.bytes for removal in removals)
            listed = ", ".join(f"{count:,} {kind}" for kind, count in sorted(kinds.items()))
            log.info("housekeeping: freed %.1f MB: %s", freed / 1e6, listed or "nothing was old")

        run = pace()
        alerts(run) >> publish(run) >> notify(run) >> housekeeping()
    return dag


nightly()
