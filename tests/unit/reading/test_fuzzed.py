"""What `make fuzz` found, mended since: each of these once raised what was no refusal."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
from hostile.fuzz import fault

CSV = "事项,数量,领域\na,1,政务\n".encode()


def zip_of_no_name() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as package:
        package.writestr("x", CSV)
    return stream.getvalue().replace(b"x", b"/")


def parquet_of_no_text() -> bytes:
    stream = io.BytesIO()
    binary = pa.array([b"\xff\xfe\xff"], pa.binary())
    text = pa.Array.from_buffers(pa.string(), 1, binary.buffers())
    pyarrow.parquet.write_table(pa.table({"事项": text, "数量": ["1"], "领域": ["x"]}), stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        pytest.param(".csv.gz", CSV, id="Arrow took the name's word that it is packed"),
        pytest.param(".csv.gz", gzip.compress(CSV)[:-4], id="cut off in its checksum"),
        pytest.param(".html", b"<table><tr><td><![DOCTYPE x>", id="a section of no known kind"),
        pytest.param(".zip", zip_of_no_name(), id="a member without a name"),
        pytest.param(".parquet", parquet_of_no_text(), id="texts that are not UTF-8"),
    ],
)
def test_it_is_read_or_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    read: Counter[str] = Counter()
    assert fault(content, suffix, tmp_path, read) is None
    assert read
