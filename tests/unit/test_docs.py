"""Check that what the documents name exists."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from pipelines.contracts.loading import load_catalog
from pipelines.contracts.sources import Source

PROJECT = Path(__file__).parents[2]
EXPORTS = (PROJECT / "docs" / "exports.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", EXPORTS)))


def load(folder: Path, contract: str) -> Source:
    """Load a contract in a configuration that has little else."""
    [name] = re.findall(r"^name: (\w+)", contract)
    for file, text in {
        f"sources/{name}.yaml": contract,
        f"expectations/{name}.json": json.dumps({"name": name}),
        "departments.csv": "code,name\ngaj,市公安局\n",
        "metrics.yaml": "[]\n",
        "targets.yaml": "[]\n",
    }.items():
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).write_text(text, encoding="utf-8")
    return load_catalog(folder).sources[name]


def test_every_section_names_tests() -> None:
    sections = EXPORTS.split("\n## ")[1:]
    assert sections
    for section in sections:
        assert re.search(r"`[\w/]+\.py::\w+`", section), section.splitlines()[0]


def test_a_row_of_a_table_has_a_cell_below_every_header() -> None:
    tables = re.findall(r"(?:^\|.*\n)+", EXPORTS, re.MULTILINE)
    assert tables
    for table in tables:
        header, *rows = (re.split(r"(?<!\\)\|", row) for row in table.splitlines())
        assert [row for row in rows if len(row) != len(header)] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: part)
def test_a_named_test_is_there(file: str, name: str) -> None:
    tree = ast.parse((PROJECT / "tests" / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert name in functions


def test_the_smallest_contract_is_sound(tmp_path: Path) -> None:
    document = (PROJECT / "docs" / "contracts.md").read_text(encoding="utf-8")
    [contract] = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    source = load(tmp_path, contract)
    assert source.formats.declared == ("csv",)


def test_the_worked_contract_is_sound(tmp_path: Path) -> None:
    [contract] = re.findall(r"```yaml\n(.*?)```", EXPORTS, re.DOTALL)
    source = load(tmp_path, contract)
    assert source.formats.declared == ("csv", "xlsx", "xls")
    assert [column.name for column in source.columns if column.is_derived] == [
        "district",
        "fees_word",
    ]
