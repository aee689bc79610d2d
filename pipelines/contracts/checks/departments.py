"""Check the departments against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.errors import Problem


def check_departments(catalog: Catalog, file: str) -> Iterator[Problem]:
    """Check that names are unique, validity is in order, and successors exist without a circle."""
    names = Counter(
        name
        for one in catalog.departments.values()
        for name in {one.code, one.name, one.short_name} - {""}
    )
    for name, count in names.items():
        if count > 1:
            yield Problem(
                file,
                name,
                f"{count} departments are called so, and rows name them by it",
                "give each a name of its own",
            )
    for code, department in catalog.departments.items():
        began, ended = department.valid_from, department.valid_to
        if began is not None and ended is not None and ended < began:
            yield Problem(file, f"{code}.valid_to", f"{ended} is before {began}", "correct it")
        if department.successor is not None and department.successor not in catalog.departments:
            yield Problem(
                file, f"{code}.successor", f"{department.successor} is no department", "correct it"
            )
        if department.successor is not None and department.valid_to is None:
            yield Problem(file, f"{code}.valid_to", "has a successor and no end", "add valid_to")
        seen: set[str] = {code}
        current = department.successor
        while current is not None and current in catalog.departments:
            if current in seen:
                yield Problem(file, f"{code}.successor", "successors go round", "break the circle")
                break
            seen.add(current)
            current = catalog.departments[current].successor
