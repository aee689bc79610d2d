"""Files made to hurt: each is small to send and large, deep or endless to read."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet
import xlsxwriter

MIB = 1 << 20
HEADER = "事项,数量,领域\n"
Writer = Callable[[Path, int], None]


def _zeros(total: int) -> Iterator[bytes]:
    block = bytes(MIB)
    for _ in range(total // MIB):
        yield block


def gzip_bomb(path: Path, size: int) -> None:
    """Write a thousand times what is sent, in empty lines."""
    with gzip.open(path, "wb") as stream:
        stream.write(HEADER.encode())
        for _ in range(size // MIB):
            stream.write(b"\n" * MIB)


def zip_bomb(path: Path, size: int) -> None:
    """Write a member that declares a small size and is huge."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package,
        package.open("records.csv", "w", force_zip64=True) as member,
    ):
        member.write(HEADER.encode())
        for block in _zeros(size):
            member.write(block)
    _lie(path, "records.csv")


def _lie(path: Path, name: str) -> None:
    """Let the archive's directory say that a member unpacks to a thousand bytes."""
    data = bytearray(path.read_bytes())
    at = data.rindex(name.encode()) - 46  # APPNOTE 4.3.12: the name follows 46 bytes of an entry,
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 24 : at + 28] = struct.pack("<I", 1000)  # of which these are its size
    path.write_bytes(data)


def nested_zips(path: Path, size: int) -> None:
    """Write archives in archives in archives."""
    data, name = HEADER.encode(), "records.csv"
    for _ in range(max(3, size // (100 * MIB))):
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as package:
            for copy in range(10):
                package.writestr(f"{copy}{name}", data)
        data, name = outer.getvalue(), "inner.zip"
    path.write_bytes(data)


def _workbook() -> bytes:
    stream = io.BytesIO()
    book = xlsxwriter.Workbook(stream, {"in_memory": True})
    sheet = book.add_worksheet()
    sheet.write_row(0, 0, ["事项", "数量", "领域"])
    sheet.write_row(1, 0, ["x", 1, "y"])
    book.close()
    return stream.getvalue()


def _with_part(path: Path, name: str, blocks: Iterator[bytes]) -> None:
    """Write the workbook with one of its parts replaced."""
    with (
        zipfile.ZipFile(io.BytesIO(_workbook())) as origin,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package,
    ):
        for entry in origin.infolist():
            if entry.filename != name:
                package.writestr(entry, origin.read(entry))
        with package.open(name, "w", force_zip64=True) as part:
            for block in blocks:
                part.write(block)


SHEET = (
    b'<?xml version="1.0"?><worksheet '
    b'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
)


def workbook_bomb(path: Path, size: int) -> None:
    """Write a sheet of endless empty rows."""

    def blocks() -> Iterator[bytes]:
        yield SHEET
        row = b'<row r="1"><c r="A1"/></row>'
        for _ in range(size // MIB):
            yield row * (MIB // len(row))
        yield b"</sheetData></worksheet>"

    _with_part(path, "xl/worksheets/sheet1.xml", blocks())


def lying_workbook(path: Path, size: int) -> None:
    """Write strings without end into a part that declares a small size."""

    def blocks() -> Iterator[bytes]:
        yield b'<?xml version="1.0"?><sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'
        text = b"<si><t>" + b"x" * 1000 + b"</t></si>"
        for _ in range(size // MIB):
            yield text * (MIB // len(text))
        yield b"</sst>"

    _with_part(path, "xl/sharedStrings.xml", blocks())
    _lie(path, "xl/sharedStrings.xml")


def far_cell(path: Path, size: int) -> None:
    """Write two cells at the ends of the largest sheet there is."""

    def blocks() -> Iterator[bytes]:
        yield SHEET + b'<row r="1"><c r="A1"><v>1</v></c></row>'
        yield b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData></worksheet>'

    _with_part(path, "xl/worksheets/sheet1.xml", blocks())


def workbook_of_laughs(path: Path, size: int) -> None:
    """Write entities of entities into a workbook's strings."""
    _with_part(path, "xl/sharedStrings.xml", iter([_laughs("<sst><si><t>&l9;</t></si></sst>")]))


def _laughs(body: str) -> bytes:
    entities = '<!ENTITY l0 "哈哈哈哈哈哈哈哈哈哈">' + "".join(
        f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10)
    )
    return f'<?xml version="1.0"?><!DOCTYPE x [{entities}]>{body}'.encode()


def xml_of_laughs(path: Path, size: int) -> None:
    """Write ten bytes that are to become ten thousand million."""
    path.write_bytes(_laughs("<data><record><事项>&l9;</事项></record></data>"))


def deep_json(path: Path, size: int) -> None:
    """Write arrays in arrays without end."""
    path.write_bytes(b"[" * size)


def one_string_json(path: Path, size: int) -> None:
    """Write a value as large as the file."""
    with path.open("wb") as file:
        file.write('[{"事项": "'.encode())
        for _ in range(size // MIB):
            file.write(b"x" * MIB)
        file.write(b'"}]')


def one_cell(path: Path, size: int) -> None:
    """Write a quoted cell as large as the file."""
    with path.open("wb") as file:
        file.write(HEADER.encode() + b'"')
        for _ in range(size // MIB):
            file.write(b"x" * MIB)
        file.write(b'",1,y\n')


def wide_header(path: Path, size: int) -> None:
    """Write a million columns and more."""
    columns = size // 8
    with path.open("wb") as file:
        file.write(",".join(f"c{number}" for number in range(columns)).encode() + b"\n")
        file.write(b"," * (columns - 1) + b"\n")


def endless_quotes(path: Path, size: int) -> None:
    """Open a quote in every row: a reader that seeks its end each time never finishes."""
    with path.open("wb") as file:
        file.write(HEADER.encode())
        row = b'"x,1,y\n'
        for _ in range(size // MIB):
            file.write(row * (MIB // len(row)))


def wide_span(path: Path, size: int) -> None:
    """Write a cell that spans a thousand million columns and rows."""
    path.write_text(
        "<table><tr><th>事项</th><th>数量</th></tr>"
        '<tr><td colspan="1000000000" rowspan="1000000000">x</td></tr></table>',
        encoding="utf-8",
    )


def nested_tables(path: Path, size: int) -> None:
    """Write tables in tables without end."""
    path.write_bytes(b"<table><tr><td>" * (size // 15))


def repeated_parquet(path: Path, size: int) -> None:
    """Write a value a thousand million times, which takes Parquet a few kilobytes."""
    rows = MIB
    value = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["x" * 1000])
    table = pa.table({"事项": value, "数量": pa.array([1] * rows, pa.int64())})
    with pyarrow.parquet.ParquetWriter(
        path, table.schema, compression="zstd", use_dictionary=True
    ) as writer:
        for _ in range(max(1, size // (100 * MIB))):
            writer.write_table(table)


def looping_compound(path: Path, size: int) -> None:
    """Write an old workbook whose sector chain bites its own tail ([MS-CFB] 2.3)."""
    path.write_bytes(_compound([1], END))  # the directory's sector follows itself


def looping_mini_sectors(path: Path, size: int) -> None:
    """Write such a loop in the mini sectors (2.4) of a sound directory."""
    path.write_bytes(_compound([END, END, END], 2) + _sectors([0]) + bytes(512))


END, FREE = 0xFFFFFFFE, 0xFFFFFFFF


def _compound(follows: list[int], mini_table: int) -> bytes:
    """Build a header, the table of each sector's successor from 1 on, the directory in 1."""
    header = bytearray(512)
    header[:8] = bytes.fromhex("d0cf11e0a1b11ae1")
    struct.pack_into("<HHHHH", header, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<I", header, 44, 1)  # sectors of the table
    struct.pack_into("<I", header, 48, 1)  # where the directory starts
    struct.pack_into("<I", header, 56, 4096)
    struct.pack_into("<III", header, 60, mini_table, int(mini_table != END), END)
    struct.pack_into("<109I", header, 76, 0, *[FREE] * 108)
    root, book = _entry("Root Entry", 5, 1, 3, 512), _entry("Workbook", 2, FREE, 0, 100)
    return bytes(header) + _sectors([0xFFFFFFFD, *follows]) + root + book + bytes(256)


def _sectors(follows: list[int]) -> bytes:
    return struct.pack("<128I", *follows, *[FREE] * (128 - len(follows)))


def _entry(name: str, kind: int, child: int, start: int, size: int) -> bytes:
    """Build an entry of the directory: 2.6.1."""
    entry = bytearray(128)
    spelled = name.encode("utf-16-le")
    entry[: len(spelled)] = spelled
    struct.pack_into("<HBB", entry, 64, len(spelled) + 2, kind, 1)
    struct.pack_into("<III", entry, 68, FREE, FREE, child)
    struct.pack_into("<II", entry, 116, start, size)
    return bytes(entry)


def many_keys(path: Path, size: int) -> None:
    """Write an object of as many keys as fit."""
    with path.open("wb") as file:
        file.write(b"[{")
        for number in range(size // 16):
            file.write(b'"k%010d":1,' % number)
        file.write('"事项":"x"}]'.encode())


def noise(path: Path, size: int) -> None:
    """Write bytes that mean nothing, as compressed as they can be."""
    state = zlib.crc32(path.name.encode())
    with path.open("wb") as file:
        for block in range(size // MIB):
            seed = struct.pack("<II", state, block)
            file.write(
                b"".join(
                    zlib.adler32(seed + bytes([n % 256])).to_bytes(4, "big") for n in range(256)
                )
                * (MIB // 1024)
            )


class Hostile(NamedTuple):
    """A file: what it is called in landing, who writes it, its size unpacked, what is said of it.

    `told` are words that any message about it must have: one that says less missed the point.
    """

    suffix: str
    write: Writer
    size: int
    words: str


FILES = {
    "gzip bomb": Hostile(".csv.gz", gzip_bomb, 4096 * MIB, "made to hurt"),
    "zip bomb that lies of its size": Hostile(".csv.zip", zip_bomb, 4095 * MIB, "CRC-32"),
    "zips in zips": Hostile(".zip", nested_zips, 800 * MIB, "inner.zip"),
    "workbook bomb": Hostile(".xlsx", workbook_bomb, 3072 * MIB, "unpacks to"),
    "workbook whose strings lie": Hostile(".xlsx", lying_workbook, 3072 * MIB, "damaged"),
    "workbook with a far cell": Hostile(".xlsx", far_cell, 0, "1048576 x 16384"),
    "workbook of laughs": Hostile(".xlsx", workbook_of_laughs, 0, "damaged"),
    "XML of laughs": Hostile(".xml", xml_of_laughs, 0, "entities"),
    "deep JSON": Hostile(".json", deep_json, 30 * MIB, "nested deeper"),
    "JSON of one string": Hostile(".json", one_string_json, 30 * MIB, "longer than"),
    "JSON of a million keys": Hostile(".json", many_keys, 30 * MIB, "more than 2000 fields"),
    "CSV of one cell": Hostile(".csv", one_cell, 300 * MIB, "longer than"),
    "CSV of a million columns": Hostile(".csv", wide_header, 16 * MIB, "columns"),
    "CSV of quotes that never end": Hostile(".csv", endless_quotes, 200 * MIB, "swallows"),
    "page with a cell that spans all": Hostile(".html", wide_span, 0, "spans"),
    "page of tables in tables": Hostile(".html", nested_tables, 30 * MIB, "nested deeper"),
    "Parquet of one value": Hostile(".parquet", repeated_parquet, 4000 * MIB, "unpacks to"),
    "compound file that bites its tail": Hostile(".xls", looping_compound, 0, "corruption"),
    "compound file whose mini sectors do": Hostile(".xls", looping_mini_sectors, 0, "bites"),
    "noise named as a workbook": Hostile(".xls", noise, 100 * MIB, "damaged"),
}
