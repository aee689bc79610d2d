"""The texts by which rows may name a department."""

from __future__ import annotations

from pipelines.contracts.departments import Department
from pipelines.staging.owners import department_names


def test_a_department_goes_by_its_code_and_names_and_by_its_predecessors() -> None:
    departments = {
        "old": Department(code="old", name="旧文化局", short_name="文化局", successor="new"),
        "new": Department(code="new", name="新文旅局"),
    }
    named = {tuple(row.values()) for row in department_names(departments).to_pylist()}
    assert named == {
        ("old", "old", True),
        ("旧文化局", "old", True),
        ("文化局", "old", True),
        ("old", "new", False),
        ("旧文化局", "new", False),
        ("文化局", "new", False),
        ("new", "new", True),
        ("新文旅局", "new", True),
    }


def test_without_departments_nothing_is_named() -> None:
    assert department_names({}).num_rows == 0
