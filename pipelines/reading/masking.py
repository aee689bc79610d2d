"""Masked names inside a file: of its sheets, and of an archive's members.

They are a department's own words. Where a contract has personal data, numbers that look personal
are masked in these names before tables and people get them; a row's cells keep the name as it is
(`from_sheet`).
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
    """Return what masks a text, on a connection with our macros; None without personal data."""
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
    """Open what `read` opens, with its sheets and messages masked.

    Names that look alike then are numbered. The same file has the same names each time it is read:
    by them feedback finds its rows.
    """
    reading = _masking_errors(read, mask)
    sections: dict[str, Section] = {}

    def batches() -> Iterator[pa.RecordBatch]:
        names: dict[str, str] = {}
        count: Counter[str] = Counter()
        while (batch := _masking_errors(lambda: next(reading.batches, None), mask)) is not None:
            sheets = batch["sheet"].dictionary_encode()
            for sheet in sheets.dictionary.to_pylist():
                if sheet not in names:
                    masked = mask(sheet)
                    count[masked] += 1
                    number = f" ({count[masked]})" if count[masked] > 1 else ""
                    names[sheet] = f"{masked}{number}"
                sections[names[sheet]] = reading.section(sheet)
            texts = [names[sheet] for sheet in sheets.dictionary.to_pylist()]
            masked_sheets = pc.take(pa.array(texts, pa.string()), sheets.indices)
            position = batch.schema.get_field_index("sheet")
            yield batch.set_column(position, batch.schema.field(position), masked_sheets)

    warnings = tuple(_masked(reason, mask) for reason in reading.warnings)
    return replace(reading, batches=batches(), warnings=warnings, sections=sections)


def _masking_errors(act: Callable[[], T], mask: Mask) -> T:
    """Return what `act` returns; raise its errors with masked reasons."""
    try:
        return act()
    except UnreadableError as error:
        raise UnreadableError(_masked(error.reason, mask)) from None
    except RejectedError as error:
        reasons = [_masked(reason, mask) for reason in error.reasons]
        raise RejectedError(reasons, error.rows_read) from None


def _masked(reason: Reason, mask: Mask) -> Reason:
    texts = {name: mask(getattr(reason, name)) for name in ("value", "expected", "place")}
    return reason.model_copy(update=texts)


def unstrayed(text: str, source: Source) -> str:
    """Return an SQL expression of `text` without personal numbers, if the source has such."""
    return f"mask_strayed({text}, false)" if source.is_personal else text
