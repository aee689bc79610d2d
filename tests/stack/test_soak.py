"""Runs, readers and senders crowd one data folder; the program's 20 minutes are `make soak`."""

from __future__ import annotations

from pathlib import Path

from stack.soak import soak


def test_a_crowd_loses_nothing(tmp_path: Path) -> None:
    report = soak(minutes=0.5, folder=tmp_path, seed=3)

    assert report.passed, report.table()
    assert report.problems == [], report.table()
    assert report.rows_found == report.rows_landed > 0
    assert report.runs >= 3
