"""Unpack archives into a folder of ours, counting the bytes that come out.

Names inside are strangers' words: they are shown and their extensions read, and never used as a
path. What an archive says of its sizes is not believed either.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.layout import damaged
from pipelines.reading.zips import opened

BLOCK = 1 << 20
ALLOWED_BYTES = 10 << 20  # what any archive may unpack to, whatever its ratio
RATIO = 200
MEMBERS = 1_000
SHOWN_NAMES = 20
ENCRYPTED_FLAG = 0x1  # APPNOTE 4.4.4: bit 0
UTF8_FLAG = 0x800  # bit 11: the name is UTF-8
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
METHOD_NAMES = {9: "Deflate64", 12: "BZIP2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
LITTER = re.compile(r"(?:^|/)(?:__MACOSX/|\.[_~]|\.DS_Store$|Thumbs\.db$|desktop\.ini$|~\$)", re.I)
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@dataclass
class Allowance:
    """Limit what may come out of one delivery: `packed` bytes came, `unpacked` went out so far."""

    limit: int
    packed: int
    ratio: int = RATIO
    members: int = MEMBERS
    unpacked: int = 0

    def take(self, count: int) -> None:
        """Count bytes that have come out; raise UnreadableError if they are too many."""
        self.unpacked += count
        if self.unpacked > self.limit:
            value = f"over {self.limit}"
            raise UnreadableError(Reason(code="too_large", value=value, expected=str(self.limit)))
        if self.unpacked > max(ALLOWED_BYTES, self.ratio * self.packed):
            raise _bomb(f"{self.packed} -> {self.unpacked}", f"1:{self.ratio}")


@dataclass(frozen=True)
class Member:
    """A file of an archive: `name` for people, `entry` for the package."""

    name: str
    entry: zipfile.ZipInfo


def _bomb(value: str, expected: str) -> UnreadableError:
    return UnreadableError(Reason(code="bomb", value=value, expected=expected))


def gunzip(path: Path, place: Path, allowance: Allowance) -> None:
    """Unpack a gzip file (all its streams) to `place`."""
    try:
        with gzip.open(path) as stream:
            _copy(stream, place, allowance)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(error) from None


def members(path: Path, allowance: Allowance) -> list[Member]:
    """Return the files of a zip archive, without the litter of operating systems."""
    with opened(path) as package:
        entries = package.infolist()
    if len(entries) > allowance.members:
        raise _bomb(f"{len(entries)} files", str(allowance.members))
    files = (entry for entry in entries if not entry.filename.endswith("/"))
    named = [Member(_printable_name(entry), entry) for entry in files]
    data = [member for member in named if not LITTER.search(member.name)]
    if len({member.name for member in data}) < len(data):  # rows could not be told apart
        raise UnreadableError(Reason(code="damaged", value="two of its files have one name"))
    return data


def extract(path: Path, member: Member, place: Path, allowance: Allowance) -> None:
    """Unpack one member to `place`, and check its checksum."""
    entry = member.entry
    if entry.flag_bits & ENCRYPTED_FLAG:
        raise UnreadableError(Reason(code="encrypted_archive", value=member.name))
    if entry.compress_type not in METHODS:
        method = METHOD_NAMES.get(entry.compress_type, str(entry.compress_type))
        raise UnreadableError(Reason(code="packing", value=method))
    with opened(path) as package, package.open(entry) as stream:
        _copy(stream, place, allowance)


def _copy(stream: IO[bytes] | gzip.GzipFile, place: Path, allowance: Allowance) -> None:
    with place.open("xb") as target:
        while block := stream.read(BLOCK):
            allowance.take(len(block))
            target.write(block)


def _printable_name(entry: zipfile.ZipInfo) -> str:
    """Return the member's name as the system that packed it spelled it."""
    name = entry.filename
    if not entry.flag_bits & UTF8_FLAG:
        # Without the flag zipfile takes a name for CP437. Chinese systems write GBK or UTF-8.
        raw = name.encode("cp437", "replace")
        for encoding in ("utf-8", "gb18030"):
            try:
                name = raw.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return UNPRINTABLE.sub("?", name.replace("\\", "/"))[-200:]


def shown_names(packed: Sequence[Member]) -> str:
    """Return the first names of members, without their folders, for a message."""
    more = f" … ({len(packed)})" if len(packed) > SHOWN_NAMES else ""
    names = (PurePosixPath(member.name).name for member in packed[:SHOWN_NAMES])
    return "、".join(names) + more
