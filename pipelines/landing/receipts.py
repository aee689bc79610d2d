"""Taking files from landing: their bytes into the archive, and the files away once recorded."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path

from pipelines.contracts.catalog import Catalog
from pipelines.deliveries.delivery import Delivery, delivery_id, slot_day
from pipelines.deliveries.feedback_form import ALL
from pipelines.errors import UsageError
from pipelines.landing.archive import archived, compressed
from pipelines.landing.files import DONE, Landed, is_settled, marker_of
from pipelines.machine.failures import naming_file

TAKEN = ".taken"  # a recorded delivery on its way out
ASIDE = re.compile(r"(\.[0-9a-f]{8})?\.taken$")
LONGEST_NAME = 255  # bytes, of all common file systems
MARKERS_KEPT = 86_400  # seconds that a marker may wait for its file


class UnreadableFileError(Exception):
    """The landing folder's disk does not give a file's bytes; the message says why."""


def receive(
    landed: Landed, catalog: Catalog, archive: Path, settle_seconds: float = 0.0
) -> Delivery:
    """Put the file's bytes into the archive, by hash, and name the delivery.

    The receipt time is the file's modification time. Raises UsageError when the file is not
    settled (a new upload may have begun since `look`) or changes while it is copied, and
    FileNotFoundError when another run has taken it. What the file itself refuses is an
    UnreadableFileError, what the archive's disk does an OSError.
    """
    with _reading():
        before = landed.path.stat()
    if not is_settled(landed.path, before, settle_seconds):
        raise UsageError(f"{landed.path} is still being uploaded; it is taken when it is whole")
    sha256 = _archive(landed.path, archive)
    with _reading():
        after = landed.path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UsageError(f"{landed.path} is still being written; it is taken by the next run")
    slot = (landed.source, landed.department or ALL, slot_day(landed.business_date), landed.part)
    return Delivery(
        delivery_id=delivery_id(slot, landed.format, sha256),
        source=landed.source,
        department=landed.department,
        business_date=landed.business_date,
        part=landed.part,
        path=landed.path,
        format=landed.format,
        size=before.st_size,
        sha256=sha256,
        received_at=_received(before),
        contract_hash=catalog.contract_hash(landed.source),
    )


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFileError(error.strerror or type(error).__name__) from error


def clear(delivery: Delivery, landing: Path) -> None:
    """Remove a recorded delivery's file from landing, unless other bytes have replaced it.

    Its marker goes first, lest it be taken for that of a file sent the next moment; folders below
    `landing` that are empty then go too.
    """
    taken = _taken(delivery.path)
    try:
        if delivery.path.stat().st_size != delivery.size:
            return
        # whatever lies there is moved aside first: what is sent from now on is not looked at
        delivery.path.rename(taken)
        if _digest(taken) == delivery.sha256:
            _remove(marker_of(delivery.path))
            taken.unlink()
            _remove_empty(delivery.path.parent, landing)
        else:
            _put_back(taken, delivery.path)
    except FileNotFoundError:  # another run has cleared it
        return


def tidy(landing: Path) -> None:
    """Put back what a killed run had moved aside, and remove markers that lost their file.

    Such a marker goes once it is a day old, with folders then empty.
    """
    for folder, _, names in os.walk(landing, followlinks=False):
        present = set(names)
        for name in names:
            if name.startswith(".") and name.endswith(TAKEN):
                _put_back(Path(folder, name), Path(folder, ASIDE.sub("", name[1:])))
            elif name.lower().endswith(DONE) and name[: -len(DONE)] not in present:
                _remove_old(Path(folder, name), landing)


def _taken(path: Path) -> Path:
    # a name of its own, for what was put aside before may still wait for its place
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TAKEN}")
    return aside if len(aside.name.encode()) < LONGEST_NAME else path.with_name(path.name)


def _put_back(taken: Path, path: Path) -> None:
    """Rename a file to its place, unless something newer lies there: it waits for that to go."""
    with suppress(FileNotFoundError, FileExistsError):
        try:
            os.link(taken, path)  # never replaces anything
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            if not path.exists():
                taken.rename(path)
            return
        taken.unlink()


def _remove_old(marker: Path, landing: Path) -> None:
    with suppress(FileNotFoundError):  # another run has removed it
        if time.time() - marker.lstat().st_mtime > MARKERS_KEPT:
            _remove(marker)
            _remove_empty(marker.parent, landing)


def _remove(marker: Path) -> None:
    with suppress(OSError):  # there is none, or the name is too long to have one
        marker.unlink()


def _remove_empty(folder: Path, landing: Path) -> None:
    """Remove the folder and those above it, as far as they are empty and below `landing`."""
    while folder != landing and folder.is_relative_to(landing):
        try:
            folder.rmdir()
        except OSError:  # somebody else's file lies there
            return
        folder = folder.parent


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _received(stat: os.stat_result) -> datetime:
    """When the file arrived, in UTC: its modification time, and never later than now."""
    moment = min(stat.st_mtime_ns, time.time_ns())
    return datetime(1970, 1, 1) + timedelta(microseconds=moment // 1000)


def _archive(path: Path, archive: Path) -> str:
    archive.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    handle, unfinished = tempfile.mkstemp(dir=archive, prefix=".")  # mode 0600
    try:
        with naming_file(archive), os.fdopen(handle, "wb") as copy:
            for block in _blocks(path):
                digest.update(block)
                copy.write(block)
        place = archived(archive, digest.hexdigest())
        if not place.exists() and not compressed(place).exists():
            place.parent.mkdir(exist_ok=True, mode=0o700)
            Path(unfinished).replace(place)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with _reading(), path.open("rb") as origin:
        while block := origin.read(1 << 20):
            yield block
