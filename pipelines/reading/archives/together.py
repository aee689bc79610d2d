"""Several files of data as one delivery: rows carry the file they stand in as their sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.consistency import fold_text
from pipelines.contracts.extensions import WRAPPERS
from pipelines.contracts.models import Source
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.archives.contents import DataFile, placed
from pipelines.reading.layout import Reading, Section

Read = Callable[[DataFile], Reading]


def together(files: Sequence[DataFile], source: Source, read: Read) -> Reading:
    """The members of an archive as one delivery, each with a header of its own.

    Every header is looked at before any row is taken: reasons name the member. Raises
    RejectedError and UnreadableError as a single file would.
    """
    headers, faults, warnings = [], [], []
    for file in files:
        reading = _opened(file, read)
        headers.append(reading.header)
        faults += _placed(reading.header.faults(source), file)
        warnings += _placed(reading.warnings, file)
    if faults:
        raise RejectedError(faults, sum(_rows(file, read) for file in files))
    extra = dict.fromkeys(name for header in headers for name in header.extra)
    header = replace(headers[0], extra=tuple(extra))
    sections: dict[str, Section] = {}
    batches = _batches(files, source, read, sections)
    return Reading(header, batches, tuple(warnings), sections)


def _opened(file: DataFile, read: Read) -> Reading:
    try:
        return read(file)
    except UnreadableError as error:
        raise placed(error, file.member) from None


def _rows(file: DataFile, read: Read) -> int:
    try:
        return sum(batch.num_rows for batch in _opened(file, read).batches)
    except RejectedError as error:
        return error.rows_read


def _batches(
    files: Sequence[DataFile], source: Source, read: Read, sections: dict[str, Section]
) -> Iterator[pa.RecordBatch]:
    places: dict[str, str] = {}  # by title
    for position, file in enumerate(files):
        stem = _title(file.member)
        try:
            reading = _opened(file, read)
            for batch in reading.batches:
                title: str | None = stem
                for sheet in pc.unique(batch.column("sheet")).to_pylist():
                    inside = reading.section(sheet)
                    title = None if inside.title else stem
                    place = f"{file.member}/{sheet}" if sheet else file.member
                    section = Section(inside.header, inside.title or stem)
                    _check_title(source, section.title, place, places)
                    sections[place] = section
                yield _of_member(batch, file.member, source, title)
        except UnreadableError as error:
            raise placed(error, file.member) from None
        except RejectedError as error:  # found among the rows, such as on a later sheet
            others = [*files[:position], *files[position + 1 :]]
            rows = error.rows_read + sum(_rows(other, read) for other in others)
            raise RejectedError(_placed(error.reasons, file), rows) from None


def _title(member: str) -> str:
    """A member's name without folders and endings: 东区 of x/东区.csv.gz."""
    name = PurePosixPath(member)
    while name.suffix.lower().lstrip(".") in WRAPPERS:
        name = name.with_suffix("")
    return name.stem


def _check_title(source: Source, title: str, place: str, places: dict[str, str]) -> None:
    """Raise where rows of two places would be called alike, and one pass for the other's copy."""
    title = fold_text(title).strip()
    other = places.setdefault(title, place)
    if other != place and any(column.from_sheet for column in source.columns):
        raise UnreadableError(Reason(code="same_title", value=other, expected=title, place=place))


def _placed(reasons: Sequence[Reason], file: DataFile) -> list[Reason]:
    return [
        reason.model_copy(
            update={"place": f"{file.member}/{reason.place}" if reason.place else file.member}
        )
        for reason in reasons
    ]


def _of_member(
    batch: pa.RecordBatch, member: str, source: Source, title: str | None
) -> pa.RecordBatch:
    """The batch with the member in `sheet`, and `title`, if any, where columns take its name."""
    sheet = batch.column("sheet")
    has_none = pc.equal(sheet, "")
    inside = pc.binary_join_element_wise(member, sheet, "/")
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    columns["sheet"] = pc.if_else(has_none, pa.scalar(member), inside)
    mapped = pc.is_null(batch.column("_fault"))
    for column in source.columns:
        if column.from_sheet and title is not None:
            columns[column.name] = pc.if_else(mapped, pa.scalar(title), columns[column.name])
    return pa.record_batch(list(columns.values()), schema=batch.schema)
