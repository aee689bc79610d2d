"""Feeds the readers with damaged exports: they may refuse, in words, and nothing else.

    python tests/hostile/fuzz.py [--seconds 600] [--format csv ...] [--seeds FOLDER]

Hypothesis damages sound files (of .xls, .xlsb and .ods those in FOLDER, which tests fetch): bytes
flipped, cut, repeated, moved, words of the format put in; inside packages the parts, too. A find is
an exception that is no refusal, a row told twice, a reading of more than ten seconds, of a
gigabyte or without an end. Finds are written to `.fuzz/`; what was mended lives on in
test_fuzzed.py.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import pyarrow as pa
import pyarrow.parquet
import xlsxwriter
from hostile.measure import CONTRACT
from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, NoSuchExample

from pipelines.contracts.extensions import format_of
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import RejectedError, UnreadableError
from pipelines.reading.formats import open_delivery
from pipelines.reading.layout import layout

SOURCE = Source.model_validate(CONTRACT)
SLOW_SECONDS, ENDLESS_SECONDS = 10, 60
MEMORY = 8 << 30  # bytes that this program may take, lest one reading take the machine's
LARGE_MIB = 1024
LIMIT = 32 << 20
ACCIDENTS = ["flip", "insert", "word", "cut", "repeat", "move", "drop"]
WORDS = [
    b'"',
    b'""',
    b",",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"=",
    b"<",
    b">",
    b"&",
    b"<!DOCTYPE x>",
    b"<!ENTITY a 'b'>",
    b"</record>",
    b"<record>",
    b"{",
    b"}",
    b"[",
    b"]",
    b"null",
    b"NaN",
    b"1e999999",
    b"9" * 400,
    b"\\ud800",
    b"<tr>",
    b"</table>",
    b'colspan="99999999"',
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"\xff" * 8,
    b"\x00" * 64,
    b'r="XFD1048576"',
    b't="s"',
    b't="e"',
    "事项".encode(),
    "事项".encode("gb18030"),
    b"\x81\x30\x81\x30",
    b"\x1f\x8b",
    b"PAR1",
]


def seeds(folder: Path | None) -> dict[str, list[bytes]]:
    """Return sound files by their suffix."""
    rows = [
        ["事项", "数量", "领域"],
        ["a", "1", "政务"],
        ["b", "2.65万", '经"济'],
        ["合计", "3", ""],
    ]
    stream = io.StringIO()
    csv.writer(stream).writerows(rows)
    text = stream.getvalue()
    records = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    files = {
        ".csv": [text.encode(), ("标题\n\n" + text).encode("utf-8-sig")],
        ".jsonl": [
            "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()
        ],
        ".json": [json.dumps(records, ensure_ascii=False).encode(), json.dumps(records).encode()],
        ".xml": [_xml(records).encode(), _xml(records).encode("utf-16")],
        ".html": [_page(rows).encode()],
        ".xlsx": [_workbook(rows)],
        ".parquet": [_parquet(records)],
    }
    files[".csv.gz"] = [gzip.compress(files[".csv"][0])]
    files[".zip"] = [_zip("records.csv", files[".csv"][0]), _zip("a/记录.xlsx", files[".xlsx"][0])]
    for path in sorted(folder.rglob("*")) if folder else ():
        if path.is_file() and path.stat().st_size < 200_000 and format_of(path) is not None:
            files.setdefault(path.suffix.lower(), []).append(path.read_bytes())
    return files


def _xml(records: list[dict[str, str]]) -> str:
    body = "".join(
        "<record>" + "".join(f"<{key}>{text}</{key}>" for key, text in record.items()) + "</record>"
        for record in records
    )
    return f"<data>{body}</data>"


def _page(rows: list[list[str]]) -> str:
    return (
        "<table><tr><td colspan=3>标题</td></tr>"
        + "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        + "</table>"
    )


def _workbook(rows: list[list[str]]) -> bytes:
    stream = io.BytesIO()
    book = xlsxwriter.Workbook(stream, {"in_memory": True})
    sheet = book.add_worksheet("记录")
    for number, row in enumerate(rows):
        sheet.write_row(number, 0, row)
    sheet.write_number(5, 1, 7)
    sheet.write_formula(5, 0, "=1/0", None, "#DIV/0!")
    sheet.merge_range(6, 0, 7, 0, "并")
    book.close()
    return stream.getvalue()


def _parquet(records: list[dict[str, str]]) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(records), stream)
    return stream.getvalue()


def _zip(name: str, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr(name, content)
    return stream.getvalue()


@st.composite
def damaged(draw: st.DrawFn, sound: list[bytes]) -> bytes:
    """Damage a sound file by one to six accidents, some within a part of a package."""
    content = draw(st.sampled_from(sound))
    if content.startswith(b"PK") and draw(st.booleans()):
        return _with_damaged_part(draw, content)
    return _accidents(draw, content)


def _with_damaged_part(draw: st.DrawFn, content: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as origin, zipfile.ZipFile(stream, "w") as package:
        hurt = draw(st.sampled_from(origin.namelist()))
        for name in origin.namelist():
            part = origin.read(name)
            package.writestr(name, _accidents(draw, part) if name == hurt else part)
    return stream.getvalue()


def _accidents(draw: st.DrawFn, content: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        size = draw(st.integers(0, 40))
        match draw(st.sampled_from(ACCIDENTS)):
            case "flip" if at < len(content):
                bit = 1 << draw(st.integers(0, 7))
                content = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
            case "insert":
                content = content[:at] + draw(st.binary(max_size=8)) + content[at:]
            case "word":
                content = content[:at] + draw(st.sampled_from(WORDS)) + content[at:]
            case "cut":
                content = content[:at]
            case "repeat":
                times = draw(st.sampled_from([2, 50, 3000]))
                content = content[:at] + content[at : at + size] * times + content[at + size :]
            case "move":
                to = draw(st.integers(0, len(content)))
                piece, rest = content[at : at + size], content[:at] + content[at + size :]
                content = rest[:to] + piece + rest[to:]
            case "drop":
                content = content[:at] + content[at + size :]
    return content


def fault(content: bytes, suffix: str, folder: Path, read: Counter[str]) -> str | None:
    """Return what is wrong with how the readers take `content`; None if all is well."""
    path = folder / f"export{suffix}"
    path.write_bytes(content)
    (folder / "last").write_bytes(content)  # what is left to look at when a library crashes
    scratch = folder / "scratch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    signal.alarm(ENDLESS_SECONDS)
    try:
        kind = format_of(path)
        assert kind is not None
        yielded: set[tuple[str, int]] = set()
        reading = open_delivery(path, kind, SOURCE, None, LIMIT, scratch)
        for batch in reading.batches:
            assert batch.schema == layout(SOURCE), "another layout"
            for sheet, number in zip(
                batch["sheet"].to_pylist(), batch["row_number"].to_pylist(), strict=True
            ):
                assert (sheet, number) not in yielded, f"row {number} of {sheet!r} told twice"
                yielded.add((sheet, number))
        read["read"] += 1
    except (UnreadableError, RejectedError) as error:
        reasons = [error.reason] if isinstance(error, UnreadableError) else error.reasons
        assert all(reason.english() and reason.chinese() for reason in reasons)
        read[reasons[0].code] += 1
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "".join(traceback.format_exception(error))[-3000:]
    finally:
        signal.alarm(0)
    seconds = time.perf_counter() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    if seconds > SLOW_SECONDS:
        return f"took {seconds:.0f} s"
    return f"took {grown:.0f} MiB" if grown > LARGE_MIB else None


def _endless(signum: int, frame: object) -> None:
    raise TimeoutError(f"still reading after {ENDLESS_SECONDS} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--format", nargs="*", default=[], help="suffixes, such as .csv")
    parser.add_argument("--seeds", type=Path, help="a folder of more sound files")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    signal.signal(signal.SIGALRM, _endless)
    sound = seeds(arguments.seeds)
    suffixes = [f".{name.lstrip('.')}" for name in arguments.format] or list(sound)
    finds = Path(".fuzz")
    end = time.monotonic() + arguments.seconds
    tried: Counter[str] = Counter()
    outcomes = {suffix: Counter[str]() for suffix in suffixes}
    finds_count = 0
    round_number = arguments.seed
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        while time.monotonic() < end:
            for suffix in suffixes:
                round_number += 1

                smallest_file = finds / f"{finds_count + 1:03}{suffix}"
                wrong = ""

                def is_bad(
                    content: bytes, suffix: str = suffix, smallest_file: Path = smallest_file
                ) -> bool:
                    nonlocal wrong
                    tried[suffix] += 1
                    wrong_now = fault(content, suffix, folder, outcomes[suffix])
                    if wrong_now is not None:  # the last is the smallest
                        finds.mkdir(exist_ok=True)
                        smallest_file.write_bytes(content)
                        wrong = wrong_now
                    return wrong_now is not None

                options = settings(
                    max_examples=200,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate, Phase.shrink],
                )
                # what was slow or large once may not be so again, which Hypothesis calls flaky
                with suppress(NoSuchExample, Flaky):
                    find(
                        damaged(sound[suffix]),
                        is_bad,
                        settings=options,
                        random=random.Random(round_number),
                    )
                if wrong:
                    finds_count += 1
                    print(f"FOUND {smallest_file}: {wrong}", flush=True)
                if time.monotonic() > end:
                    break
    for suffix in suffixes:
        summary = ", ".join(f"{code} {count}" for code, count in outcomes[suffix].most_common())
        print(f"{suffix:<9} {tried[suffix]:>8} files: {summary}")
    print(f"{sum(tried.values())} files, {finds_count} finds")
    return int(finds_count > 0)


if __name__ == "__main__":
    sys.exit(main())
