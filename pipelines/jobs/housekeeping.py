"""Clear away what nobody needs: leftovers, old generations, raw bytes, logs, database rows.

Links are never followed, and nothing outside the data folder is touched except the log folders that
a caller names.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from pipelines.clock import SHANGHAI
from pipelines.errors import CitybrainError, UsageError
from pipelines.jobs.archive_cleaning import compress_raw_bytes, remove_raw_bytes
from pipelines.jobs.cleaning import Cleaning, Removal, regular_files
from pipelines.landing import archive
from pipelines.machine import disks, logs
from pipelines.machine.failures import translating
from pipelines.machine.locks import writer_lock
from pipelines.operations import database
from pipelines.settings import Settings
from pipelines.warehouse import publish as publishing

log = logs.get(__name__)
ALERT_DAYS = 400  # alerts and notifications stay so long: a year's, to be compared with


def clean(
    settings: Settings,
    now: datetime,
    dry_run: bool = False,
    purge_before: date | None = None,
    reason: str = "",
    extra_log_folders: Iterable[Path] = (),
) -> list[Removal]:
    """Remove what is no longer needed, compress the archive, and return what went, or would go.

    `now` is UTC. `purge_before` deletes the archived bytes of every delivery that was received
    before that day in Shanghai, needed or not, for the `reason`. A part that a disk or a lock
    stops does not stop the others; the first such error is raised at the end.
    """
    if purge_before is not None and not reason.strip():
        raise UsageError("say --reason: deleted bytes are recorded with why they were")
    purge_until = None
    if purge_before is not None:
        midnight = datetime.combine(purge_before, time(), SHANGHAI)
        purge_until = midnight.astimezone(UTC).replace(tzinfo=None)
    job = Cleaning(
        settings,
        now,
        dry_run,
        purge_until,
        reason,
        tuple(_checked_log_folder(settings, folder) for folder in extra_log_folders),
    )
    if not settings.data_dir.is_dir():
        return []
    disks.require_all_disks(settings)
    # A full disk is cleaned by what needs no space of its own first; compressing needs some.
    parts = (
        remove_leftovers,
        remove_generations,
        remove_logs,
        remove_raw_bytes,
        compress_raw_bytes,
        delete_rows,
    )
    removals: list[Removal] = []
    errors: list[CitybrainError] = []
    with nullcontext() if dry_run else writer_lock(settings, "clean", "housekeeping.lock"):
        for part in parts:
            try:
                with translating(settings, "clean"):
                    for removal in part(job):
                        removals.append(removal)
                        if not dry_run:
                            log.info(
                                "cleared away",
                                kind=removal.kind,
                                what=removal.what,
                                why=removal.why,
                                bytes=removal.bytes,
                            )
            except CitybrainError as error:
                errors.append(error)
    if errors:
        raise errors[0]
    return removals


def _checked_log_folder(settings: Settings, folder: Path) -> Path:
    """Return the real path of other programs' logs; UsageError if more than logs may lie there."""
    log_folder = folder.resolve()
    data_dir, *rooms = (
        place.resolve()
        for place in (
            settings.data_dir,
            settings.landing,
            settings.archive,
            settings.staging,
            settings.published,
            settings.feedback,
        )
    )
    holds_ours = any(place.is_relative_to(log_folder) for place in (data_dir, *rooms))
    if holds_ours or any(log_folder.is_relative_to(room) for room in rooms):
        raise UsageError(f"{folder} holds more than logs: nothing in it is cleared away")
    return log_folder


def remove_leftovers(job: Cleaning) -> Iterator[Removal]:
    """Remove what killed runs left: staged chunks, unfinished files of archive and feedback.

    A leftover is old: a chunk of a run that still goes on is younger than `leftover_hours`.
    """
    settings = job.settings
    oldest = job.seconds_ago(hours=settings.leftover_hours)
    if job.may_clean(settings.staging):
        for folder in _real_folders(settings.staging):
            if _newest_change(folder) < oldest:
                size = sum(status.st_size for _, status in regular_files(folder))
                if not job.dry_run:
                    with suppress(FileNotFoundError):  # its run went on, and removed it
                        shutil.rmtree(folder)
                yield Removal("leftover", job.name(folder), "a run was cut off", size)
    if job.may_clean(settings.archive):
        for folder in (settings.archive, *archive.folders(settings.archive)):
            yield from _remove_unfinished(job, folder, ".", "a copy was cut off")
    if job.may_clean(settings.feedback):
        for folder in _real_folders(settings.feedback):
            yield from _remove_unfinished(job, folder, ".", "a workbook was cut off")


def _real_folders(parent: Path) -> list[Path]:
    """Return the folders directly in `parent`, without links to folders."""
    return [path for path in sorted(parent.iterdir()) if path.is_dir() and not path.is_symlink()]


def _remove_unfinished(job: Cleaning, folder: Path, prefix: str, why: str) -> Iterator[Removal]:
    """Remove old files directly in `folder` whose prefix marks them as not finished."""
    oldest = job.seconds_ago(hours=job.settings.leftover_hours)
    for path in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):  # it was finished, and renamed, just now
            status = path.lstat()
            is_old = stat.S_ISREG(status.st_mode) and status.st_mtime < oldest
            if path.name.startswith(prefix) and is_old:
                job.unlink(path)
                yield Removal("leftover", job.name(path), why, status.st_size)


def _newest_change(folder: Path) -> float:
    """Return when a folder or anything in it last changed, in seconds since 1970."""
    times = [status.st_mtime for _, status in regular_files(folder)]
    for inside, _, _ in os.walk(folder, followlinks=False):
        with suppress(FileNotFoundError):
            times.append(Path(inside).lstat().st_mtime)
    return max(times, default=0.0)


def remove_generations(job: Cleaning) -> Iterator[Removal]:
    """Remove published generations that retention lets go, and what a killed publication left."""
    folder = job.settings.published / "generations"
    if not job.may_clean(folder):
        return
    newest, days = job.settings.keep_generations, job.settings.keep_days
    why = f"neither of the newest {newest} nor the last of one of the newest {days} days"
    # A publication at work would see generations vanish, and its unfinished file taken away.
    with nullcontext() if job.dry_run else writer_lock(job.settings, "clean", "publish.lock"):
        for path in publishing.retirable(job.settings):
            size = path.stat().st_size
            job.unlink(path)
            yield Removal("generation", job.name(path), why, size)
        yield from _remove_unfinished(job, folder, ".building", "a publication was cut off")


def remove_logs(job: Cleaning) -> Iterator[Removal]:
    """Remove our old log files, and old files of the other log folders with empty folders."""
    days = job.settings.log_days
    oldest = job.seconds_ago(days=days)
    places = [(folder, "") for folder in job.log_folders if folder.is_dir()]
    if job.may_clean(job.settings.logs):
        places.append((job.settings.logs, ".jsonl"))
    for folder, suffix in places:
        # A list, because folders are removed while their files are walked through.
        for path, status in list(regular_files(folder)):
            is_old = path.name.endswith(suffix) and status.st_mtime < oldest
            if is_old and path not in job.gone:
                job.unlink(path)
                if not job.dry_run:
                    _remove_empty(path.parent, folder)
                yield Removal("log", job.name(path), f"older than {days} days", status.st_size)


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove an empty folder, then its empty parents below `root`."""
    with suppress(OSError):  # the first folder that is not empty ends it
        while folder != root:
            folder.rmdir()
            folder = folder.parent


def delete_rows(job: Cleaning) -> Iterator[Removal]:
    """Delete old rows of the operational database: timings of steps, alerts, notifications."""
    days = {"step": job.settings.step_days, "notification": ALERT_DAYS, "alert": ALERT_DAYS}
    before = {name: job.now - timedelta(days=count) for name, count in days.items()}
    for name, count in database.delete_old(job.settings, before, job.dry_run).items():
        if count:
            what = f"{count:,} rows of {name}"
            yield Removal("entries", what, f"older than {days[name]} days", 0)
