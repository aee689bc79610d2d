"""Checks of what a night needs and leaves behind: configuration, calendar, runs, landing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipelines.doctor.visit import Finding, Visit, at, counted, failure, fine, warning
from pipelines.landing import files
from pipelines.tracking.calendar import WorkCalendar

# From one night's run to the end of the next, with some room.
NIGHT = timedelta(hours=26)
DAY = timedelta(days=1)
# The month in which the State Council publishes the next year's holidays.
HOLIDAYS_OUT = 11
# Files of a list that are named; the others are counted.
NAMED = 3


def configuration(visit: Visit) -> Iterator[Finding]:
    """Yield every mistake in the configuration, or what it declares and whether it is in force."""
    catalog, problems = visit.configuration
    for problem in problems:
        message = f"{problem.file}: {problem.key}: {problem.message}"
        yield failure("configuration", message, problem.mend)
    if problems:
        return
    counts = ", ".join(
        counted(len(declared), what)
        for declared, what in (
            (catalog.sources, "source"),
            (catalog.metrics, "metric"),
            (catalog.targets, "target"),
            (catalog.departments, "department"),
        )
    )
    yield fine("configuration", f"sound: {counts} (configuration {catalog.configuration_hash})")
    in_force = visit.ledger.configuration if visit.ledger else None
    if in_force is not None and in_force != catalog.configuration_hash:
        yield fine("configuration", f"in force is still {in_force}; the next run applies this one")


def calendars(visit: Visit) -> Iterator[Finding]:
    """Check that this year's holidays are known, and from November on the next year's."""
    calendar = WorkCalendar(visit.configuration[0].holidays)
    year = visit.today.year
    unknown = calendar.provisional(date(year, 1, 1), date(year + 1, 12, 31))
    mend = (
        "add its holidays to holidays.csv, or update chinese-calendar, when the State Council has "
        "published them"
    )
    if year in unknown:
        yield warning(
            "calendars",
            f"the holidays of {year} are not known: working days are provisional, Monday to Friday",
            mend,
        )
    elif year + 1 in unknown and visit.today.month >= HOLIDAYS_OUT:
        yield warning("calendars", f"the holidays of {year + 1} are not known yet", mend)
    else:
        known = f"{year}" if year + 1 in unknown else f"{year} and {year + 1}"
        yield fine("calendars", f"the holidays of {known} are known")


def last_run(visit: Visit) -> Iterator[Finding]:
    """Check when a run last finished, and which steps have failed since the night before."""
    last = visit.ledger
    if last is None and (visit.warehouse.is_hidden or visit.copy.is_hidden):
        yield warning(
            "last run",
            "not known: neither the warehouse nor the published copy can be read",
            "see their findings",
        )
    elif last is None or last.started_at is None:
        yield warning("last run", "no run has ever finished", "citybrain run")
    elif visit.now - last.started_at > NIGHT:
        yield failure(
            "last run",
            f"no run has finished since that of {at(last.started_at)}",
            "see the scheduler",
        )
    else:
        yield fine("last run", f"{last.run_id} of {at(last.started_at)} finished")
    yield from _failed_steps(visit)


def _failed_steps(visit: Visit) -> Iterator[Finding]:
    """Yield steps that failed when last tried, in the newest run or within the last night."""
    steps = visit.operations.steps
    newest = steps[-1].run_id if steps else None
    recent = [
        step for step in steps if step.run_id == newest or visit.now - step.started_at <= NIGHT
    ]
    last_tried = {(step.name, step.source): step.run_id for step in recent}
    failed = {
        (step.name, step.source): step
        for step in recent
        if step.error and step.run_id == last_tried[step.name, step.source]
    }
    for step in failed.values():
        name = f"{step.name} {step.source}".strip()
        yield warning(
            "last run",
            f"step {name} of run {step.run_id} failed: {step.error}",
            "see the run's messages, in logs/ of the data folder or in Airflow; then run again",
        )


def landing_folder(visit: Visit) -> Iterator[Finding]:
    """Check for files that wait, files that are nobody's, and leftovers of killed runs."""
    settings, (catalog, problems) = visit.settings, visit.configuration
    look = files.look(settings.landing, catalog, settings.settle_seconds)
    findings = [*_waiting(visit, look.landed), *_left_in_staging(visit)]
    if look.problems:
        names = ", ".join(problem.path for problem in look.problems[:NAMED])
        more = f" and {len(look.problems) - NAMED:,} more" if len(look.problems) > NAMED else ""
        message = f"{counted(len(look.problems), 'file')} that no contract knows: {names}{more}"
        mend = f"{look.problems[0].message}: {look.problems[0].mend}"
        broken = "mend the configuration first: it may know them then"
        findings.append(warning("landing", message, broken if problems else mend))
    if look.waiting:
        uploading = f"{counted(len(look.waiting), 'file')} still being uploaded"
        findings.append(fine("landing", uploading))
    yield from findings or [fine("landing", "nothing waits")]


def _waiting(visit: Visit, landed: list[files.Landed]) -> Iterator[Finding]:
    """Yield how many files wait in landing; a warning if one waits for more than a day."""
    # The change time says when the file arrived; its modification time may be the sender's.
    ages = [moment for file in landed if (moment := _changed(file.path)) is not None]
    if not ages:
        return
    oldest = min(ages)
    message = f"{counted(len(ages), 'file')} waiting to be taken, the oldest since {at(oldest)}"
    if visit.now - oldest > DAY:
        yield warning("landing", message, "see why no run takes it, or citybrain run")
    else:
        yield fine("landing", message)


def _left_in_staging(visit: Visit) -> Iterator[Finding]:
    """Yield folders that `citybrain clean` would remove as leftovers: nothing in them changes."""
    folder, age = visit.settings.staging, timedelta(hours=visit.settings.leftover_hours)
    runs = list(folder.iterdir()) if folder.is_dir() else []
    changes = [
        max((moment for path in (run, *run.rglob("*")) if (moment := _changed(path))), default=None)
        for run in runs
    ]
    left = [moment for moment in changes if moment is not None and visit.now - moment > age]
    if left:
        yield warning(
            "landing",
            f"{counted(len(left), 'folder')} of runs that were never finished in "
            f"{folder}, the oldest of {at(min(left))}",
            "citybrain clean",
        )


def _changed(path: Path) -> datetime | None:
    """Return when a file or folder last changed in any way, in UTC; None if it has just gone."""
    try:
        moment = path.lstat().st_ctime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
