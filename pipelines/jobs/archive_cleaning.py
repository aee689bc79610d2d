"""Clean the archive of raw bytes: purge, remove what nothing needs, compress what is old.

Nobody can send purged bytes again after years, and a rebuild without them loses rows. So bytes that
a rebuild needs go only when a person says so, bytes that the ledger names are recorded in its table
`purge` before they go, and whatever is doubtful stays.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.errors import StorageError
from pipelines.jobs.cleaning import Cleaning, Removal, regular_files
from pipelines.landing import archive
from pipelines.landing.archive import Stored
from pipelines.machine import logs
from pipelines.warehouse import purges

if TYPE_CHECKING:
    import sqlalchemy as sa

log = logs.get(__name__)


def remove_raw_bytes(job: Cleaning) -> Iterator[Removal]:
    """Remove archived bytes that the ledger does not name, or that are to be purged.

    All of it happens under the warehouse's lock. Bytes received meanwhile cannot be loaded before
    the lock is free, so their file still lies in landing, where `_Landed` finds it.
    """
    settings = job.settings
    # Without its ledger nobody knows what of an archive is needed: then nothing goes.
    if not job.may_clean(settings.archive) or not settings.warehouse.exists():
        return
    with purges.open_ledger(settings, "clean the archive", read_only=job.dry_run) as connection:
        stored: dict[str, list[Stored]] = defaultdict(list)
        for file in archive.contents(settings.archive):
            stored[file.sha256].append(file)
        landed = _Landed(settings.landing)
        yield from _remove_unrecorded(job, connection, stored, landed)
        yield from _purge(job, connection, stored, landed)


class _Landed:
    """The hashes of the files in landing, computed when the first one is asked for."""

    def __init__(self, landing: Path) -> None:
        self.landing = landing
        self.hashes: set[str] | None = None

    def __contains__(self, sha256: str) -> bool:
        if self.hashes is None:
            self.hashes = set()
            for path, _ in regular_files(self.landing):
                with suppress(FileNotFoundError, PermissionError), path.open("rb") as file:
                    self.hashes.add(hashlib.file_digest(file, "sha256").hexdigest())
        return sha256 in self.hashes


def _remove_unrecorded(
    job: Cleaning,
    connection: sa.Connection,
    stored: Mapping[str, Sequence[Stored]],
    landed: _Landed,
) -> Iterator[Removal]:
    """Remove bytes that were archived but never recorded: their file was replaced before its load.

    Bytes that are older than the ledger stay: a ledger that does not know them is a new one, and
    the old one was lost.
    """
    recorded, begun = purges.named(connection), purges.begun(connection)
    unrecorded = [file for sha256 in sorted(stored.keys() - recorded) for file in stored[sha256]]
    oldest = job.seconds_ago(hours=job.settings.leftover_hours)
    since = begun.replace(tzinfo=UTC).timestamp() if begun else float("inf")
    older = [file for file in unrecorded if file.modified < since]
    if older:
        log.warning(
            "archived bytes are older than the ledger, which names none of them: they are kept; "
            "was the warehouse lost?",
            files=len(older),
            such_as=older[0].path.name,
        )
    for file in unrecorded:
        if since <= file.modified < oldest and file.sha256 not in landed:
            job.unlink(file.path)
            yield Removal("archive", job.name(file.path), "nothing was recorded of it", file.size)


def _purge(
    job: Cleaning,
    connection: sa.Connection,
    stored: Mapping[str, Sequence[Stored]],
    landed: _Landed,
) -> Iterator[Removal]:
    """Record and remove the bytes that a person or the retention lets go."""
    for named, reason in _to_purge(job, connection):
        present = {sha256: names for sha256, names in named.items() if sha256 in stored}
        landed_again = {sha256 for sha256 in present if sha256 in landed}
        if landed_again:
            log.warning(
                "archived bytes lie in landing once more: they are kept", files=len(landed_again)
            )
        purged = {sha256: present[sha256] for sha256 in present if sha256 not in landed_again}
        # Recorded first: killed in between, the ledger says that bytes went which are still there,
        # and the next such cleaning removes them. The other order loses bytes unrecorded.
        if not job.dry_run:
            purges.record(connection, purged, reason)
        for file in (file for sha256 in purged for file in stored[sha256]):
            job.unlink(file.path)
            yield Removal("archive", job.name(file.path), reason, file.size)


def _to_purge(job: Cleaning, connection: sa.Connection) -> Iterator[tuple[purges.Named, str]]:
    """Yield the recorded bytes to purge with the reason: a person's order first, then retention."""
    ordered: purges.Named = {}
    if job.purge_before is not None:
        ordered = purges.received_before(connection, job.purge_before)
        yield ordered, job.reason
    days = job.settings.archive_days
    if days is not None:
        unneeded = purges.unneeded(connection, job.now - timedelta(days=days))
        rest = {sha256: names for sha256, names in unneeded.items() if sha256 not in ordered}
        yield rest, f"no rebuild needs it, and it was received more than {days} days ago"


def compress_raw_bytes(job: Cleaning) -> Iterator[Removal]:
    """Compress raw bytes that are old; damaged ones are logged and left as they are."""
    if not job.may_clean(job.settings.archive):
        return
    days = job.settings.compress_days
    oldest = job.seconds_ago(days=days)
    for file in archive.contents(job.settings.archive):
        if file.is_compressed or file.modified >= oldest or file.path in job.gone:
            continue
        with suppress(FileNotFoundError):  # another program has removed it
            if not archive.is_compressible(file.path):
                continue
            try:
                size = (
                    archive.compressed_size(file.path)
                    if job.dry_run
                    else archive.compress(file.path)
                )
            except StorageError as error:
                log.warning("archived bytes are damaged", why=str(error))
                continue
            why = f"compressed, as it is older than {days} days"
            yield Removal("compressed", job.name(file.path), why, file.size - size)
