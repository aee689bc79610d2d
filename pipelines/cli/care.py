"""Commands that look after a deployment and its departments: feedback, doctor, clean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines import clock
from pipelines.cli.terminal import (
    DepartmentCode,
    Json,
    SourceName,
    command,
    console,
    parse_day,
    parse_past_day,
    require_known,
)
from pipelines.cli.views import reading_published
from pipelines.deliveries.feedback_form import ALL
from pipelines.deployment import Deployment
from pipelines.errors import UsageError
from pipelines.machine import logs
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.doctor import Finding
    from pipelines.jobs.cleaning import Removal

NAMED_REMOVALS = 20  # of each kind, as many as a table names
STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@command()
def feedback(
    department: DepartmentCode = None,
    source: SourceName = None,
    day: Annotated[
        str | None, typer.Option("--date", help="Only this business date, as 2021-10-31.")
    ] = None,
    delivery: Annotated[
        str, typer.Option(help="Only this delivery: its id, or how the id starts.")
    ] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Where to write them [default: feedback/ of the data folder]."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the workbooks in which departments mend the rows that were kept out.

    There is a workbook for each delivery and department; a mended one goes back to landing under
    its own name. They hold what departments sent, unmasked. Exits with 1 if a delivery cannot be
    read from the archive.

    JSON: a list of {department (all: rows that name nobody known), source, business_date, part,
    delivery_id, rows, file (null: it could not be written), error}.

    Example: `citybrain feedback --department gaj`
    """
    from pipelines.cli import rendering
    from pipelines.feedback import batch as writing

    deployment = Deployment.load(Settings())
    settings, catalog = deployment.settings, deployment.catalog
    require_known(source, catalog.sources, "source")
    require_known(department, (*catalog.departments, ALL), "department")
    if delivery:
        _require_published(settings, delivery)
    logs.to_folder(settings.logs)
    with reading_published():
        written = writing.write(
            deployment, department, source, parse_day(day) if day else None, delivery, out
        )
    if as_json:
        typer.echo(rendering.as_json([asdict(workbook) for workbook in written]))
    elif written:
        rows = [
            (
                workbook.department,
                workbook.source + (f".{workbook.part}" if workbook.part else ""),
                str(workbook.business_date or "bulk"),
                f"{workbook.rows:,}",
                str(workbook.file) if workbook.file else f"not written: {workbook.error}",
            )
            for workbook in written
        ]
        columns = ("department", "source", "date", "rows #", "file")
        rendering.show_table(console, "Feedback workbooks", columns, rows)
    else:
        console.print(
            "nothing to mend: no delivery that is asked for has rows in quarantine "
            "(`citybrain deliveries` shows all)"
        )
    if any(workbook.error for workbook in written):
        raise typer.Exit(1)


def _require_published(settings: Settings, delivery: str) -> None:
    """Raise UsageError if no published delivery has an id that starts with `delivery`."""
    from pipelines import published

    with reading_published(), published.connect(settings) as connection:
        known = connection.execute(
            "SELECT delivery_id FROM delivery WHERE starts_with(delivery_id, ?) LIMIT 1", [delivery]
        ).fetchall()
    if not known:
        raise UsageError(
            f"no published delivery has an id that starts with {delivery}; `citybrain deliveries` "
            "lists them"
        )


@command()
def doctor(as_json: Json = False) -> None:
    """Examine this deployment: configuration, versions, disks, stores, runs. Changes nothing.

    Exits with 1 if there is a failure; warnings exit with 0.

    JSON: {healthy (neither failures nor warnings), findings: a list of {check, level (ok, warning,
    failure), message, mend}}.

    Example: `citybrain doctor`, each morning or on a new machine
    """
    from pipelines.cli import rendering
    from pipelines.doctor import Level, examine

    findings = list(examine(Settings(), clock.today(), clock.now()))
    if as_json:
        healthy = all(finding.level is Level.OK for finding in findings)
        listed = [asdict(finding) for finding in findings]
        typer.echo(rendering.as_json({"healthy": healthy, "findings": listed}))
    else:
        show_findings(console, findings)
    if any(finding.level is Level.FAILURE for finding in findings):
        raise typer.Exit(1)


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Print every finding with its mend below it, and the verdict."""
    from pipelines.doctor import verdict

    drawn = Table.grid(padding=(0, 2, 0, 0))
    for is_word in (True, True, False):
        drawn.add_column(no_wrap=is_word, overflow="fold")
    for finding in findings:
        message = Text(finding.message)
        if finding.mend:
            message.append(f"\n→ {finding.mend}", style="italic")
        drawn.add_row(Text(finding.level, STYLES[finding.level]), Text(finding.check), message)
    console.print(drawn)
    console.print(verdict(findings), markup=False)


@command()
def clean(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="List what would be removed, and change nothing.")
    ] = False,
    purge_before: Annotated[
        str | None,
        typer.Option(
            "--purge-archive-before",
            metavar="DATE",
            help="Delete the raw bytes of all deliveries received before this day, needed or not.",
        ),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why they are deleted; recorded.")] = "",
    as_json: Json = False,
) -> None:
    """Clear away what nobody needs: leftovers, old logs, generations; compress the archive.

    Bytes that a rebuild needs are kept unless --purge-archive-before tells otherwise.

    JSON: {dry_run, freed (bytes), removals: a list of {kind (leftover, generation, log, archive,
    compressed, entries), what, why, bytes}}.

    Examples: `citybrain clean --dry-run` ·
    `citybrain clean --purge-archive-before 2020-01-01 --reason "保存期满"`
    """
    from pipelines.cli import rendering
    from pipelines.jobs import housekeeping

    day = parse_past_day(purge_before) if purge_before else None
    if (day is None) != (not reason.strip()):
        raise UsageError("say --purge-archive-before and --reason together")
    settings = Settings()
    if not dry_run and settings.data_dir.is_dir():
        logs.to_folder(settings.logs)
    removals = housekeeping.clean(settings, clock.now(), dry_run, day, reason)
    freed = sum(removal.bytes for removal in removals)
    if as_json:
        listed = [asdict(removal) for removal in removals]
        typer.echo(rendering.as_json({"dry_run": dry_run, "freed": freed, "removals": listed}))
    else:
        show_removals(console, removals)
        console.print(f"{'would free' if dry_run else 'freed'} {freed / 1e6:,.1f} MB")


def show_removals(console: Console, removals: Sequence[Removal]) -> None:
    """Print what goes or went, the first few of each kind by name."""
    from pipelines.cli import rendering

    kinds: dict[str, list[Removal]] = {}
    for removal in removals:
        kinds.setdefault(removal.kind, []).append(removal)
    rows = []
    for kind, group in kinds.items():
        named, others = group[:NAMED_REMOVALS], group[NAMED_REMOVALS:]
        rows += [(kind, removal.what, removal.why, f"{removal.bytes:,}") for removal in named]
        if others:
            rest = sum(removal.bytes for removal in others)
            rows.append((kind, f"… and {len(others):,} more (--json)", "", f"{rest:,}"))
    if rows:
        rendering.show_table(console, "", ("kind", "what", "why", "bytes #"), rows)
