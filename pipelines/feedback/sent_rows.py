"""Read rows of an archived file as their department wrote them, for its feedback workbook."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from decimal import Decimal, InvalidOperation
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.columns import ColumnType
from pipelines.contracts.sources import Source
from pipelines.corrections.chain import archived_chain, are_in, corrected_rows, open_corrected
from pipelines.corrections.returned_workbook import CorrectedRow, RowPlace, headers_of
from pipelines.deliveries.delivery import Delivery
from pipelines.engine import duckdb_of, keep, open_duckdb, run
from pipelines.errors import UsageError
from pipelines.reading.formats import FileOpener
from pipelines.reading.headers.matching import match
from pipelines.reading.layout import Reading
from pipelines.reading.masking import mask_of
from pipelines.settings import Settings
from pipelines.staging.owners import department_names, owners

STEP = Decimal("0.000001")  # Decimals are stored to this precision.


class SentRow(NamedTuple):
    """A row: its cells below the file's headers, and the cells that no header stands over."""

    cells: tuple[str, ...]
    beyond: tuple[str, ...]


class SentFile(NamedTuple):
    """The headers of a file whose rows are to be mended, and those rows by their place.

    `positions` are those of the contract's columns among the `headers`; `units` say in Chinese, by
    position, what figures count in.
    """

    headers: tuple[str, ...]
    positions: Mapping[str, int]
    units: Mapping[int, str]
    rows: Mapping[RowPlace, SentRow]


def read_as_sent(
    settings: Settings,
    catalog: Catalog,
    delivery: Delivery,
    wanted: Collection[RowPlace],
    work: Path,
) -> SentFile:
    """Read the archived file's `wanted` rows; raise UsageError if it cannot show them.

    The file is read twice: with its own columns as they are written, and by its contract, as it was
    judged. From the second come figures that were rounded, and whether the first is faithful.
    """
    contract = catalog.sources[delivery.source]
    engine = open_duckdb(None, settings, macros=True)
    try:
        with ExitStack() as stack:
            connection = stack.enter_context(engine.connect())
            duckdb = duckdb_of(connection)
            if contract.partition.department:
                run(connection, "CREATE SCHEMA chunk")
                keep(connection, "chunk.department_name", department_names(catalog.departments))
            limits = settings.max_uncompressed_bytes, settings.max_archive_ratio
            scratch = work / f"unpacked-{delivery.sha256}"  # Made when something is unpacked.
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            opener = FileOpener(delivery.department, *limits, scratch, mask_of(duckdb, contract))
            files = archived_chain(delivery, settings.archive, work, opener)
            chain = stack.enter_context(files)
            written = open_corrected(chain, contract, partial(owners, duckdb), as_written=True)
            headers = headers_of(written.header)
            rows: dict[RowPlace, SentRow] = {}
            for place, row in _rows_at(written, wanted):
                header = written.section(place[0]).header
                rows[place] = _sent_row(row, headers, header.cells[: header.width])
            positions = match(contract, headers).positions
            judged = open_corrected(chain, contract, partial(owners, duckdb))
            judged_rows = dict(_rows_at(judged, rows.keys()))
            suffixes = judged.header.suffixes
            for place, row in judged_rows.items():
                if row["_fault"] is None:
                    rows[place] = _rounded(rows[place], row, contract, positions, suffixes)
            _check_faithful(delivery, contract, judged, judged_rows, headers, rows)
    finally:
        engine.dispose()
    lost = set(wanted) - rows.keys()
    if lost:
        raise UsageError(
            f"{delivery} ({delivery.delivery_id}): row {min(lost)[1]} is not where it was judged; "
            f"the contract has changed since: `citybrain rebuild {delivery.source}`, then publish"
        )
    units: dict[int, str] = {}
    for name, position in positions.items():
        if suffix := suffixes.get(name):
            units[position] = f"按原文件的注明，以“{suffix}”计，更正时请勿换算"
        elif contract.column(name).share:
            units[position] = "百分数，如 97%"
    return SentFile(headers, positions, units, rows)


def _rows_at(
    reading: Reading, wanted: Collection[RowPlace]
) -> Iterator[tuple[RowPlace, dict[str, Any]]]:
    """Yield the `wanted` rows of a file in the readers' layout, each with its place."""
    for batch in reading.batches:
        for row in batch.filter(are_in(batch, wanted)).to_pylist():
            yield (row["sheet"], row["row_number"]), row


def _sent_row(row: Mapping[str, Any], headers: Sequence[str], above: Sequence[str]) -> SentRow:
    """Return the cells of a row below each of `headers`, and the cells beyond its header.

    `above` are all cells of the header row above it. A torn row, with more or fewer cells than
    those, has only its raw cells: each is taken to stand below the header at its place.
    """
    if row["_torn"] is None:
        return SentRow(tuple(row[f"c{number}"] or "" for number in range(len(headers))), ())
    torn = json.loads(row["_torn"])
    by_header = dict(zip(above, torn, strict=False))
    cells = tuple(by_header.get(header, "") for header in headers)
    return SentRow(cells, tuple(torn[len(above) :]))


def _rounded(
    row: SentRow,
    judged: Mapping[str, Any],
    contract: Source,
    positions: Mapping[str, int],
    suffixes: Mapping[str, str],
) -> SentRow:
    """Return the row with its computed figures (1/3) as they were judged.

    Their more than six places would be refused when the row comes back.
    """
    cells = list(row.cells)
    for name, position in positions.items():
        if contract.column(name).type is ColumnType.DECIMAL:
            text = (judged[name] or "").removesuffix(suffixes.get(name, ""))
            try:
                if abs(Decimal(cells[position]) - Decimal(text)) < STEP:
                    cells[position] = text
            except InvalidOperation:
                # One of the two is no plain number, so nothing was rounded.
                continue
    return row._replace(cells=tuple(cells))


def _check_faithful(
    delivery: Delivery,
    contract: Source,
    judged: Reading,
    judged_rows: Mapping[RowPlace, Mapping[str, Any]],
    headers: tuple[str, ...],
    rows: Mapping[RowPlace, SentRow],
) -> None:
    """Raise UsageError if an unedited workbook row would not read back as the same values.

    It would not where a later sheet, or a file of an archive, heads its columns otherwise than the
    first. Rows that fit no columns have no values to compare: there the headers are compared.
    """
    names = contract.column_names
    values: dict[RowPlace, list[str]] = {}
    unfaithful: list[RowPlace] = []
    first = judged.header
    for place, row in judged_rows.items():
        if row["_fault"] is None:
            values[place] = [row[name] or "" for name in names]
        elif any((*rows[place].cells, *rows[place].beyond)):
            header = judged.section(place[0]).header
            has_same_columns = sorted(headers_of(header)) == sorted(headers_of(first))
            if not has_same_columns or header.suffixes != first.suffixes:
                unfaithful.append(place)
    unedited = {place: CorrectedRow(0, rows[place].cells) for place in values}
    for batch in corrected_rows(judged, contract, headers, unedited):
        for row in batch.to_pylist():
            place = row["sheet"], row["row_number"]
            if [row[name] or "" for name in names] != values[place]:
                unfaithful.append(place)
    if unfaithful:
        sheet, number = min(unfaithful)
        raise UsageError(
            f"{delivery} ({delivery.delivery_id}): row {number} of {sheet or 'the file'} "
            "stands under other headers than the file's first rows: a workbook cannot "
            "show both; ask for the whole file again"
        )
