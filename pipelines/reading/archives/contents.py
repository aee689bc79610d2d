"""What a delivery's file really holds: its files of data, unpacked, each with its true format."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from pipelines.contracts.extensions import WRAPPERS
from pipelines.contracts.models import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.archives.sniffing import ENCRYPTED, TEXT, format_by_content
from pipelines.reading.archives.unpacking import Allowance, extract, gunzip, listed, members

DEPTH = 2  # archives in archives
NOTES = re.compile(r"(?:^|/)(?:read[ _-]?me|[^/]*说明)[^/]*\.(?:txt|html?)$", re.I)


@dataclass(frozen=True)
class DataFile:
    """A file of rows and its format; `member` is its name in an archive, '' outside of one.

    `is_unsigned`: it is text under another format's name, and CSV only if its headers are found.
    """

    path: Path
    format: str
    member: str = ""
    is_unsigned: bool = False


@dataclass
class Contents:
    """Finds the files of data in one delivery, and notes what people should know of it.

    `claim` tells the format that a name claims, None when it claims none that we know.
    """

    source: Source
    scratch: Path
    claim: Callable[[str], str | None]
    allowance: Allowance
    warnings: list[Reason] = field(default_factory=list)
    _numbers: count[int] = field(default_factory=count)

    def files(self, path: Path, claimed: str, member: str = "", depth: int = 0) -> list[DataFile]:
        """The files of data in `path`, whose name claims the (wrapped) format `claimed`.

        Raises UnreadableError when it is of no declared format, or an archive that is refused.
        """
        if path.stat().st_size == 0:
            raise UnreadableError(Reason(code="empty_file"))
        inside, _, outer = claimed.rpartition(".")
        actual = format_by_content(path, outer)
        if actual in WRAPPERS:
            if actual != outer:
                self._misnamed(actual, claimed)
                inside = inside if outer in WRAPPERS else claimed
            if depth == DEPTH:
                raise UnreadableError(Reason(code="nested", expected=str(DEPTH)))
            unpack = self._gzipped if actual == "gz" else self._zipped
            return unpack(path, inside, member, depth + 1)
        if outer in WRAPPERS and inside and inside not in WRAPPERS:  # it is not packed at all
            actual = format_by_content(path, inside)
        agreed = self._agreed(actual, claimed)
        return [DataFile(path, agreed, member, is_unsigned=actual == TEXT)]

    def _gzipped(self, path: Path, inside: str, member: str, depth: int) -> list[DataFile]:
        place = self._place()
        gunzip(path, place, self.allowance)
        return self.files(place, inside, member, depth)

    def _zipped(self, path: Path, inside: str, member: str, depth: int) -> list[DataFile]:
        there = members(path, self.allowance)
        claims = {one.name: self.claim(one.name) for one in there if not NOTES.search(one.name)}
        data = [one for one in there if claims.get(one.name)]
        if not data and len(there) == 1 and inside:  # the archive's own name says what it is
            data, claims = there, {there[0].name: inside}
        names = listed([one.name for one in there])
        if not data:
            expected = ", ".join(self.source.formats.declared)
            raise UnreadableError(Reason(code="no_data_file", value=names, expected=expected))
        if len(data) > 1 and self.source.formats.zip.members == "one":
            names = listed([one.name for one in data])
            raise UnreadableError(Reason(code="several_files", value=names))
        ignored = [one.name for one in there if one not in data]
        if ignored:
            self.warnings.append(Reason(code="member_ignored", value=listed(ignored)))
        found: list[DataFile] = []
        for one in data:
            name = f"{member}/{one.name}" if member else one.name
            place = self._place()
            try:
                extract(path, one, place, self.allowance)
                found += self.files(place, claims[one.name] or "", name, depth)
            except UnreadableError as error:
                raise placed(error, one.name) from None
        return found

    def _place(self) -> Path:
        self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.scratch / f"unpacked-{next(self._numbers)}"

    def _agreed(self, actual: str, claimed: str) -> str:
        """The declared format in which the file is read."""
        declared = self.source.formats.declared
        expected = ", ".join(declared)
        if actual == ENCRYPTED:
            raise UnreadableError(Reason(code="encrypted"))
        if actual == TEXT and "csv" in declared:
            actual = "csv"
        if actual in declared:
            if actual != claimed:
                self._misnamed(actual, claimed)
            return actual
        code = "format" if actual == claimed else "other_format"
        raise UnreadableError(Reason(code=code, value=actual, expected=expected))

    def _misnamed(self, actual: str, claimed: str) -> None:
        self.warnings.append(Reason(code="misnamed", value=actual, expected=claimed))


def placed(error: UnreadableError, member: str) -> UnreadableError:
    """The error, naming the member that it speaks of."""
    place = error.reason.place or member
    return UnreadableError(error.reason.model_copy(update={"place": place}))
