"""Measure how long a night takes: the sample city, again, and one delivery of a million rows.

    python benchmarks/night.py [--rows 1000000]

Prints one line a measurement: seconds, peak memory of the process, rows. Clocks are noisy; compare
two versions side by side on one machine, never a figure with an older note.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

HEADER = "报送单位,统计日期,目录编码,目录名称,数据领域,新增数据量,累计数据量\n"


@contextmanager
def measured(what: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{what:<46} {seconds:7.1f} s   peak {peak:6.0f} MB", flush=True)


def citybrain(data: Path, *arguments: str) -> str:
    environment = os.environ | {"CITYBRAIN_DATA_DIR": str(data)}
    command = [sys.executable, "-m", "pipelines.cli", *arguments]
    return subprocess.run(
        command, env=environment, check=True, capture_output=True, text=True
    ).stdout


def big_delivery(data: Path, rows: int) -> None:
    folder = data / "landing" / "2021-09-23" / "gaj"
    folder.mkdir(parents=True)
    with (folder / "data_records.csv").open("w", encoding="gb18030") as file:
        file.write(HEADER)
        for number in range(rows):
            # one cell in ten is written as offices write: the slow path of the normaliser
            new = f"{number % 900:,}条" if number % 10 == 0 else str(number % 900)
            file.write(
                f"市公安局,2021年9月23日,GA{number:06d},户籍登记,政务,{new!r},9000000\n".replace(
                    "'", '"'
                )
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = min(parser.parse_args().rows, 1_000_000)  # catalogue codes have six digits
    with tempfile.TemporaryDirectory() as folder:
        city = Path(folder, "city")
        day = date(2021, 10, 31).isoformat()
        with measured("write the sample (3,067 files)"):
            citybrain(city, "sample", str(city / "landing"), "--until", day)
        with measured("first night of the sample"):
            citybrain(city, "run", "--as-of", day, "--fail-on", "never")
        citybrain(city, "sample", str(city / "landing"), "--until", day)
        with measured("the same again: all unchanged"):
            citybrain(city, "run", "--as-of", day, "--fail-on", "never")
        with measured("a night in which nothing came"):
            citybrain(city, "run", "--as-of", day, "--fail-on", "never")
        with measured("status"):
            citybrain(city, "status", "--json")
        large = Path(folder, "large")
        big_delivery(large, rows)
        with measured(f"one delivery of {rows:,} rows"):
            citybrain(large, "run", "--as-of", day, "--fail-on", "never")
        [delivery] = json.loads(citybrain(large, "deliveries", "--json"))
        assert delivery["accepted"] == rows, delivery


if __name__ == "__main__":
    main()
