"""Which department a row means by what it calls it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.contracts.models import Department
from pipelines.engine import sql


def department_names(departments: Mapping[str, Department]) -> pa.Table:
    """Every way a row may name a department: (name, code, own); predecessors' names are not own."""
    names: dict[str, dict[str, bool]] = defaultdict(dict)
    for department in departments.values():
        code: str | None = department.code
        own = True
        while code is not None:
            for name in {department.code, department.name, department.short_name} - {""}:
                names[name].setdefault(code, own)
            code, own = departments[code].successor, False
    rows = [(name, code, own) for name, codes in names.items() for code, own in codes.items()]
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table(
        {
            "name": pa.array(columns[0], pa.string()),
            "code": pa.array(columns[1], pa.string()),
            "own": pa.array(columns[2], pa.bool_()),
        }
    )


def owners(duckdb: Any, names: Sequence[str]) -> dict[str, str | None]:
    """The department that each of `names` is, as staging takes it; None for one nobody has.

    The connection has our macros and the table `department_name`.
    """
    duckdb.register("names_given", pa.table({"name": pa.array(names, pa.string())}))
    found = dict(duckdb.execute(sql("staging/owners.sql")).fetchall())
    duckdb.unregister("names_given")
    return found
