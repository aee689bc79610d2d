"""Rows of an archived file as their department wrote them: what feedback workbooks show."""

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
from pipelines.engine import open_duckdb
from pipelines.errors import UsageError
from pipelines.reading.formats import FileOpener
from pipelines.reading.headers.matching import match
from pipelines.reading.layout import Reading
from pipelines.reading.masking import mask_of
from pipelines.settings import Settings
from pipelines.staging.owners import department_names, owners

STEP = Decimal("0.000001")  # to which decimals are stored


class AsSent(NamedTuple):
    """A row: its cells below the file's headers, and those that no header stands over."""

    cells: tuple[str, ...]
    beyond: tuple[str, ...]


class SentFile(NamedTuple):
    """What is read of a file whose rows are to be mended.

    `positions` are the contract's columns among the `headers`, `units` what those count in, in
    Chinese, by position; `rows` the wanted ones, by where they stand.
    """

    headers: tuple[str, ...]
    positions: Mapping[str, int]
    units: Mapping[int, str]
    rows: Mapping[RowPlace, AsSent]


def read_as_sent(
    settings: Settings,
    catalog: Catalog,
    delivery: Delivery,
    wanted: Collection[RowPlace],
    work: Path,
) -> SentFile:
    """The archived file with its `wanted` rows; UsageError where it cannot show them."""
    contract = catalog.sources[delivery.source]
    engine = open_duckdb(None, settings, macros=True)
    try:
        with ExitStack() as stack:
            duckdb = stack.enter_context(engine.connect()).connection.driver_connection
            assert duckdb is not None
            mask = mask_of(duckdb, contract)
            limits = settings.max_uncompressed_bytes, settings.max_archive_ratio
            scratch = work / f"unpacked-{delivery.sha256}"  # made when something is unpacked
            stack.callback(shutil.rmtree, scratch, ignore_errors=True)
            opener = FileOpener(delivery.department, *limits, scratch, mask)
            files = archived_chain(delivery, settings.archive, work, opener)
            chain = stack.enter_context(files)
            duckdb.execute("CREATE SCHEMA chunk")
            duckdb.register("names", department_names(catalog.departments))
            duckdb.execute("CREATE TABLE chunk.department_name AS FROM names")
            of = partial(owners, duckdb)
            reading = open_corrected(chain, contract, of, as_written=True)
            headers = headers_of(reading.header)
            raw: dict[RowPlace, AsSent] = {}
            for one in _among(reading, wanted):
                own = reading.section(one["sheet"]).header
                above = own.cells[: own.width]
                raw[one["sheet"], one["row_number"]] = _as_sent(one, headers, above)
            positions = match(contract, headers).positions
            judged = open_corrected(chain, contract, of)
            rows = list(_among(judged, raw.keys()))
            for one in rows:
                row = one["sheet"], one["row_number"]
                raw[row] = _rounded(raw[row], one, contract, positions, judged.header.suffixes)
            _check_faithful(delivery, contract, judged, rows, headers, raw)
    finally:
        engine.dispose()
    lost = set(wanted) - raw.keys()
    if lost:
        raise UsageError(
            f"{delivery} ({delivery.delivery_id}): row {min(lost)[1]} is not where it was judged; "
            f"the contract has changed since: `citybrain rebuild {delivery.source}`, then publish"
        )
    return SentFile(headers, positions, _units(contract, positions, judged.header.suffixes), raw)


def _units(
    contract: Source, positions: Mapping[str, int], suffixes: Mapping[str, str]
) -> dict[int, str]:
    """What figures count in where their cells do not say it, by the position of their header."""
    units: dict[int, str] = {}
    for name, position in positions.items():
        if suffix := suffixes.get(name):
            units[position] = f"按原文件的注明，以“{suffix}”计，更正时请勿换算"
        elif contract.column(name).share:
            units[position] = "百分数，如 97%"
    return units


def _among(reading: Reading, wanted: Collection[RowPlace]) -> Iterator[dict[str, Any]]:
    for batch in reading.batches:
        yield from batch.filter(are_in(batch, wanted)).to_pylist()


def _rounded(
    row: AsSent,
    judged: Mapping[str, Any],
    contract: Source,
    positions: Mapping[str, int],
    suffixes: Mapping[str, str],
) -> AsSent:
    """The row with its computed figures (1/3) as they were judged: the others would be refused."""
    cells = list(row.cells)
    for name, position in positions.items():
        if contract.column(name).type is not ColumnType.DECIMAL or judged["_fault"] is not None:
            continue
        text = (judged[name] or "").removesuffix(suffixes.get(name, ""))
        try:
            if abs(Decimal(cells[position]) - Decimal(text)) < STEP:
                cells[position] = text
        except InvalidOperation:  # one of them is no plain number
            continue
    return row._replace(cells=tuple(cells))


def _check_faithful(
    delivery: Delivery,
    contract: Source,
    judged: Reading,
    rows: Sequence[Mapping[str, Any]],
    headers: tuple[str, ...],
    raw: Mapping[RowPlace, AsSent],
) -> None:
    """UsageError unless rows that come back as they are shown are what they were.

    They are not when a later sheet, or a file of an archive, heads its columns otherwise. Of rows
    that fit no columns it can but be asked whether their own header says the same.
    """
    names = contract.column_names
    was: dict[RowPlace, list[str]] = {}
    otherwise: list[RowPlace] = []
    for one in rows:
        row = one["sheet"], one["row_number"]
        if one["_fault"] is None:
            was[row] = [one[name] or "" for name in names]
        elif _is_filled(raw[row]) and not _says_the_same(judged, row[0]):
            otherwise.append(row)
    shown = {row: CorrectedRow(0, raw[row].cells) for row in was}
    for batch in corrected_rows(judged, contract, headers, shown):
        for one in batch.to_pylist():
            row = one["sheet"], one["row_number"]
            if [one[name] or "" for name in names] != was[row]:
                otherwise.append(row)
    if otherwise:
        sheet, number = min(otherwise)
        raise UsageError(
            f"{delivery} ({delivery.delivery_id}): row {number} of {sheet or 'the file'} "
            "stands under other headers than the file's first rows: a workbook cannot "
            "show both; ask for the whole file again"
        )


def _is_filled(row: AsSent) -> bool:
    return any((*row.cells, *row.beyond))


def _says_the_same(judged: Reading, sheet: str) -> bool:
    """Whether a sheet has the first's columns, in whatever order, in the same units."""
    header, first = judged.section(sheet).header, judged.header
    same = sorted(headers_of(header)) == sorted(headers_of(first))
    return same and header.suffixes == first.suffixes


def _as_sent(row: Mapping[str, Any], headers: Sequence[str], above: Sequence[str]) -> AsSent:
    """A row as it was written, below `headers`; `above` is all that its own header row has.

    Of a row that did not fit them it is known what stood where, not what it was meant for.
    """
    if row["_torn"] is None:
        return AsSent(tuple(row[f"c{number}"] or "" for number in range(len(headers))), ())
    torn = json.loads(row["_torn"])
    by_header = dict(zip(above, torn, strict=False))
    cells = tuple(by_header.get(header, "") for header in headers)
    return AsSent(cells, tuple(torn[len(above) :]))
