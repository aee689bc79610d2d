"""A grid's cells before they are text: flaws that are no values, and how many a sheet may span."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field

from pipelines.deliveries.reasons import Reason, UnreadableError

GRID_CELLS = 50_000_000  # what one sheet may span, empty cells included
FLAWS = 1_000_000  # error cells of one sheet that are worth telling one by one
ERRORS = frozenset(
    {
        "#NULL!",
        "#DIV/0!",
        "#VALUE!",
        "#REF!",
        "#NAME?",
        "#NUM!",
        "#N/A",
        "#GETTING_DATA",
        "#SPILL!",
        "#CALC!",
        "#FIELD!",
        "#BLOCKED!",
        "#CONNECT!",
        "#UNKNOWN!",
        "#BUSY!",
    }
)
LIBREOFFICE_ERROR = re.compile(r"Err:\d{3}")
UNKNOWN_ERROR = "#ERROR"  # never the file's own text, which may be anything


@dataclass(frozen=True)
class Flaw:
    """A cell without a value that anyone entered: a Reason's code, and the text that it shows.

    `is_told`: the text is a program's, not a person's, and may stand in the Reason.
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
        """The number that `value` is, as the page shows it."""
        figure = super().__new__(cls, value)
        figure.shown = shown
        return figure


@dataclass
class Survey:
    """What a scan of a sheet's bytes tells beyond the values that calamine gives.

    Rows and columns count from 0. `name` is there where one scan tells of many sheets.
    `is_padded`: numbers have blanks around them, for which calamine takes them for text.
    """

    name: str = ""
    flaws: Flaws = field(default_factory=lambda: defaultdict(dict))
    hidden: set[int] = field(default_factory=set)
    merged: list[tuple[tuple[int, int], tuple[int, int]]] = field(default_factory=list)
    is_padded: bool = False
    count: int = 0

    def flawed(self, row: int, column: int, flaw: Flaw) -> None:
        """Note one flawed cell; a sheet of nothing but flaws is refused whole."""
        self.count += 1
        if self.count > FLAWS:
            raise UnreadableError(Reason(code="error_cells", value=str(FLAWS)))
        self.flaws[row][column] = flaw


@dataclass
class Marks:
    """Whether a text is in part struck out, raised or lowered: nobody knows what then counts."""

    has_marked: bool = False
    has_other: bool = False

    @property
    def are_partial(self) -> bool:
        """Whether some of the text is marked, and some is not."""
        return self.has_marked and self.has_other

    def add(self, text: str, is_marked: bool) -> None:
        """Take in a piece of the text; blanks tell nothing."""
        if text.strip():
            self.has_marked = self.has_marked or is_marked
            self.has_other = self.has_other or not is_marked


def is_error(text: str) -> bool:
    """Whether a text is how a program shows that a formula failed."""
    return text in ERRORS or LIBREOFFICE_ERROR.fullmatch(text) is not None


def error_cell(text: str) -> Flaw:
    """The flaw of a cell that its file marks as an error."""
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
        found = f"{rows} x {columns}"
        raise UnreadableError(Reason(code="sparse", value=found, expected=str(GRID_CELLS)))
