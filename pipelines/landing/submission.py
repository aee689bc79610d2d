"""Put a file into its place in landing, for people who make no folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from datetime import date
from pathlib import Path

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.extensions import SENDABLE, format_of, suffix_of
from pipelines.deliveries.feedback_form import ALL, named
from pipelines.errors import UsageError
from pipelines.landing.files import BULK, PART
from pipelines.machine.failures import naming_file
from pipelines.settings import Settings


def submit(
    file: Path,
    settings: Settings,
    catalog: Catalog,
    source: str,
    department: str | None,
    business_date: date | None,
    part: str = "",
    replace: bool = False,
) -> Path:
    """Copy `file` to its place in landing, received now; return the place.

    A department or business date of None is left to the file's own columns. Raises UsageError
    naming the argument that makes no sense, or the file that waits there and may not be replaced.
    The copy is written under an unfinished name first, so that no run takes half of it.
    """
    _check_arguments(file, catalog, source, department, business_date, part)
    day = business_date.isoformat() if business_date else BULK
    folder = settings.landing / day / (department or ALL)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{source}.{part}" if part else source
    # A feedback workbook says by its name what it mends, and keeps it.
    name = file.name if named(file.name) else f"{stem}{suffix_of(file.name).lower()}"
    place = folder / name
    if place.exists() and not replace:
        raise UsageError(f"{place} waits to be taken in: run first, or say --replace")
    handle, unfinished = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with naming_file(folder), os.fdopen(handle, "wb") as target, file.open("rb") as origin:
            shutil.copyfileobj(origin, target, 1 << 20)
        Path(unfinished).chmod(0o640)
        Path(unfinished).replace(place)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return place


def _check_arguments(
    file: Path,
    catalog: Catalog,
    source: str,
    department: str | None,
    business_date: date | None,
    part: str,
) -> None:
    """Raise UsageError if an argument of `submit` names nothing known, saying how to mend it."""
    contract = catalog.sources.get(source)
    if contract is None:
        raise UsageError(f"no source is called {source}; there are {', '.join(catalog.sources)}")
    if department is None and contract.partition.department is None:
        raise UsageError(f"say --department: {source} has no column that names it")
    if department is not None and department not in catalog.departments:
        raise UsageError(f"no department is called {department}; see departments.csv for codes")
    if business_date is None and contract.partition.business_date is None:
        raise UsageError(f"say --date: {source} has no column that names the day")
    if part and not PART.fullmatch(part):
        raise UsageError(f"part {part!r} may hold letters, digits, - and _ only")
    if not file.is_file():
        raise UsageError(f"{file} is no file")
    if format_of(file) is None:
        raise UsageError(f"{file.name} is of no known format; send {SENDABLE}")
