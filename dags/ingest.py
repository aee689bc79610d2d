"""One Airflow DAG per contract, `ingest_<source>`: discover → stage in chunks → load."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import (
    DAG,
    AssetOrTimeSchedule,
    CronTriggerTimetable,
    Param,
    TriggerRule,
    get_current_context,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException

from dags.configuration import sound_deployment, sound_sources
from dags.conventions import (
    TIMEZONE,
    WAREHOUSE,
    backfilled_day,
    landing_asset,
    mistakes_fail_at_once,
    parameter,
    run_name,
    source_asset,
    task_defaults,
)
from dags.parameters import DATES, date_range
from pipelines import clock
from pipelines.contracts.columns import Column
from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import Delivery, Judgement, StagedChunk
from pipelines.errors import StorageError
from pipelines.settings import Settings

log = logging.getLogger(__name__)

SETTLED = timedelta(minutes=5)  # a file sent at the very due time is complete by then
CONTENTS = {"snapshot": "快照（业务日期当天的全量）", "events": "事件（业务日期当天发生的记录）"}
FREQUENCIES = {"daily": "每天", "weekly": "每周", "monthly": "每月"}
CALENDARS = {"calendar": "自然日", "workdays": "工作日"}
BEFORE_THE_NIGHT = "5 7 * * *"  # for sources that are due at no fixed time


def ingest(source: Source) -> DAG:
    """Make the DAG that takes a source's pending deliveries into the warehouse."""
    asset = source_asset(source.name)
    with DAG(
        dag_id=f"ingest_{source.name}",
        dag_display_name=f"ingest_{source.name} {source.title}",
        description=source.description or source.title,
        doc_md=documentation(source),
        # Shortly after the due time, so that most data is in before people are; and once a day, so
        # that a backfill is a run a day. `landing_watch` announces files that come later.
        schedule=AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(
                when_due(source), timezone=TIMEZONE, run_immediately=True
            ),
            assets=landing_asset(source.name),
        ),
        catchup=False,  # landing holds whatever was missed
        max_active_runs=1,
        default_args=task_defaults(source.owner, priority=10),
        tags=tags(source),
        params={
            "dates": Param(
                None,
                type=["null", "string"],
                pattern=DATES,
                title="业务日期",
                description="只采集这些业务日期的报送：2021-10-01..2021-10-07，或某一天。"
                "留空则采集全部待采集文件（含批量文件）；回填时为逻辑日期的前一天。",
            )
        },
    ) as dag:

        @task(pool=WAREHOUSE)
        def discover() -> list[list[dict[str, Any]]]:
            """Archive the files in landing; return chunks of the deliveries that are new."""
            from pipelines.jobs import intake

            with mistakes_fail_at_once():
                dates = dates_of_run()
                deployment = sound_deployment(source.name)
                discovery = intake.discover(
                    deployment,
                    run_name(),
                    dates,
                    source.name,
                    settle_seconds=deployment.settings.settle_seconds,
                )
                for error in discovery.errors:
                    log.error("discover %s: %s", source.name, error)
                # Deliveries that could be received go on; files that could not wait in landing, and
                # fail the next run.
                if discovery.errors and not discovery.pending:
                    raise StorageError("; ".join(discovery.errors))
            chunks = list(intake.chunks(deployment.settings, discovery.pending))
            log.info(
                "discover %s%s: %s pending in %s chunks, %s unchanged, %s still being uploaded, "
                "%s in landing are nobody's",
                source.name,
                f" {dates[0]}..{dates[1]}" if dates else "",
                *(
                    f"{len(group):,}"
                    for group in (
                        discovery.pending,
                        chunks,
                        discovery.unchanged,
                        discovery.waiting,
                        discovery.problems,
                    )
                ),
            )
            return [[delivery.model_dump(mode="json") for delivery in chunk] for chunk in chunks]

        @task
        def stage(deliveries: list[dict[str, Any]]) -> str:
            """Judge a chunk; return the folder of its rows and judgements."""
            from pipelines.jobs import intake

            with mistakes_fail_at_once():
                staged = intake.stage(
                    sound_deployment(source.name),
                    [Delivery.model_validate(delivery) for delivery in deliveries],
                    run_name(),
                    get_current_context()["ti"].map_index,
                )
            log.info("stage %s: %s", source.name, verdicts(staged.judgements))
            return str(staged.folder)

        # A chunk that cannot be staged does not keep the others out.
        @task(pool=WAREHOUSE, outlets=[asset], trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def load(folders: Sequence[str]) -> None:
            """Load the staged chunks in the order of receipt."""
            from pipelines.jobs import intake

            places = [Path(folder) for folder in folders[:]]  # a slice is fetched by one request
            staged = [StagedChunk.read(place) for place in places if place.exists()]
            with mistakes_fail_at_once():
                deployment = sound_deployment(source.name)
                judgements = intake.load_staged(deployment, staged, run_name())
            log.info("load %s: %s", source.name, verdicts(judgements))
            # An attempt that was killed after its commit left nothing to load, but did not mark the
            # asset as changed: its retry has to.
            may_have_loaded_before = get_current_context()["ti"].try_number > 1
            if not may_have_loaded_before and not any(
                judgement.verdict.loads for judgement in judgements
            ):
                raise AirflowSkipException(f"{source.name}: nothing changed")

        staged = stage.expand(deliveries=discover())
        load(staged)
        # A leaf of its own, so that a chunk that was not staged fails the run, although the others
        # were loaded.
        staged >> EmptyOperator(task_id="every_chunk_is_staged")
    return dag


def dates_of_run() -> tuple[date, date] | None:
    """Return the business dates that limit this run: the parameter's, or the backfill's day."""
    given = date_range(parameter("dates"), clock.today())
    day = None if given else backfilled_day()
    return given or (day and (day, day))


def verdicts(judgements: Iterable[Judgement]) -> str:
    """Describe judgements in a line: deliveries by verdict, and accepted rows."""
    deliveries: Counter[str] = Counter()
    rows = 0
    for judgement in judgements:
        deliveries[judgement.verdict.value] += 1
        rows += judgement.accounting.accepted if judgement.accounting else 0
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(deliveries.items()))
    return f"{deliveries.total():,} deliveries ({counts or 'none'}), {rows:,} rows accepted"


def when_due(source: Source) -> str:
    """Return the cron expression of once a day, shortly after the source's due time."""
    if source.due is None:
        return BEFORE_THE_NIGHT
    at = datetime.combine(source.due.start, source.due.time) + SETTLED
    return f"{at.minute} {at.hour} * * *"


def tags(source: Source) -> list[str]:
    """Return the tags by which people find the DAG."""
    frequency = source.due.frequency.value if source.due else "irregular"
    return ["ingest", source.content, frequency]


def documentation(source: Source) -> str:
    """Return the contract for readers of Airflow's pages, in Markdown."""
    rows = "\n".join(
        f"| `{column.name}` | {_cell(' / '.join(column.header))} | {column.type} | "
        f"{_promises(column)} |"
        for column in source.columns
    )
    key = "、".join(f"`{name}`" for name in source.key) or "无"
    formats = "、".join(name for name, declared in source.formats if declared is not None)
    return f"""# {source.title}（`{source.name}`）

{source.description}

| | |
| --- | --- |
| 负责科室 | {_cell(source.owner)} |
| 内容 | {CONTENTS[source.content]} |
| 粒度 | {_cell(source.grain)} |
| 主键 | {key} |
| 报送时限 | {_due(source)} |
| 文件格式 | {formats} |
| 最大隔离比例 | {source.max_quarantine:.0%} |

## 数据项

| 列 | 表头 | 类型 | 要求 |
| --- | --- | --- | --- |
{rows}

## 运行

每天运行一次（`{when_due(source)}`，{TIMEZONE}）；`landing_watch` 发现本数据源有已传完的文件时也会
运行。只采集某些业务日期时，带参数 `dates` 触发，如 `2021-10-01..2021-10-07`；回填（backfill）每天
一次，取其逻辑日期的前一天。重复运行没有影响：已入库的报送不会再次改变数据。
"""


def _due(source: Source) -> str:
    """Describe in Chinese until when which departments owe deliveries."""
    due = source.due
    if due is None:
        return "不定期"
    owing = "全部单位" if due.departments == "all" else f"{len(due.departments)} 个单位"
    grace = f"，宽限 {due.grace_days} 天" if due.grace_days else ""
    period = FREQUENCIES[due.frequency.value]
    return f"{period}，次日 {due.time:%H:%M} 前（{CALENDARS[due.calendar]}）{grace}；{owing}"


def _promises(column: Column) -> str:
    """Describe in Chinese what a column's cells must fulfil."""
    promises = [
        "必填" if column.required else "",
        f"`{column.pattern}`" if column.pattern else "",
        "取值：" + "、".join(column.values) if column.values else "",
        f"≥ {column.minimum}" if column.minimum is not None else "",
        f"≤ {column.maximum}" if column.maximum is not None else "",
        f"脱敏（{column.pii}）" if column.pii else "",
    ]
    return _cell("；".join(filter(None, promises)))


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


for contract in sound_sources(Settings().config_dir):
    ingest(contract)
