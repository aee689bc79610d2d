"""The command itself: its help, wrong usage, screens and JSON, on a small configuration."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner, Result
from unit.conftest import Config

from pipelines import __version__
from pipelines.cli import app, rendering

COMMANDS = typer.main.get_command(app).commands
NAMES = sorted(COMMANDS)
Citybrain = Callable[..., Result]


@pytest.fixture
def citybrain(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Citybrain:
    """Return the command, on the small configuration and an empty data folder."""
    monkeypatch.setenv("CITYBRAIN_CONFIG_DIR", str(config.folder))
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("CITYBRAIN_AS_OF", raising=False)
    return lambda *words: CliRunner().invoke(app, words)


def test_the_commands_of_the_readme_are_there() -> None:
    assert set(NAMES) >= {
        "run",
        "submit",
        "status",
        "deliveries",
        "quarantine",
        "check",
        "withdraw",
        "accept",
        "rebuild",
        "publish",
        "rollback",
        "sql",
        "sample",
        "sources",
    }


def test_help_lists_every_command(citybrain: Citybrain) -> None:
    for words in (["--help"], ["-h"]):
        result = citybrain(*words)
        assert result.exit_code == 0
        assert all(re.search(rf"\b{name}\b", result.output) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help_with_an_example(citybrain: Citybrain, name: str) -> None:
    result = citybrain(name, "--help")
    assert result.exit_code == 0
    assert re.search(r"Examples?:", COMMANDS[name].help)
    assert f"citybrain {name}" in COMMANDS[name].help
    assert "Example" in result.output


@pytest.mark.parametrize("name", NAMES)
def test_every_option_says_what_it_is_for(name: str) -> None:
    for parameter in COMMANDS[name].params:
        assert parameter.help or parameter.name == "help", parameter.name


def test_the_version(citybrain: Citybrain) -> None:
    result = citybrain("--version")
    assert (result.exit_code, result.output.strip()) == (0, __version__)


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["run", "--help"]])
def test_starting_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        f"import sys; from pipelines.cli import app; app({words}, standalone_mode=False); "
        "heavy = {'duckdb', 'pandas', 'pyarrow', 'sqlalchemy', 'great_expectations', 'airflow'}; "
        "loaded = heavy & set(sys.modules); sys.exit(str(loaded) if loaded else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["frobnicate"], "frobnicate"),
        (["run", "--fail-on", "sometimes"], "sometimes"),
        (["run", "--as-of", "2021-02-29"], "2021-02-29"),
        (["run", "--as-of", "yesterday"], "yesterday"),
        (["run", "--date", "2021-10-07..2021-10-01"], "ends before it starts"),
        (["run", "--date", "2021-10-01..2099-10-07"], "2099-10-07 lies in the future"),
        (["run", "--as-of", "2099-10-07"], "2099-10-07 lies in the future"),
        (["run", "--date", "2021-10-01.."], "no date"),
        (["run", "--bogus"], "--bogus"),
        (["run", "extra"], "extra"),
        (["submit"], "file"),
        (["submit", "x.csv"], "--source"),
        (["submit", "x.csv", "-s", "recs", "-d", "gaj", "--date", "2021-10-01"], "recs"),
        (["submit", "x.csv", "-s", "records", "-d", "xyz", "--date", "2021-10-01"], "xyz"),
        (["submit", "x.csv", "-s", "records", "-d", "gaj", "--date", "10/1"], "10/1"),
        (["submit", "x.csv", "-s", "records", "-d", "gaj", "--date", "2021-10-01"], "x.csv"),
        (["submit", "x.csv", "-s", "cameras", "--date", "2021-10-01"], "--department"),
        (["submit", "x.csv", "-s", "cameras", "-d", "gaj"], "--date"),
        (["status", "--target", "campain"], "campaign"),
        (["status", "--as-of", "soon"], "soon"),
        (["status", "--known-at", "x"], "known-at"),
        (["deliveries", "--verdict", "bad"], "bad"),
        (["deliveries", "--date", "x"], "x"),
        (["quarantine", "--limit", "few"], "--limit"),
        (["sql"], "statement"),
        (["rebuild"], "source"),
        (["accept", "3f2a91c0"], "--reason"),
        (["withdraw", "3f2a91c0"], "--reason"),
        (["rollback", "--generation", "x"], "generation"),
        (["sample"], "folder"),
        (["sample", "somewhere", "--until", "x"], "x"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what(
    citybrain: Citybrain,
    tmp_path: Path,
    words: list[str],
    complaint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = citybrain(*words)
    assert result.exit_code == 2
    assert complaint in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "words", [["status"], ["deliveries"], ["quarantine", "--json"], ["sql", "SELECT 1"]]
)
def test_what_is_not_published_yet_says_how_to(citybrain: Citybrain, words: list[str]) -> None:
    result = citybrain(*words)
    assert result.exit_code == 1
    assert "citybrain run" in result.output
    assert "Traceback" not in result.output


def test_a_submitted_file_lands(citybrain: Citybrain, tmp_path: Path) -> None:
    file = tmp_path / "归集量.csv"
    file.write_bytes(b"x")
    result = citybrain(
        "submit", str(file), "-s", "records", "-d", "gaj", "--date", "2021-10-01", "--part", "a"
    )
    assert result.exit_code == 0
    place = tmp_path / "data/landing/2021-10-01/gaj/records.a.csv"
    assert place.read_bytes() == b"x"
    assert str(place) in result.output


def test_a_feedback_workbook_is_submitted_by_its_name(citybrain: Citybrain, tmp_path: Path) -> None:
    for name, folder in (
        ("records.gaj.2021-10-01.feedback-0123456789abcdef.xlsx", "2021-10-01/gaj"),
        ("records.all.bulk.feedback-0123456789abcdef (1).xlsx", "bulk/all"),
    ):
        file = tmp_path / name
        file.write_bytes(b"x")
        result = citybrain("submit", str(file))
        assert result.exit_code == 0, result.output
        assert (tmp_path / "data/landing" / folder / name).read_bytes() == b"x"


def test_sources_as_a_table_and_as_json(citybrain: Citybrain) -> None:
    table = citybrain("sources")
    assert table.exit_code == 0
    assert "数据归集量" in table.output
    assert "csv, xlsx, jsonl, parquet" in table.output
    assert "zip" not in table.output
    result = citybrain("sources", "--json")
    assert [source["name"] for source in json.loads(result.stdout)] == ["cameras", "records"]


def test_a_text_that_is_cut_says_so() -> None:
    assert rendering.shortened("因" * 200, 200) == "因" * 200
    assert rendering.shortened("因" * 201, 200) == "因" * 199 + "…"


WIDE = ("交" * 20, "1,000,000", "accepted_with_quarantine", "第 3 行数量为空，请补充；" * 6)
COLUMNS = ("source", "rows #", "verdict", "reasons")


def shown_at(width: int, **options: Any) -> list[str]:
    """Return the lines of a table with Chinese text, printed on a screen of `width` cells."""
    paper = io.StringIO()
    screen = Console(file=paper, width=width, highlight=False)
    rendering.show_table(screen, "报送", COLUMNS, [WIDE], **options)
    return paper.getvalue().splitlines()


def test_a_table_that_is_too_wide_leaves_optional_columns_out_and_names_them() -> None:
    wide = shown_at(120, optional=("rows #",))
    assert any("rows" in line for line in wide)
    assert "--json" not in wide[-1]
    narrow = shown_at(100, optional=("rows #",))
    assert "1,000,000" not in "\n".join(narrow)
    assert narrow[-1] == "(a wider screen shows rows; --json has everything)"


def test_a_row_that_no_screen_of_80_cells_holds_is_shown_in_lines() -> None:
    lines = shown_at(80)
    assert all(cell_len(line) <= 80 for line in lines)
    text = "".join(line.strip() for line in lines)
    assert all(cell in text.replace(" ", "") for cell in (cell.replace(" ", "") for cell in WIDE))
    assert "reasons:" in text


# --- check --------------------------------------------------------------------------------------


def test_a_sound_configuration(citybrain: Citybrain) -> None:
    result = citybrain("check")
    assert result.exit_code == 0
    assert "sound: 2 sources, 3 metrics, 2 targets, 3 departments" in result.output
    as_json = citybrain("check", "--json")
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (0, [])


def test_every_problem_is_listed_for_people_and_programs(
    citybrain: Citybrain, config: Config
) -> None:
    config.edit("sources/records.yaml", "owner:", "ownr:")
    config.edit("targets.yaml", "{gaj: 60", "{gjj: 60")
    config.write("expectations/cameras.json", "{")
    result = citybrain("check", "--json")
    assert result.exit_code == 2
    problems = json.loads(result.stdout)
    assert all(set(problem) == {"file", "key", "message", "mend"} for problem in problems)
    assert {
        ("sources/records.yaml", "ownr"),
        ("sources/records.yaml", "owner"),
        ("expectations/cameras.json", "-"),
    } <= {(problem["file"], problem["key"]) for problem in problems}
    plain = citybrain("check")
    assert plain.exit_code == 2
    assert len(plain.stderr.strip().splitlines()) == len(problems)
    assert "sources/records.yaml: ownr: nobody knows this key" in plain.stderr


def test_a_folder_that_is_not_there_is_no_stack_trace(
    citybrain: Citybrain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CITYBRAIN_CONFIG_DIR", str(tmp_path / "absent"))
    result = citybrain("check", "--json")
    assert result.exit_code == 2
    [problem] = json.loads(result.stdout)
    assert problem["message"] == "no such folder"


@pytest.mark.parametrize(
    "words",
    [
        ["run"],
        ["status"],
        ["sources"],
        ["publish"],
        ["rebuild", "records"],
        ["submit", "x", "-s", "y"],
    ],
)
def test_no_command_goes_on_with_a_broken_configuration(
    citybrain: Citybrain, config: Config, tmp_path: Path, words: list[str]
) -> None:
    config.edit("metrics.yaml", "column: amount", "column: amuont")
    result = citybrain(*words)
    assert result.exit_code == 2
    assert "error: metrics.yaml: amount: amuont is no column of records" in result.output
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("name", "value"), [("THREADS", "0"), ("CHUNK_BYTES", "lots")])
def test_a_setting_that_makes_no_sense_is_named(
    citybrain: Citybrain, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"CITYBRAIN_{name}", value)
    result = citybrain("check")
    assert result.exit_code == 2
    assert f"CITYBRAIN_{name}" in result.output
