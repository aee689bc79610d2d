"""Map the names by which rows call a department to the department that they mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipelines.contracts.departments import Department
from pipelines.engine import sql


def department_names(departments: Mapping[str, Department]) -> pa.Table:
    """Return every text that names a department: columns name, code, is_own.

    A department is named by its code, name or short name, and, in deliveries of its own, by those
    of its predecessors (`is_own` is false for them).
    """
    names: dict[str, dict[str, bool]] = defaultdict(dict)
    for department in departments.values():
        code: str | None = department.code
        is_own = True
        while code is not None:
            for name in {department.code, department.name, department.short_name} - {""}:
                names[name].setdefault(code, is_own)
            code, is_own = departments[code].successor, False
    named = [(name, code, flag) for name, codes in names.items() for code, flag in codes.items()]
    columns = list(zip(*named, strict=True)) or [(), (), ()]
    types = {"name": pa.string(), "code": pa.string(), "is_own": pa.bool_()}
    return pa.table(
        {name: pa.array(column, types[name]) for name, column in zip(types, columns, strict=True)}
    )


def owners(duckdb: Any, names: Sequence[str]) -> dict[str, str | None]:
    """Return the department that each of `names` is, as staging takes it; None for nobody's name.

    The connection has our macros and the table chunk.department_name.
    """
    duckdb.register("given_names", pa.table({"name": pa.array(names, pa.string())}))
    codes = dict(duckdb.execute(sql("staging/owners.sql")).fetchall())
    duckdb.unregister("given_names")
    return codes
