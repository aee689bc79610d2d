"""Commands that show: status, deliveries, quarantine, sources, check, sql."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.terminal import (
    DateRange,
    DepartmentCode,
    FailOn,
    Json,
    SourceName,
    command,
    console,
    exit_for,
    messages,
    parse_day,
    parse_range,
    require_known,
)
from pipelines.contracts.loading import load_catalog, read_catalog
from pipelines.deliveries.delivery import Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.errors import NotPublishedError, UsageError
from pipelines.machine.failures import is_schema_mismatch
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.tracking.pace import Pace


@command()
def status(
    as_of: Annotated[
        str | None, typer.Option(help="Compute the pace as of this day, not the last run's.")
    ] = None,
    known_at: Annotated[
        int | None, typer.Option(help="Compute it from what was known at this ledger position.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Only this target.")] = None,
    departments: Annotated[
        bool, typer.Option("--departments", help="Show the departments' rows, too.")
    ] = False,
    fail_on: Annotated[FailOn, typer.Option(help="What to exit with 1 for.")] = FailOn.NEVER,
    as_json: Json = False,
) -> None:
    """Show how far each target is, from the published generation.

    JSON: a list of objects, one per target and department (null for the city); docs/query.md lists
    their keys.

    Examples: `citybrain status` · `citybrain status --target hundred_day_collection --departments`
    """
    from pipelines.cli import rendering
    from pipelines.warehouse import pace as pace_store

    settings = Settings()
    is_computed = as_of is not None or known_at is not None
    # The configuration names targets in Chinese and computes; stored figures as JSON need neither.
    catalog = None
    if is_computed or target is not None or not as_json:
        catalog = load_catalog(settings.config_dir)
        require_known(target, catalog.targets, "target")
    day = parse_day(as_of) if as_of else None
    with reading_published():
        paces = pace_store.status(settings, catalog if is_computed else None, day, known_at)
    paces = [pace for pace in paces if target in (None, pace.target)]
    corrections: list[dict[str, Any]] = []
    if not as_json or fail_on in (FailOn.REJECTED, FailOn.ANY):
        corrections = _select("queries/rejected_corrections.sql")
    if catalog is not None and not as_json:
        shown = [pace for pace in paces if departments or pace.department is None]
        rendering.show_paces(console, shown, catalog)
        _show_cautions(settings, paces, corrections)
    else:
        typer.echo(rendering.as_json(rendering.pace_records(paces)))
    is_behind = any(pace.status in ("behind", "missed") for pace in paces)
    exit_for(fail_on, bool(corrections), is_behind)


def _show_cautions(
    settings: Settings, paces: list[Pace], corrections: list[dict[str, Any]]
) -> None:
    """Print what a reader of the figures must know: silence, corrections not taken, a pin."""
    from pipelines.warehouse.publish import pinned_to

    silent = [pace for pace in paces if pace.department and pace.status in ("no_data", "stale")]
    if silent:
        console.print(f"{len(silent)} departments' figures are stale or missing (--departments)")
    for row in corrections:
        console.print(
            f"correction {row['verdict']}: {row['business_date']}/{row['department']}/"
            f"{row['source']} ({row['delivery_id'][:8]}); the figures are those of the earlier one",
            markup=False,
        )
    pinned = pinned_to(settings)
    if pinned is not None:
        console.print(
            f"readers are pinned to generation {pinned} (`citybrain publish --unpin` ends it)"
        )


@command()
def deliveries(
    source: SourceName = None,
    department: DepartmentCode = None,
    dates: DateRange = None,
    verdict: Annotated[Verdict | None, typer.Option(help="Only this verdict.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, the newest; 0 is all.")] = 50,
    as_json: Json = False,
) -> None:
    """List deliveries, each with its verdict and where its rows went.

    JSON (of all deliveries): a list of {delivery, source, department, business_date, part, verdict,
    rows_read, accepted, quarantined, duplicates, ignored, withheld, reasons, corrects, superseded,
    warnings, in_force}; counts are null if the file is unreadable or unchanged; corrects are the
    deliveries that a feedback workbook corrects.

    Example: `citybrain deliveries --verdict rejected --department gaj`
    """
    from pipelines.cli import rendering

    filters = _filters(source, department, dates, 0 if as_json else limit)
    selected = _select("queries/deliveries.sql", verdict=verdict and verdict.value, **filters)
    records = rendering.delivery_records(selected)
    if as_json:
        typer.echo(rendering.as_json(records))
        return
    rows = []
    for record in records:
        kept_out = [record["quarantined"], record["withheld"]]
        rows.append(
            (
                record["delivery"][:8],
                str(record["business_date"] or "bulk"),
                record["department"] or "all",
                record["source"] + (f".{record['part']}" if record["part"] else ""),
                rendering.coloured(record["verdict"]),
                "yes" if record["in_force"] else "no",
                rendering.number(record["rows_read"]),
                rendering.number(record["accepted"]),
                rendering.number(None if None in kept_out else sum(kept_out)),
                rendering.shortened("; ".join([*record["reasons"], *record["warnings"]]), 200),
            )
        )
    columns = (
        "delivery",
        "date",
        "department",
        "source",
        "verdict",
        "in force",
        "read #",
        "accepted #",
        "kept out #",
        "reasons and warnings",
    )
    narrow = ("read #", "accepted #", "in force", "kept out #")
    rendering.show_table(console, "Deliveries", columns, rows, optional=narrow)


@command()
def quarantine(
    source: SourceName = None,
    department: DepartmentCode = None,
    dates: DateRange = None,
    limit: Annotated[int, typer.Option(help="At most so many rows; 0 is all.")] = 50,
    as_json: Json = False,
) -> None:
    """List rows that were kept out, each with its place in the file and every reason.

    Example: `citybrain quarantine --source data_records --department gaj`
    """
    from pipelines.cli import rendering

    quarantined = _select("queries/quarantine.sql", **_filters(source, department, dates, limit))
    for row in quarantined:
        row["reasons"] = [
            Reason(**{key: text or "" for key, text in reason.items()}).english()
            for reason in row["reasons"]
        ]
    if as_json:
        typer.echo(rendering.as_json(quarantined))
        return
    rows = [
        (
            row["delivery_id"][:8],
            str(row["business_date"] or "-"),
            row["department"] or "-",
            row["source"],
            row["file_name"],
            f"{row['sheet']} {row['row_number']}".strip(),
            "; ".join(row["reasons"]),
            row["row_text"] or "(cannot be mapped to columns)",
        )
        for row in quarantined
    ]
    columns = (
        "delivery",
        "date",
        "department",
        "source",
        "file",
        "row #",
        "reasons",
        "values (masked)",
    )
    rendering.show_table(console, "Quarantined rows", columns, rows)


@contextmanager
def reading_published() -> Iterator[None]:
    """Raise NotPublishedError if the published generation lacks a table or column of this version.

    For our own questions only: in a query of a person's, a table that is missing is the person's.
    """
    try:
        yield
    except Exception as error:
        if is_schema_mismatch(error):
            raise NotPublishedError(
                "the published generation was made by another version: run `citybrain publish`"
            ) from None
        raise


def _select(file: str, **values: Any) -> list[dict[str, Any]]:
    """Return the rows of a .sql file's query over the published generation, as dictionaries."""
    from pipelines import published
    from pipelines.engine import sql

    with reading_published(), published.connect() as connection:
        result = connection.execute(sql(file), values or None)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _filters(
    source: str | None, department: str | None, dates: str | None, limit: int
) -> dict[str, Any]:
    """Return the values of the listing queries; None leaves a filter out."""
    catalog = load_catalog(Settings().config_dir)
    require_known(source, catalog.sources, "source")
    require_known(department, catalog.departments, "department")
    first, last = parse_range(dates) or (None, None)
    return {
        "source": source,
        "department": department,
        "first": first,
        "last": last,
        "limit": limit or None,
    }


@command()
def sources(as_json: Json = False) -> None:
    """List the sources, what they hold and when they are due.

    Example: `citybrain sources --json`
    """
    from pipelines.cli import rendering

    catalog = load_catalog(Settings().config_dir)
    if as_json:
        typer.echo(rendering.as_json(list(catalog.sources.values())))
        return
    rows = []
    for source in catalog.sources.values():
        due = source.due
        when = f"{due.frequency}, {due.time:%H:%M} after {due.grace_days}+1 days" if due else "-"
        formats = ", ".join(source.formats.declared)
        metrics = len(catalog.metrics_of(source.name))
        rows.append((source.name, source.title, source.content, when, formats, str(metrics)))
    columns = ("source", "title", "content", "due", "formats", "metrics #")
    rendering.show_table(console, "Sources", columns, rows, optional=("metrics #", "content"))


@command()
def check(as_json: Json = False) -> None:
    """Check the configuration and list every problem, each with file, key and mend.

    Exits with 2 if there is one.

    Example: `CITYBRAIN_CONFIG_DIR=/etc/citybrain citybrain check`
    """
    from pipelines.cli import rendering

    catalog, problems = read_catalog(Settings().config_dir)
    if as_json:
        typer.echo(rendering.as_json([asdict(problem) for problem in problems]))
    for problem in problems:
        messages.print(f"{problem}", style="red", markup=False, soft_wrap=True)
    if problems:
        raise typer.Exit(2)
    if not as_json:
        console.print(
            f"sound: {len(catalog.sources)} sources, {len(catalog.metrics)} metrics, "
            f"{len(catalog.targets)} targets, {len(catalog.departments)} departments "
            f"(configuration {catalog.configuration_hash})"
        )


@command(name="sql")
def query(
    statement: Annotated[str, typer.Argument(help="The query; - reads it from standard input.")],
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
    limit: Annotated[int, typer.Option(help="Rows of the table shown; 0 is all.")] = 200,
) -> None:
    """Ask the published generation, read-only; works while a run is loading.

    Example: `citybrain sql "SELECT * FROM marts.target_pace WHERE status = 'behind'"`
    """
    import duckdb

    from pipelines import published
    from pipelines.cli import rendering

    text = sys.stdin.read() if statement == "-" else statement
    with published.connect() as connection:
        # A query answers from the generation, and reads no files of this machine.
        connection.execute("SET enable_external_access = false")
        try:
            result = connection.sql(text)
        except duckdb.Error as error:
            raise UsageError(str(error).strip()) from None
        # DuckDB answers None for statements without rows, such as CREATE TABLE.
        if result is None:
            raise UsageError("the statement answers nothing; the published copy is read-only")
        if as_csv:
            typer.echo(result.df().to_csv(index=False), nl=False)
            return
        names = result.columns
        fetched = result.fetchall() if as_json or not limit else result.fetchmany(limit)
        if as_json:
            typer.echo(rendering.as_json([dict(zip(names, row, strict=True)) for row in fetched]))
            return
        rows = [["-" if cell is None else str(cell) for cell in row] for row in fetched]
        console.print(rendering.table("", names, rows))
        if limit and len(fetched) == limit:
            console.print(f"(the first {limit} rows; --limit 0 shows all)")
