"""The Airflow DAG `landing_watch`: it starts the ingest DAGs within minutes of a file's arrival."""

from __future__ import annotations

import logging
from collections import Counter

from airflow.sdk import DAG, AssetAlias, CronTriggerTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.configuration import sound_catalog
from dags.conventions import TIMEZONE, landing_asset, mistakes_fail_at_once, task_defaults
from pipelines.settings import Settings

log = logging.getLogger(__name__)

# An alias, because a run announces only the sources that have files, and no others.
ARRIVALS = AssetAlias("landing")
DOCUMENTATION = """# 报送文件到达

每十分钟查看一次报送目录（landing）。某个数据源有已传完的文件时，启动对应的 `ingest_<数据源>`。
“已传完”是指：文件在 CITYBRAIN_SETTLE_SECONDS 秒内没有变化，或者旁边有 `<文件名>.done` 标记。

本任务只查看、不采集，不占用资源池 `warehouse`；没有新文件时显示为“跳过”。采集失败、仍留在目录中
的文件，每次查看都会再次触发采集。
"""


def landing_watch() -> DAG:
    """Make the DAG that turns files in landing into runs of their sources' ingest DAGs."""
    with DAG(
        dag_id="landing_watch",
        dag_display_name="landing_watch 报送文件到达",
        description="发现已传完的报送文件，启动相应数据源的采集",
        doc_md=DOCUMENTATION,
        schedule=CronTriggerTimetable("*/10 * * * *", timezone=TIMEZONE),
        catchup=False,
        max_active_runs=1,
        # The next look is never far: a look that failed is not retried.
        default_args=task_defaults("数据资源局", priority=20) | {"retries": 0},
        tags=["landing"],
    ) as dag:

        @task(outlets=[ARRIVALS])
        def look() -> None:
            """Announce the sources with settled files; skip if there is none."""
            from pipelines.landing import files

            with mistakes_fail_at_once():
                settings = Settings()
                catalog = sound_catalog(settings.config_dir)
                landing = files.look(settings.landing, catalog, settings.settle_seconds)
            counts = Counter(file.source for file in landing.landed)
            arrivals = get_current_context()["outlet_events"][ARRIVALS]
            for source, count in counts.items():
                arrivals.add(landing_asset(source), extra={"files": count})
            log.info(
                "landing_watch: settled files: %s; %s still being uploaded, %s nobody's",
                ", ".join(f"{count:,} of {source}" for source, count in counts.items()) or "none",
                len(landing.waiting),
                len(landing.problems),
            )
            if not counts:
                raise AirflowSkipException("nothing to take")

        look()
    return dag


landing_watch()
