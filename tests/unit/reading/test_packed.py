"""Archives around deliveries, and files that are not what they are called."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import struct
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet
import pytest
import xlsxwriter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.contracts.extensions import suffix_of
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import RejectedError, UnreadableError
from pipelines.reading import zips
from pipelines.reading.archives import unpacking
from pipelines.reading.formats import open_delivery
from pipelines.reading.layout import layout

LIMIT = 64 << 20
ALL = {"csv": {}, "xlsx": {}, "json": {}, "jsonl": {}, "parquet": {}, "xml": {"record": "d/r"}}


def contract(formats=ALL, members="one"):
    return Source.model_validate(
        {
            "name": "people",
            "title": "t",
            "owner": "o",
            "content": "snapshot",
            "grain": "g",
            "key": [],
            "formats": {**formats, "zip": {"members": members}},
            "columns": [
                {"name": "number", "header": ["编号"], "type": "text", "required": True},
                {"name": "name", "header": ["名称"], "type": "text"},
                {"name": "district", "from_sheet": True, "type": "text"},
            ],
        }
    )


ONE, MANY = contract(), contract(members="all")
CSV = "编号,名称\n1,甲\n2,乙\n".encode()


def opened(data, format_name, source=ONE, limit=LIMIT, **options):
    """(rows in file order, warnings) of a file in a folder that is empty again afterwards."""
    rows = []
    with TemporaryDirectory() as folder:
        path, scratch = Path(folder, "export"), Path(folder, "scratch")
        scratch.mkdir()
        path.write_bytes(data)
        reading = open_delivery(path, format_name, source, None, limit, scratch, **options)
        for batch in reading.batches:
            assert batch.schema == layout(source)
            rows += batch.to_pylist()
        assert all(place.parent == scratch for place in scratch.rglob("*"))
        assert sorted(Path(folder).iterdir()) == [path, scratch]
    return rows, reading.warnings


def numbers(data, format_name, source=ONE):
    return [row["number"] for row in opened(data, format_name, source)[0]]


def refused(data, format_name, source=ONE, limit=LIMIT, **options):
    with pytest.raises(UnreadableError) as caught:
        opened(data, format_name, source, limit, **options)
    assert caught.value.reason.english()
    assert caught.value.reason.chinese()
    return caught.value.reason


def zipped(*members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as package:
        for name, data in members:
            package.writestr(name, data)
    return out.getvalue()


def workbook(*sheets):
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        for name in sheets or ("Sheet1",):
            sheet = book.add_worksheet(name)
            for number, row in enumerate((("编号", "名称"), ("1", "甲"), ("2", "乙"))):
                sheet.write_row(number, 0, row)
    return out.getvalue()


def parquet():
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"编号": ["1", "2"], "名称": ["甲", "乙"]}), out)
    return out.getvalue()


JSON = json.dumps([{"编号": "1"}, {"编号": "2"}]).encode()
LINES = b"\n".join(json.dumps({"编号": one}).encode() for one in ("1", "2"))
XML = "<?xml version='1.0'?><d><r><编号>1</编号></r><r><编号>2</编号></r></d>".encode()
FILES = {
    "csv": CSV,
    "xlsx": workbook(),
    "json": JSON,
    "jsonl": LINES,
    "xml": XML,
    "parquet": parquet(),
}


# --- archives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FILES)
def test_any_format_may_be_packed(kind):
    data = FILES[kind]
    expected = (["1", "2"], ())
    for content, name in (
        (gzip.compress(data), f"{kind}.gz"),
        (zipped((f"x.{kind}", data)), "zip"),
        (zipped((f"x.{kind}", data)), f"{kind}.zip"),
        (zipped(("x", data)), f"{kind}.zip"),
        (zipped((f"a/b.{kind}.gz", gzip.compress(data))), "zip"),
        (zipped(("x.zip", zipped((f"x.{kind}", data)))), "zip"),
        (gzip.compress(zipped((f"x.{kind}", data))), "zip.gz"),
    ):
        rows, warnings = opened(content, name)
        assert ([row["number"] for row in rows], warnings) == expected


def test_gzip_in_several_streams_is_one_file():
    assert numbers(gzip.compress(CSV[:10]) + gzip.compress(CSV[10:]) + b"\0" * 9, "csv.gz") == [
        "1",
        "2",
    ]


def test_what_is_no_data_is_left_out_and_told():
    data = zipped(
        ("folder/", b""),
        ("__MACOSX/._data.csv", b"x"),
        (".DS_Store", b"x"),
        ("Thumbs.db", b"x"),
        ("~$data.xlsx", b"x"),
        (".~data.xlsx", b"x"),
        ("填报说明.txt", b"x"),
        ("盖章.pdf", b"x"),
        ("x/2021年填表说明(新).txt", b"x"),
        ("数据说明.txt", b"x"),
        ("folder/data.csv", CSV),
    )
    rows, (warning,) = opened(data, "zip")
    assert len(rows) == 2
    left_out = "填报说明.txt、盖章.pdf、2021年填表说明(新).txt、数据说明.txt"
    assert (warning.code, warning.value) == ("member_ignored", left_out)


def test_a_table_that_explains_the_data_may_be_data():
    data = zipped(("data.csv", CSV), ("字段说明.xlsx", workbook()))
    assert refused(data, "zip").code == "several_files"


def test_several_files_of_data_are_one_delivery_only_by_contract():
    data = zipped(("东区.csv", CSV), ("西区.csv", CSV))
    reason = refused(data, "zip")
    assert (reason.code, reason.value) == ("several_files", "东区.csv、西区.csv")
    rows, _ = opened(data, "zip", MANY)
    assert [(row["number"], row["sheet"], row["district"], row["row_number"]) for row in rows] == [
        ("1", "东区.csv", "东区", 2),
        ("2", "东区.csv", "东区", 3),
        ("1", "西区.csv", "西区", 2),
        ("2", "西区.csv", "西区", 3),
    ]


def test_members_of_several_formats_keep_their_sheets():
    data = zipped(
        ("a.xlsx", workbook("城东")), ("b/c.json", JSON), ("d.zip", zipped(("e.csv", CSV)))
    )
    rows, _ = opened(data, "zip", MANY)
    assert [(row["number"], row["sheet"], row["district"]) for row in rows] == [
        ("1", "a.xlsx/城东", "a"),
        ("2", "a.xlsx/城东", "a"),
        ("1", "b/c.json", "c"),
        ("2", "b/c.json", "c"),
        ("1", "d.zip/e.csv", "e"),
        ("2", "d.zip/e.csv", "e"),
    ]


def test_workbooks_of_one_sheet_are_called_after_their_members():
    """Of several sheets each has its own name, as in a workbook that was not packed."""
    data = zipped(("东区.xlsx", workbook("预算")), ("西区.xlsx", workbook("概算", "决算")))
    rows, _ = opened(data, "zip", MANY)
    assert [(row["sheet"], row["district"]) for row in rows] == [
        *[("东区.xlsx/预算", "东区")] * 2,
        *[("西区.xlsx/概算", "西区")] * 2,
    ]
    rows, _ = opened(data, "zip", contract({"xlsx": {"sheets": "all"}}, members="all"))
    assert [(row["sheet"], row["district"]) for row in rows] == [
        *[("东区.xlsx/预算", "预算")] * 2,
        *[("西区.xlsx/概算", "概算")] * 2,
        *[("西区.xlsx/决算", "决算")] * 2,
    ]
    rows, _ = opened(workbook("预算", "决算"), "xlsx", MANY)
    assert {row["district"] for row in rows} == {"预算"}


@pytest.mark.parametrize(
    ("members", "first", "second"),
    [
        ({"东区/办件.csv": CSV, "西区/办件.csv": CSV}, "东区/办件.csv", "西区/办件.csv"),
        ({"办件.csv": CSV, "办件.csv.gz": gzip.compress(CSV)}, "办件.csv", "办件.csv.gz"),
        ({"东区/办件.csv": CSV, "西区/办件 .json": JSON}, "东区/办件.csv", "西区/办件 .json"),
    ],
)
def test_members_that_would_be_called_alike_are_refused(members, first, second):
    reason = refused(zipped(*members.items()), "zip", MANY)
    assert (reason.code, reason.value, reason.expected) == ("same_title", first, "办件")
    assert reason.place == second
    nameless = MANY.model_copy(update={"columns": MANY.columns[:2]})
    rows, _ = opened(zipped(*members.items()), "zip", nameless)
    assert list(dict.fromkeys(row["sheet"] for row in rows)) == [first, second]


def test_sheets_of_several_workbooks_that_would_be_called_alike_are_refused():
    data = zipped(("东区.xlsx", workbook("预算")), ("西区.xlsx", workbook("决算", "预算")))
    reason = refused(data, "zip", contract({"xlsx": {"sheets": "all"}}, members="all"))
    assert (reason.place, reason.value) == ("西区.xlsx/预算", "东区.xlsx/预算")


def test_a_member_is_called_by_its_name_without_all_its_endings():
    data = zipped(("x/东区.csv.gz", gzip.compress(CSV)), ("西区.2021.csv", CSV))
    rows, _ = opened(data, "zip", MANY)
    assert [row["district"] for row in rows] == ["东区", "东区", "西区.2021", "西区.2021"]


def test_a_reading_knows_the_header_and_the_title_of_each_sheet():
    data = zipped(
        ("东区.csv", CSV),
        ("西区.csv", "名称,编号\n甲,1\n".encode()),
        ("南区.xlsx", workbook("预算")),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder, "export")
        path.write_bytes(data)
        reading = open_delivery(path, "zip", MANY, None, LIMIT, Path(folder))
        for batch in reading.batches:
            for row in batch.to_pylist():
                section = reading.section(row["sheet"])
                assert section.title == row["district"]
                assert section.header.cells[section.header.positions["number"]] == "编号"
        heads = [reading.section(name).header.cells for name in ("东区.csv", "西区.csv")]
    assert heads == [("编号", "名称"), ("名称", "编号")]
    assert set(reading.sections) == {"东区.csv", "西区.csv", "南区.xlsx/预算"}


def test_an_unsound_member_is_named_and_all_rows_counted():
    data = zipped(("a.csv", CSV), ("b.csv", "名称,其他\n1,2\n3\n".encode()), ("c.csv", CSV))
    with pytest.raises(RejectedError) as caught:
        opened(data, "zip", MANY)
    assert [(reason.code, reason.place) for reason in caught.value.reasons] == [
        ("missing_column", "b.csv")
    ]
    assert caught.value.rows_read == 6
    assert caught.value.reasons[0].chinese().startswith("b.csv：缺少必填列")
    reason = refused(zipped(("a.csv", CSV), ("b.json", b"[1")), "zip", MANY)
    assert (reason.code, reason.place) == ("damaged", "b.json")
    assert reason.english().startswith("b.json: ")


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/x.csv",
        "/x.csv",
        "C:\\x\\..\\y.csv",
        "a\nb.csv",
        "x" * 3000 + ".csv",
        "a'; DROP TABLE x.csv",
    ],
)
def test_a_members_name_is_no_path(name):
    rows, _ = opened(zipped((name, CSV)), "zip", MANY)
    assert [row["number"] for row in rows] == ["1", "2"]
    assert rows[0]["sheet"].isprintable()
    assert len(rows[0]["sheet"]) <= 200


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8"])
def test_a_members_name_is_shown_as_its_system_spelled_it(encoding):
    """Zips made on Chinese Windows spell names in GBK, without saying so."""
    spelled = "海淀区.csv".encode(encoding)
    data = zipped(("x" * len(spelled), CSV)).replace(b"x" * len(spelled), spelled)
    assert opened(data, "zip", MANY)[0][0]["sheet"] == "海淀区.csv"


def test_an_archive_without_data_is_told():
    reason = refused(zipped(("a.pdf", b"x")), "zip")
    assert (reason.code, reason.value) == ("no_data_file", "a.pdf")
    assert refused(zipped(), "zip").code == "no_data_file"
    assert refused(zipped(("a.csv", b"")), "zip").code == "empty_file"
    assert refused(gzip.compress(b""), "csv.gz").code == "empty_file"


def test_a_member_of_no_agreed_format_is_told():
    reason = refused(zipped(("a.json", JSON)), "zip", contract({"csv": {}}))
    assert (reason.code, reason.value, reason.place) == ("format", "json", "a.json")


# --- damaged and hostile archives ---------------------------------------------------------------

NOISY = b"".join(struct.pack("<Q", number * 0x9E3779B97F4A7C15 % 2**64) for number in range(2000))
LARGE = "编号,名称\n".encode() + b"".join(
    b"%d,%s\n" % (number, NOISY[8 * number : 8 * number + 8].hex().encode())
    for number in range(2000)
)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "csv.gz"), (None, "zip")])
def test_a_truncated_archive_is_damaged(pack, name, share):
    whole = pack(LARGE) if pack else zipped(("a.csv", LARGE))
    assert refused(whole[: int(len(whole) * share)], name).code == "damaged"


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "csv.gz"), (None, "zip")])
def test_a_changed_byte_is_found_by_the_checksum(pack, name):
    whole = bytearray(pack(LARGE) if pack else zipped(("a.csv", LARGE), method=zipfile.ZIP_STORED))
    whole[len(whole) // 2] ^= 1
    assert refused(bytes(whole), name).code == "damaged"


def encrypted(data):
    """The same zip with the flags of every entry saying that it is encrypted."""
    data = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.find(signature)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(signature, at + 4)
    return bytes(data)


def test_a_password_is_told():
    reason = refused(encrypted(zipped(("a.csv", CSV))), "zip")
    assert (reason.code, reason.value) == ("encrypted_archive", "a.csv")


@pytest.mark.parametrize(
    ("method", "name"), [(zipfile.ZIP_LZMA, "LZMA"), (zipfile.ZIP_BZIP2, "BZIP2")]
)
def test_other_methods_of_packing_are_named(method, name):
    reason = refused(zipped(("a.csv", CSV), method=method), "zip")
    assert (reason.code, reason.value) == ("packing", name)


ZEROS = b"0" * (40 << 20)


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "csv.gz"), (None, "zip")])
def test_a_bomb_is_told_by_its_ratio(pack, name):
    reason = refused(pack(ZEROS) if pack else zipped(("a.csv", ZEROS)), name)
    assert (reason.code, reason.expected) == ("bomb", "1:200")


def test_a_small_file_may_shrink_as_it_likes():
    text = "编号,名称\n" + "1,甲\n" * 500_000
    assert len(numbers(gzip.compress(text.encode()), "csv.gz")) == 500_000


@pytest.mark.parametrize(("pack", "name"), [(gzip.compress, "csv.gz"), (None, "zip")])
def test_unpacking_stops_at_the_limit(pack, name):
    data = pack(LARGE) if pack else zipped(("a.csv", LARGE))
    reason = refused(data, name, limit=len(LARGE) - 1)
    assert (reason.code, reason.expected) == ("too_large", str(len(LARGE) - 1))
    assert len(opened(data, name, limit=len(LARGE))[0]) == 2000


def test_what_a_zip_says_of_its_sizes_is_not_believed():
    lying = bytearray(zipped(("a.csv", ZEROS)))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", lying, lying.find(signature) + offset, 10)
    assert refused(bytes(lying), "zip", limit=100).code == "damaged"
    lying = bytearray(zipped(("a.csv", LARGE)))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<L", lying, lying.find(signature) + offset, 1 << 31)
    assert refused(bytes(lying), "zip", limit=100).code == "too_large"


def test_members_that_share_their_bytes_are_counted_as_often():
    """The better zip bomb: many directory entries of one local file."""
    single = zipped(("a.csv", b"0" * (5 << 20)))
    start = single.find(b"PK\x01\x02")
    end = single.find(b"PK\x05\x06")
    entry = single[start:end]
    entries = b"".join(entry.replace(b"a.csv", b"%c.csv" % (97 + n)) for n in range(20))
    trailer = bytearray(single[end:])
    struct.pack_into("<HHL", trailer, 8, 20, 20, len(entries))
    reason = refused(single[:start] + entries + bytes(trailer), "zip", MANY)
    assert reason.code in ("damaged", "bomb")


def test_too_many_members_are_refused(monkeypatch):
    data = zipped(*((f"{number}.csv", b"x") for number in range(unpacking.MEMBERS + 1)))
    assert refused(data, "zip", MANY).code == "bomb"
    monkeypatch.setattr(zips, "DIRECTORY_BYTES", 10_000)
    assert "directory of" in refused(data, "zip", MANY).value


def test_archives_in_archives_end_somewhere():
    three = zipped(("b.zip", zipped(("c.zip", zipped(("d.csv", CSV))))))
    reason = refused(three, "zip")
    assert (reason.code, reason.expected, reason.place) == ("nested", "2", "c.zip")
    assert refused(gzip.compress(gzip.compress(gzip.compress(CSV))), "csv.gz").code == "nested"


def test_a_link_in_a_zip_is_text_and_not_followed():
    link = zipfile.ZipInfo("a.csv")
    link.external_attr = 0o120777 << 16
    with pytest.raises(RejectedError) as caught:
        opened(zipped((link, b"/etc/passwd")), "zip")
    assert caught.value.rows_read == 1


SOUND = {
    **FILES,
    "zip": zipped(*((f"a.{kind}", data) for kind, data in FILES.items())),
    "csv.gz": gzip.compress(CSV),
}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(sorted(SOUND)),
    st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=6), st.integers(0, 40)), max_size=4),
)
def test_a_scrambled_file_is_read_or_refused_and_never_breaks_us(kind, changes):
    data = SOUND[kind]
    for where, put, skip in changes:
        at = int(where * len(data))
        data = data[:at] + put + data[at + skip :]
    try:
        rows, _ = opened(data, kind, MANY)
    except (UnreadableError, RejectedError):
        return
    assert all(row["row_number"] > 0 for row in rows)


# --- misnamed -----------------------------------------------------------------------------------

PAGE = "\n<HTML><table><tr><td>编号</td></tr></table></HTML>".encode()
OLE = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 2000
SHEET_2003 = (
    b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n'
    b'<Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>'
)
ODS = zipped(
    ("mimetype", "application/vnd.oasis.opendocument.spreadsheet"), ("content.xml", "<x/>")
)
DOCX = zipped(("[Content_Types].xml", "<x/>"), ("word/document.xml", "<x/>"))


OTHERS = ("xls", "ods", "csv.gz", "zip")
MISNAMED = [
    *((kind, called) for kind in ("xlsx", "xml", "parquet") for called in (*FILES, *OTHERS)),
    *(("csv", called) for called in ("xlsx", "json", "xml", "parquet", *OTHERS)),
    ("json", "jsonl"),
    ("jsonl", "json"),
    ("json", "json.gz"),
    ("jsonl", "jsonl.zip"),
]


@pytest.mark.parametrize(("kind", "called"), [pair for pair in MISNAMED if pair[0] != pair[1]])
def test_a_file_is_read_as_what_it_is_when_that_is_agreed(kind, called):
    rows, warnings = opened(FILES[kind], called)
    assert [row["number"] for row in rows] == ["1", "2"]
    assert [(one.code, one.value, one.expected) for one in warnings] == [("misnamed", kind, called)]


@pytest.mark.parametrize(
    ("data", "called", "really"),
    [
        (PAGE, "xls", "html"),
        (PAGE, "csv", "html"),
        (PAGE.decode().encode("utf-16"), "xls", "html"),
        (b"\xef\xbb\xbf<!DOCTYPE html PUBLIC><html>", "xlsx", "html"),
        (OLE, "xlsx", "xls"),
        (OLE, "csv", "xls"),
        (SHEET_2003, "xls", "SpreadsheetML 2003"),
        (ODS, "xlsx", "ods"),
        (SHEET_2003, "xml", "SpreadsheetML 2003"),
        (b"MIME-Version: 1.0\n", "xls", "MHTML"),
        (DOCX, "xlsx", "Word"),
        (b"%PDF-1.7", "csv", "PDF"),
        (b"Rar!\x1a\x07", "zip", "RAR"),
        (b"7z\xbc\xaf\x27\x1c", "csv.zip", "7z"),
        (bz2.compress(CSV), "csv.gz", "bzip2"),
        ("你好，附件请查收".encode("gb18030"), "xlsx", "txt"),
        (b"hello", "zip", "txt"),
    ],
)
def test_a_file_of_another_format_is_told_as_what_it_is(data, called, really):
    reason = refused(data, called)
    assert (reason.code, reason.value) == ("other_format", really)
    assert reason.expected == "csv, xlsx, json, jsonl, xml, parquet"


def test_a_member_that_is_misnamed_is_read_and_told():
    rows, (warning,) = opened(zipped(("a.xls", CSV)), "zip")
    assert len(rows) == 2
    assert (warning.code, warning.value, warning.expected) == ("misnamed", "csv", "xls")
    rows, (warning,) = opened(gzip.compress(CSV), "csv")
    assert (len(rows), warning.value, warning.expected) == (2, "gz", "csv")


def test_a_misnamed_file_in_another_encoding_is_told_by_its_headers():
    reason = refused(CSV.decode().encode("gb18030"), "xls")
    assert reason.code == "encoding"
    assert "it reads as gb18030" in reason.value


def test_a_misnamed_file_without_its_columns_is_rejected_with_both_reasons():
    with pytest.raises(RejectedError) as caught:
        opened("名称,其他\n1,2\n".encode(), "xlsx")
    assert [reason.code for reason in caught.value.reasons] == ["misnamed", "missing_column"]


def test_an_encrypted_workbook_is_told_whatever_it_is_called():
    locked = OLE + "EncryptedPackage".encode("utf-16-le") + b"\0" * 100
    for called in ("xlsx", "xls", "csv", "zip"):
        assert refused(locked, called).code == "encrypted"


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.csv.gz", ".csv.gz"),
        ("a.east.CSV.GZ", ".CSV.GZ"),
        ("a.zip", ".zip"),
        ("a.b.zip", ".zip"),
        ("a.tar.gz", ""),
        ("a", ""),
        ("a.xlsx.zip.gz", ".xlsx.zip.gz"),
    ],
)
def test_the_end_of_a_name_that_says_its_format(name, suffix):
    assert suffix_of(name) == suffix
