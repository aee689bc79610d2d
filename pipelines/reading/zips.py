"""Zip packages of strangers, opened only if their directory fits into memory."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.layout import damaged

DIRECTORY_BYTES = 8 << 20  # the names of some 80,000 entries
BROKEN = (  # raised by zipfile for a package that is not sound
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    NotImplementedError,
    RuntimeError,
    EOFError,
    struct.error,
    ValueError,
)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a package; blame errors inside the block on the file, unless they are the disk's.

    Raise UnreadableError if it is no package, or its directory is absurdly large.
    """
    try:
        with path.open("rb") as file:
            # zipfile would read the whole directory and make an object of every entry. Its own
            # search for the directory's size is the only one that cannot find another than it.
            end = zipfile._EndRecData(file)  # type: ignore[attr-defined]  # it has no public name
            size = end[zipfile._ECD_SIZE] if end else 0  # type: ignore[attr-defined]  # nor has this
        if size > DIRECTORY_BYTES:
            actual, limit = f"directory of {size} bytes", f"{DIRECTORY_BYTES} bytes"
            raise UnreadableError(Reason(code="bomb", value=actual, expected=limit))
        with zipfile.ZipFile(path) as package:
            yield package
    except BROKEN as error:
        raise damaged(error) from None
