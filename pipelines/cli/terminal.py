"""The app and what all commands share: options, errors, dates, progress, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from functools import wraps
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pipelines import __version__, clock
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
# Output into a file or a pipe has no width of its own; 140 cells hold every table.
console = Console(width=None if sys.stdout.isatty() else 140, highlight=False)
messages = Console(stderr=True, highlight=False)


class FailOn(StrEnum):
    """The outcomes for which a command exits with 1."""

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

    These are our own errors, wrong settings, and failures of the machine. Anything else is a defect
    and keeps its stack trace.
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
                # A model other than the settings failed: that is a defect, not a wrong variable.
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
                translated = failures.machine_error(Settings(), function.__name__, error)
                raise _failed(translated) from None

        return guarded

    return register


def _failed(error: CitybrainError) -> typer.Exit:
    """Print an error's lines on standard error and return the exit to raise."""
    for line in str(error).splitlines():
        messages.print(f"error: {line}", style="red", markup=False, soft_wrap=True)
    return typer.Exit(error.exit_code)


def require_known(name: str | None, known: Collection[str], kind: str) -> None:
    """Raise UsageError if `name` is given and not among the `known` ones."""
    if name is not None and name not in known:
        raise UsageError(f"no {kind} is called {name}; there are {', '.join(known)}")


def parse_day(text: str) -> date:
    """Return a day written as 2021-10-31; raise UsageError for any other text."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no date of the calendar: write 2021-10-31") from None
    if not 1949 <= day.year <= 2100:
        raise UsageError(f"{text} is outside the years that data can speak of, 1949 to 2100")
    return day


def parse_past_day(text: str) -> date:
    """Return a day as `parse_day` does; raise UsageError if it lies in the future."""
    day = parse_day(text)
    clock.refuse_future(day, clock.today())
    return day


def parse_range(text: str | None) -> tuple[date, date] | None:
    """Return `D` or `A..B` as (first, last); raise UsageError if it runs backwards."""
    if text is None:
        return None
    first, separator, last = text.partition("..")
    start, end = parse_day(first), parse_day(last if separator else first)
    if end < start:
        raise UsageError(f"{text}: the range ends before it starts; write {last}..{first}")
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
    """Take departmental exports in; show a checked warehouse and the pace of every target."""


@contextmanager
def watched() -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar on standard error during the block, if that is a terminal."""
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


def exit_for(fail_on: FailOn, rejected: bool, behind: bool) -> None:
    """Exit with 1 if an outcome that `fail_on` names has happened."""
    matters = {
        FailOn.NEVER: False,
        FailOn.REJECTED: rejected,
        FailOn.BEHIND: behind,
        FailOn.ANY: rejected or behind,
    }
    if matters[fail_on]:
        raise typer.Exit(1)
