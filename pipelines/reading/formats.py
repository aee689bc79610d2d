"""Open a delivery: its rows as batches of text under the contract's column names.

FORMATS says which module reads which format; layout.py describes what every reader yields.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.archives.contents import Contents, DataFile
from pipelines.reading.archives.sniffing import TEXT
from pipelines.reading.archives.together import together
from pipelines.reading.archives.unpacking import RATIO, Allowance
from pipelines.reading.csv.delimited import read_csv
from pipelines.reading.layout import Reading
from pipelines.reading.masking import Mask, opened_masked
from pipelines.reading.records.json_records import read_json, read_jsonl
from pipelines.reading.records.parquet import read_parquet
from pipelines.reading.records.xml_records import read_xml
from pipelines.reading.webpages.html import read_html
from pipelines.reading.workbooks.calamine import read_ods, read_xlsb, read_xlsx
from pipelines.reading.workbooks.xls import read_xls

FORMATS: dict[str, Callable[[Path, Source, str | None, int], Reading]] = {
    "csv": read_csv,
    "xlsx": read_xlsx,
    "xls": read_xls,
    "xlsb": read_xlsb,
    "ods": read_ods,
    "html": read_html,
    "json": read_json,
    "jsonl": read_jsonl,
    "xml": read_xml,
    "parquet": read_parquet,
}


def open_delivery(
    path: Path,
    format_name: str,
    source: Source,
    department: str | None,
    limit: int,
    scratch: Path,
    ratio: int = RATIO,
) -> Reading:
    """Open archived bytes whose name claims `format_name`.

    `limit` is how many bytes an archive may unpack to, `ratio` how many times its own size,
    `scratch` the folder into which it is unpacked; the caller removes it when the rows are read.
    A file that is really of another declared format is read as such, with a warning. Raise
    UnreadableError when the bytes are of no declared format and RejectedError when columns are
    missing; both may also come while the batches are read.
    """
    allowance = Allowance(limit, path.stat().st_size, ratio)
    contents = Contents(source, scratch, allowance)
    files = contents.files(path, format_name)

    def read(file: DataFile) -> Reading:
        try:
            reading = FORMATS[file.format](file.path, source, department, limit)
        except UnreadableError as error:
            if not file.is_unsigned or "it reads as" in error.reason.value:  # its headers show
                raise
        else:
            if not file.is_unsigned or reading.header.positions:
                return reading
        expected = ", ".join(source.formats.declared)
        raise UnreadableError(Reason(code="other_format", value=TEXT, expected=expected))

    if source.formats.zip.members == "all" and files[0].member:
        reading = together(files, source, read)
    else:
        reading = read(files[0])
        faults = reading.header.faults(source)
        if faults:
            rows_read = sum(batch.num_rows for batch in reading.batches)
            raise RejectedError((*contents.warnings, *faults), rows_read)
    return replace(reading, warnings=(*contents.warnings, *reading.warnings))


@dataclass(frozen=True)
class FileOpener:
    """Opens the files of one delivery: whose they are, how far they may unpack, and where.

    `limit` is in bytes, `ratio` how many times its own size an archive may unpack to. `mask`, if
    the contract has personal data, masks the names inside the files. The caller removes `scratch`.
    """

    department: str | None
    limit: int
    ratio: int
    scratch: Path
    mask: Mask | None

    def open(self, path: Path, format_name: str, source: Source) -> Reading:
        """Open a file as `open_delivery` does, unpacked into a new folder below `scratch`."""
        folder = self.scratch / uuid.uuid4().hex
        opened = partial(
            open_delivery,
            path,
            format_name,
            source,
            self.department,
            self.limit,
            folder,
            self.ratio,
        )
        return opened() if self.mask is None else opened_masked(opened, self.mask)
