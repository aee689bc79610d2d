"""Returned feedback workbooks: their rows take the places of those that they mend.

What they are laid upon is read from the archive by the contract of today, so that the whole is
judged again: the rows of the original, but for those that a department has corrected or struck out.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.models import Source
from pipelines.corrections.as_written import headers_of, verbatim
from pipelines.corrections.workbook import Corrected, Row, Workbook, read_workbook
from pipelines.deliveries import feedback_form
from pipelines.deliveries.delivery import Origin
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.formats import open_delivery
from pipelines.reading.headers.matching import Header, match
from pipelines.reading.layout import BATCH_ROWS, Reading, from_columns
from pipelines.reading.masking import Mask, opened_masked

Chain = Sequence[tuple[Origin, Path]]  # the original and the returns upon it, in their order
Owners = Callable[[Sequence[str]], Mapping[str, str | None]]  # departments by what rows call them


class Bench(NamedTuple):
    """Where files are opened: whose they are, how far they may unpack, and into which folder.

    `mask` is what the names inside them are told by (names.py), if they may be personal.
    """

    department: str | None
    limit: int
    ratio: int
    scratch: Path
    mask: Mask | None

    def open(self, path: Path, format_name: str, source: Source) -> Reading:
        """Open a delivery, unpacked into a folder of its own."""
        folder = self.scratch / uuid.uuid4().hex

        def read() -> Reading:
            return open_delivery(
                path, format_name, source, self.department, self.limit, folder, self.ratio
            )

        return read() if self.mask is None else opened_masked(read, self.mask)


def open_return(
    chain: Chain, source: Source, bench: Bench, owners: Owners, as_written: bool = False
) -> Reading:
    """The first of `chain`, whole, with the corrections of the returns after it.

    A return between that could not be taken in its own right has corrected nothing. `as_written`
    yields the file's own columns (verbatim.py) instead of the contract's. Raises UnreadableError
    when the last is no workbook of ours for one of those before it, and RejectedError when its
    rows name none of the original's, or another department's.
    """
    (whole, path), *later = chain
    header = bench.open(path, whole.format, source).header
    books = _workbooks(chain, source, header, bench)
    headers = headers_of(header)
    wanted = {row for book in books if book for row in book.rows}
    naming = source.partition.department if bench.department is None else None
    batches = bench.open(path, whole.format, source).batches
    there, rows_read = _there(batches, wanted, naming, owners)
    taken: dict[Row, Corrected] = {}
    for number, ((origin, _), book) in enumerate(zip(later, books, strict=True), start=1):
        if book is None:
            continue
        faults = [*book.faults, *_misplaced(book, there)]
        whose = dict(there)
        if naming is not None:
            cell = match(source, headers).positions.get(naming)
            faults += _foreign(book, whose, origin.scope, cell, owners)
        if not faults:
            there = whose
            taken |= book.rows
        elif number == len(later):
            raise RejectedError(_summed(faults), rows_read)
    view = verbatim(source, header) if as_written else source
    reading = bench.open(path, whole.format, view)
    return replace(reading, batches=laid_over(reading, view, headers, taken))


def _workbooks(chain: Chain, source: Source, header: Header, bench: Bench) -> list[Workbook | None]:
    """What each return says; None for one that could not be read in its own right."""
    books: list[Workbook | None] = []
    for number, (_, path) in enumerate(chain[1:], start=1):
        before = {one.delivery_id: one.sha256 for one, _ in chain[:number]}
        try:
            books.append(read_workbook(path, source, header, before, bench.open))
        except UnreadableError:
            if number == len(chain) - 1:
                raise
            books.append(None)
    return books


def _there(
    batches: Iterable[pa.RecordBatch], wanted: set[Row], naming: str | None, owners: Owners
) -> tuple[dict[Row, str | None], int]:
    """Which of `wanted` the original has, with the department that each names; its rows in all."""
    named: dict[Row, str | None] = {}
    count = 0
    for batch in batches:
        count += batch.num_rows
        rows = batch.filter(pa.array(are_in(batch, wanted)))
        texts = rows[naming].to_pylist() if naming else [None] * rows.num_rows
        places = zip(rows["sheet"].to_pylist(), rows["row_number"].to_pylist(), strict=True)
        named |= zip(places, texts, strict=True)
    codes = owners(sorted({text for text in named.values() if text}))
    return {row: codes.get(text or "") for row, text in named.items()}, count


def are_in(batch: pa.RecordBatch, rows: Collection[Row]) -> np.ndarray:
    """Which rows of a batch are among `rows`."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for sheet, number in rows:
        numbers[sheet].append(number)
    found = np.zeros(batch.num_rows, dtype=bool)
    for sheet, some in numbers.items():
        of_sheet = pc.equal(batch["sheet"], sheet).to_numpy(zero_copy_only=False)
        found |= of_sheet & np.isin(batch["row_number"].to_numpy(), some)
    return found


def _misplaced(book: Workbook, there: Collection[Row]) -> Iterator[Reason]:
    for row, corrected in book.rows.items():
        if row not in there:
            yield Reason(code="return_unknown_row", count=1, row=corrected.at)


def _foreign(
    book: Workbook, there: dict[Row, str | None], scope: str, naming: int | None, owners: Owners
) -> Iterator[Reason]:
    """Rows of a file of many departments that are not `scope`'s, or are given to another.

    The bureau's own workbook is for rows that name nobody known, and may say whose they are.
    `naming` is the cell that names a row's department. Notes in `there` whose it is from now on.
    """
    own = None if scope == feedback_form.ALL else scope
    texts = {
        row: "" if naming is None or one.cells is None else one.cells[naming]
        for row, one in book.rows.items()
    }
    codes = owners(sorted(set(texts.values())))
    for row, one in book.rows.items():
        whose = codes.get(texts[row])
        if row not in there:
            continue
        if there[row] != own or (own is not None and whose not in (own, None)):
            yield _of_row("return_foreign_row", row, one)
        elif one.cells is not None:
            there[row] = whose


def _of_row(code: str, row: Row, corrected: Corrected) -> Reason:
    return Reason(code=code, value=f"{row[0]} {row[1]}".strip(), count=1, row=corrected.at)


def _summed(faults: Iterable[Reason]) -> list[Reason]:
    """One reason a code, of the first row that it concerns."""
    by_code: dict[str, list[Reason]] = defaultdict(list)
    for reason in sorted(faults, key=lambda one: one.row or 0):
        by_code[reason.code].append(reason)
    return [some[0].model_copy(update={"count": len(some)}) for some in by_code.values()]


def laid_over(
    original: Reading, source: Source, headers: Sequence[str], taken: Mapping[Row, Corrected]
) -> Iterator[pa.RecordBatch]:
    """The original's rows without those that are replaced, and then these."""
    for batch in original.batches:
        replaced = are_in(batch, taken)
        yield batch.filter(pa.array(~replaced)) if replaced.any() else batch
    yield from corrected_rows(original, source, headers, taken)


def corrected_rows(
    original: Reading, source: Source, headers: Sequence[str], taken: Mapping[Row, Corrected]
) -> Iterator[pa.RecordBatch]:
    """Corrected rows, below `headers`, in their places in the original, which has been read.

    Their cells leave away the units that the original's first header says, as its own do.
    """
    header = replace(
        match(source, headers),
        suffixes=original.header.suffixes,
        unit_words=original.header.unit_words,
    )
    nothing = ("",) * len(headers)
    for sheet, group in groupby(sorted(taken), key=itemgetter(0)):
        rows = list(group)
        for start in range(0, len(rows), BATCH_ROWS):
            some = rows[start : start + BATCH_ROWS]
            cells = zip(*(taken[row].cells or nothing for row in some), strict=True)
            columns = [pa.array(column, pa.string()) for column in cells]
            numbers = np.array([number for _, number in some], dtype=np.int64)
            struck_out = np.array([taken[row].cells is None for row in some])
            title = original.section(sheet).title
            yield from_columns(source, header, columns, numbers, sheet, struck_out, title)
