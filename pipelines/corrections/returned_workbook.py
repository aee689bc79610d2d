"""Reads returned feedback workbooks: whose they are, and the rows that somebody has touched."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from lxml.etree import XMLParser, XMLSyntaxError, fromstring

from pipelines.contracts.columns import DATES, Column, ColumnType
from pipelines.contracts.formats import Formats, WorkbookFormat
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_header
from pipelines.deliveries import feedback_form
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.formats import FileOpener
from pipelines.reading.headers.matching import Header
from pipelines.reading.layout import Reading

PROPERTIES = "docProps/custom.xml"  # ECMA-376 22.3
LARGEST_PROPERTIES = 1 << 20  # bytes of them; ours take a few hundred
ROW_NUMBER_DIGITS = 18  # that fit into 64 bits
RowPlace = tuple[str, int]  # sheet and row number, as the original has them


class CorrectedRow(NamedTuple):
    """A row of a workbook: its number there, and its cells; None if it is struck out."""

    row_number: int
    cells: tuple[str, ...] | None


@dataclass
class ReturnedWorkbook:
    """The delivery that a workbook corrects, and its touched rows by the place they replace."""

    delivery_id: str
    rows: dict[RowPlace, CorrectedRow] = field(default_factory=dict)
    faults: list[Reason] = field(default_factory=list)


def headers_of(header: Header) -> tuple[str, ...]:
    """Return the headers that name exactly one column, without blank ones and those of feedback."""
    cells = header.cells[: header.width]
    count = Counter(map(fold_header, cells))
    excluded = {"", *map(fold_header, feedback_form.OWN_HEADERS)}
    return tuple(
        cell
        for cell in cells
        if fold_header(cell) not in excluded and count[fold_header(cell)] == 1
    )


def verbatim(source: Source, header: Header) -> Source:
    """Return the contract with text columns c0, c1, … for a file's own headers.

    A share or a date stays what it is: a reader turns its number cells into 97% or a day, and the
    cells in a feedback workbook have to read so, too.
    """
    declared = {header.cells[at]: source.column(name) for name, at in header.positions.items()}
    columns = []
    for number, cell in enumerate(headers_of(header)):
        column = declared.get(cell)
        if column is None or not (column.share or column.type in DATES):
            column = Column(name=f"c{number}", header=(cell,), type=ColumnType.TEXT)
        renamed = {"name": f"c{number}", "header": (cell,), "required": False}
        columns.append(column.model_copy(update=renamed))
    return source.model_copy(update={"columns": tuple(columns)})


def read_returned_workbook(
    path: Path, source: Source, header: Header, earlier: Mapping[str, str], opener: FileOpener
) -> ReturnedWorkbook:
    """Read a return that corrects one of the `earlier` deliveries (id → hash of its bytes).

    `header` is the original file's. Its columns may stand in any order, and columns that somebody
    inserted count for nothing. Rows that nobody has touched are left out. Raise UnreadableError if
    a column is missing or doubled, or if it is no workbook of ours for any of `earlier`.
    """
    columns = verbatim(source, header).columns
    names = ("sheet_of_row", "number", "seal", "action")
    required = [column.model_copy(update={"required": True}) for column in columns]
    sheet = _open_sheet(path, feedback_form.SHEET, names, feedback_form.BEFORE, opener, required)
    if sheet is None:
        raise _altered(feedback_form.SHEET)
    workbook = ReturnedWorkbook(_corrected_delivery(path, earlier, opener))
    places: set[RowPlace] = set()
    number = 1
    while sheet is not None:
        for batch in sheet.batches:
            for row in batch.to_pylist():
                if not row["_noise"]:
                    _read_row(row, len(columns), workbook, places)
        number += 1
        further = f"{feedback_form.SHEET}{number}"
        sheet = _open_sheet(path, further, names, feedback_form.BEFORE, opener, required)
    return workbook


def _open_sheet(
    path: Path,
    sheet: str,
    names: tuple[str, ...],
    headers: tuple[str, ...],
    opener: FileOpener,
    file_columns: Iterable[Column] = (),
) -> Reading | None:
    """Open a sheet of ours below `headers`, with the original's own columns; None without it."""
    our_columns = (
        Column(name=name, header=(header,), type=ColumnType.TEXT, required=True)
        for name, header in zip(names, headers, strict=True)
    )
    contract = Source(
        name="returned",
        title="",
        owner="",
        content="snapshot",
        grain="",
        key=(),
        formats=Formats(xlsx=WorkbookFormat(sheet=sheet)),
        columns=tuple(our_columns),
    )
    # Headers of a file need not be headers that a contract may declare: they are not validated.
    contract = contract.model_copy(update={"columns": (*contract.columns, *file_columns)})
    try:
        return opener.open(path, "xlsx", contract)
    except RejectedError as error:
        missing = "、".join(reason.expected or reason.value for reason in error.reasons)[:200]
        raise _altered(missing) from None
    except UnreadableError as error:
        if error.reason.code != "missing_sheet":
            raise
        return None


def _altered(what: str) -> UnreadableError:
    return UnreadableError(Reason(code="return_layout", value=what))


def _read_row(
    row: Mapping[str, str | None], width: int, workbook: ReturnedWorkbook, places: set[RowPlace]
) -> None:
    """Add a row to the workbook if somebody has touched it; note what is wrong with it.

    `width` is how many columns the original has, `places` collects the rows read so far. Whatever
    stands in place of our number or seal may be anybody's name or phone: no fault quotes it.
    """
    at = int(row["row_number"] or 0)
    sheet, number = row["sheet_of_row"] or "", (row["number"] or "").strip()
    is_number = number.isascii() and number.isdecimal() and len(number) <= ROW_NUMBER_DIGITS
    place = sheet, int(number) if is_number else 0
    cells = tuple(row[f"c{position}"] or "" for position in range(width))
    seal, untouched = (
        (row["seal"] or "").strip(),
        feedback_form.seal(workbook.delivery_id, *place, cells),
    )
    action = (row["action"] or feedback_form.CORRECT).strip()
    is_known = is_number and seal.partition("-")[0] == untouched.partition("-")[0]
    code = value = expected = ""
    if row["_fault"] is not None:
        code = row["_fault"]
        value, expected = row["_fault_value"] or "", row["_fault_expected"] or ""
    elif not is_known:
        code = "return_unknown_row"
    elif place in places:
        code, value = "return_repeated_row", f"{sheet} {number}".strip()[:100]
    elif action not in feedback_form.ACTIONS:
        code, expected = "return_action", "/".join(feedback_form.ACTIONS)
    elif action == feedback_form.DELETE:
        workbook.rows[place] = CorrectedRow(at, None)
    elif action == feedback_form.CONFIRM or seal != untouched:
        if any(cell.endswith(feedback_form.CUT) for cell in cells):
            code = "return_cut"
        else:
            workbook.rows[place] = CorrectedRow(at, cells)
    if is_known and row["_fault"] is None:
        places.add(place)
    if code:
        reason = Reason(code=code, value=value, expected=expected, count=1, row=at)
        workbook.faults.append(reason)


def _corrected_delivery(path: Path, earlier: Mapping[str, str], opener: FileOpener) -> str:
    """Return the id of the delivery that a workbook corrects, which must be one of `earlier`.

    Both the document's properties and its summary state id and hash. Office programs may drop the
    properties, and people the summary: either will do, but neither may contradict `earlier`.
    """
    statements = [_properties(path)]
    headers = (feedback_form.ITEM, feedback_form.CONTENT)
    try:
        summary = _open_sheet(path, feedback_form.SUMMARY, ("item", "content"), headers, opener)
        items: dict[str, str] = {}
        for batch in summary.batches if summary is not None else ():
            for row in batch.to_pylist():
                items.setdefault((row["item"] or "").strip(), (row["content"] or "").strip())
        statements.append(items)
    except (RejectedError, UnreadableError):  # its table is destroyed: as if it were deleted
        pass
    wanted = feedback_form.DELIVERY_ID, feedback_form.SHA256
    stated = [
        (statement[wanted[0]], statement[wanted[1]])
        for statement in statements
        if statement.keys() >= set(wanted)
    ]
    if not stated:
        raise _altered("、".join(wanted))
    for delivery_id, sha256 in stated:
        if earlier.get(delivery_id) != sha256:
            raise _altered(feedback_form.SHA256)
    return stated[0][0]


def _properties(path: Path) -> dict[str, str]:
    """Return the custom properties of a document; none if a program has dropped them."""
    with zipfile.ZipFile(path) as package:
        if PROPERTIES not in package.namelist():
            return {}
        with package.open(PROPERTIES) as stream:
            text = stream.read(LARGEST_PROPERTIES)
    parser = XMLParser(
        resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root = fromstring(text, parser)
    except XMLSyntaxError:
        raise _altered(PROPERTIES) from None
    if root.getroottree().docinfo.doctype:  # as of entities, which no office program writes
        raise _altered(PROPERTIES)
    return {
        element.get("name", "").strip(): "".join(element.itertext()).strip() for element in root
    }
