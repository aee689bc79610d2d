"""What people and tables are told of the names inside a file: of sheets, and of archives' members.

They are a department's own words. Where a contract has personal data, numbers that look so are
masked in them, for rows and for messages; a row's cells keep the name as it is (`from_sheet`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.layout import Reading, Section

FEWEST_DIGITS = 10  # of a personal number, but for 1.38E10
Mask = Callable[[str], str]
T = TypeVar("T")


def mask_of(duckdb: Any, source: Source) -> Mask | None:
    """What masks a text, on a connection with our macros; None for a source without such data."""
    if not source.is_personal:
        return None
    statement = f"SELECT {unstrayed('$1::VARCHAR', source)}"

    @lru_cache(maxsize=1000)
    def mask(text: str) -> str:
        if sum(map(str.isdigit, text)) < FEWEST_DIGITS and "E" not in text.upper():
            return text  # the macro takes 20 ms to plan
        return str(duckdb.execute(statement, [text]).fetchone()[0])

    return mask


def opened_masked(read: Callable[[], Reading], mask: Mask) -> Reading:
    """What `read` opens, its sheets and messages masked; names that look alike then are numbered.

    The same file read again has the same names, by which feedback finds its rows.
    """
    reading = _raising_masked(read, mask)
    sections: dict[str, Section] = {}
    batches = _batches(reading, mask, sections)
    warnings = tuple(_masked(reason, mask) for reason in reading.warnings)
    return replace(reading, batches=batches, warnings=warnings, sections=sections)


def _batches(
    reading: Reading, mask: Mask, sections: dict[str, Section]
) -> Iterator[pa.RecordBatch]:
    names: dict[str, str] = {}
    count: Counter[str] = Counter()
    while (batch := _raising_masked(lambda: next(reading.batches, None), mask)) is not None:
        sheets = batch["sheet"].dictionary_encode()
        for sheet in sheets.dictionary.to_pylist():
            if sheet not in names:
                masked = mask(sheet)
                count[masked] += 1
                again = f" ({count[masked]})" if count[masked] > 1 else ""
                names[sheet] = f"{masked}{again}"
            sections[names[sheet]] = reading.section(sheet)
        told = pa.array([names[sheet] for sheet in sheets.dictionary.to_pylist()], pa.string())
        position = batch.schema.get_field_index("sheet")
        yield batch.set_column(
            position, batch.schema.field(position), pc.take(told, sheets.indices)
        )


def _raising_masked(act: Callable[[], T], mask: Mask) -> T:
    try:
        return act()
    except UnreadableError as error:
        raise UnreadableError(_masked(error.reason, mask)) from None
    except RejectedError as error:
        told = [_masked(reason, mask) for reason in error.reasons]
        raise RejectedError(told, error.rows_read) from None


def _masked(reason: Reason, mask: Mask) -> Reason:
    told = {name: mask(getattr(reason, name)) for name in ("value", "expected", "place")}
    return reason.model_copy(update=told)


def unstrayed(text: str, source: Source) -> str:
    """An expression of what is told of `text`: without personal numbers, if the source has such."""
    return f"mask_strayed({text}, false)" if source.is_personal else text
