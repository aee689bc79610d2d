"""The Airflow DAG `landing_watch`: tells the ingest DAGs, within minutes, that files have come."""

from __future__ import annotations

import logging
from collections import Counter

from airflow.sdk import DAG, AssetAlias, CronTriggerTimetable, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

from dags.configuration import sound_catalog
from dags.conventions import TIMEZONE, landing_asset, mistakes_fail_at_once, task_defaults
from pipelines.settings import Settings

log = logging.getLogger(__name__)

# An alias, because only the sources that have something get an event: which, a look tells.
ARRIVALS = AssetAlias("landing")
DOCUMENTATION = """# 报送文件到达

Looks into the landing folder every ten minutes and starts `ingest_<source>` of every source that
has files there which are settled: still for CITYBRAIN_SETTLE_SECONDS, or marked with
`<file name>.done`. It takes nothing itself, needs no slot of the pool `warehouse`, and is skipped
when nothing has come. A file that an ingest could not take is announced again by every look.
"""


def landing_watch() -> DAG:
    """The DAG that turns files in landing into runs of the DAGs that take them."""
    with DAG(
        dag_id="landing_watch",
        dag_display_name="landing_watch 报送文件到达",
        description="starts the ingest of every source that has settled files in landing",
        doc_md=DOCUMENTATION,
        schedule=CronTriggerTimetable("*/10 * * * *", timezone=TIMEZONE),
        catchup=False,
        max_active_runs=1,
        # the next look is never far: one that failed is not tried again
        default_args=task_defaults("数据资源局", priority=20) | {"retries": 0},
        tags=["landing"],
    ) as dag:

        @task(outlets=[ARRIVALS])
        def look() -> None:
            """Announce the sources that have settled files; skipped when none has."""
            from pipelines.landing import files

            with mistakes_fail_at_once():
                settings = Settings()
                catalog = sound_catalog(settings.config_dir)
                seen = files.look(settings.landing, catalog, settings.settle_seconds)
            files = Counter(one.source for one in seen.landed)
            arrivals = get_current_context()["outlet_events"][ARRIVALS]
            for source, count in files.items():
                arrivals.add(landing_asset(source), extra={"files": count})
            log.info(
                "landing_watch: settled files: %s; %s still being uploaded, %s nobody's",
                ", ".join(f"{count:,} of {source}" for source, count in files.items()) or "none",
                len(seen.waiting),
                len(seen.problems),
            )
            if not files:
                raise AirflowSkipException("nothing to take")

        look()
    return dag


landing_watch()
