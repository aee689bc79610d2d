"""A delivery's rows from the archive: one file, or a return laid upon what it corrects."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from pipelines.contracts.models import Source
from pipelines.corrections.as_written import verbatim
from pipelines.corrections.overlay import Bench, Chain, Owners, open_return
from pipelines.deliveries.delivery import Delivery
from pipelines.errors import UsageError
from pipelines.landing.archive import archived, find, raw_bytes
from pipelines.reading.layout import Reading
from pipelines.reading.masking import Mask
from pipelines.settings import Settings


@contextmanager
def brought(
    delivery: Delivery, settings: Settings, folder: Path, mask: Mask | None
) -> Iterator[tuple[Chain, Bench]]:
    """The archived files of a delivery, itself the last, for as long as the block lasts.

    Raises UsageError when the archive has lost one, and StorageError when it has damaged one.
    """
    chain = (*delivery.corrects, delivery.origin)
    files: dict[str, Path] = {}
    with ExitStack() as stack:
        for sha256 in dict.fromkeys(one.sha256 for one in chain):
            if find(settings.archive, sha256) is None:  # what the department sent is our loss
                file = archived(settings.archive, sha256)
                raise UsageError(
                    f"{delivery}: the archive has lost {file.name}; restore it, {file}"
                )
            files[sha256] = stack.enter_context(raw_bytes(settings.archive, sha256, folder))
        scratch = folder / f"unpacked-{delivery.sha256}"  # made when something is unpacked
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        limits = settings.max_uncompressed_bytes, settings.max_archive_ratio
        bench = Bench(delivery.department, *limits, scratch, mask)
        yield [(one, files[one.sha256]) for one in chain], bench


def open_brought(
    chain: Chain, bench: Bench, source: Source, owners: Owners, as_written: bool = False
) -> Reading:
    """Open what `brought` yields; `as_written` with the file's own columns, as verbatim.py says."""
    if len(chain) > 1:
        return open_return(chain, source, bench, owners, as_written)
    [(origin, path)] = chain
    reading = bench.open(path, origin.format, source)
    if not as_written:
        return reading
    return bench.open(path, origin.format, verbatim(source, reading.header))
