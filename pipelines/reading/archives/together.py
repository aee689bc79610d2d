"""Read several files of data as one delivery: rows carry the file they stand in as their sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.extensions import WRAPPERS
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_text
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.archives.contents import DataFile, placed
from pipelines.reading.layout import Reading, Section

Read = Callable[[DataFile], Reading]


def together(files: Sequence[DataFile], source: Source, read: Read) -> Reading:
    """Return the members of an archive as one delivery, each with a header of its own.

    Every header is looked at before any row is taken: reasons name the member. Raise
    RejectedError and UnreadableError as a single file would.
    """
    headers, faults, warnings = [], [], []
    for file in files:
        reading = _open(file, read)
        headers.append(reading.header)
        faults += _placed(reading.header.faults(source), file)
        warnings += _placed(reading.warnings, file)
    if faults:
        raise RejectedError(faults, sum(_count_rows(file, read) for file in files))
    extra = dict.fromkeys(name for header in headers for name in header.extra)
    members = _Members(files, source, read)
    header = replace(headers[0], extra=tuple(extra))
    return Reading(header, members.batches(), tuple(warnings), members.sections)


def _open(file: DataFile, read: Read) -> Reading:
    try:
        return read(file)
    except UnreadableError as error:
        raise placed(error, file.member) from None


def _count_rows(file: DataFile, read: Read) -> int:
    try:
        return sum(batch.num_rows for batch in _open(file, read).batches)
    except RejectedError as error:
        return error.rows_read


def _placed(reasons: Sequence[Reason], file: DataFile) -> list[Reason]:
    """Return the reasons with the member, and the sheet in it, as their place."""
    places = ("/".join(filter(None, (file.member, reason.place))) for reason in reasons)
    return [
        reason.model_copy(update={"place": place})
        for reason, place in zip(reasons, places, strict=True)
    ]


@dataclass
class _Members:
    """Read the members one after another; `sections` are those, by place, that were read.

    `_places` are the places by the title that `from_sheet` columns give to their rows.
    """

    files: Sequence[DataFile]
    source: Source
    read: Read
    sections: dict[str, Section] = field(default_factory=dict)
    _places: dict[str, str] = field(default_factory=dict)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows of all members."""
        for position, file in enumerate(self.files):
            try:
                reading = _open(file, self.read)
                for batch in reading.batches:
                    yield self._of_member(batch, file, reading)
            except UnreadableError as error:
                raise placed(error, file.member) from None
            except RejectedError as error:  # a later sheet has an unsound header
                others = [*self.files[:position], *self.files[position + 1 :]]
                rows = error.rows_read + sum(_count_rows(other, self.read) for other in others)
                raise RejectedError(_placed(error.reasons, file), rows) from None

    def _of_member(self, batch: pa.RecordBatch, file: DataFile, reading: Reading) -> pa.RecordBatch:
        """Return the batch with the member in `sheet`, and its title where columns take that.

        The title is the member's name without folders and endings (东区 of x/东区.csv.gz), unless
        the sheets inside have titles of their own.
        """
        name = PurePosixPath(file.member)
        while name.suffix.lower().lstrip(".") in WRAPPERS:
            name = name.with_suffix("")
        title: str | None = name.stem
        sheets = batch.column("sheet")
        for sheet in pc.unique(sheets).to_pylist():
            inside = reading.section(sheet)
            title = None if inside.title else name.stem
            place = f"{file.member}/{sheet}" if sheet else file.member
            section = Section(inside.header, inside.title or name.stem)
            self._check_title(section.title, place)
            self.sections[place] = section
        columns = dict(zip(batch.schema.names, batch.columns, strict=True))
        inner = pc.binary_join_element_wise(file.member, sheets, "/")
        columns["sheet"] = pc.if_else(pc.equal(sheets, ""), pa.scalar(file.member), inner)
        is_mapped = pc.is_null(batch.column("_fault"))
        for column in self.source.columns:
            if column.from_sheet and title is not None:
                columns[column.name] = pc.if_else(is_mapped, pa.scalar(title), columns[column.name])
        return pa.record_batch(list(columns.values()), schema=batch.schema)

    def _check_title(self, title: str, place: str) -> None:
        """Raise UnreadableError if rows of two places would get one title and look like copies."""
        title = fold_text(title).strip()
        other = self._places.setdefault(title, place)
        if other != place and any(column.from_sheet for column in self.source.columns):
            reason = Reason(code="same_title", value=other, expected=title, place=place)
            raise UnreadableError(reason)
