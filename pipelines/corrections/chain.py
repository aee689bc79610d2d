"""A correction chain: an archived delivery and the feedback workbooks returned for it.

The original is always read again from the archive, by the contract of today, so the whole delivery
is judged again: all its rows, except that a department has corrected some and struck out others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.sources import Source
from pipelines.corrections.returned_workbook import (
    CorrectedRow,
    ReturnedWorkbook,
    RowPlace,
    headers_of,
    read_returned_workbook,
    verbatim,
)
from pipelines.deliveries import feedback_form
from pipelines.deliveries.delivery import Delivery, Origin
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.landing.archive import raw_bytes
from pipelines.reading.formats import FileOpener
from pipelines.reading.headers.matching import match
from pipelines.reading.layout import BATCH_ROWS, Reading, from_columns

# Maps the names by which rows call a department to its code, None for a name nobody knows.
Owners = Callable[[Sequence[str]], Mapping[str, str | None]]


@dataclass(frozen=True)
class CorrectionChain:
    """The archived files of a delivery, the original first, itself the last; how to open them."""

    files: tuple[tuple[Origin, Path], ...]
    opener: FileOpener


@contextmanager
def archived_chain(
    delivery: Delivery, archive: Path, folder: Path, opener: FileOpener
) -> Iterator[CorrectionChain]:
    """Yield the chain that ends with `delivery`, its files in `folder` until the block ends.

    Raise UsageError if the archive has lost a file, StorageError if it has damaged one.
    """
    origins = (*delivery.corrects, delivery.origin)
    with ExitStack() as stack:
        paths = {
            sha256: stack.enter_context(raw_bytes(archive, sha256, folder, delivery))
            for sha256 in dict.fromkeys(origin.sha256 for origin in origins)
        }
        files = tuple((origin, paths[origin.sha256]) for origin in origins)
        yield CorrectionChain(files, opener)


def open_corrected(
    chain: CorrectionChain, source: Source, owners: Owners, as_written: bool = False
) -> Reading:
    """Open the original of `chain` with the corrections of the returns after it.

    `as_written` yields the file's own columns (`verbatim`) instead of the contract's. Raise
    UnreadableError if the last file is no workbook of ours for one of the files before it, and
    RejectedError if its rows replace none of the original's, or another department's.
    """
    (origin, path), *returns = chain.files
    original = chain.opener.open(path, origin.format, source)
    if not returns and not as_written:
        return original
    corrections = _valid_corrections(chain, source, original, owners) if returns else {}
    view = verbatim(source, original.header) if as_written else source
    reading = chain.opener.open(path, origin.format, view)
    headers = headers_of(original.header)
    return replace(reading, batches=_overlaid(reading, view, headers, corrections))


def _valid_corrections(
    chain: CorrectionChain, source: Source, original: Reading, owners: Owners
) -> dict[RowPlace, CorrectedRow]:
    """Return the newest correction of each row, reading all rows of `original`.

    A return that was itself refused has corrected nothing, so one in the middle of the chain is
    passed over; the last is the delivery to be judged, and what is wrong with it is raised.
    """
    returns = chain.files[1:]
    workbooks: list[ReturnedWorkbook | None] = []
    for number, (_, path) in enumerate(returns, start=1):
        earlier = {origin.delivery_id: origin.sha256 for origin, _ in chain.files[:number]}
        try:
            workbooks.append(
                read_returned_workbook(path, source, original.header, earlier, chain.opener)
            )
        except UnreadableError:
            if number == len(returns):
                raise
            workbooks.append(None)
    wanted = {place for workbook in workbooks if workbook for place in workbook.rows}
    # Only in a file of many departments do the rows say whose they are.
    naming = source.partition.department if chain.opener.department is None else None
    departments, rows_read = _find_rows(original.batches, wanted, naming, owners)
    positions = match(source, headers_of(original.header)).positions
    corrections: dict[RowPlace, CorrectedRow] = {}
    for number, ((origin, _), workbook) in enumerate(zip(returns, workbooks, strict=True), start=1):
        if workbook is None:
            continue
        faults, corrected_departments = _check_rows(
            workbook, departments, origin.scope, naming, positions.get(naming or ""), owners
        )
        if not faults:
            departments = corrected_departments
            corrections |= workbook.rows
        elif number == len(returns):
            raise RejectedError(_first_by_code(faults), rows_read)
    return corrections


def _find_rows(
    batches: Iterable[pa.RecordBatch], wanted: set[RowPlace], naming: str | None, owners: Owners
) -> tuple[dict[RowPlace, str | None], int]:
    """Return the `wanted` rows that exist, with their departments; and the count of all rows.

    The department is what the column `naming` says, None if there is no such column.
    """
    names: dict[RowPlace, str | None] = {}
    count = 0
    for batch in batches:
        count += batch.num_rows
        rows = batch.filter(pa.array(are_in(batch, wanted)))
        texts = rows[naming].to_pylist() if naming else [None] * rows.num_rows
        places = zip(rows["sheet"].to_pylist(), rows["row_number"].to_pylist(), strict=True)
        names |= zip(places, texts, strict=True)
    codes = owners(sorted({text for text in names.values() if text}))
    return {place: codes.get(text or "") for place, text in names.items()}, count


def are_in(batch: pa.RecordBatch, places: Collection[RowPlace]) -> np.ndarray:
    """Flag the rows of a batch whose sheet and row number are among `places`."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for sheet, number in places:
        numbers[sheet].append(number)
    flags = np.zeros(batch.num_rows, dtype=bool)
    for sheet, row_numbers in numbers.items():
        of_sheet = pc.equal(batch["sheet"], sheet).to_numpy(zero_copy_only=False)
        flags |= of_sheet & np.isin(batch["row_number"].to_numpy(), row_numbers)
    return flags


def _check_rows(
    workbook: ReturnedWorkbook,
    departments: Mapping[RowPlace, str | None],
    scope: str,
    naming: str | None,
    naming_cell: int | None,
    owners: Owners,
) -> tuple[list[Reason], dict[RowPlace, str | None]]:
    """Return what is wrong with a workbook's rows, and whose the rows are with its corrections.

    `departments` are those of the original's rows, as corrected so far; `scope` is the department
    that may correct them. It may neither touch another's row nor give a row to another. The
    bureau's own workbook (`ALL`) holds rows that name nobody known, and may say whose they are.
    `naming_cell` is where the corrected cells name the department.
    """
    faults = list(workbook.faults)
    corrected = dict(departments)
    for place, row in workbook.rows.items():
        if place not in departments:
            faults.append(Reason(code="return_unknown_row", count=1, row=row.row_number))
    if naming is None:
        return faults, corrected
    scope_code = None if scope == feedback_form.ALL else scope
    texts = {
        place: "" if naming_cell is None or row.cells is None else row.cells[naming_cell]
        for place, row in workbook.rows.items()
    }
    codes = owners(sorted(set(texts.values())))
    for place, row in workbook.rows.items():
        if place not in departments:
            continue
        code = codes.get(texts[place])
        is_given_away = scope_code is not None and code not in (scope_code, None)
        if departments[place] != scope_code or is_given_away:
            value = f"{place[0]} {place[1]}".strip()
            reason = Reason(code="return_foreign_row", value=value, count=1, row=row.row_number)
            faults.append(reason)
        elif row.cells is not None:
            corrected[place] = code
    return faults, corrected


def _first_by_code(faults: Iterable[Reason]) -> list[Reason]:
    """Return the reason of the first row for each code, with the count of all its rows."""
    by_code: dict[str, list[Reason]] = defaultdict(list)
    for reason in sorted(faults, key=lambda fault: fault.row or 0):
        by_code[reason.code].append(reason)
    return [same[0].model_copy(update={"count": len(same)}) for same in by_code.values()]


def _overlaid(
    original: Reading,
    source: Source,
    headers: Sequence[str],
    corrections: Mapping[RowPlace, CorrectedRow],
) -> Iterator[pa.RecordBatch]:
    """Yield the original's rows without the corrected ones, and after them the corrected rows."""
    for batch in original.batches:
        replaced = are_in(batch, corrections)
        yield batch.filter(pa.array(~replaced)) if replaced.any() else batch
    yield from corrected_rows(original, source, headers, corrections)


def corrected_rows(
    original: Reading,
    source: Source,
    headers: Sequence[str],
    corrections: Mapping[RowPlace, CorrectedRow],
) -> Iterator[pa.RecordBatch]:
    """Yield the corrected rows, whose cells stand below `headers`, at their original's places.

    `original` must have been read. Struck-out rows are noise. Cells leave away the units that
    the original's first header states, as the original's own cells do.
    """
    header = replace(
        match(source, headers),
        suffixes=original.header.suffixes,
        unit_words=original.header.unit_words,
    )
    struck_out_cells = ("",) * len(headers)
    for sheet, group in groupby(sorted(corrections), key=itemgetter(0)):
        places = list(group)
        for start in range(0, len(places), BATCH_ROWS):
            rows = [corrections[place] for place in places[start : start + BATCH_ROWS]]
            cells = zip(*(row.cells or struck_out_cells for row in rows), strict=True)
            columns = [pa.array(column, pa.string()) for column in cells]
            numbers = np.array([number for _, number in places[start : start + BATCH_ROWS]], int)
            struck_out = np.array([row.cells is None for row in rows])
            title = original.section(sheet).title
            yield from_columns(source, header, columns, numbers, sheet, struck_out, title)
