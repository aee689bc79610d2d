"""Measure what files made to hurt cost: each in a night of its own, beside a good file.

    python tests/hostile/measure.py [--scale 1.0] [--only NAME ...]

Prints a line a file: its size, seconds and peak memory of the whole run (the first line is the run
with the good file alone), and what people are told. Exits with 1 when a good file did not load.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from hostile.files import FILES, HEADER

DAY = "2021-09-23"
ALL_FORMATS = {
    "csv": {},
    "xlsx": {},
    "xls": {},
    "xlsb": {},
    "ods": {},
    "html": {},
    "json": {},
    "jsonl": {},
    "xml": {"record": "data/record"},
    "parquet": {},
}
CONTRACT = {
    "name": "records",
    "title": "数据归集",
    "owner": "数据科",
    "content": "events",
    "grain": "one row per item",
    "key": ["item"],
    "max_quarantine": 1.0,
    "formats": ALL_FORMATS,
    "columns": [
        {"name": "item", "header": ["事项"], "type": "text", "required": True},
        {"name": "amount", "header": ["数量"], "type": "integer", "minimum": 0},
        {"name": "domain", "header": ["领域"], "type": "text"},
    ],
}


@dataclass(frozen=True)
class Night:
    """One run: what it cost, and every delivery's verdict and first reason by department."""

    seconds: float
    peak_mib: float
    exit_code: int
    verdicts: dict[str, tuple[str, str]]
    stderr: str


def prepare(root: Path, departments: list[str]) -> dict[str, str]:
    """Write a configuration of a source; return the environment with it and its data folder."""
    config = root / "config"
    for folder in ("sources", "expectations"):
        (config / folder).mkdir(parents=True)
    (config / "sources" / "records.yaml").write_text(yaml.safe_dump(CONTRACT), encoding="utf-8")
    suite = {"name": "records", "expectations": [], "meta": {}}
    (config / "expectations" / "records.json").write_text(json.dumps(suite), encoding="utf-8")
    rows = "".join(f"{code},{code}局\n" for code in departments)
    (config / "departments.csv").write_text(f"code,name\n{rows}", encoding="utf-8")
    for name in ("metrics.yaml", "targets.yaml"):
        (config / name).write_text("[]\n", encoding="utf-8")
    inherited = {key: text for key, text in os.environ.items() if not key.startswith("CITYBRAIN_")}
    folders = {"CITYBRAIN_CONFIG_DIR": str(config), "CITYBRAIN_DATA_DIR": str(root / "data")}
    return inherited | folders


def place(root: Path, department: str, suffix: str) -> Path:
    """Return where a department's delivery lies in landing."""
    folder = root / "data" / "landing" / DAY / department
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"records{suffix}"


def run(environment: dict[str, str], seconds: float = 600) -> Night:
    """Call `citybrain run`; return its time, peak memory, and what it made of the deliveries."""
    command = [sys.executable, "-m", "pipelines.cli", "run", "--as-of", DAY, "--json"]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=errors
        )
        deadline = started + seconds
        while True:
            done, status, used = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            if time.perf_counter() > deadline:
                process.kill()
            time.sleep(0.02)
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        complaint = errors.read().decode(errors="replace")
    elapsed = time.perf_counter() - started
    listed = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "deliveries", "--json", "--limit", "0"],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    verdicts = {
        delivery["department"]: (delivery["verdict"], (delivery["reasons"] or [""])[0])
        for delivery in json.loads(listed.stdout)
    }
    return Night(elapsed, used.ru_maxrss / 1024, process.returncode, verdicts, complaint)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the sizes in files.py")
    parser.add_argument("--only", nargs="*", default=[], help="names in files.py")
    arguments = parser.parse_args()
    failed = False
    names = arguments.only or list(FILES)
    for name in ["(none)", *names]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            environment = prepare(root, ["good", "bad"])
            place(root, "good", ".csv").write_text(HEADER + "x,1,y\n", encoding="utf-8")
            sent = 0
            if name in FILES:
                file = FILES[name]
                path = place(root, "bad", file.suffix)
                file.write(path, int(file.size * arguments.scale))
                sent = path.stat().st_size
            night = run(environment)
        good = night.verdicts.get("good", ("", ""))[0]
        verdict, reason = night.verdicts.get("bad", ("", ""))
        is_told = name == "(none)" or (FILES[name].words in reason and verdict != "accepted")
        is_fine = good == "accepted" and is_told
        failed = failed or not is_fine
        print(
            f"{'ok ' if is_fine else 'BAD'} {name:<34} {sent / 2**20:8.1f} MiB {night.seconds:6.1f}"
            f" s {night.peak_mib:6.0f} MiB  {verdict}: {reason[:150]}",
            flush=True,
        )
        if not is_fine:
            print(night.stderr[-2000:])
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
