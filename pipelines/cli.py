"""The `citybrain` command: words in, tables or JSON out. Every command calls a job.

Exit codes: 0 fine; 1 something was rejected or is behind (see --fail-on), or failed; 2 wrong usage
or configuration. What only some commands need is imported inside them, so that all start at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines import __version__
from pipelines.contracts.catalog import Catalog, load_catalog, read_catalog
from pipelines.contracts.delivery import Verdict
from pipelines.errors import CitybrainError, UsageError
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.tracking.pace import Pace

SHANGHAI = ZoneInfo("Asia/Shanghai")
app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Departmental exports in, a checked warehouse and the pace of every target out.",
    pretty_exceptions_enable=False,
)
console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
messages = Console(stderr=True, highlight=False)


class FailOn(StrEnum):
    """What makes a command exit with 1."""

    NEVER = "never"
    REJECTED = "rejected"
    BEHIND = "behind"
    ANY = "any"


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", help="The day to look from, as 2021-10-31 [default: yesterday, or "
                 "CITYBRAIN_AS_OF].", envvar="CITYBRAIN_AS_OF", show_default=False,
                 show_envvar=False),
]  # fmt: skip
SourceName = Annotated[str | None, typer.Option("--source", "-s", help="Only this source.")]
DepartmentCode = Annotated[
    str | None, typer.Option("--department", "-d", help="Only this department's code.")
]
DateRange = Annotated[
    str | None,
    typer.Option("--date", help="Business date, or a range of them: 2021-10-01..2021-10-07."),
]


def command(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command; our own errors become one line on standard error and an exit code."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @app.command(**options)
        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except CitybrainError as error:
                for line in str(error).splitlines():
                    messages.print(f"error: {line}", style="red", markup=False, soft_wrap=True)
                raise typer.Exit(error.exit_code) from None
            except ValidationError as error:
                if error.title != Settings.__name__:
                    raise
                for fault in error.errors():
                    name = f"CITYBRAIN_{fault['loc'][0]}".upper()
                    messages.print(f"error: {name}: {fault['msg']}", style="red", markup=False)
                raise typer.Exit(UsageError.exit_code) from None

        return guarded

    return register


def _catalog(settings: Settings) -> Catalog:
    return load_catalog(settings.config_dir)


def _yesterday() -> date:
    return datetime.now(SHANGHAI).date() - timedelta(days=1)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date of the calendar: write 2021-10-31") from None


def _range(text: str | None) -> tuple[date, date] | None:
    if text is None:
        return None
    first, separator, last = text.partition("..")
    start, end = _day(first), _day(last if separator else first)
    if end < start:
        raise UsageError(f"{text}: the range ends before it starts")
    return start, end


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Departmental exports in, a checked warehouse and the pace of every target out."""


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error; nothing where nobody watches."""
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=messages, transient=True, disable=not messages.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


@command()
def run(
    dates: DateRange = None,
    as_of: AsOf = None,
    fail_on: Annotated[FailOn, typer.Option(help="What to exit with 1 for.")] = FailOn.ANY,
    as_json: Json = False,
) -> None:
    """Take every pending delivery into the warehouse, then pace, alerts, publication.

    Examples: `citybrain run` · `citybrain run --as-of 2021-10-31` ·
    `citybrain run --date 2021-10-01..2021-10-07` (a backfill of those business days)
    """
    from pipelines import jobs, rendering

    settings = Settings()
    catalog = _catalog(settings)
    day = _day(as_of) if as_of else _yesterday()
    with _progress() as progress:
        report = jobs.run(settings, catalog, day, _range(dates), progress)
    if as_json:
        typer.echo(rendering.as_json(rendering.report_record(report)))
    else:
        rendering.show_report(console, report, catalog)
    _exit(fail_on, report.has_rejections, report.is_behind)


def _exit(fail_on: FailOn, rejected: bool, behind: bool) -> None:
    bad = {
        FailOn.NEVER: False,
        FailOn.REJECTED: rejected,
        FailOn.BEHIND: behind,
        FailOn.ANY: rejected or behind,
    }
    if bad[fail_on]:
        raise typer.Exit(1)


@command()
def submit(
    file: Annotated[Path, typer.Argument(help="The export.")],
    source: Annotated[str, typer.Option("--source", "-s", help="What it is an export of.")],
    department: Annotated[
        str | None, typer.Option("--department", "-d", help="Whose it is (its code).")
    ] = None,
    day: Annotated[
        str | None, typer.Option("--date", help="The business date it speaks of.")
    ] = None,
    part: Annotated[str, typer.Option(help="Its part, when a day comes in several files.")] = "",
) -> None:
    """Put a file into the landing folder, for people who make no folders.

    Example: `citybrain submit 归集量.csv --source data_records --department gaj --date 2021-10-31`
    """
    from pipelines.ingest import landing

    settings = Settings()
    business_date = _day(day) if day else None
    catalog = _catalog(settings)
    place = landing.submit(file, settings, catalog, source, department, business_date, part)
    console.print(f"landed at {place}; `citybrain run` takes it in", soft_wrap=True)


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
        bool, typer.Option("--departments", help="Show departments' rows, too.")
    ] = False,
    fail_on: Annotated[FailOn, typer.Option(help="What to exit with 1 for.")] = FailOn.NEVER,
    as_json: Json = False,
) -> None:
    """Show how far each target is, from the published generation.

    JSON: a list of {target, department (null for the city), as_of, baseline, goal, actual,
    expected, progress, spi, spi_t, required_per_day, coverage, status}.

    Examples: `citybrain status` · `citybrain status --target hundred_day_collection --departments`
    """
    from pipelines import jobs, rendering

    settings = Settings()
    catalog = _catalog(settings)
    if target is not None and target not in catalog.targets:
        raise UsageError(f"no target is called {target}; there are {', '.join(catalog.targets)}")
    paces = jobs.status(settings, catalog, _day(as_of) if as_of else None, known_at)
    paces = [pace for pace in paces if target in (None, pace.target)]
    if as_json:
        typer.echo(rendering.as_json(rendering.pace_records(paces)))
    else:
        shown = [pace for pace in paces if departments or pace.department is None]
        console.print(rendering.pace_table(shown, catalog))
        _show_attention(settings, paces)
    behind = any(pace.status in ("behind", "missed") for pace in paces)
    _exit(fail_on, bool(_rejected_corrections()), behind)


def _rejected_corrections() -> list[dict[str, Any]]:
    return _select("queries/rejected_corrections.sql")


def _show_attention(settings: Settings, paces: list[Pace]) -> None:
    """What a reader of the figures must know besides."""
    from pipelines.warehouse.publish import pinned_to

    silent = [pace for pace in paces if pace.department and pace.status in ("no_data", "stale")]
    if silent:
        console.print(f"{len(silent)} departments' figures are stale or missing (--departments)")
    for row in _rejected_corrections():
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

    JSON (all of them): a list of {delivery, source, department, business_date, part, verdict,
    rows_read, accepted, quarantined, duplicates, ignored, withheld, reasons, superseded}; counts
    are null when the file is unreadable or unchanged.

    Example: `citybrain deliveries --verdict rejected --department gaj`
    """
    from pipelines import rendering

    filters = _filters(source, department, dates, 0 if as_json else limit)
    found = _select("queries/deliveries.sql", verdict=verdict and verdict.value, **filters)
    if as_json:
        typer.echo(rendering.as_json(rendering.delivery_records(found)))
        return
    rows = []
    for record in rendering.delivery_records(found):
        counts = [record[name] for name in rendering.COUNTS]
        rows.append(
            (
                record["delivery"][:8],
                str(record["business_date"] or "bulk"),
                record["department"] or "all",
                record["source"] + (f".{record['part']}" if record["part"] else ""),
                rendering.coloured(record["verdict"]),
                *(rendering.number(count) for count in counts),
                "; ".join(record["reasons"])[:120],
            )
        )
    names = [f"{name} #" for name in rendering.COUNTS]
    columns = ("delivery", "date", "department", "source", "verdict", *names, "reasons")
    console.print(rendering.table("Deliveries", columns, rows))


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
    from pipelines import rendering
    from pipelines.contracts.reasons import Reason

    found = _select("queries/quarantine.sql", **_filters(source, department, dates, limit))
    for row in found:
        row["reasons"] = [
            Reason(**{key: text or "" for key, text in reason.items()}).english()
            for reason in row["reasons"]
        ]
    if as_json:
        typer.echo(rendering.as_json(found))
        return
    rows = [
        (
            row["delivery_id"][:8],
            str(row["business_date"] or "-"),
            row["department"] or "-",
            row["source"],
            f"{row['sheet']} {row['row_number']}".strip(),
            "; ".join(row["reasons"]),
            row["row_text"] or "(cannot be mapped to columns)",
        )
        for row in found
    ]
    columns = ("delivery", "date", "department", "source", "row #", "reasons", "text (masked)")
    console.print(rendering.table("Quarantined rows", columns, rows))


def _select(file: str, **values: Any) -> list[dict[str, Any]]:
    """Rows of a query over the published generation, as dictionaries."""
    from pipelines import published
    from pipelines.engine import sql

    with published.connect() as connection:
        result = connection.execute(sql(file), values or None)
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def _filters(
    source: str | None, department: str | None, dates: str | None, limit: int
) -> dict[str, Any]:
    """What the listing queries are asked with; None leaves a filter out."""
    first, last = _range(dates) or (None, None)
    return {
        "source": source, "department": department, "first": first, "last": last,
        "limit": limit or None,
    }  # fmt: skip


@command()
def sources(as_json: Json = False) -> None:
    """List the sources, what they hold and when they are due.

    Example: `citybrain sources --json`
    """
    from pipelines import rendering

    catalog = _catalog(Settings())
    if as_json:
        typer.echo(rendering.as_json(list(catalog.sources.values())))
        return
    rows = []
    for source in catalog.sources.values():
        due = source.due
        when = f"{due.frequency}, {due.time:%H:%M} after {due.grace_days}+1 days" if due else "-"
        formats = ", ".join(name for name, declared in source.formats if declared is not None)
        metrics = len(catalog.metrics_of(source.name))
        rows.append((source.name, source.title, source.content, when, formats, str(metrics)))
    columns = ("source", "title", "content", "due", "formats", "metrics #")
    console.print(rendering.table("Sources", columns, rows))


@command()
def check(as_json: Json = False) -> None:
    """Check the configuration and list every problem, each with file, key and mend.

    Exits with 2 when there is one.

    Example: `CITYBRAIN_CONFIG_DIR=/etc/citybrain citybrain check`
    """
    from dataclasses import asdict

    from pipelines import rendering

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


@command()
def rebuild(
    source: Annotated[str, typer.Argument(help="The source whose contract changed.")],
) -> None:
    """Judge a source's whole archive by its contract of today and replace its table.

    Example: `citybrain rebuild data_records`, then `citybrain publish`
    """
    from collections import Counter

    from pipelines import jobs

    settings = Settings()
    catalog = _catalog(settings)
    with _progress() as progress:
        judgements = jobs.rebuild(settings, catalog, source, progress)
    counts = Counter(judgement.verdict.value for judgement in judgements)
    console.print(f"rebuilt {source} from {len(judgements)} deliveries: {dict(counts)}")
    console.print("readers see it after the next run, or `citybrain publish`")


@command()
def accept(
    delivery: Annotated[str, typer.Argument(help="Its id, or how the id starts.")],
    reason: Annotated[str, typer.Option(help="Why; recorded in the ledger.")],
) -> None:
    """Overrule a held or rejected delivery: its good rows are loaded. Rebuilds honour it.

    Example: `citybrain accept 3f2a91c0 --reason "confirmed with 市公安局 by phone"`
    """
    from pipelines import jobs

    settings = Settings()
    judgement = jobs.accept(settings, _catalog(settings), delivery, reason)
    counts = judgement.accounting
    accepted = counts.accepted if counts else 0
    console.print(f"{judgement.delivery}: {judgement.verdict.value}, {accepted} rows accepted")
    console.print("readers see it after the next run, or `citybrain publish`")


@command()
def withdraw(
    delivery: Annotated[str, typer.Argument(help="Its id, or how the id starts.")],
    reason: Annotated[str, typer.Option(help="Why; recorded in the ledger.")],
) -> None:
    """Take a delivery's rows out of the warehouse. Recorded; rebuilds honour it.

    Example: `citybrain withdraw 3f2a91c0 --reason "sent by mistake"`
    """
    from pipelines import jobs

    settings = Settings()
    gone = jobs.withdraw(settings, _catalog(settings), delivery, reason)
    console.print(f"withdrew {gone} rows")
    console.print("readers see it after the next run, or `citybrain publish`")


@command()
def publish(
    unpin: Annotated[
        bool, typer.Option("--unpin", help="End a rollback: readers get the newest again.")
    ] = False,
) -> None:
    """Publish the warehouse as it is now: build, verify, put in place.

    Example: `citybrain publish`, or `citybrain publish --unpin` after a rollback
    """
    from pipelines import jobs
    from pipelines.warehouse.publish import unpin as end_rollback

    settings = Settings()
    if unpin:
        end_rollback(settings)
    generation = jobs.publish(settings, _catalog(settings))
    where = "in place" if generation.in_place else "built; readers stay pinned, see --unpin"
    console.print(f"generation {generation.number} {where}: {generation.path}", soft_wrap=True)


@command()
def rollback(
    generation: Annotated[
        int | None, typer.Option(help="Which to go back to [default: the one before].")
    ] = None,
) -> None:
    """Put an older generation in place and pin readers to it.

    Runs go on building generations; `citybrain publish --unpin` lets readers have them again.

    Example: `citybrain rollback`, or `citybrain rollback --generation 41`
    """
    from pipelines.warehouse.publish import rollback as roll_back

    placed = roll_back(Settings(), generation)
    console.print(f"readers are pinned to generation {placed.number}: {placed.path}")


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

    from pipelines import published, rendering

    text = sys.stdin.read() if statement == "-" else statement
    with published.connect() as connection:
        connection.execute(
            "SET enable_external_access = false"
        )  # answers questions, reads no files
        try:
            result = connection.sql(text)
        except duckdb.Error as error:
            raise UsageError(str(error).strip()) from None
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


@command()
def sample(
    folder: Annotated[Path, typer.Argument(help="The landing folder to write into.")],
    until: Annotated[str, typer.Option(help="The last business date.")] = "2021-10-31",
    as_json: Json = False,
) -> None:
    """Write the deliveries of a made-up city, the same ones every time.

    Example: `citybrain sample data/landing && citybrain run --as-of 2021-10-31`
    """
    from pipelines import rendering
    from pipelines.sample import write_sample

    with _progress() as progress:
        summary = write_sample(
            folder, _catalog(Settings()), _day(until),
            lambda done, total: progress("writing days", done, total),
        )  # fmt: skip
    if as_json:
        typer.echo(rendering.as_json({"files": summary.files, "bytes": summary.bytes,
                                      "facts": summary.facts}))  # fmt: skip
        return
    size = summary.bytes / 1e6
    console.print(f"wrote {summary.files} files ({size:.1f} MB) into {folder}", soft_wrap=True)


if __name__ == "__main__":
    app()
