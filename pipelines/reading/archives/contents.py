"""Find the files of data that a delivery really holds, unpacked, each with its true format."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.contracts.extensions import WRAPPERS, format_of
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.archives.sniffing import ENCRYPTED, TEXT, format_by_content
from pipelines.reading.archives.unpacking import Allowance, extract, gunzip, members, shown_names

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
    """Find the files of data in one delivery; `warnings` are what people should know of them.

    Archives are unpacked into `scratch`, as far as `allowance` permits.
    """

    source: Source
    scratch: Path
    allowance: Allowance
    warnings: list[Reason] = field(default_factory=list)
    _unpacked: int = 0  # files in `scratch`

    def files(self, path: Path, claimed: str, member: str = "", depth: int = 0) -> list[DataFile]:
        """Return the files of data in `path`, whose name claims the (wrapped) format `claimed`.

        Raise UnreadableError when it is of no declared format, or an archive that is refused.
        """
        if path.stat().st_size == 0:
            raise UnreadableError(Reason(code="empty_file"))
        inside, _, outer = claimed.rpartition(".")
        actual = format_by_content(path, outer)
        if actual in WRAPPERS:
            if actual != outer:
                self._warn_misnamed(actual, claimed)
                inside = inside if outer in WRAPPERS else claimed
            if depth == DEPTH:
                raise UnreadableError(Reason(code="nested", expected=str(DEPTH)))
            if actual == "zip":
                return self._zipped(path, inside, member, depth + 1)
            place = self._new_place()
            gunzip(path, place, self.allowance)
            return self.files(place, inside, member, depth + 1)
        if outer in WRAPPERS and inside and inside not in WRAPPERS:  # it is not packed at all
            actual = format_by_content(path, inside)
        declared = self.source.formats.declared
        is_unsigned = actual == TEXT
        if is_unsigned and "csv" in declared:
            actual = "csv"
        if actual not in declared:
            if actual == ENCRYPTED:
                raise UnreadableError(Reason(code="encrypted"))
            code, expected = "format" if actual == claimed else "other_format", ", ".join(declared)
            raise UnreadableError(Reason(code=code, value=actual, expected=expected))
        if actual != claimed:
            self._warn_misnamed(actual, claimed)
        return [DataFile(path, actual, member, is_unsigned)]

    def _zipped(self, path: Path, inside: str, member: str, depth: int) -> list[DataFile]:
        """Return the files of data of a zip; `inside` is the format that its own name claims."""
        packed = members(path, self.allowance)
        claims = {entry.name: format_of(Path(entry.name)) for entry in packed}
        data = [entry for entry in packed if claims[entry.name] and not NOTES.search(entry.name)]
        if not data and len(packed) == 1 and inside:
            data, claims = packed, {packed[0].name: inside}
        if not data:
            names = shown_names(packed)
            expected = ", ".join(self.source.formats.declared)
            raise UnreadableError(Reason(code="no_data_file", value=names, expected=expected))
        if len(data) > 1 and self.source.formats.zip.members == "one":
            raise UnreadableError(Reason(code="several_files", value=shown_names(data)))
        ignored = [entry for entry in packed if entry not in data]
        if ignored:
            self.warnings.append(Reason(code="member_ignored", value=shown_names(ignored)))
        files: list[DataFile] = []
        for entry in data:
            name = f"{member}/{entry.name}" if member else entry.name
            place = self._new_place()
            try:
                extract(path, entry, place, self.allowance)
                files += self.files(place, claims[entry.name] or "", name, depth)
            except UnreadableError as error:
                raise placed(error, entry.name) from None
        return files

    def _new_place(self) -> Path:
        """Return a path of ours for a file to unpack: names in archives are never used as one."""
        self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._unpacked += 1
        return self.scratch / f"unpacked-{self._unpacked}"

    def _warn_misnamed(self, actual: str, claimed: str) -> None:
        self.warnings.append(Reason(code="misnamed", value=actual, expected=claimed))


def placed(error: UnreadableError, member: str) -> UnreadableError:
    """Return the error with the name of the archive's member in which it arose."""
    place = error.reason.place or member
    return UnreadableError(error.reason.model_copy(update={"place": place}))
