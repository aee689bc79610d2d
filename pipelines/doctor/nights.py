"""Checks of what nights go by and leave behind: configuration, calendar, runs, landing."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from pipelines.doctor.visit import Finding, Visit, at, counted, failure, fine, warning
from pipelines.landing import files
from pipelines.tracking.calendar import WorkCalendar

NIGHT = timedelta(hours=26)  # from one night's run to the end of the next, with room
DAY = timedelta(days=1)
HOLIDAYS_OUT = 11  # the month in which the State Council publishes the next year's
NAMED = 3  # of a list of files


def configuration(visit: Visit) -> Iterator[Finding]:
    """Every mistake in the configuration; what there is, and whether it is in force."""
    catalog, problems = visit.configuration
    for problem in problems:
        said = f"{problem.file}: {problem.key}: {problem.message}"
        yield failure("configuration", said, problem.mend)
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
    there = visit.ledger.configuration if visit.ledger else None
    if there is not None and there != catalog.configuration_hash:
        yield fine("configuration", f"in force is still {there}; the next run goes by this one")


def calendars(visit: Visit) -> Iterator[Finding]:
    """Whether this year's holidays are known, and from November on the next year's."""
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
    """When a run was last finished, and which steps have failed since the night before."""
    last = visit.ledger
    if last is None and (visit.warehouse.is_hidden or visit.copy.is_hidden):
        yield warning(
            "last run",
            "not known: neither the warehouse nor the published copy can be read",
            "see what is said of them",
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
    """Steps that failed when they were last tried: of the newest run, and of a night's others."""
    steps = visit.operations.steps
    newest = steps[-1].run_id if steps else None
    recent = [one for one in steps if one.run_id == newest or visit.now - one.started_at <= NIGHT]
    last_tried = {(one.name, one.source): one.run_id for one in recent}
    failed = {
        (one.name, one.source): one
        for one in recent
        if one.error and one.run_id == last_tried[one.name, one.source]
    }
    for one in failed.values():
        what = f"{one.name} {one.source}".strip()
        yield warning(
            "last run",
            f"step {what} of run {one.run_id} failed: {one.error}",
            "see the run's messages, in logs/ of the data folder or in Airflow; then run again",
        )


def landing_folder(visit: Visit) -> Iterator[Finding]:
    """What waits in landing, what of it is nobody's, and what killed runs have left in staging."""
    settings, (catalog, problems) = visit.settings, visit.configuration
    seen = files.look(settings.landing, catalog, settings.settle_seconds)
    found = [*_waiting(visit, seen.landed), *_left_in_staging(visit)]
    if seen.problems:
        names = ", ".join(one.path for one in seen.problems[:NAMED])
        more = f" and {len(seen.problems) - NAMED:,} more" if len(seen.problems) > NAMED else ""
        said = f"{counted(len(seen.problems), 'file')} that no contract knows: {names}{more}"
        mend = f"{seen.problems[0].message}: {seen.problems[0].mend}"
        broken = "mend the configuration first: it may know them then"
        found.append(warning("landing", said, broken if problems else mend))
    if seen.waiting:
        found.append(fine("landing", f"{counted(len(seen.waiting), 'file')} still being uploaded"))
    yield from found or [fine("landing", "nothing waits")]


def _waiting(visit: Visit, landed: list[files.Landed]) -> Iterator[Finding]:
    # when the file came to lie there; its modification time may be the sender's
    ages = [moment for one in landed if (moment := _changed(one.path)) is not None]
    if not ages:
        return
    oldest = min(ages)
    said = f"{counted(len(ages), 'file')} waiting to be taken, the oldest since {at(oldest)}"
    if visit.now - oldest > DAY:
        yield warning("landing", said, "see why no run takes it, or citybrain run")
    else:
        yield fine("landing", said)


def _left_in_staging(visit: Visit) -> Iterator[Finding]:
    """Folders that `citybrain clean` takes for left over: nothing in them changes any more."""
    folder, age = visit.settings.staging, timedelta(hours=visit.settings.leftover_hours)
    runs = list(folder.iterdir()) if folder.is_dir() else []
    changes = [
        max((moment for one in (run, *run.rglob("*")) if (moment := _changed(one))), default=None)
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
    """When a file or folder last changed in any way, in UTC; None when it has just gone."""
    try:
        moment = path.lstat().st_ctime
    except FileNotFoundError:
        return None
    return datetime.fromtimestamp(moment, UTC).replace(tzinfo=None)
