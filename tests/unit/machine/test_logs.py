"""Structured logs: lines for machines, warnings for people, and no cell of any file."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from pipelines.machine import logs


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


def lines(folder: Path) -> list[dict[str, Any]]:
    [file] = folder.glob("*.jsonl")
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def test_a_step_is_logged_with_its_run_when_it_begins_and_ends(tmp_path: Path) -> None:
    logs.to_folder(tmp_path / "logs")
    with logs.step("run-1", "load", "records") as step:
        with logs.part("metrics"):
            logs.get("here").info("counted", delivery_id="d1")
        step.rows = 7
    begun, part, counted, part_ended, ended = lines(tmp_path / "logs")
    assert (begun["event"], begun["step"]) == ("step started", "load")
    assert (part["step"], part_ended["step"]) == ("metrics", "metrics")
    assert counted["delivery_id"] == "d1"
    assert (ended["event"], ended["rows"]) == ("step finished", 7)
    assert ended["seconds"] == step.seconds >= 0
    for line in (begun, part, counted, part_ended, ended):
        assert (line["run_id"], line["source"]) == ("run-1", "records")
        assert line["timestamp"].endswith("Z")


def test_a_step_that_fails_says_why_and_lets_the_error_through(tmp_path: Path) -> None:
    logs.to_folder(tmp_path)
    with pytest.raises(ValueError), logs.step("run-1", "stage") as step:
        raise ValueError("李雷 13800001111")
    assert step.error == "ValueError"
    assert lines(tmp_path)[-1]["error"] == "ValueError"
    assert "13800001111" not in next(tmp_path.glob("*.jsonl")).read_text("utf-8")


def test_only_the_kind_and_the_frames_of_an_exception_are_logged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.to_folder(tmp_path)
    try:
        raise KeyError("13800001111")
    except KeyError as error:
        logs.get("here").error("could not be read", delivery_id="d1", **logs.arisen(error))
    [line] = lines(tmp_path)
    assert line["exception"] == "KeyError"
    assert line["frames"][-1].startswith("test_logs.py:")
    shown = capsys.readouterr().err
    assert shown == "error: could not be read: delivery_id d1, exception KeyError\n"
    assert "13800001111" not in json.dumps(line) + shown


def test_events_below_a_warning_are_not_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs.to_folder(tmp_path)
    logs.get("here").info("all is well")
    assert capsys.readouterr().err == ""


def test_a_folder_that_takes_no_log_does_not_stop_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    logs.to_folder(tmp_path / "file")
    with logs.step("run-1", "load"):
        logs.get("here").warning("careful")
    shown = capsys.readouterr().err
    assert f"no log is kept in {tmp_path / 'file'}" in shown
    assert "warning: careful" in shown


def test_without_our_configuration_events_go_where_logging_sends_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs.to_logging()  # as on import; another test may have run a command in this process
    with logs.step("run-1", "load"):
        logs.get("here").warning("careful", delivery_id="d1")
    assert "careful" in caplog.text
    assert "d1" in caplog.text


def test_a_disk_that_is_full_ends_the_log_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / f"{datetime.now(UTC):%Y-%m-%d}.jsonl").symlink_to("/dev/full")
    logs.to_folder(tmp_path)
    with logs.step("run-1", "load") as step:
        logs.get("here").warning("careful")
    assert step.error is None
    assert capsys.readouterr().err == "warning: careful\n"


def test_a_terminal_that_was_closed_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs.to_folder(tmp_path)
    with Path("/dev/full").open("w", buffering=1) as gone:
        monkeypatch.setattr(sys, "stderr", gone)
        logs.get("here").warning("careful")
        monkeypatch.undo()
        with suppress(OSError):
            gone.close()
    assert [line["event"] for line in lines(tmp_path)] == ["careful"]
