"""The archive's files: raw bytes under their hash, compressed (zstd) once they are old.

archive/<first two digits>/<sha256>        as they were received
archive/<first two digits>/<sha256>.zst    compressed; if both are there they are the same bytes
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
SMALLEST = 4096  # A file takes a block of its disk at least.
DENSE = (b"PK\x03\x04", b"PAR1")  # Workbooks and Parquet start so: they are compressed already.


class Stored(NamedTuple):
    """A file of the archive: the hash of its bytes, its form, its size in bytes and its age.

    `modified` is when the bytes were archived, in seconds since 1970.
    """

    path: Path
    sha256: str
    is_compressed: bool
    size: int
    modified: float


def archived(archive: Path, sha256: str) -> Path:
    """Return the place of the bytes with this hash, as they were received."""
    return archive / sha256[:2] / sha256


def compressed(place: Path) -> Path:
    """Return the place of the compressed form of the bytes at `place`."""
    return place.with_name(place.name + COMPRESSED)


def find(archive: Path, sha256: str) -> Path | None:
    """Find the file that has the bytes with this hash, in either form; None if there is none.

    Compressing puts one form in place before it removes the other, so the received form is looked
    for first.
    """
    place = archived(archive, sha256)
    if place.exists():
        return place
    packed = compressed(place)
    return packed if packed.exists() else None


def contents(archive: Path) -> Iterator[Stored]:
    """Yield every file of the archive that has a hash for a name; links are not followed."""
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
    """List the folders in which the archive's files lie, as far as they exist."""
    if not archive.is_dir():
        return []
    with os.scandir(archive) as entries:
        return sorted(
            Path(entry.path)
            for entry in entries
            if re.fullmatch("[0-9a-f]{2}", entry.name) and entry.is_dir(follow_symlinks=False)
        )


@contextmanager
def raw_bytes(archive: Path, sha256: str, folder: Path, delivery: object) -> Iterator[Path]:
    """Yield a file with the bytes of this hash, in `folder`, for as long as the block lasts.

    It is a link of our own, so that it can be read however long, and whoever compresses the
    archive meanwhile. Raises UsageError, which names the `delivery`, if the archive has lost the
    bytes: the loss is ours, and the department's file is not to blame. Raises StorageError if
    their compressed form is damaged.
    """
    place, link = archived(archive, sha256), folder / f"raw-{sha256}"
    try:
        try:
            os.link(place, link)
            file = link
        except FileNotFoundError:
            if find(archive, sha256) is None:
                raise UsageError(
                    f"{delivery}: the archive has lost {place.name}; restore it, {place}"
                ) from None
            _unpack(compressed(place), link)
            file = link
        except OSError:
            # The archive lies on another disk, to which no link leads.
            file = place
        yield file
    finally:
        link.unlink(missing_ok=True)


def _unpack(packed: Path, target: Path) -> None:
    """Write the bytes of a compressed file to `target`; raise StorageError if it is damaged."""
    digest = hashlib.sha256()
    with target.open("xb") as file:
        for block in _unpacked(packed):
            digest.update(block)
            file.write(block)
    if digest.hexdigest() != packed.name.removesuffix(COMPRESSED):
        raise _damaged(packed)


def _unpacked(packed: Path) -> Iterator[bytes]:
    """Yield the bytes of a compressed file, block by block."""
    if packed.stat().st_size == 0:
        # To zstd that is no error, and no bytes.
        raise _damaged(packed)
    with pa.OSFile(str(packed)) as file, pa.CompressedInputStream(file, CODEC) as stream:
        while True:
            try:
                block: bytes = stream.read(BLOCK)
            except OSError as error:
                # An error number is the disk's; pyarrow gives damaged data none.
                if error.errno is not None:
                    raise
                raise _damaged(packed) from error
            if not block:
                return
            yield block


def _damaged(place: Path) -> StorageError:
    """Return the error of a file whose bytes are not those of its name."""
    return StorageError(
        f"{place} is damaged: its bytes are not what its name says; restore it from backup"
    )


def is_compressible(place: Path) -> bool:
    """Return whether compressing the raw bytes at `place` would save anything worth having."""
    with place.open("rb") as file:
        start = file.read(4)
        return os.fstat(file.fileno()).st_size > SMALLEST and not start.startswith(DENSE)


def compress(place: Path) -> int:
    """Put the compressed form of the raw bytes at `place` beside them, and remove them.

    Returns its size in bytes. It is read back before the raw bytes go: killed at any instant, at
    least one form is there and whole. Raises StorageError, with nothing changed, when the raw
    bytes are not those of their name.
    """
    packed = compressed(place)
    if not _is_sound(packed, place.name):
        _write(place, packed)
    size = packed.stat().st_size
    place.unlink()
    return size


def compressed_size(place: Path) -> int:
    """Return what `compress` would, and change nothing."""
    packed = compressed(place)
    if _is_sound(packed, place.name):
        return packed.stat().st_size
    counter = _Counter()
    _pack(place, counter)
    return counter.size


class _Counter(io.RawIOBase):
    """Count the bytes that are written, and keep none."""

    size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.size += len(data)
        return len(data)


def _write(place: Path, packed: Path) -> None:
    """Write the compressed form of `place` aside, read it back, and rename it to `packed`.

    It is synced before and after the rename, so that a power cut leaves no name without bytes; and
    it is as old as the raw bytes, for retention goes by that.
    """
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".")  # mode 0600
    unfinished = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _pack(place, file)  # Closes it.
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
    """Compress the raw bytes at `place` into `sink`; raise StorageError if they are damaged."""
    digest = hashlib.sha256()
    with place.open("rb") as file, pa.CompressedOutputStream(sink, CODEC) as stream:
        while block := file.read(BLOCK):
            digest.update(block)
            stream.write(block)
    if digest.hexdigest() != place.name:
        raise _damaged(place)


def _is_sound(packed: Path, sha256: str) -> bool:
    """Return whether the file exists and unpacks to the bytes with this hash."""
    digest = hashlib.sha256()
    try:
        for block in _unpacked(packed):
            digest.update(block)
    except (FileNotFoundError, StorageError):
        return False
    return digest.hexdigest() == sha256


def _sync(path: Path, how: int) -> None:
    """Wait until the disk has a file or, opened with O_DIRECTORY, a folder's names."""
    handle = os.open(path, how)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
