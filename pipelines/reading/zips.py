"""Zip packages of strangers, opened only if their directory fits into memory."""

from __future__ import annotations

import os
import re
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
END = b"PK\x05\x06"  # APPNOTE 4.3.16: the directory's size at 12
END64 = b"PK\x06\x06"  # APPNOTE 4.3.14: the directory's size at 40
ELSEWHERE = 0xFFFFFFFF  # the size is in the other
TAIL_BYTES = 22 + (1 << 16) + 20 + 56  # both, the locator between them, and a comment


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a package; blame errors inside the block on the file, unless they are the disk's.

    Raise UnreadableError if it is no package, or its directory is absurdly large.
    """
    try:
        size = _directory_bytes(path)
        if size > DIRECTORY_BYTES:
            actual, limit = f"directory of {size} bytes", f"{DIRECTORY_BYTES} bytes"
            raise UnreadableError(Reason(code="bomb", value=actual, expected=limit))
        with zipfile.ZipFile(path) as package:
            yield package
    except BROKEN as error:
        raise damaged(error) from None


def _directory_bytes(path: Path) -> int:
    """Return the size of the directory, as the package states it.

    zipfile reads that much, and makes an object of every entry.
    """
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - TAIL_BYTES))
        tail = file.read()
    large = _fields(tail, END64, "<Q", 40)
    small = [size for size in _fields(tail, END, "<L", 12) if size != ELSEWHERE or not large]
    return max([*small, *large], default=0)


def _fields(tail: bytes, signature: bytes, form: str, offset: int) -> list[int]:
    """Return the numbers at `offset` behind each signature: zipfile may take any of them."""
    places = [match.start() + offset for match in re.finditer(re.escape(signature), tail)]
    size = struct.calcsize(form)
    return [struct.unpack_from(form, tail, at)[0] for at in places if at + size <= len(tail)]
