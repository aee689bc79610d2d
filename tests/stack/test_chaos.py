"""Runs may be killed at any instant; the program's 200 kills are `make chaos`."""

from __future__ import annotations

from pathlib import Path

from stack.chaos import STAGES, chaos

KILLS = 15


def test_killed_runs_lose_nothing_and_readers_never_notice(tmp_path: Path) -> None:
    report = chaos(KILLS, seed=7, folder=tmp_path)

    assert report.differences == [], report.table()
    assert report.reader_errors == 0, report.table()
    assert report.total == KILLS
    assert report.reads > KILLS
    hit = [stage for stage in STAGES if report.kills[stage]]
    assert len(hit) >= 6, report.table()
