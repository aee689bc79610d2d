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
from pipelines.deliveries.delivery import Delivery, StagedChunk
from pipelines.errors import StorageError
from pipelines.settings import Settings

log = logging.getLogger(__name__)

SETTLED = timedelta(minutes=5)  # what is sent on the stroke of the due time is complete by then
BEFORE_THE_NIGHT = "5 7 * * *"  # for sources that are due at no fixed time


def ingest(source: Source) -> DAG:
    """The DAG that takes a source's pending deliveries into the warehouse."""
    asset = source_asset(source.name)
    with DAG(
        dag_id=f"ingest_{source.name}",
        dag_display_name=f"ingest_{source.name} {source.title}",
        description=source.description or source.title,
        doc_md=documentation(source),
        # Shortly after it is due, so that the bulk of the night is in before people are; and once a
        # day, so that a backfill is a run a day. What comes later is told of by `landing_watch`.
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
                title="Business dates",
                description="Only deliveries of these days: 2021-10-01..2021-10-07, or one day. "
                "Empty takes all that is pending, bulk files included; in a backfill, the "
                "day before the run's logical date.",
            )
        },
    ) as dag:

        @task(pool=WAREHOUSE)
        def discover() -> list[list[dict[str, Any]]]:
            """Archive what has landed; chunks of the deliveries that are new."""
            from pipelines.jobs import intake

            with mistakes_fail_at_once():
                dates = dates_of_run()
                deployment = sound_deployment(source.name)
                found = intake.discover(
                    deployment,
                    run_name(),
                    dates,
                    source.name,
                    settle_seconds=deployment.settings.settle_seconds,
                )
                for error in found.errors:
                    log.error("discover %s: %s", source.name, error)
                # what could be received goes on; the rest waits in landing, and fails the next run
                if found.errors and not found.pending:
                    raise StorageError("; ".join(found.errors))
            chunks = list(intake.chunks(deployment.settings, found.pending))
            log.info(
                "discover %s%s: %s pending in %s chunks, %s unchanged, %s still being uploaded, "
                "%s in landing are nobody's",
                source.name,
                f" {dates[0]}..{dates[1]}" if dates else "",
                *(
                    f"{len(one):,}"
                    for one in (
                        found.pending,
                        chunks,
                        found.unchanged,
                        found.waiting,
                        found.problems,
                    )
                ),
            )
            return [[one.model_dump(mode="json") for one in chunk] for chunk in chunks]

        @task
        def stage(deliveries: list[dict[str, Any]]) -> str:
            """Judge a chunk; the folder where its rows and judgements are."""
            from pipelines.jobs import intake

            with mistakes_fail_at_once():
                staged = intake.stage(
                    sound_deployment(source.name),
                    [Delivery.model_validate(one) for one in deliveries],
                    run_name(),
                    get_current_context()["ti"].map_index,
                )
            log.info("stage %s: %s", source.name, verdicts(staged.judgements))
            return str(staged.folder)

        # one chunk that cannot be staged does not keep the others out
        @task(pool=WAREHOUSE, outlets=[asset], trigger_rule=TriggerRule.ALL_DONE_MIN_ONE_SUCCESS)
        def load(folders: Sequence[str]) -> None:
            """Load the staged chunks in the order of receipt."""
            from pipelines.jobs import intake

            places = [Path(folder) for folder in folders[:]]  # a slice is one request
            staged = [StagedChunk.read(place) for place in places if place.exists()]
            with mistakes_fail_at_once():
                deployment = sound_deployment(source.name)
                judgements = intake.load_staged(deployment, staged, run_name())
            log.info("load %s: %s", source.name, verdicts(judgements))
            # An attempt that was killed after its commit has left nothing to load, and told nobody.
            may_have_loaded_before = get_current_context()["ti"].try_number > 1
            if not may_have_loaded_before and not any(one.verdict.loads for one in judgements):
                raise AirflowSkipException(f"{source.name}: nothing changed")

        staged = stage.expand(deliveries=discover())
        load(staged)
        # a leaf, so that a chunk which was not staged fails the run although the others loaded
        staged >> EmptyOperator(task_id="every_chunk_is_staged")
    return dag


def dates_of_run() -> tuple[date, date] | None:
    """The business dates that this run is confined to: the parameter's, or the backfill's day."""
    given = date_range(parameter("dates"), clock.today())
    day = None if given else backfilled_day()
    return given or (day and (day, day))


def verdicts(judgements: Iterable[Any]) -> str:
    """Judgements in a line: how many deliveries and accepted rows, by verdict."""
    deliveries: Counter[str] = Counter()
    rows = 0
    for one in judgements:
        deliveries[one.verdict.value] += 1
        rows += one.accounting.accepted if one.accounting else 0
    counts = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(deliveries.items()))
    return f"{deliveries.total():,} deliveries ({counts or 'none'}), {rows:,} rows accepted"


def when_due(source: Source) -> str:
    """The cron expression of shortly after the source's due time, once a day."""
    if source.due is None:
        return BEFORE_THE_NIGHT
    at = datetime.combine(source.due.start, source.due.time) + SETTLED
    return f"{at.minute} {at.hour} * * *"


def tags(source: Source) -> list[str]:
    """What the DAG is found by."""
    frequency = source.due.frequency.value if source.due else "irregular"
    return ["ingest", source.content, frequency]


def documentation(source: Source) -> str:
    """The contract for readers of Airflow's pages, in Markdown."""
    rows = "\n".join(
        f"| `{one.name}` | {_cell(' / '.join(one.header))} | {one.type} | {_promises(one)} |"
        for one in source.columns
    )
    key = ", ".join(f"`{name}`" for name in source.key) or "none"
    formats = ", ".join(name for name, declared in source.formats if declared is not None)
    return f"""# {source.title} (`{source.name}`)

{source.description}

| | |
| --- | --- |
| owner | {_cell(source.owner)} |
| content | {source.content} |
| grain | {_cell(source.grain)} |
| key | {key} |
| due | {_due(source)} |
| formats | {formats} |
| most rows quarantined | {source.max_quarantine:.0%} |

## Columns

| column | headers | type | promise |
| --- | --- | --- | --- |
{rows}

## Running it

It runs once a day (`{when_due(source)}`, {TIMEZONE}), and whenever `landing_watch` has seen files
of the source that are whole. To take in certain business days only, trigger it with `dates`, as
`2021-10-01..2021-10-07`; a backfill does so in one run for each day, the one before the run's
logical date. Running it again does no harm: a delivery that was loaded already changes nothing.
"""


def _due(source: Source) -> str:
    due = source.due
    if due is None:
        return "at no fixed time"
    owing = "all departments" if due.departments == "all" else f"{len(due.departments)} departments"
    grace = f", {due.grace_days} days of grace" if due.grace_days else ""
    return f"{due.frequency}, the day after by {due.time:%H:%M} ({due.calendar}){grace}; {owing}"


def _promises(column: Column) -> str:
    bounds = [f"≥ {column.minimum}"] if column.minimum is not None else []
    bounds += [f"≤ {column.maximum}"] if column.maximum is not None else []
    said = [
        "required" if column.required else "",
        f"`{column.pattern}`" if column.pattern else "",
        "one of " + "、".join(column.values) if column.values else "",
        *bounds,
        f"masked ({column.pii})" if column.pii else "",
    ]
    return _cell(", ".join(one for one in said if one))


def _cell(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


for contract in sound_sources(Settings().config_dir):
    ingest(contract)
