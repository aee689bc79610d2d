"""Checks of the machine: what is installed, its disks, its clock, and whom it can tell."""

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
from pipelines.machine import disks
from pipelines.settings import Settings

DISTRIBUTION = "citybrain-metrics"
INSTALL = "pip install --require-hashes -r requirements.txt"
SPARE = 1_000_000_000  # bytes that a run may need besides two copies of the warehouse
BLOCK = 65_536  # bytes written to see whether a disk takes any
CLOCK_TOLERANCE = timedelta(hours=1)


def versions(visit: Visit) -> Iterator[Finding]:
    """Python and what this distribution requires, as installed, against its pins."""
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
        if marker:  # of developers
            continue
        name, pin = re.findall(r"^([\w.-]+)(?:==([\w.]+))?", wanted.strip())[0]
        there = _installed(name)
        if there is None or (pin and there != pin):
            mismatch = f"{name} is {there or 'missing'}" + (f", not {pin}" if pin else "")
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
    """Whether this Python is within bounds such as `>=3.11,<3.12`."""
    here = sys.version_info[:2]
    for sign, major, minor in re.findall(r"(>=|<)(\d+)\.(\d+)", wanted):
        bound = (int(major), int(minor))
        if here < bound if sign == ">=" else here >= bound:
            return False
    return True


def disk(visit: Visit) -> Iterator[Finding]:
    """The data folder: its disks are there, take what is written, have room, and are private."""
    settings = visit.settings
    found = [*_vanished(settings), *_unwritable(settings), *_short_of_room(settings)]
    found += _readable_archive(settings)
    can = "written" if settings.data_dir.exists() else "made"
    room = disks.free(settings.data_dir)
    yield from found or [fine("disk", f"{settings.data_dir} can be {can}; {room}")]


def _vanished(settings: Settings) -> Iterator[Finding]:
    for folder in disks.vanished(settings):
        yield failure(
            "disk",
            f"{folder} had a disk of its own and has none now",
            "mount it again; if it was moved here on purpose, delete "
            f"{settings.data_dir / disks.MOUNTS}",
        )


def _unwritable(settings: Settings) -> Iterator[Finding]:
    """Folders that cannot be written or made, one finding a reason."""
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
        yield failure("disk", f"{reason}: {names} ({disks.free(places[0])})", _mend(reason))


def _write_into(folder: Path) -> None:
    """Write a block and take it away again; for a folder to come, ask of the one it will be in."""
    there = _nearest(folder)
    if there == folder:
        # a name that landing passes over, on systems where temporary files have one
        with tempfile.TemporaryFile(dir=folder, prefix=".doctor-") as file:
            file.write(bytes(BLOCK))
            file.flush()
    elif not there.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(there))
    elif not access(there, W_OK | X_OK):
        raise PermissionError(errno.EACCES, "Permission denied", str(there))


def _nearest(path: Path) -> Path:
    return next(one for one in (path, *path.absolute().parents) if one.exists())


def _mend(reason: str) -> str:
    if reason in disks.FULL:
        return "free some space (`citybrain clean` removes what is not needed)"
    if reason in disks.READ_ONLY:
        return "let this user write there"
    return "see whether it is a folder, and its disk still mounted"


def _short_of_room(settings: Settings) -> Iterator[Finding]:
    """Disks without room for a generation, which is a copy of the warehouse, and for staging."""
    size = sum(
        path.stat().st_size
        for path in (settings.warehouse, settings.warehouse.with_suffix(".duckdb.wal"))
        if path.exists()
    )
    seen: set[int] = set()
    for folder, needs in (
        (settings.data_dir, size),
        (settings.published, size),
        (settings.staging, size),
        (settings.archive, 0),
        (settings.landing, 0),
    ):
        there = _nearest(folder)
        if there.stat().st_dev in seen:
            continue
        seen.add(there.stat().st_dev)
        free = shutil.disk_usage(there).free
        told = (
            f"{there}: {megabytes(free)} free; a run needs {megabytes(2 * needs + SPARE)}",
            "free some space (`citybrain clean` removes what is not needed), or enlarge the disk",
        )
        if free < needs:
            yield failure("disk", *told)
        elif free < 2 * needs + SPARE:
            yield warning("disk", *told)


def _readable_archive(settings: Settings) -> Iterator[Finding]:
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
    """Whether anybody is told, by URLs that make sense; they are secrets, and never shown."""
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
    """Shanghai's time is known, and the clock has not gone back behind what was recorded by it."""
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
