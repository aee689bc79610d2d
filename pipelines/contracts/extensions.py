"""The formats that file names claim; every other list of extensions derives from here."""

from __future__ import annotations

from pathlib import Path

EXTENSIONS_BY_FORMAT: dict[str, tuple[str, ...]] = {
    "csv": (".csv", ".tsv", ".txt"),
    "xlsx": (".xlsx", ".xlsm"),
    "xls": (".xls", ".et"),
    "xlsb": (".xlsb",),
    "ods": (".ods",),
    "html": (".html", ".htm"),
    "json": (".json",),
    "jsonl": (".jsonl", ".ndjson"),
    "xml": (".xml",),
    "parquet": (".parquet",),
}
FORMATS = {ext: name for name, exts in EXTENSIONS_BY_FORMAT.items() for ext in exts}
EXTENSIONS = tuple(FORMATS)
WRAPPERS = ("gz", "zip")
PACKED = tuple(f".{name}" for name in WRAPPERS)
SENDABLE = f"{', '.join(EXTENSIONS)}, also inside {' or '.join(PACKED)}"


def suffix_of(name: str) -> str:
    """Return the end of a file's name that claims a format, such as `.csv.gz`; '' for no format."""
    suffix = Path(name).suffix
    if suffix.lower() in EXTENSIONS:
        return suffix
    if suffix.lower() in PACKED:
        inside = suffix_of(name[: -len(suffix)])
        if inside or suffix.lower() == ".zip":  # the members of a zip have names of their own
            return inside + suffix
    return ""


def format_of(path: Path) -> str | None:
    """Return the format that a file's name claims, `csv.gz` if packed; None for no format."""
    steps = suffix_of(path.name).lower().split(".")[1:]
    return ".".join(step if step in WRAPPERS else FORMATS[f".{step}"] for step in steps) or None
