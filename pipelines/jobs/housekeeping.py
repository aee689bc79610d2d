"""Clears away what nobody needs: leftovers, old bytes, generations, logs, timings.

Bytes that a rebuild needs go only when a person says so, and bytes that the ledger names are noted
in its table `purge` before they go. Links are never followed, and nothing outside the data folder
is touched but the log folders that a caller names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.clock import SHANGHAI
from pipelines.errors import CitybrainError, StorageError, UsageError
from pipelines.landing import archive
from pipelines.landing.archive import Stored
from pipelines.machine import disks, failures, logs
from pipelines.machine.locks import writer_lock
from pipelines.operations import database
from pipelines.settings import Settings
from pipelines.warehouse import publish as publishing
from pipelines.warehouse import purges

if TYPE_CHECKING:
    import sqlalchemy as sa

log = logs.get(__name__)
ALERT_DAYS = 400  # alerts and notifications: a year's, to be compared with


@dataclass(frozen=True)
class Removal:
    """One thing that goes, or has gone: of what kind, what, why, and the bytes that it frees.

    What lies in the data folder is named by its path in it.
    """

    kind: str
    what: str
    why: str
    bytes: int


@dataclass(frozen=True)
class Cleaning:
    """What one cleaning goes by; `now` is UTC. A dry run does everything but remove."""

    settings: Settings
    now: datetime
    dry_run: bool = False
    purge_before: datetime | None = None
    reason: str = ""
    log_folders: tuple[Path, ...] = ()
    gone: set[Path] = field(default_factory=set)  # files that went, or that a dry run counts so

    def seconds_ago(self, **ago: float) -> float:
        """The moment so long before now, in seconds since 1970, as files' times are."""
        return (self.now - timedelta(**ago)).replace(tzinfo=UTC).timestamp()

    def name(self, path: Path) -> str:
        """A path as people read it."""
        inside = path.is_relative_to(self.settings.data_dir)
        return str(path.relative_to(self.settings.data_dir) if inside else path)


def clean(
    settings: Settings,
    now: datetime,
    dry_run: bool = False,
    purge_before: date | None = None,
    reason: str = "",
    extra_log_folders: Iterable[Path] = (),
) -> list[Removal]:
    """Remove what is no longer needed, and compress the archive; what went, or would go.

    `now` is UTC. `purge_before` deletes the archived bytes of every delivery that was received
    before that day in Shanghai, needed or not, for the `reason`. A part of it that a disk or a
    lock does not allow keeps no other part from being done; the first such error is raised then.
    """
    if purge_before is not None and not reason.strip():
        raise UsageError("say --reason: deleted bytes are recorded with why they were")
    job = Cleaning(
        settings,
        now,
        dry_run,
        _start_of(purge_before),
        reason,
        tuple(_log_folder(settings, folder) for folder in extra_log_folders),
    )
    if not settings.data_dir.is_dir():
        return []
    disks.require_all_disks(settings)
    lock = nullcontext() if dry_run else writer_lock(settings, "clean", "housekeeping.lock")
    removals: list[Removal] = []
    errors: list[CitybrainError] = []
    with lock:
        # what needs space to be done comes last
        for part in (leftovers, generations, old_logs, needless_bytes, compressions, old_entries):
            try:
                with failures.translating(settings, "clean"):
                    removals += _told(part(job), job)
            except CitybrainError as error:
                errors.append(error)
    if errors:
        raise errors[0]
    return removals


def _told(removals: Iterable[Removal], job: Cleaning) -> Iterator[Removal]:
    for removal in removals:
        if not job.dry_run:
            log.info(
                "cleared away",
                kind=removal.kind,
                what=removal.what,
                why=removal.why,
                bytes=removal.bytes,
            )
        yield removal


def _start_of(day: date | None) -> datetime | None:
    """The first instant of a day in Shanghai, in UTC."""
    if day is None:
        return None
    return datetime.combine(day, time(), SHANGHAI).astimezone(UTC).replace(tzinfo=None)


def _log_folder(settings: Settings, folder: Path) -> Path:
    """A folder of other programs' logs; UsageError when other things than logs may lie there."""
    place = folder.resolve()
    ours = (
        settings.landing,
        settings.archive,
        settings.staging,
        settings.published,
        settings.feedback,
    )
    data = [one.resolve() for one in (settings.data_dir, *ours)]
    if any(one.is_relative_to(place) for one in data) or any(
        place.is_relative_to(one) for one in data[1:]
    ):
        raise UsageError(f"{folder} holds more than logs: nothing in it is cleared away")
    return place


def _own(job: Cleaning, folder: Path) -> bool:
    """Whether a folder is there, and is the data folder's own: no link leads to it."""
    below = folder.relative_to(job.settings.data_dir).parts
    steps = [job.settings.data_dir.joinpath(*below[:count]) for count in range(1, len(below) + 1)]
    linked = [one for one in steps if one.is_symlink()]
    if linked:
        log.warning("a link is not followed: nothing there is cleared away", link=str(linked[0]))
    return not linked and folder.is_dir()


def _files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Regular files below a folder, with what they are; links are none, nor is what vanishes."""
    for inside, _, names in os.walk(folder, followlinks=False):
        for name in sorted(names):
            path = Path(inside, name)
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield path, status


# --- leftovers ----------------------------------------------------------------------------------


def leftovers(job: Cleaning) -> Iterator[Removal]:
    """What killed runs and copies have left: staged chunks, unfinished files of the archive."""
    oldest = job.seconds_ago(hours=job.settings.leftover_hours)
    if _own(job, job.settings.staging):
        for folder in sorted(job.settings.staging.iterdir()):
            if folder.is_dir() and not folder.is_symlink() and _newest(folder) < oldest:
                size = sum(status.st_size for _, status in _files(folder))
                if not job.dry_run:
                    with suppress(FileNotFoundError):  # its run has gone on, and removed it
                        shutil.rmtree(folder)
                yield Removal("leftover", job.name(folder), "a run was cut off", size)
    if _own(job, job.settings.archive):
        for folder in (job.settings.archive, *archive.folders(job.settings.archive)):
            yield from _unfinished(job, folder, ".", "a copy was cut off")
    if _own(job, job.settings.feedback):
        for folder in sorted(job.settings.feedback.iterdir()):
            if folder.is_dir() and not folder.is_symlink():
                yield from _unfinished(job, folder, ".", "a workbook was cut off")


def _unfinished(job: Cleaning, folder: Path, prefix: str, why: str) -> Iterator[Removal]:
    """Old files directly in a folder whose names tell that nobody has finished them."""
    oldest = job.seconds_ago(hours=job.settings.leftover_hours)
    for path in sorted(folder.iterdir()):
        with suppress(FileNotFoundError):  # it was finished just now
            status = path.lstat()
            is_old = stat.S_ISREG(status.st_mode) and status.st_mtime < oldest
            if path.name.startswith(prefix) and is_old:
                _unlink(job, path)
                yield Removal("leftover", job.name(path), why, status.st_size)


def _newest(folder: Path) -> float:
    """When anything in a folder last changed."""
    folders = (Path(inside) for inside, _, _ in os.walk(folder, followlinks=False))
    times = [status.st_mtime for _, status in _files(folder)]
    for one in folders:
        with suppress(FileNotFoundError):
            times.append(one.lstat().st_mtime)
    return max(times, default=0.0)


def _unlink(job: Cleaning, path: Path) -> None:
    job.gone.add(path)
    if not job.dry_run:
        path.unlink(missing_ok=True)


# --- generations --------------------------------------------------------------------------------


def generations(job: Cleaning) -> Iterator[Removal]:
    """Published generations that are kept no longer, and what a killed publication left."""
    folder = job.settings.published / "generations"
    if not _own(job, folder):
        return
    lock = nullcontext() if job.dry_run else writer_lock(job.settings, "clean", "publish.lock")
    with lock:
        newest, days = job.settings.keep_generations, job.settings.keep_days
        why = f"neither of the newest {newest} nor the last of one of the newest {days} days"
        for path in publishing.retirable(job.settings):
            size = path.stat().st_size
            _unlink(job, path)
            yield Removal("generation", job.name(path), why, size)
        yield from _unfinished(job, folder, ".building", "a publication was cut off")


# --- logs ---------------------------------------------------------------------------------------


def old_logs(job: Cleaning) -> Iterator[Removal]:
    """Our log files, and everything in the other log folders, with folders that become empty."""
    days = job.settings.log_days
    oldest = job.seconds_ago(days=days)
    places = [(folder, "") for folder in job.log_folders if folder.is_dir()]
    if _own(job, job.settings.logs):
        places.append((job.settings.logs, ".jsonl"))
    for folder, suffix in places:
        for path, status in list(_files(folder)):
            is_old = path.name.endswith(suffix) and status.st_mtime < oldest
            if is_old and path not in job.gone:
                _unlink(job, path)
                if not job.dry_run:
                    _remove_empty(path.parent, folder)
                yield Removal("log", job.name(path), f"older than {days} days", status.st_size)


def _remove_empty(folder: Path, root: Path) -> None:
    """Remove a folder, and those above it and below `root`, as far as they are empty."""
    while folder != root:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


# --- archive ------------------------------------------------------------------------------------


def needless_bytes(job: Cleaning) -> Iterator[Removal]:
    """Archived bytes that no ledger row names; that no rebuild needs; that a person tells to go.

    All under the warehouse's lock: what is received meanwhile cannot be loaded before it is over,
    and so lies in landing until then.
    """
    settings = job.settings
    # without its ledger nobody knows what of an archive is needed
    if not _own(job, settings.archive) or not settings.warehouse.exists():
        return
    with purges.open_ledger(settings, "clean the archive", read_only=job.dry_run) as connection:
        stored: dict[str, list[Stored]] = defaultdict(list)
        for one in archive.contents(settings.archive):
            stored[one.sha256].append(one)
        landed = _Landed(settings.landing)
        yield from _orphans(job, connection, stored, landed)
        yield from _purge(job, connection, stored, landed)


class _Landed:
    """The hashes of what lies in landing; they are computed when somebody asks."""

    def __init__(self, landing: Path) -> None:
        self.landing = landing
        self.hashes: set[str] | None = None

    def __contains__(self, sha256: str) -> bool:
        if self.hashes is None:
            self.hashes = {found for path, _ in _files(self.landing) for found in _hash(path)}
        return sha256 in self.hashes


def _hash(path: Path) -> Iterator[str]:
    with suppress(FileNotFoundError, PermissionError), path.open("rb") as file:
        yield hashlib.file_digest(file, "sha256").hexdigest()


def _orphans(
    job: Cleaning,
    connection: sa.Connection,
    stored: Mapping[str, Sequence[Stored]],
    landed: _Landed,
) -> Iterator[Removal]:
    """Bytes that were archived and never recorded: their file was replaced before it was taken.

    Those that are older than the ledger are left: then it is the ledger that was lost.
    """
    known, begun = purges.named(connection), purges.begun(connection)
    unknown = [one for sha256 in sorted(stored.keys() - known) for one in stored[sha256]]
    oldest = job.seconds_ago(hours=job.settings.leftover_hours)
    since = begun.replace(tzinfo=UTC).timestamp() if begun else float("inf")
    strangers = [one for one in unknown if one.modified < since]
    if strangers:
        log.warning(
            "archived bytes are older than the ledger, which names none of them: they are kept; "
            "was the warehouse lost?",
            files=len(strangers),
            such_as=strangers[0].path.name,
        )
    for one in unknown:
        if since <= one.modified < oldest and one.sha256 not in landed:
            _unlink(job, one.path)
            yield Removal("archive", job.name(one.path), "nothing was recorded of it", one.size)


def _purge(
    job: Cleaning,
    connection: sa.Connection,
    stored: Mapping[str, Sequence[Stored]],
    landed: _Landed,
) -> Iterator[Removal]:
    for named, reason in _to_purge(job, connection):
        there = {sha256: named[sha256] for sha256 in named if sha256 in stored}
        again = {sha256 for sha256 in there if sha256 in landed}
        there = {sha256: names for sha256, names in there.items() if sha256 not in again}
        if again:
            log.warning("archived bytes lie in landing once more: they are kept", files=len(again))
        if not job.dry_run:
            purges.record(connection, there, reason)
        for one in (one for sha256 in there for one in stored[sha256]):
            _unlink(job, one.path)
            yield Removal("archive", job.name(one.path), reason, one.size)


def _to_purge(job: Cleaning, connection: sa.Connection) -> Iterator[tuple[purges.Named, str]]:
    """Which bytes that the ledger names are to go, and why; none of them twice."""
    told: purges.Named = {}
    if job.purge_before is not None:
        told = purges.received_before(connection, job.purge_before)
        yield told, job.reason
    days = job.settings.archive_days
    if days is not None:
        needless = purges.unneeded(connection, job.now - timedelta(days=days))
        rest = {sha256: names for sha256, names in needless.items() if sha256 not in told}
        yield rest, f"no rebuild needs it, and it was received more than {days} days ago"


def compressions(job: Cleaning) -> Iterator[Removal]:
    """Raw bytes that are old, compressed; damaged ones are told of and left as they are."""
    if not _own(job, job.settings.archive):
        return
    days = job.settings.compress_days
    oldest = job.seconds_ago(days=days)
    compress: Callable[[Path], int] = archive.compressed_size if job.dry_run else archive.compress
    for one in archive.contents(job.settings.archive):
        if one.is_compressed or one.modified >= oldest or one.path in job.gone:
            continue
        with suppress(FileNotFoundError):  # another program has removed it
            if archive.is_compressible(one.path):
                try:
                    freed = one.size - compress(one.path)
                except StorageError as error:
                    log.warning("archived bytes are damaged", why=str(error))
                    continue
                why = f"compressed, as it is older than {days} days"
                yield Removal("compressed", job.name(one.path), why, freed)


# --- operational database -----------------------------------------------------------------------


def old_entries(job: Cleaning) -> Iterator[Removal]:
    """Rows of the operational database: timings of steps, alerts, notifications."""
    days = {"step": job.settings.step_days, "notification": ALERT_DAYS, "alert": ALERT_DAYS}
    before = {name: job.now - timedelta(days=count) for name, count in days.items()}
    for name, count in database.forget(job.settings, before, job.dry_run).items():
        if count:
            what = f"{count:,} rows of {name}"
            yield Removal("entries", what, f"older than {days[name]} days", 0)
