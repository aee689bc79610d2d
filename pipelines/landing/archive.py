"""The archive's files: raw bytes under their hash, compressed (zstd) once they are old.

archive/<first two digits>/<sha256>        as they were received
archive/<first two digits>/<sha256>.zst    compressed; both may be there, and are the same bytes
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.errors import StorageError, UsageError

COMPRESSED = ".zst"
CODEC = "zstd"
NAME = re.compile(rf"([0-9a-f]{{64}})({re.escape(COMPRESSED)})?")
BLOCK = 1 << 20
SMALLEST = 4096  # a file takes a block of its disk at least
DENSE = (b"PK\x03\x04", b"PAR1")  # how workbooks and Parquet start: they are compressed already


class Stored(NamedTuple):
    """A file of the archive: the hash of its bytes, which form of them, its size and time."""

    path: Path
    sha256: str
    is_compressed: bool
    size: int
    modified: float  # seconds since 1970: when the bytes were archived


def archived(archive: Path, sha256: str) -> Path:
    """Where the archive keeps the bytes with this hash, as they were received."""
    return archive / sha256[:2] / sha256


def compressed(place: Path) -> Path:
    """Where it keeps those of `place` once they are compressed."""
    return place.with_name(place.name + COMPRESSED)


def find(archive: Path, sha256: str) -> Path | None:
    """The file that has the bytes with this hash, in either form; None when there is none."""
    place = archived(archive, sha256)
    # compressing puts the one in place before it removes the other
    return next((form for form in (place, compressed(place)) if form.exists()), None)


def contents(archive: Path) -> Iterator[Stored]:
    """Every file of the archive that is called as such; links are not followed."""
    for folder in folders(archive):
        with os.scandir(folder) as entries:
            for entry in entries:
                match = NAME.fullmatch(entry.name)
                if match and entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    is_compressed = match[2] is not None
                    yield Stored(
                        Path(entry.path), match[1], is_compressed, status.st_size, status.st_mtime
                    )


def folders(archive: Path) -> list[Path]:
    """The folders in which the archive's files lie, as far as they are there."""
    if not archive.is_dir():
        return []
    with os.scandir(archive) as entries:
        there = [one for one in entries if re.fullmatch("[0-9a-f]{2}", one.name)]
    return sorted(Path(one.path) for one in there if one.is_dir(follow_symlinks=False))


@contextmanager
def raw_bytes(archive: Path, sha256: str, folder: Path, delivery: object) -> Iterator[Path]:
    """Yield a file with the bytes of this hash, in `folder`, for as long as the block lasts.

    Raise UsageError, which names the `delivery`, if the archive has lost them: the loss is ours,
    and the department's file is not to blame. Raise StorageError if their compressed form is
    damaged.
    """
    if find(archive, sha256) is None:
        lost = archived(archive, sha256)
        raise UsageError(f"{delivery}: the archive has lost {lost.name}; restore it, {lost}")
    place, own = archived(archive, sha256), folder / f"raw-{sha256}"
    try:
        yield _bring(place, own)
    finally:
        own.unlink(missing_ok=True)


def _bring(place: Path, own: Path) -> Path:
    try:
        os.link(place, own)  # however long it is read, and whoever compresses it meanwhile
    except FileNotFoundError:
        _unpack(compressed(place), own)
    except OSError:  # it lies on another disk
        return place
    return own


def _unpack(packed: Path, own: Path) -> None:
    digest = hashlib.sha256()
    with own.open("xb") as file:
        for block in _unpacked(packed):
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != packed.name.removesuffix(COMPRESSED):
        raise _damaged(packed)


def _unpacked(packed: Path) -> Iterator[bytes]:
    if packed.stat().st_size == 0:  # to zstd that is no error, and no bytes
        raise _damaged(packed)
    with pa.OSFile(str(packed)) as file, pa.CompressedInputStream(file, CODEC) as stream:
        while block := _block(stream, packed):
            yield block


def _block(stream: Any, packed: Path) -> bytes:
    try:
        block: bytes = stream.read(BLOCK)
    except OSError as error:
        if error.errno is not None:  # the disk's
            raise
        raise _damaged(packed) from error
    return block


def _damaged(place: Path) -> StorageError:
    return StorageError(
        f"{place} is damaged: its bytes are not what its name says; restore it from backup"
    )


def is_compressible(place: Path) -> bool:
    """Whether compressing the raw bytes at `place` would save anything worth having."""
    with place.open("rb") as file:
        start = file.read(4)
        return os.fstat(file.fileno()).st_size > SMALLEST and not start.startswith(DENSE)


def compress(place: Path) -> int:
    """Put the compressed form of the raw bytes at `place` beside them, and remove them.

    Returns its size. It has been read back before the raw bytes go: killed at any instant, one
    form at least is there, and whole. Raises StorageError, with nothing changed, when the raw
    bytes are not those of their name.
    """
    packed = compressed(place)
    if not _is_sound(packed, place.name):
        _write(place, packed)
    size = packed.stat().st_size
    place.unlink()
    return size


def compressed_size(place: Path) -> int:
    """What `compress` would return; it changes nothing."""
    packed = compressed(place)
    if _is_sound(packed, place.name):
        return packed.stat().st_size
    counter = _Counter()
    _pack(place, counter)
    return counter.size


class _Counter(io.RawIOBase):
    """Counts what is written."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.size += len(data)
        return len(data)


def _write(place: Path, packed: Path) -> None:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".")  # mode 0600
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _pack(place, file)  # and closes it
        _sync(unfinished, os.O_RDONLY)
        if not _is_sound(unfinished, place.name):
            raise StorageError(
                f"{unfinished} did not read back as it was written: see whether its disk is sound"
            )
        status = place.stat()
        os.utime(unfinished, ns=(status.st_atime_ns, status.st_mtime_ns))
        unfinished.replace(packed)
        _sync(packed.parent, os.O_RDONLY | os.O_DIRECTORY)
    finally:
        unfinished.unlink(missing_ok=True)


def _pack(place: Path, sink: Any) -> None:
    digest = hashlib.sha256()
    with place.open("rb") as file, pa.CompressedOutputStream(sink, CODEC) as stream:
        while block := file.read(BLOCK):
            digest.update(block)
            stream.write(block)
    if digest.hexdigest() != place.name:
        raise _damaged(place)


def _is_sound(packed: Path, sha256: str) -> bool:
    """Whether the file is there and unpacks to the bytes with this hash."""
    digest = hashlib.sha256()
    try:
        for block in _unpacked(packed):
            digest.update(block)
    except (FileNotFoundError, StorageError):
        return False
    return digest.hexdigest() == sha256


def _sync(path: Path, how: int) -> None:
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
