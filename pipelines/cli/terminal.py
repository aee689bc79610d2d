"""What every command has in common: the app, its options, errors, dates, progress, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines import __version__, clock
from pipelines.contracts.catalog import Catalog
from pipelines.contracts.loading import load_catalog
from pipelines.errors import CitybrainError, UsageError
from pipelines.machine import failures
from pipelines.settings import Settings

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
    typer.Option(
        "--as-of",
        help="The day to look from, as 2021-10-31 [default: yesterday, or CITYBRAIN_AS_OF].",
        envvar="CITYBRAIN_AS_OF",
        show_default=False,
        show_envvar=False,
    ),
]
SourceName = Annotated[str | None, typer.Option("--source", "-s", help="Only this source.")]
DepartmentCode = Annotated[
    str | None, typer.Option("--department", "-d", help="Only this department's code.")
]
DateRange = Annotated[
    str | None,
    typer.Option("--date", help="Business date, or a range of them: 2021-10-01..2021-10-07."),
]


def command(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a command; errors that a person can mend become a line on standard error.

    Those are our own, and what the machine refuses.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        @app.command(**options)
        @wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                return function(*args, **kwargs)
            except CitybrainError as error:
                raise _failed(error) from None
            except ValidationError as error:
                if error.title != Settings.__name__:
                    raise
                for fault in error.errors():
                    name = f"CITYBRAIN_{fault['loc'][0]}".upper()
                    messages.print(f"error: {name}: {fault['msg']}", style="red", markup=False)
                raise typer.Exit(UsageError.exit_code) from None
            except BrokenPipeError:  # nobody reads on, as after `| head`
                raise
            except Exception as error:
                if failures.describe_machine_failure(error) is None:
                    raise
                raise _failed(
                    failures.machine_error(Settings(), function.__name__, error)
                ) from None

        return guarded

    return register


def _failed(error: CitybrainError) -> typer.Exit:
    for line in str(error).splitlines():
        messages.print(f"error: {line}", style="red", markup=False, soft_wrap=True)
    return typer.Exit(error.exit_code)


def keep_log(settings: Settings) -> None:
    """For a command that changes something, once its words make sense: its events are kept."""
    from pipelines.machine import logs

    logs.to_folder(settings.logs)


def catalog_of(settings: Settings) -> Catalog:
    """The configuration that the settings name, which must be sound."""
    return load_catalog(settings.config_dir)


def yesterday() -> date:
    """The last whole day in Shanghai."""
    return clock.today() - timedelta(days=1)


def parse_day(text: str) -> date:
    """A day as people write it in options; UsageError when it is none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date of the calendar: write 2021-10-31") from None
    if not 1949 <= day.year <= 2100:
        raise UsageError(f"{text} is no day that this century's data speaks of")
    return day


def past_day(day: date) -> date:
    """A day that something can be known of; UsageError when it lies in the future."""
    clock.refuse_future(day, clock.today())
    return day


def parse_range(text: str | None) -> tuple[date, date] | None:
    """`D` or `A..B` as (first, last); UsageError when it runs backwards."""
    if text is None:
        return None
    first, separator, last = text.partition("..")
    start, end = parse_day(first), parse_day(last if separator else first)
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
def watched() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error; nothing where nobody watches."""
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=messages,
        transient=True,
        disable=not messages.is_terminal,
    ) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )


def exit_for(fail_on: FailOn, rejected: bool, behind: bool, failed: bool = False) -> None:
    """Exit with 1 when what `fail_on` looks for is so, or when something failed."""
    if failed:
        raise typer.Exit(1)
    bad = {
        FailOn.NEVER: False,
        FailOn.REJECTED: rejected,
        FailOn.BEHIND: behind,
        FailOn.ANY: rejected or behind,
    }
    if bad[fail_on]:
        raise typer.Exit(1)
