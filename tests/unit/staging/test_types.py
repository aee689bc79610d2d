"""The SQL that a contract is compiled to, tried on rows in the readers' layout."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from pipelines.contracts.sources import Source
from pipelines.staging.types import ignored, staged_columns, total_row

RECORDS = {
    "name": "records",
    "title": "数据归集",
    "owner": "数据科",
    "content": "events",
    "grain": "one row per item",
    "key": ["item"],
    "formats": {"csv": {}},
    "footer": ["合计", "注[:：]"],
    "columns": [
        {"name": "item", "header": ["事项"], "type": "text"},
        {"name": "amount", "header": ["数量"], "type": "integer", "unit": ["条"]},
    ],
}


def source(**changes: Any) -> Source:
    return Source.model_validate(RECORDS | changes)


@pytest.mark.parametrize(
    ("first", "is_noise", "expected"),
    [
        ("合计", False, True),
        ("合　计：12", False, True),
        ("　 合计", False, True),
        ("注：截至九月底", False, True),
        ("附合计", False, False),
        ("k1", False, False),
        ("k1", True, True),
        ("", False, False),
    ],
)
def test_a_footer_is_known_by_how_the_first_cell_begins(
    first: str, is_noise: bool, expected: bool
) -> None:
    query = f"SELECT {ignored(source())} FROM (SELECT ? AS _first, ? AS _noise)"
    assert duckdb.execute(query, [first, is_noise]).fetchall() == [(expected,)]


def test_without_footers_only_declared_noise_is_ignored() -> None:
    assert ignored(source(footer=[])) == "_noise"


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("合计", True),
        ("合　计", True),
        ("（合计）", True),
        ("其中：合计数", True),
        ("合计户数", False),
        ("k合计", False),
    ],
)
def test_a_line_of_totals_is_known_by_its_words_alone(cell: str, expected: bool) -> None:
    query = "SELECT regexp_matches(?, ?)"
    assert duckdb.execute(query, [cell, total_row(source())]).fetchall() == [(expected,)]


def test_every_column_is_staged_with_the_companions_that_rules_ask_for() -> None:
    duckdb.execute(f"CREATE OR REPLACE TEMP TABLE staged ({staged_columns(source())})")
    described = duckdb.execute("DESCRIBE staged").fetchall()
    assert [(name, kind) for name, kind, *_ in described] == [
        ("item", "VARCHAR"),
        ("item__refused", "VARCHAR"),
        ("amount", "BIGINT"),
        ("amount__refused", "VARCHAR"),
        ("amount__cause", "VARCHAR"),
    ]
