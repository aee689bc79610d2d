"""The Airflow DAG `nightly`: pace → alerts → publish → notify → housekeeping.

By the clock or after loads.
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
DOCUMENTATION = """# 每晚:进度、告警、发布

Computes the pace of every target as of a day, stores the alerts, publishes a generation for
readers, sends one digest; then clears away what is old (`citybrain clean`), Airflow's logs
included.

It runs at 07:30 (Asia/Shanghai), even when nothing has come, since silence makes targets fall
behind, too; and whenever an ingest has changed a source, so that late loads are published the same
day. Loads that end while it runs are taken together by one run after it.

The day is `as_of`; when that is empty, CITYBRAIN_AS_OF; when there is none, the day before the run
in Shanghai. A run of a backfill looks from the day before its logical date, whatever
CITYBRAIN_AS_OF says. Readers see the newest run: after one with an older day, run it once more
without; let a backfill have one active run at a time.
"""


def nightly() -> DAG:
    """The DAG that turns what is loaded into what is known and published."""
    sources = sound_sources(Settings().config_dir)
    assets = [source_asset(source.name) for source in sources]
    with DAG(
        dag_id="nightly",
        dag_display_name="nightly 进度、告警、发布",
        description="pace of every target, alerts, publication, digest",
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
                title="As of",
                description="The day to look from, as 2021-10-31. "
                "Empty: CITYBRAIN_AS_OF, else the day before the run.",
            )
        },
    ) as dag:

        @task
        def pace() -> dict[str, str]:
            """Compute and store the pace; the run's id, day and start for the tasks after it."""
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
                # pace rows are appended: another attempt is another run
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
            """Store the run's alerts and close it; in one task, so that no load comes between."""
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
            """Build, verify and put in place a generation."""
            from pipelines.jobs import night

            with mistakes_fail_at_once():
                deployment = sound_deployment()
                placed = night.publish(deployment, run["run_id"])
            where = "in place" if placed.in_place else "built; readers are pinned to an older one"
            log.info("publish: generation %s %s: %s", placed.number, where, placed.path)

        @task
        def notify(run: dict[str, str]) -> None:
            """Send the run's digest; a backfill speaks of days that people know about."""
            from pipelines.jobs import night

            if backfilled_day() is not None:
                raise AirflowSkipException("notify: nobody is told of a backfill")
            with mistakes_fail_at_once():
                deployment = sound_deployment()
                as_of = date.fromisoformat(run["as_of"])
                log.info("notify: %s", night.notify(deployment, as_of, run["run_id"]))

        @task
        def housekeeping() -> None:
            """Clear away what nobody needs, Airflow's old logs included."""
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
