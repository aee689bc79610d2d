"""Commands that bring data in: run, submit, sample."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from pipelines import clock
from pipelines.cli.terminal import (
    AsOf,
    DateRange,
    FailOn,
    Json,
    command,
    console,
    exit_for,
    parse_day,
    parse_past_day,
    parse_range,
    watched,
)
from pipelines.deliveries import feedback_form
from pipelines.deployment import Deployment
from pipelines.errors import UsageError
from pipelines.machine import logs
from pipelines.settings import Settings


@command()
def run(
    dates: DateRange = None,
    as_of: AsOf = None,
    settle: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            min=0,
            envvar="CITYBRAIN_SETTLE_SECONDS",
            show_envvar=False,
            help="Leave files that have changed within so long: they are being uploaded.",
        ),
    ] = 0,
    fail_on: Annotated[FailOn, typer.Option(help="What to exit with 1 for.")] = FailOn.ANY,
    as_json: Json = False,
) -> None:
    """Take every pending delivery into the warehouse, then pace, alerts, publication.

    Examples: `citybrain run` · `citybrain run --as-of 2021-10-31` ·
    `citybrain run --date 2021-10-01..2021-10-07` (a backfill of those business days)
    """
    from pipelines.cli import rendering
    from pipelines.jobs import night

    deployment = Deployment.load(Settings())
    day = parse_past_day(as_of) if as_of else clock.today() - timedelta(days=1)
    days = parse_range(dates)
    if days is not None:
        clock.refuse_future(days[1], clock.today())
    logs.to_folder(deployment.settings.logs)
    with watched() as progress:
        report = night.run(deployment, day, days, progress, settle)
    if as_json:
        typer.echo(rendering.as_json(rendering.report_record(report)))
    else:
        rendering.show_report(console, report, deployment.catalog)
    # A step that failed is no matter of --fail-on, which chooses among outcomes of sound runs.
    if report.errors:
        raise typer.Exit(1)
    exit_for(fail_on, report.has_rejections, report.is_behind)


@command()
def submit(
    file: Annotated[Path, typer.Argument(help="The export.")],
    source: Annotated[
        str | None, typer.Option("--source", "-s", help="What it is an export of.")
    ] = None,
    department: Annotated[
        str | None, typer.Option("--department", "-d", help="Whose it is (its code).")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", help="The business date it speaks of.")
    ] = None,
    part: Annotated[str, typer.Option(help="Its part, when a day comes in several files.")] = "",
    bulk: Annotated[
        bool, typer.Option("--bulk", help="The file's own columns tell what is left out.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a file that still waits in its place.")
    ] = False,
) -> None:
    """Put a file into its place in the landing folder.

    A feedback workbook that comes back needs no options: its name says all.

    Example: `citybrain submit 归集量.csv --source data_records --department gaj --date 2021-10-31`
    · `citybrain submit 三季度.csv --source data_records --bulk` (history of many days)
    · `citybrain submit data_records.gaj.2021-10-31.feedback-0123456789abcdef.xlsx`
    """
    from pipelines.landing.files import BULK
    from pipelines.landing.submission import submit as put

    business_date = parse_day(day) if day else None
    deployment = Deployment.load(Settings())
    returned = feedback_form.named(file.name)
    if returned is not None:
        source = source or returned.source
        if department is None and returned.department != feedback_form.ALL:
            department = returned.department
        if business_date is None and returned.day != BULK:
            business_date = parse_day(returned.day)
    if source is None:
        raise UsageError("say --source, or send a feedback workbook under its own name")
    if returned is None and not bulk and (department is None or business_date is None):
        raise UsageError(
            "say --department and --date, or --bulk when the file's own columns tell them"
        )
    place = put(
        file,
        deployment.settings,
        deployment.catalog,
        source,
        department,
        business_date,
        part,
        replace,
    )
    console.print(f"landed at {place}; `citybrain run` takes it in", soft_wrap=True)


@command()
def sample(
    folder: Annotated[Path, typer.Argument(help="The landing folder to write into.")],
    until: Annotated[str, typer.Option(help="The last business date.")] = "2021-10-31",
    as_json: Json = False,
) -> None:
    """Write the deliveries of a made-up city, the same ones every time.

    Example: `citybrain sample data/landing && citybrain run --as-of 2021-10-31`
    """
    from pipelines.cli import rendering
    from pipelines.sample import write_sample

    with watched() as progress:
        summary = write_sample(
            folder,
            Deployment.load(Settings()).catalog,
            parse_day(until),
            lambda done, total: progress("writing days", done, total),
        )
    if as_json:
        typer.echo(
            rendering.as_json(
                {"files": summary.files, "bytes": summary.bytes, "facts": summary.facts}
            )
        )
        return
    size = summary.bytes / 1e6
    console.print(f"wrote {summary.files} files ({size:.1f} MB) into {folder}", soft_wrap=True)
