"""Check the departments against each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.checks.fault import Fault


def check_departments(catalog: Catalog) -> Iterator[Fault]:
    """Check that names are unique, validity is in order, and successors form no circle."""
    departments = catalog.departments
    names = Counter(
        name
        for department in departments.values()
        for name in {department.code, department.name, department.short_name} - {""}
    )
    for name, count in names.items():
        if count > 1:
            yield Fault(
                name,
                f"{count} departments are called so, and rows name them by it",
                "give each a name of its own",
            )
    for code, department in departments.items():
        began, ended = department.valid_from, department.valid_to
        if began is not None and ended is not None and ended < began:
            yield Fault(f"{code}.valid_to", f"{ended} is before {began}", "correct it")
        successor = department.successor
        if successor is None:
            continue
        if successor not in departments:
            yield Fault(f"{code}.successor", f"{successor} is no department", "correct it")
        if ended is None:
            yield Fault(f"{code}.valid_to", "has a successor and no end", "add valid_to")
        followed = {code}
        while successor in departments:
            if successor in followed:
                yield Fault(f"{code}.successor", "successors go round", "break the circle")
                break
            followed.add(successor)
            successor = departments[successor].successor or ""
