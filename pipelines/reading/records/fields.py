"""Records: rows that name their own cells, as JSON's and XML's do.

A cell's name is its path inside the record, `contact/phone`; the header is all names of the file,
so the file is read once for it and once for the rows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pyarrow as pa

from pipelines.contracts.columns import Column
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_header
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import LONG_NUMBER, Header, match
from pipelines.reading.headers.units import with_unit_above
from pipelines.reading.layout import BATCH_ROWS, Fault, Reading, faulty, from_columns

RECORD_CHARACTERS = 8 << 20  # of one record; a CSV cell may have as many
BATCH_CHARACTERS = 32 << 20
MAX_FIELDS = 2_000
MAX_NAME = 500  # characters of a cell's name: what is longer is no header
LINE_CHARACTERS = 1_000  # of a text beside the records: what is longer says no unit
UNIT_NAMES = frozenset({"unit", "units", "uom", "单位", "计量单位"})  # of attributes and the like


@dataclass(frozen=True)
class Broken:
    """A record that cannot be mapped to columns: a Reason's code and fields.

    A `value` of None stands for the record's number.
    """

    code: str
    expected: str = ""
    value: str | None = None


ColumnOf = Callable[[str], Column | None]  # from a cell's name to the column that it is for
Record = dict[str, str | None] | Broken
Records = Iterator[tuple[int, Record]]


def repeated(name: str) -> Broken:
    """Return the fault of a record that names a cell twice."""
    return Broken("repeated_key", value=LONG_NUMBER.sub("…", name[:100]))


def too_long(number: int) -> UnreadableError:
    """Return what to raise about a record that is longer than memory should hold."""
    limit = str(RECORD_CHARACTERS)
    return UnreadableError(Reason(code="long_record", value=str(number), expected=limit))


def too_many_fields() -> UnreadableError:
    """Return what to raise about records of more fields than any have."""
    return UnreadableError(Reason(code="too_many_fields", expected=str(MAX_FIELDS)))


def column_finder(source: Source) -> ColumnOf:
    """Return a function from a cell's name to the column whose header it is, if any."""
    columns = {fold_header(header): column for column in source.columns for header in column.header}
    return lru_cache(maxsize=4 * MAX_FIELDS)(lambda name: columns.get(fold_header(name)))


class Beside:
    """The texts beside a file's records, as lines that may show a unit (`单位：万条`)."""

    def __init__(self) -> None:
        self.lines: dict[str, None] = {}

    def add(self, name: str, value: object) -> None:
        """Add a text under its name, unless it is too long or there are too many already."""
        if isinstance(value, str) and value.strip() and len(value) <= LINE_CHARACTERS:
            title = "单位" if fold_header(name[:MAX_NAME]) in UNIT_NAMES else name[:MAX_NAME]
            if len(self.lines) < MAX_FIELDS:  # a table of another path may stand there
                self.lines[f"{title}：{value}"] = None


def reading(
    source: Source, records: Callable[[], Records], beside: Beside | None = None
) -> Reading:
    """Return the delivery of the (number, record) that `records` yields each time it is called.

    The first time is for the header: all names of the file. The texts that it notes `beside` the
    records meanwhile are looked at as lines above a table are.
    """
    names: dict[str, None] = {}
    has_sound = False
    for _, record in records():
        if isinstance(record, dict):
            has_sound = True
            if not record.keys() <= names.keys():
                names.update(dict.fromkeys(record))
            if len(names) > MAX_FIELDS:
                raise too_many_fields()
    if not has_sound:  # nothing is wrong with the columns of no rows, or of rows all broken
        names = dict.fromkeys(column.header[0] for column in source.columns if column.header)
    lines = beside.lines if beside is not None else {}
    header = with_unit_above(source, match(source, list(names)), [[line] for line in lines])
    return Reading(header, _batches(source, header, records))


def _batches(
    source: Source, header: Header, records: Callable[[], Records]
) -> Iterator[pa.RecordBatch]:
    """Yield the records; cells that are in no column only count for blankness, and share one."""
    used = sorted({*header.positions.values(), 0} if header.cells else set())
    names = [header.cells[position] for position in used]
    compact = replace(
        header,
        cells=(*names, "others"),
        positions={name: used.index(position) for name, position in header.positions.items()},
    )
    for block in _blocks(records()):
        sound = [(number, row) for number, row in block if isinstance(row, dict)]
        columns = [pa.array([row.get(name) for _, row in sound], pa.string()) for name in names]
        others = ["x" if _has_only_others(row, names) else "" for _, row in sound]
        columns.append(pa.array(others, pa.string()))
        numbers = np.array([number for number, _ in sound], dtype=np.int64)
        if sound:
            yield from_columns(source, compact, columns, numbers)
        broken: dict[tuple[str, str], list[Fault]] = defaultdict(list)
        for number, row in block:
            if isinstance(row, Broken):
                value = str(number) if row.value is None else row.value
                broken[row.code, row.expected].append(Fault(number, value))
        for (code, expected), faults in broken.items():
            yield faulty(source, code, expected, faults)


def _has_only_others(row: dict[str, str | None], names: list[str]) -> bool:
    """Return True if a row is filled, but in no cell of `names`."""
    if any(row.get(name) for name in names):
        return False
    return any(cell and cell.strip() for cell in row.values())


def _blocks(records: Records) -> Iterator[list[tuple[int, Record]]]:
    """Yield records in lists that memory holds, however long each record is."""
    block: list[tuple[int, Record]] = []
    characters = 0
    for number, record in records:
        block.append((number, record))
        if isinstance(record, dict):
            characters += sum(len(cell) for cell in record.values() if cell)
        if len(block) >= BATCH_ROWS or characters >= BATCH_CHARACTERS:
            yield block
            block, characters = [], 0
    if block:
        yield block
