"""Checks of the machine: installed packages, disks, clock, notification channels."""

from __future__ import annotations

import errno
import platform
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from importlib import metadata
from os import W_OK, X_OK, access
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pipelines.doctor.visit import (
    Finding,
    Visit,
    at,
    counted,
    failure,
    fine,
    in_a_line,
    megabytes,
    warning,
)
from pipelines.machine import disks, failures
from pipelines.settings import Settings

DISTRIBUTION = "citybrain-metrics"
INSTALL = "pip install --require-hashes -r requirements.txt"
# Bytes that a run may need besides two copies of the warehouse.
SPARE = 1_000_000_000
# Bytes written to find out whether a disk takes any.
BLOCK = 65_536
CLOCK_TOLERANCE = timedelta(hours=1)


def versions(visit: Visit) -> Iterator[Finding]:
    """Compare Python and the installed packages with what this distribution requires."""
    try:
        ours = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield failure(
            "versions",
            f"{DISTRIBUTION} is not installed",
            f"{INSTALL}, then pip install --no-build-isolation --no-deps --editable .",
        )
        return
    wanted_python = ours.metadata["Requires-Python"] or ""
    if not _python_fits(wanted_python):
        yield failure(
            "versions",
            f"Python is {platform.python_version()}, not {wanted_python}",
            "make the environment anew with such a Python",
        )
    pinned: list[str] = []
    for requirement in ours.requires or ():
        wanted, _, marker = requirement.partition(";")
        if marker:  # an extra, for developers
            continue
        name, pin = re.findall(r"^([\w.-]+)(?:==([\w.]+))?", wanted.strip())[0]
        installed = _installed(name)
        if installed is None or (pin and installed != pin):
            mismatch = f"{name} is {installed or 'missing'}" + (f", not {pin}" if pin else "")
            yield failure("versions", mismatch, INSTALL)
        elif pin:
            pinned.append(f"{name} {pin}")
    yield fine("versions", f"Python {platform.python_version()}, {', '.join(pinned)}")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _python_fits(wanted: str) -> bool:
    """Return True if this Python is within bounds such as `>=3.11,<3.12`."""
    running = sys.version_info[:2]
    for sign, major, minor in re.findall(r"(>=|<)(\d+)\.(\d+)", wanted):
        bound = (int(major), int(minor))
        if running < bound if sign == ">=" else running >= bound:
            return False
    return True


def disk(visit: Visit) -> Iterator[Finding]:
    """Check that the data folder's disks are mounted, writable, roomy and private."""
    settings = visit.settings
    findings = [*_vanished(settings), *_unwritable(settings), *_short_of_room(settings)]
    findings += _readable_archive(settings)
    can = "written" if settings.data_dir.exists() else "made"
    room = disks.describe_free_space(settings.data_dir)
    yield from findings or [fine("disk", f"{settings.data_dir} can be {can}; {room}")]


def _vanished(settings: Settings) -> Iterator[Finding]:
    """Yield a failure for each folder whose disk is no longer mounted."""
    for folder in disks.lost_disks(settings):
        yield failure(
            "disk",
            f"{folder} had a disk of its own and has none now",
            "mount it again; if it was moved here on purpose, delete "
            f"{settings.data_dir / disks.MOUNTS}",
        )


def _unwritable(settings: Settings) -> Iterator[Finding]:
    """Yield one finding per reason for which folders cannot be written or made."""
    refused: dict[str, list[Path]] = {}
    folders = (
        settings.data_dir,
        settings.landing,
        settings.archive,
        settings.staging,
        settings.published,
    )
    for folder in folders:
        try:
            _write_into(folder)
        except OSError as error:
            refused.setdefault(error.strerror or type(error).__name__, []).append(folder)
    for reason, places in refused.items():
        names = ", ".join(str(place) for place in places)
        yield failure(
            "disk", f"{reason}: {names} ({disks.describe_free_space(places[0])})", _mend(reason)
        )


def _write_into(folder: Path) -> None:
    """Write a block into `folder` and remove it; ask for permission where it does not exist yet."""
    existing = _nearest(folder)
    if existing == folder:
        # The prefix is one that landing ignores, on systems where temporary files have names.
        with tempfile.TemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(bytes(BLOCK))
            file.flush()
    elif not existing.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(existing))
    elif not access(existing, W_OK | X_OK):
        raise PermissionError(errno.EACCES, "Permission denied", str(existing))


def _nearest(path: Path) -> Path:
    return next(each for each in (path, *path.absolute().parents) if each.exists())


def _mend(reason: str) -> str:
    """Return what to do about a folder that was refused for `reason`, the text of an OSError."""
    if reason in failures.FULL:
        return "free some space (`citybrain clean` removes what is not needed)"
    if reason in failures.READ_ONLY:
        return "let this user write there"
    return "see whether it is a folder, and its disk still mounted"


def _short_of_room(settings: Settings) -> Iterator[Finding]:
    """Yield disks without room for staging and for a generation, a copy of the warehouse."""
    size = sum(
        path.stat().st_size
        for path in (settings.warehouse, settings.warehouse.with_suffix(".duckdb.wal"))
        if path.exists()
    )
    examined: set[int] = set()
    for folder, needs in (
        (settings.data_dir, size),
        (settings.published, size),
        (settings.staging, size),
        (settings.archive, 0),
        (settings.landing, 0),
    ):
        place = _nearest(folder)
        if place.stat().st_dev in examined:
            continue
        examined.add(place.stat().st_dev)
        free = shutil.disk_usage(place).free
        message_and_mend = (
            f"{place}: {megabytes(free)} free; a run needs {megabytes(2 * needs + SPARE)}",
            "free some space (`citybrain clean` removes what is not needed), or enlarge the disk",
        )
        if free < needs:
            yield failure("disk", *message_and_mend)
        elif free < 2 * needs + SPARE:
            yield warning("disk", *message_and_mend)


def _readable_archive(settings: Settings) -> Iterator[Finding]:
    """Yield a warning if other users can enter the archive."""
    if settings.archive.is_dir():
        mode = stat.S_IMODE(settings.archive.stat().st_mode)
        if mode & 0o077:
            yield warning(
                "disk",
                f"{settings.archive} is open to others (mode {mode:04o}); it holds raw "
                "personal data",
                f"chmod 700 {settings.archive}",
            )


def notification(visit: Visit) -> Iterator[Finding]:
    """Check that every notification URL makes sense, without showing it: URLs hold secrets."""
    urls = visit.settings.notify_urls.get_secret_value().split()
    if not urls:
        yield fine("notification", "nobody is told: CITYBRAIN_NOTIFY_URLS is empty")
        return
    import apprise

    unknown = [number for number, url in enumerate(urls, 1) if not apprise.Apprise().add(url)]
    for number in unknown:
        yield failure(
            "notification",
            f"URL {number} of {len(urls)} in CITYBRAIN_NOTIFY_URLS is of no kind "
            "that Apprise knows, or not whole",
            "correct it; see the list of services of Apprise",
        )
    if not unknown:
        yield fine("notification", f"the digest goes to {counted(len(urls), 'channel')}")


def clock(visit: Visit) -> Iterator[Finding]:
    """Check that Shanghai's time zone is known and the clock is not behind the ledger."""
    try:
        offset = ZoneInfo("Asia/Shanghai").utcoffset(datetime(2021, 10, 31))
    except (ZoneInfoNotFoundError, OSError, ValueError) as error:
        yield failure("time", f"Asia/Shanghai is not known here: {in_a_line(error)}", INSTALL)
        return
    if offset != timedelta(hours=8):
        yield failure("time", f"Asia/Shanghai is {offset} from UTC, not 8 hours", INSTALL)
    newest = visit.ledger.newest if visit.ledger else None
    if newest is not None and visit.now < newest - CLOCK_TOLERANCE:
        yield failure(
            "time",
            f"the clock says {at(visit.now)}, and the ledger's newest entry was made at "
            f"{at(newest)}",
            "set this machine's clock: what is newest goes by it",
        )
        return
    yield fine("time", f"{at(visit.now)}, {visit.today} in Shanghai")
