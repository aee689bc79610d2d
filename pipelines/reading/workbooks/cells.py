"""Cells of workbooks and pages: their values as text, their flaws, and limits to their number."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from pipelines.contracts.columns import DATES, Column, ColumnType
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.layout import cell_text, decimal_text

GRID_CELLS = 50_000_000  # what one sheet may span, empty cells included
FLAWS = 1_000_000  # error cells of one sheet that are worth telling one by one
CLASSIC_ERRORS = frozenset(["#NULL!", "#DIV/0!", "#VALUE!", "#REF!", "#NAME?", "#NUM!", "#N/A"])
NEW_ERRORS = "#GETTING_DATA #SPILL! #CALC! #FIELD! #BLOCKED! #CONNECT! #UNKNOWN! #BUSY!"
ERRORS = CLASSIC_ERRORS | frozenset(NEW_ERRORS.split())
LIBREOFFICE_ERROR = re.compile(r"Err:\d{3}")
EXACT = 10**15  # Excel keeps fifteen digits of a number
LAST_SERIAL = 2_958_466  # the day after 9999-12-31; a number beyond is a day as it is written
EPOCH_1904 = 1462  # days from 1900-01-00 to 1904-01-01, as Excel counts them
DAY_OR_PERCENTAGE = re.compile(r"\d\s*[-/:年月日时]|[%％]\s*$")
UNKNOWN_ERROR = "#ERROR"  # never the file's own text, which may be anything


@dataclass(frozen=True)
class Flaw:
    """A cell without a value that anyone entered: a Reason's code, and the text that it shows.

    `is_told`: the text is a program's, not a person's, and may be quoted in the Reason.
    """

    code: str
    text: str = ""
    is_told: bool = True


UNCALCULATED = Flaw("uncalculated")
MARKED = Flaw("marked_cell", is_told=False)
NESTED = Flaw("nested_cells", is_told=False)
Flaws = dict[int, dict[int, Flaw]]  # by row and column, both from 0


class Figure(float):
    """A number that a page holds beside the text that it shows of it."""

    shown: str

    def __new__(cls, value: str, shown: str) -> Figure:
        """Make the number that `value` is, which the page shows as `shown`."""
        figure = super().__new__(cls, value)
        figure.shown = shown
        return figure


@dataclass
class Survey:
    """The result of scanning a sheet for what calamine does not tell beside its values.

    Rows and columns count from 0. `name` is set where one scan covers many sheets.
    `is_padded`: blanks stand around numbers, which calamine refuses and Excel does not.
    """

    name: str = ""
    flaws: Flaws = field(default_factory=lambda: defaultdict(dict))
    hidden: set[int] = field(default_factory=set)
    merged: list[tuple[tuple[int, int], tuple[int, int]]] = field(default_factory=list)
    is_padded: bool = False
    count: int = 0

    def add_flaw(self, row: int, column: int, flaw: Flaw) -> None:
        """Note one flawed cell; refuse a sheet of nothing but flaws."""
        self.count += 1
        if self.count > FLAWS:
            raise UnreadableError(Reason(code="error_cells", value=str(FLAWS)))
        self.flaws[row][column] = flaw


@dataclass
class Marks:
    """Marks of a text: struck out, raised or lowered. One marked in part is no value."""

    has_marked: bool = False
    has_other: bool = False

    @property
    def are_partial(self) -> bool:
        """Tell whether a part of the text is marked, and another is not."""
        return self.has_marked and self.has_other

    def add(self, text: str, is_marked: bool) -> None:
        """Add a piece of the text; blanks count for nothing."""
        if text.strip():
            self.has_marked = self.has_marked or is_marked
            self.has_other = self.has_other or not is_marked


def is_error(text: str) -> bool:
    """Tell whether a text is how a program shows that a formula failed."""
    return text in ERRORS or LIBREOFFICE_ERROR.fullmatch(text) is not None


def error_cell(text: str) -> Flaw:
    """Return the flaw of a cell that its file marks as an error."""
    return Flaw("error_cell", text if is_error(text) else UNKNOWN_ERROR)


def check_text(characters: int, limit: int) -> None:
    """Refuse a workbook that repeats one text in cells until no memory holds them."""
    if characters > limit:
        raise UnreadableError(
            Reason(code="repeated_text", value=str(characters), expected=str(limit))
        )


def check_extent(rows: int, columns: int) -> None:
    """Refuse a sheet whose outermost cells span a grid that no memory holds."""
    if rows * columns > GRID_CELLS:
        extent = f"{rows} x {columns}"
        raise UnreadableError(Reason(code="sparse", value=extent, expected=str(GRID_CELLS)))


def plain_text(cell: object) -> str:
    """Return a cell's text as its file shows it."""
    if type(cell) is str:
        return cell
    if isinstance(cell, Figure):
        return cell.shown
    return cell.text if isinstance(cell, Flaw) else cell_text(cell) or ""


def value_text(column: Column, cell: object, suffix: str, is_1904: bool) -> str | Flaw:
    """Return the text that a person would have typed for a cell of `column`, or its flaw.

    It comes from the cell's value, never from its display. `suffix` is the unit that its header or
    row states. `is_1904` shifts bare numbers of date columns to the epoch of 1900.
    """
    if type(cell) is str or isinstance(cell, Flaw):
        return cell
    # Nobody knows the epoch of the number beside a page's day, nor whether a column that is no
    # share counts in percent: there the page is taken at its word.
    if (
        isinstance(cell, Figure)
        and not column.share
        and (column.type in DATES or DAY_OR_PERCENTAGE.search(cell.shown))
    ):
        return cell.shown
    if not isinstance(cell, int | float) or isinstance(cell, bool):
        return cell_text(cell) or ""
    if column.share:
        percent = Decimal(f"{cell:.15g}") * 100
        if column.type is ColumnType.DECIMAL:
            percent = Decimal(f"{percent:.6f}")
        return f"{percent.normalize():f}%"
    if column.type is ColumnType.TEXT and abs(cell) >= EXACT:
        return Flaw("lost_digits")
    if isinstance(cell, float):
        if column.type is ColumnType.DECIMAL:
            return decimal_text(cell, suffix)
        if column.type in (ColumnType.TEXT, ColumnType.INTEGER) and not cell.is_integer():
            cell = float(f"{cell:.15g}")  # the digits that Excel keeps: 0.1 + 0.2 is 0.3
    if is_1904 and column.type in DATES and cell < LAST_SERIAL:
        cell += EPOCH_1904
    return cell_text(cell) or ""
