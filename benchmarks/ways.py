"""Count what three ways through the code pass: files, functions, SQL files, as the code runs.

    python benchmarks/ways.py [--json | --list in|back|status]

A delivery in: from landing to `metric_daily`. A bad row out and back: into a feedback workbook,
mended there, returned and loaded. A target to its status: from `metric_daily` to
`citybrain status`.
Counts what runs below `pipelines/` (functions and methods by name, no lambdas, no comprehensions),
split by the step that the log context names, so it runs on any commit since steps were logged.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import threading
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PROJECT = Path.cwd()
CODE, SQL = str(PROJECT / "pipelines") + os.sep, str(PROJECT / "warehouse") + os.sep
DAY = "2021-10-11"
HEADERS = "统计日期,目录编码,目录名称,数据领域,新增数据量,累计数据量"
INTAKE = ("discover", "stage", "load")
calls: dict[str, set[CodeType]] = defaultdict(set)
scripts: dict[str, set[str]] = defaultdict(set)
passed: dict[str, list[str]] = {}
WAYS = {"in": "a delivery in", "back": "a bad row out and back", "status": "a target to its status"}


class Trace:
    """Record what runs while a command of the command line runs, by step."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.step = ""

    def __call__(self, frame: FrameType, event: str, _argument: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        if code.co_filename.startswith(CODE) and not code.co_name.startswith("<"):
            calls[f"{self.command}:{self.outer_step()}"].add(code)

    def outer_step(self) -> str:
        from structlog.contextvars import get_contextvars

        step = get_contextvars().get("step", "")
        if step in STEPS or not step:  # parts of a step are told under its name
            self.step = step
        return self.step


STEPS = {*INTAKE, "feedback", "track", "alerts", "publish", "notify"}


def run(*arguments: str) -> str:
    """Run a command of the command line in this process, traced; return what it prints."""
    from pipelines.cli import app

    trace = Trace(arguments[0])
    sys.setprofile(trace)
    threading.setprofile(trace)
    RUNNING.append(trace)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            app(list(arguments), standalone_mode=False)
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
        RUNNING.pop()
    return printed.getvalue()


RUNNING: list[Trace] = []


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and RUNNING and str(arguments[0]).startswith(SQL):
        path = str(arguments[0])
        if path.endswith(".sql"):
            scripts[f"{RUNNING[-1].command}:{RUNNING[-1].outer_step()}"].add(path)


def forget_statements() -> None:
    """Let cached .sql files be opened, and so be counted, again."""
    from pipelines import engine

    for name in ("_statement", "macro_scripts"):
        clear = getattr(getattr(engine, name, None), "cache_clear", None)
        if clear is not None:
            clear()


def counted(journey: str, *keys: str) -> dict[str, int]:
    """Count what the steps `keys` passed, and keep the list under the journey's name."""
    codes = {code for key in keys for code in calls[key]}
    passed[journey] = sorted(
        {f"{code.co_filename.removeprefix(CODE)} {code.co_qualname}" for code in codes}
        | {path.removeprefix(SQL) for key in keys for path in scripts[key]}
    )
    return {
        "files": len({code.co_filename for code in codes}),
        "functions": len({(code.co_filename, code.co_qualname) for code in codes}),
        "sql": len({path for key in keys for path in scripts[key]}),
    }


def rows(*amounts: str) -> str:
    lines = [
        f'{DAY},GA{number:06},目录{number},政务,"{amount}",{9000 + number}'
        for number, amount in enumerate(amounts, 1)
    ]
    return "\n".join((HEADERS, *lines, ""))


def take_ways(folder: Path) -> dict[str, dict[str, int]]:
    import openpyxl

    landing = folder / "landing" / DAY / "gaj"
    landing.mkdir(parents=True)
    text = rows("1200", "3,400", *("50",) * 30)
    (landing / "data_records.csv").write_bytes(text.encode("gb18030"))
    run("run", "--as-of", DAY, "--fail-on", "never")
    run("status", "--json")
    ways = {
        "a delivery in": counted("a delivery in", *(f"run:{step}" for step in INTAKE)),
        "a target to its status": counted("a target to its status", "run:track", "status:"),
    }
    calls.clear()
    scripts.clear()
    forget_statements()
    text = rows("1200", "about ten", *("50",) * 30)
    (landing.mkdir(parents=True, exist_ok=True))
    (landing / "data_records.csv").write_bytes(text.encode("gb18030"))
    run("run", "--as-of", DAY, "--fail-on", "never")
    calls.clear()
    scripts.clear()
    forget_statements()
    run("feedback")
    [workbook] = (folder / "feedback").rglob("*.xlsx")
    book = openpyxl.load_workbook(workbook)
    sheet = book["待更正数据"]
    headers = [cell.value for cell in sheet[1]]
    column = next(at for at, header in enumerate(headers, 1) if header == "新增数据量")
    sheet.cell(2, column).value = "3400"
    landing.mkdir(parents=True, exist_ok=True)
    book.save(landing / workbook.name)
    run("run", "--as-of", DAY, "--fail-on", "never")
    back = counted(
        "a bad row out and back", "feedback:feedback", *(f"run:{step}" for step in INTAKE)
    )
    answer = run("deliveries", "--json")
    assert json.loads(answer)[0]["accepted"] == 32, answer
    return {
        "a delivery in": ways["a delivery in"],
        "a bad row out and back": back,
        "a target to its status": ways["a target to its status"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--list", choices=WAYS, help="list a way's functions and SQL files")
    options = parser.parse_args()
    sys.path.insert(0, str(PROJECT))
    sys.addaudithook(watch)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CITYBRAIN_DATA_DIR"] = folder
        os.environ["CITYBRAIN_AS_OF"] = DAY
        ways = take_ways(Path(folder))
    if options.list:
        print("\n".join(passed[WAYS[options.list]]))
        return
    if options.json:
        print(json.dumps(ways, ensure_ascii=False, indent=2))
        return
    print(f"{'way':<26}{'files':>8}{'functions':>12}{'SQL files':>12}")
    for name, count in ways.items():
        print(f"{name:<26}{count['files']:>8}{count['functions']:>12}{count['sql']:>12}")


if __name__ == "__main__":
    main()
