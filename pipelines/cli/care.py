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
    keep_log,
    parse_day,
    past_day,
)
from pipelines.cli.views import of_this_version
from pipelines.deployment import Deployment
from pipelines.errors import UsageError
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.doctor import Finding
    from pipelines.jobs.cleaning import Removal

SHOWN = 20  # things of a kind that a table names one by one
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

    One a delivery and department; a mended one goes back to landing under its own name. They hold
    what departments sent, unmasked. Exits with 1 when the archive does not give a delivery.

    JSON: a list of {department (all: rows that name nobody known), source, business_date, part,
    delivery_id, rows, file (null: it could not be written), error}.

    Example: `citybrain feedback --department gaj`
    """
    from pipelines.cli import rendering
    from pipelines.feedback import batch as writing

    deployment = Deployment.load(Settings())
    settings, catalog = deployment.settings, deployment.catalog
    for name, known, what in (
        (source, catalog.sources, "source"),
        (department, {*catalog.departments, "all"}, "department"),
    ):
        if name is not None and name not in known:
            raise UsageError(f"no {what} is called {name}; there are {', '.join(sorted(known))}")
    _check_known(settings, delivery)
    keep_log(settings)
    with of_this_version():
        written = writing.write(
            deployment, department, source, parse_day(day) if day else None, delivery, out
        )
    if as_json:
        typer.echo(rendering.as_json([asdict(one) for one in written]))
    elif written:
        rows = [
            (
                one.department,
                one.source + (f".{one.part}" if one.part else ""),
                str(one.business_date or "bulk"),
                f"{one.rows:,}",
                str(one.file) if one.file else f"not written: {one.error}",
            )
            for one in written
        ]
        columns = ("department", "source", "date", "rows #", "file")
        console.print(rendering.table("Feedback workbooks", columns, rows))
    else:
        console.print(
            "nothing to mend: no delivery that is asked for has rows in quarantine "
            "(`citybrain deliveries` shows all)"
        )
    if any(one.error for one in written):
        raise typer.Exit(1)


def _check_known(settings: Settings, delivery: str) -> None:
    from pipelines import published

    if not delivery:
        return
    with of_this_version(), published.connect(settings) as connection:
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

    Exits with 1 when there is a failure; warnings exit with 0.

    JSON: {healthy (neither failures nor warnings), findings: a list of {check, level (ok, warning,
    failure), message, mend}}.

    Example: `citybrain doctor`, each morning or on a new machine
    """
    from pipelines.cli import rendering
    from pipelines.doctor import Level, examine

    findings = list(examine(Settings(), clock.today(), clock.now()))
    if as_json:
        healthy = all(finding.level is Level.OK for finding in findings)
        told = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
        typer.echo(rendering.as_json(told))
    else:
        show_findings(console, findings)
    if any(finding.level is Level.FAILURE for finding in findings):
        raise typer.Exit(1)


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Every finding with its mend below it, and the verdict."""
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
        bool, typer.Option("--dry-run", help="List what would go, and change nothing.")
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

    day = past_day(parse_day(purge_before)) if purge_before else None
    if (day is None) != (not reason.strip()):
        raise UsageError("say --purge-archive-before and --reason together")
    settings = Settings()
    if not dry_run and settings.data_dir.is_dir():
        keep_log(settings)
    removals = housekeeping.clean(settings, clock.now(), dry_run, day, reason)
    freed = sum(removal.bytes for removal in removals)
    if as_json:
        told = {"dry_run": dry_run, "freed": freed, "removals": [asdict(one) for one in removals]}
        typer.echo(rendering.as_json(told))
    else:
        show_removals(console, removals)
        console.print(f"{'would free' if dry_run else 'freed'} {freed / 1e6:,.1f} MB")


def show_removals(console: Console, removals: Sequence[Removal]) -> None:
    """What goes, the first few of each kind by name."""
    from pipelines.cli import rendering

    kinds: dict[str, list[Removal]] = {}
    for removal in removals:
        kinds.setdefault(removal.kind, []).append(removal)
    rows = []
    for kind, found in kinds.items():
        rows += [(kind, one.what, one.why, f"{one.bytes:,}") for one in found[:SHOWN]]
        if len(found) > SHOWN:
            rest = sum(one.bytes for one in found[SHOWN:])
            rows.append((kind, f"… and {len(found) - SHOWN:,} more (--json)", "", f"{rest:,}"))
    if rows:
        console.print(rendering.table("", ("kind", "what", "why", "bytes #"), rows))
