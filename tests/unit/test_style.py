"""The check of our language finds what it is there to find, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from style import check_python, check_sql

LAZY = frozenset({"pandas"})
SOUND = '''"""A module."""

import json


class Row:
    """One row."""

    @property
    def width(self) -> int:
        """The number of cells."""
        return 1


def read(path: str) -> object:
    """Read a file."""
    import pandas

    delivery = json.loads(path)
    return pandas.DataFrame(delivery)
'''


def findings(folder: Path, text: str) -> list[str]:
    file = folder / "module.py"
    file.write_text(text, encoding="utf-8")
    return [message for _, _, message in check_python(file, LAZY)]


def test_sound_code_has_no_findings(tmp_path: Path) -> None:
    assert findings(tmp_path, SOUND) == []


@pytest.mark.parametrize(
    ("sound", "broken", "message"),
    [
        ("Read a file", "Whether a file", "a docstring begins with Whether"),
        ("Read a file", "The file's content", "begins with The (begin with an imperative verb)"),
        ("A module", "What a module holds", "a docstring begins with What"),
        ("One row", "Those rows", "a docstring begins with Those"),
        ("delivery = ", "told = ", "`told` names nothing"),
        ("path: str", "here: str", "`here` names nothing"),
        ("def read", "def seen", "`seen` names nothing"),
        ("import pandas", "import duckdb", "imports duckdb inside a function"),
        ("json.loads(path)", "json.loads(path)  # fmt: skip", "fmt: skip"),
        ("A module", "A module, see docs/absent.md", "cites docs/absent.md"),
    ],
)
def test_a_fault_is_told(tmp_path: Path, sound: str, broken: str, message: str) -> None:
    assert sound in SOUND
    told_of = findings(tmp_path, SOUND.replace(sound, broken, 1))
    assert any(message in finding for finding in told_of), told_of


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("-- Grain: a row\n-- Reads: rows\nSELECT 1", []),
        ("SELECT 1", ["has no `-- Grain:` line at its top", "has no `-- Reads:` line at its top"]),
        (
            "-- Grain: a row\n-- Reads: rows\nDELETE FROM rows",
            ["has no `-- Writes:` line at its top"],
        ),
        (
            "-- Grain: a row\n-- Reads: rows\nSELECT '${name}'",
            ["fills a value into a literal (bind it: $name)"],
        ),
    ],
)
def test_a_statement_says_its_grain_and_binds_its_values(
    tmp_path: Path, text: str, messages: list[str]
) -> None:
    file = tmp_path / "statement.sql"
    file.write_text(text, encoding="utf-8")
    assert [message for _, _, message in check_sql(file)] == messages
