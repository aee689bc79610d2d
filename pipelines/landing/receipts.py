"""Take files from landing: their bytes into the archive, and the files away once recorded."""

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
from pipelines.landing.archive import archived, find
from pipelines.landing.files import DONE, Landed, is_settled
from pipelines.machine.failures import naming_file

TAKEN = ".taken"  # Ends the name of a recorded delivery that is about to be removed.
ASIDE = re.compile(r"(\.[0-9a-f]{8})?\.taken$")
LONGEST_NAME = 255  # Bytes, of all common file systems.
ORPHAN_SECONDS = 86_400  # For so long a marker may wait for its file.
BLOCK = 1 << 20


class UnreadableFileError(Exception):
    """The landing folder's disk does not give a file's bytes; the message says why."""


def receive(
    landed: Landed, catalog: Catalog, archive: Path, settle_seconds: float = 0.0
) -> Delivery:
    """Put the file's bytes into the archive, by hash, and name the delivery.

    The receipt time (UTC) is the file's modification time, and never later than now. Raises
    UsageError when the file is not settled (a new upload may have begun since `look`) or changes
    while it is copied, FileNotFoundError when another run has taken it, UnreadableFileError when
    its disk refuses the file, and OSError when the archive's disk refuses the copy.
    """
    with _reading():
        before = landed.path.stat()
    if not is_settled(landed.path, before, settle_seconds):
        raise UsageError(f"{landed.path} is still being uploaded; it is taken when it is whole")
    sha256 = _copy_to_archive(landed.path, archive)
    with _reading():
        after = landed.path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UsageError(f"{landed.path} is still being written; it is taken by the next run")
    slot = (landed.source, landed.department or ALL, slot_day(landed.business_date), landed.part)
    received = min(before.st_mtime_ns, time.time_ns())
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
        received_at=datetime(1970, 1, 1) + timedelta(microseconds=received // 1000),
        contract_hash=catalog.contract_hashes[landed.source],
    )


@contextmanager
def _reading() -> Iterator[None]:
    """Raise as UnreadableFileError what keeps us from reading a file in landing."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFileError(error.strerror or type(error).__name__) from error


def _copy_to_archive(path: Path, archive: Path) -> str:
    """Copy a file into the archive under the SHA-256 of its bytes; return that hash.

    The copy is written aside and renamed into place: killed at any instant, the archive has all of
    the bytes or none. The two disks are told apart, for only one of them is the sender's.
    """
    archive.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    handle, unfinished = tempfile.mkstemp(dir=archive, prefix=".")  # mode 0600
    try:
        with naming_file(archive), os.fdopen(handle, "wb") as copy:
            with _reading():
                origin = path.open("rb")
            with origin:
                while True:
                    with _reading():
                        block = origin.read(BLOCK)
                    if not block:
                        break
                    digest.update(block)
                    copy.write(block)
        sha256 = digest.hexdigest()
        if find(archive, sha256) is None:
            place = archived(archive, sha256)
            place.parent.mkdir(exist_ok=True, mode=0o700)
            Path(unfinished).replace(place)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return sha256


def clear(delivery: Delivery, landing: Path) -> None:
    """Remove a recorded delivery's file from landing, unless other bytes have replaced it.

    The file is first moved aside: it is then compared at leisure, and whatever is sent from now on
    is not looked at. A killed run leaves it aside; `tidy` puts it back. Its marker goes before it,
    lest it be taken for that of a file sent the next moment. Folders below `landing` that are empty
    then go too.
    """
    path = delivery.path
    # The name is new each time, for what was put aside before may still wait for its place.
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TAKEN}")
    if len(aside.name.encode()) >= LONGEST_NAME:
        aside = path
    try:
        if path.stat().st_size != delivery.size:
            return
        path.rename(aside)
        with aside.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 != delivery.sha256:
            _put_back(aside, path)
            return
        with suppress(OSError):  # There is no marker, or the name is too long to have one.
            path.with_name(path.name + DONE).unlink()
        aside.unlink()
        _remove_empty(path.parent, landing)
    except FileNotFoundError:
        # Another run has cleared it.
        return


def tidy(landing: Path) -> None:
    """Put back what a killed run had moved aside, and remove markers that lost their file.

    Such a marker goes once it is a day old, with folders then empty.
    """
    for folder, _, names in os.walk(landing, followlinks=False):
        present = set(names)
        for name in names:
            path = Path(folder, name)
            if name.startswith(".") and name.endswith(TAKEN):
                _put_back(path, Path(folder, ASIDE.sub("", name[1:])))
            elif name.lower().endswith(DONE) and name[: -len(DONE)] not in present:
                with suppress(FileNotFoundError):  # Another run has removed it.
                    if time.time() - path.lstat().st_mtime > ORPHAN_SECONDS:
                        with suppress(OSError):
                            path.unlink()
                        _remove_empty(path.parent, landing)


def _put_back(aside: Path, path: Path) -> None:
    """Rename a file to its place, unless something newer lies there: it waits for that to go."""
    with suppress(FileNotFoundError, FileExistsError):
        try:
            os.link(aside, path)  # Unlike a rename it never replaces anything.
        except FileExistsError:
            raise
        except OSError:
            # The disk has no links.
            if not path.exists():
                aside.rename(path)
            return
        aside.unlink()


def _remove_empty(folder: Path, landing: Path) -> None:
    """Remove the folder and those above it, as far as they are empty and below `landing`."""
    while folder != landing and folder.is_relative_to(landing):
        try:
            folder.rmdir()
        except OSError:
            # Somebody else's file lies there.
            return
        folder = folder.parent
