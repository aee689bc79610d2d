"""What a returned feedback workbook says: whose it is, and the rows that somebody has touched."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from defusedxml.ElementTree import fromstring

from pipelines.contracts.models import Column, ColumnType, Formats, Source, WorkbookFormat
from pipelines.corrections.as_written import verbatim
from pipelines.deliveries import feedback_form
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.headers.matching import Header
from pipelines.reading.layout import Reading

PROPERTIES = "docProps/custom.xml"  # ECMA-376 22.3
LARGEST_PROPERTIES = 1 << 20  # bytes of them; ours take a few hundred
Row = tuple[str, int]  # sheet and row number, as the original has them
Open = Callable[[Path, str, Source], Reading]


class Corrected(NamedTuple):
    """A row of a workbook: where it stands there, and its cells; None to strike it out."""

    at: int
    cells: tuple[str, ...] | None


@dataclass
class Workbook:
    """Whose it is, and the touched rows by those that they replace."""

    delivery_id: str
    rows: dict[Row, Corrected] = field(default_factory=dict)
    faults: list[Reason] = field(default_factory=list)


class _NoSheetError(Exception):
    """There is no further sheet of rows."""


def read_workbook(
    path: Path, source: Source, header: Header, before: Mapping[str, str], open_file: Open
) -> Workbook:
    """What a return says of one of the deliveries `before` (id → hash of the bytes) of `source`.

    `header` is the file's own: its columns may stand in any order, among others, which count for
    nothing. Raises UnreadableError when one is not there once, and when it is no workbook of
    ours, or of none of them.
    """
    columns = verbatim(source, header).columns
    sheet = _sheet(path, columns, feedback_form.SHEET, open_file)
    book = Workbook(_origin(path, before, open_file))
    seen: set[Row] = set()
    number = 1
    with suppress(_NoSheetError):
        while True:
            _read_sheet(sheet, len(columns), book, seen)
            number += 1
            sheet = _sheet(path, columns, f"{feedback_form.SHEET}{number}", open_file)
    return book


def _form(sheet: str, names: tuple[str, ...], headers: tuple[str, ...]) -> Source:
    """A sheet of ours as a contract."""
    columns = tuple(
        Column(name=name, header=(header,), type=ColumnType.TEXT, required=True)
        for name, header in zip(names, headers, strict=True)
    )
    return Source(
        name="returned",
        title="",
        owner="",
        content="snapshot",
        grain="",
        key=(),
        formats=Formats(xlsx=WorkbookFormat(sheet=sheet)),
        columns=columns,
    )


def _sheet(path: Path, columns: tuple[Column, ...], name: str, open_file: Open) -> Reading:
    """The rows of a sheet: what identifies them and, verbatim, the file's own `columns`."""
    form = _form(name, ("sheet_of_row", "number", "seal", "action"), feedback_form.BEFORE)
    try:
        own = tuple(column.model_copy(update={"required": True}) for column in columns)
        whole = form.model_copy(update={"columns": (*form.columns, *own)})
        return open_file(path, "xlsx", whole)
    except RejectedError as error:
        missing = "、".join(reason.expected or reason.value for reason in error.reasons)[:200]
        raise _layout(missing) from None
    except UnreadableError as error:
        if error.reason.code != "missing_sheet":
            raise
        if name != feedback_form.SHEET:
            raise _NoSheetError from None
        raise _layout(name) from None


def _layout(what: str) -> UnreadableError:
    return UnreadableError(Reason(code="return_layout", value=what))


def _read_sheet(sheet: Reading, width: int, book: Workbook, seen: set[Row]) -> None:
    """Add a sheet's rows to the workbook; those that nobody has touched stay as they were.

    `width` is how many columns the file itself has.
    """
    for batch in sheet.batches:
        for row in batch.to_pylist():
            if row["_noise"]:
                continue
            if row["_fault"] is None:
                _read_row(row, width, book, seen)
                continue
            told = {"value": row["_fault_value"] or "", "expected": row["_fault_expected"] or ""}
            book.faults.append(Reason(code=row["_fault"], count=1, row=row["row_number"], **told))


def _read_row(row: Mapping[str, str | None], width: int, book: Workbook, seen: set[Row]) -> None:
    at = int(row["row_number"] or 0)

    def fault(code: str, value: str = "", expected: str = "") -> None:
        reason = Reason(code=code, value=value, expected=expected, count=1, row=at)
        book.faults.append(reason)

    sheet, number = row["sheet_of_row"] or "", (row["number"] or "").strip()
    # what stands here instead of ours may be anybody's name or phone: it is never told
    if not (number.isascii() and number.isdecimal()) or len(number) > 18:
        return fault("return_unknown_row")
    mended, seal = (sheet, int(number)), (row["seal"] or "").strip()
    if seal.partition("-")[0] != feedback_form.place_seal(book.delivery_id, *mended):
        return fault("return_unknown_row")
    if mended in seen:
        return fault("return_repeated_row", f"{sheet} {number}".strip()[:100])
    seen.add(mended)
    cells = tuple(row[f"c{position}"] or "" for position in range(width))
    action = (row["action"] or feedback_form.CORRECT).strip()
    if action == feedback_form.DELETE:
        book.rows[mended] = Corrected(at, None)
    elif action not in feedback_form.ACTIONS:
        fault("return_action", expected="/".join(feedback_form.ACTIONS))
    elif action == feedback_form.CONFIRM or seal != feedback_form.seal(
        book.delivery_id, *mended, cells
    ):
        if any(cell.endswith(feedback_form.CUT) for cell in cells):
            return fault("return_cut")
        book.rows[mended] = Corrected(at, cells)
    return None


def _origin(path: Path, before: Mapping[str, str], open_file: Open) -> str:
    """Which delivery's workbook it is; UnreadableError unless it says so, and it is of `before`.

    Office programs may drop a document's properties: what the summary says then counts alone.
    """
    told = [one for one in (_properties(path), _summary(path, open_file)) if one is not None]
    if not told:
        raise _layout(f"{feedback_form.DELIVERY_ID}、{feedback_form.SHA256}")
    for delivery_id, sha256 in told:
        if before.get(delivery_id) != sha256:
            raise _layout(feedback_form.SHA256)
    return told[0][0]


def _properties(path: Path) -> tuple[str, str] | None:
    """Delivery id and hash from the document's custom properties."""
    with zipfile.ZipFile(path) as package:
        if PROPERTIES not in package.namelist():
            return None
        with package.open(PROPERTIES) as stream:
            text = stream.read(LARGEST_PROPERTIES)
    try:
        root = fromstring(text)
    except (ValueError, SyntaxError):  # what defusedxml forbids is a ValueError
        raise _layout(PROPERTIES) from None
    return _identified({one.get("name", ""): "".join(one.itertext()) for one in root})


def _summary(path: Path, open_file: Open) -> tuple[str, str] | None:
    """The same from the summary: a table of what is named and what it is."""
    form = _form(
        feedback_form.SUMMARY, ("item", "content"), (feedback_form.ITEM, feedback_form.CONTENT)
    )
    said: dict[str, str] = {}
    try:
        for batch in open_file(path, "xlsx", form).batches:
            for row in batch.to_pylist():
                said.setdefault(row["item"] or "", row["content"] or "")
    except (RejectedError, UnreadableError):  # somebody has deleted it
        return None
    return _identified(said)


def _identified(said: Mapping[str, str]) -> tuple[str, str] | None:
    told = {name.strip(): text.strip() for name, text in said.items()}
    if feedback_form.DELIVERY_ID not in told or feedback_form.SHA256 not in told:
        return None
    return told[feedback_form.DELIVERY_ID], told[feedback_form.SHA256]
