"""What the documents name is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
EXPORTS = (PROJECT / "docs" / "exports.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", EXPORTS)))


def test_every_section_names_tests() -> None:
    sections = EXPORTS.split("\n## ")[1:]
    assert sections
    for section in sections:
        assert re.search(r"`[\w/]+\.py::\w+`", section), section.splitlines()[0]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda part: part)
def test_a_named_test_is_there(file: str, name: str) -> None:
    tree = ast.parse((PROJECT / "tests" / file).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert name in functions
