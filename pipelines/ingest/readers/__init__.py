"""Readers: a file's rows as batches of text under the contract's column names.

One small table of formats; what every reader yields is said in layout.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import RejectedError, UnreadableError
from pipelines.ingest.readers.books.calamine_books import read_ods, read_xlsb, read_xlsx
from pipelines.ingest.readers.books.html import read_html
from pipelines.ingest.readers.books.xls import read_xls
from pipelines.ingest.readers.delimited import read_csv
from pipelines.ingest.readers.layout import Reading
from pipelines.ingest.readers.packed.archives import RATIO, Allowance
from pipelines.ingest.readers.packed.contents import WRAPPERS, Contents, DataFile
from pipelines.ingest.readers.packed.sniffing import TEXT
from pipelines.ingest.readers.packed.together import together
from pipelines.ingest.readers.records.arrays import read_json
from pipelines.ingest.readers.records.lines import read_jsonl
from pipelines.ingest.readers.records.markup import read_xml
from pipelines.ingest.readers.records.parquet import read_parquet


@dataclass(frozen=True)
class Format:
    """One entry of the table of formats."""

    extensions: tuple[str, ...]
    read: Callable[[Path, Source, str | None, int], Reading]


FORMATS: dict[str, Format] = {
    "csv": Format((".csv", ".tsv", ".txt"), read_csv),
    "xlsx": Format((".xlsx", ".xlsm"), read_xlsx),
    "xls": Format((".xls", ".et"), read_xls),
    "xlsb": Format((".xlsb",), read_xlsb),
    "ods": Format((".ods",), read_ods),
    "html": Format((".html", ".htm"), read_html),
    "json": Format((".json",), read_json),
    "jsonl": Format((".jsonl", ".ndjson"), read_jsonl),
    "xml": Format((".xml",), read_xml),
    "parquet": Format((".parquet",), read_parquet),
}
EXTENSIONS = tuple(extension for entry in FORMATS.values() for extension in entry.extensions)
PACKED = tuple(f".{name}" for name in WRAPPERS)
SENDABLE = f"{', '.join(EXTENSIONS)}, also inside {' or '.join(PACKED)}"


def suffix_of(name: str) -> str:
    """The end of a file's name that says its format, as `.csv.gz`; '' when we know none such."""
    suffix = Path(name).suffix
    if suffix.lower() in EXTENSIONS:
        return suffix
    if suffix.lower() in PACKED:
        inside = suffix_of(name[: -len(suffix)])
        if inside or suffix.lower() == ".zip":  # whose members have names of their own
            return inside + suffix
    return ""


def format_of(path: Path) -> str | None:
    """The format that a file's name claims, packed ones as csv.gz; None when we know none such."""
    steps = suffix_of(path.name).lower().split(".")[1:]
    return ".".join(step if step in WRAPPERS else _called(f".{step}") for step in steps) or None


def _called(extension: str) -> str:
    return next(name for name, entry in FORMATS.items() if extension in entry.extensions)


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
    A file that is really of another declared format is read as such, with a warning. Raises
    UnreadableError when the bytes are of no declared format and RejectedError when columns are
    missing; both may also come while the batches are read.
    """
    contents = Contents(
        source, scratch, lambda name: format_of(Path(name)),
        Allowance(limit, path.stat().st_size, ratio),
    )  # fmt: skip
    files = contents.files(path, format_name)

    def read(file: DataFile) -> Reading:
        try:
            reading = FORMATS[file.format].read(file.path, source, department, limit)
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
