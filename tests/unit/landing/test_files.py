from __future__ import annotations

import hashlib
import os
import shutil
import stat
from datetime import date, datetime
from pathlib import Path

import pytest

from pipelines.errors import UsageError
from pipelines.landing import receipts
from pipelines.landing.archive import archived
from pipelines.landing.files import Landed, look
from pipelines.landing.receipts import clear, receive
from pipelines.landing.submission import submit

DAY = "2021-10-01"


def put(folder: Path, relative: str | bytes, data: bytes = b"x") -> Path:
    path = Path(os.fsdecode(os.fsencode(folder) + b"/" + os.fsencode(relative)))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


# --- look ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "source", "department", "day", "part", "format_name"),
    [
        (f"{DAY}/gaj/records.csv", "records", "gaj", date(2021, 10, 1), "", "csv"),
        (f"{DAY}/gaj/records.CSV", "records", "gaj", date(2021, 10, 1), "", "csv"),
        (f"{DAY}/gaj/records.Xlsx", "records", "gaj", date(2021, 10, 1), "", "xlsx"),
        (f"{DAY}/gaj/records.tsv", "records", "gaj", date(2021, 10, 1), "", "csv"),
        (f"{DAY}/gaj/records.p-1_b.csv", "records", "gaj", date(2021, 10, 1), "p-1_b", "csv"),
        (f"{DAY}/gaj/records.东区.jsonl", "records", "gaj", date(2021, 10, 1), "东区", "jsonl"),
        (f"{DAY}/all/records.parquet", "records", None, date(2021, 10, 1), "", "parquet"),
        ("bulk/gaj/records.csv", "records", "gaj", None, "", "csv"),
        ("bulk/all/records.2.csv", "records", None, None, "2", "csv"),
        (f"{DAY}/gaj/records.csv.gz", "records", "gaj", date(2021, 10, 1), "", "csv.gz"),
        (f"{DAY}/gaj/records.east.TSV.GZ", "records", "gaj", date(2021, 10, 1), "east", "csv.gz"),
        (f"{DAY}/gaj/records.zip", "records", "gaj", date(2021, 10, 1), "", "zip"),
        (f"{DAY}/gaj/records.2.zip", "records", "gaj", date(2021, 10, 1), "2", "zip"),
        (f"{DAY}/gaj/records.json.zip", "records", "gaj", date(2021, 10, 1), "", "json.zip"),
        (f"{DAY}/gaj/records.xml", "records", "gaj", date(2021, 10, 1), "", "xml"),
        (f"{DAY}/gaj/records.et", "records", "gaj", date(2021, 10, 1), "", "xls"),
        (f"{DAY}/gaj/records.xlsm", "records", "gaj", date(2021, 10, 1), "", "xlsx"),
        ("2024-02-29/wsj/cameras.ndjson", "cameras", "wsj", date(2024, 2, 29), "", "jsonl"),
    ],
)
def test_a_valid_name_is_understood(
    folder, catalog, name, source, department, day, part, format_name
):
    path = put(folder, name)
    landed, problems, _ = look(folder, catalog)
    assert problems == []
    assert landed == [Landed(path, source, department, day, part, format_name)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (f"{DAY}/gaj/recs.csv", "no source is called recs"),
        (f"{DAY}/gaj/RECORDS.csv", "no source is called RECORDS"),
        (f"{DAY}/xyz/records.csv", "no department is called xyz"),
        (f"{DAY}/all/cameras.csv", "no department is called all"),
        ("bulk/gaj/cameras.csv", "bulk is no date"),
        ("2021-02-29/gaj/records.csv", "2021-02-29 is no date"),
        ("2021.10.01/gaj/records.csv", "2021.10.01 is no date"),
        (f"{DAY}/gaj/records.doc", "no format is called .doc"),
        (f"{DAY}/gaj/records.gz", "no format is called .gz"),
        (f"{DAY}/gaj/records.tar.gz", "no format is called .gz"),
        (f"{DAY}/gaj/records.east.west.csv.gz", "part 'east.west'"),
        (f"{DAY}/gaj/records", "no format is called nothing"),
        (f"{DAY}/gaj/records.a b.csv", "part 'a b'"),
        (f"{DAY}/gaj/records.a.b.csv", "part 'a.b'"),
        (f"{DAY}/gaj/records.{'p' * 65}.csv", "part 'ppp"),
        ("records.csv", "not at <business date>"),
        (f"{DAY}/records.csv", "not at <business date>"),
        (f"{DAY}/gaj/old/records.csv", "not at <business date>"),
        (f"{DAY}/gaj/re\"cor'ds.csv", "no source is called re\"cor'ds"),
        (f"{DAY}/gaj/rec\nords.csv", r"no source is called rec\nords"),
        (f"{DAY}/gaj/rec\x1b[31mords.csv", r"no source is called rec\x1b[31mords"),
        (f"{DAY}/gaj/records.a\n.csv", "part"),
        (b"2021-10-01/gaj/\xb9\xe9\xbc\xaf.csv", "no source is called \\udcb9"),
        (b"2021-10-01/\xb9\xe9/records.csv", "no department is called \\udcb9"),
        (b"\xb9\xe9/gaj/records.csv", "\\udcb9\\udce9 is no date"),
        (b"2021-10-01/gaj/records.\xb9\xe9", "no format is called .\\udcb9"),
        (b"2021-10-01/gaj/records.\xb9.csv", "part"),
    ],
)
def test_an_invalid_name_is_reported_in_printable_words(folder, catalog, name, message):
    path = put(folder, name)
    landed, (problem,), _ = look(folder, catalog)
    assert landed == []
    assert message in problem.message
    assert problem.mend
    for text in (problem.path, problem.message, problem.mend, problem.chinese):
        assert text.encode()
        assert text.isprintable()
    assert path.exists()


@pytest.mark.parametrize(
    "name",
    [
        ".records.csv",
        "records.csv.part",
        "records.csv.PART",
        "records.csv.tmp",
        "records.csv.filepart",
        "records.csv.crdownload",
        ".hidden/records.csv",
        ".part",
    ],
)
def test_hidden_and_unfinished_files_are_ignored(folder, catalog, name):
    put(folder, f"{DAY}/gaj/{name}")
    assert look(folder, catalog) == ([], [], [])


def test_an_absent_landing_folder_holds_nothing(folder, catalog):
    assert look(folder / "absent", catalog) == ([], [], [])


def test_deliveries_come_in_the_order_of_their_names(folder, catalog):
    names = [f"{day}/{code}/records.csv" for day in ("2021-10-02", DAY) for code in ("wjw", "gaj")]
    for name in names:
        put(folder, name)
    paths = [landed.path.relative_to(folder).as_posix() for landed in look(folder, catalog)[0]]
    assert paths == sorted(names)


def test_links_and_pipes_are_reported_and_neither_followed_nor_opened(folder, catalog, tmp_path):
    outside = tmp_path / "outside"
    put(outside, "records.csv")
    office = folder / DAY / "gaj"
    office.mkdir(parents=True)
    (office / "records.csv").symlink_to(outside / "records.csv")
    (office / "cameras.csv").symlink_to("/nowhere")
    (folder / DAY / "wjw").symlink_to(outside)
    (folder / "2021-10-02").symlink_to(office, target_is_directory=True)
    os.mkfifo(office / "records.jsonl")
    landed, problems, _ = look(folder, catalog)
    assert landed == []
    assert {problem.path for problem in problems} == {
        f"{DAY}/gaj/records.csv",
        f"{DAY}/gaj/cameras.csv",
        f"{DAY}/gaj/records.jsonl",
        f"{DAY}/wjw",
        "2021-10-02",
    }
    assert {problem.message for problem in problems} == {"not a regular file"}


@pytest.mark.parametrize(
    ("name", "department", "day", "part"),
    [
        ("归集量_gaj_20211001.csv", "gaj", date(2021, 10, 1), ""),
        ("upload/归集量_wjw_2021-10-01_2.CSV", "wjw", date(2021, 10, 1), "2"),
        ("upload/归集量.csv", None, None, ""),
    ],
)
def test_a_contracts_own_file_names(folder, config, name, department, day, part):
    config.edit(
        "sources/records.yaml",
        "footer:",
        r"file_patterns: ['(?:upload/)?归集量(?:_(?P<department>\w+)_(?P<business_date>[\d-]+))"
        r"(?:_(?P<part>\d))?\.(?i:csv)', 'upload/归集量\.csv']" + "\nfooter:",
    )
    put(folder, name)
    (landed,), problems, _ = look(folder, config.catalog())
    assert problems == []
    assert (landed.source, landed.department, landed.business_date, landed.part) == (
        "records",
        department,
        day,
        part,
    )


def test_a_department_from_a_pattern_is_checked_like_a_folders_name(folder, config):
    config.edit(
        "sources/records.yaml",
        "footer:",
        r"file_patterns: ['(?P<department>[^_/]+)_(?P<business_date>[^_/]+)\.csv']" + "\nfooter:",
    )
    put(folder, "xyz_2021-10-01.csv")
    put(folder, "gaj_yesterday.csv")
    landed, problems, _ = look(folder, config.catalog())
    assert landed == []
    assert {problem.message for problem in problems} == {
        "no department is called xyz",
        "yesterday is no date of the calendar",
    }


# --- receive ------------------------------------------------------------------------------------


def received(folder, catalog, archive):
    landed, problems, _ = look(folder, catalog)
    assert problems == []
    return [receive(file, catalog, archive) for file in landed]


def test_bytes_go_into_the_archive_by_their_hash_for_our_eyes_only(folder, catalog, settings):
    data = os.urandom(3 << 20)
    path = put(folder, f"{DAY}/gaj/records.csv", data)
    os.utime(path, ns=(0, 1633046400123456789))
    (delivery,) = received(folder, catalog, settings.archive)
    digest = hashlib.sha256(data).hexdigest()
    place = archived(settings.archive, digest)
    assert (delivery.sha256, delivery.size) == (digest, len(data))
    assert place.read_bytes() == data
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(settings.archive.stat().st_mode) == 0o700
    assert delivery.received_at == datetime(2021, 10, 1, 0, 0, 0, 123456)
    assert delivery.contract_hash == catalog.contract_hashes["records"]
    assert delivery.defect is None
    assert path.read_bytes() == data
    assert [path for path in settings.archive.rglob("*") if path.is_file()] == [place]


def test_receiving_again_changes_nothing(folder, catalog, settings):
    put(folder, f"{DAY}/gaj/records.csv", b"a")
    first = received(folder, catalog, settings.archive)
    place = archived(settings.archive, first[0].sha256)
    before = place.stat()
    assert received(folder, catalog, settings.archive) == first
    assert place.stat().st_ino == before.st_ino
    assert place.stat().st_mtime_ns == before.st_mtime_ns


def test_one_archived_file_serves_deliveries_of_the_same_bytes(folder, catalog, settings):
    put(folder, f"{DAY}/gaj/records.csv")
    put(folder, f"{DAY}/wjw/records.csv")
    first, second = received(folder, catalog, settings.archive)
    assert first.sha256 == second.sha256
    assert first.delivery_id != second.delivery_id
    assert len([path for path in settings.archive.rglob("*") if path.is_file()]) == 1


def test_a_delivery_is_its_slot_and_bytes_and_a_receipt_its_time_besides(folder, catalog, settings):
    ids, receipts = set(), set()
    variants = [
        (f"{DAY}/gaj/records.csv", b"a", 1),
        (f"{DAY}/gaj/records.csv", b"b", 1),
        (f"{DAY}/gaj/records.csv", b"a", 2000),
        (f"{DAY}/gaj/records.p.csv", b"a", 1),
        (f"{DAY}/wjw/records.csv", b"a", 1),
        ("2021-10-02/gaj/records.csv", b"a", 1),
        (f"{DAY}/gaj/cameras.csv", b"a", 1),
        (f"{DAY}/all/records.csv", b"a", 1),
        ("bulk/gaj/records.csv", b"a", 1),
        (f"{DAY}/gaj/records.jsonl", b"a", 1),
    ]
    for _ in range(2):
        for name, data, mtime in variants:
            path = put(folder, name, data)
            os.utime(path, ns=(mtime, mtime))
            (delivery,) = received(folder, catalog, settings.archive)
            ids.add(delivery.delivery_id)
            receipts.add(delivery.receipt)
            path.unlink()
    assert len(receipts) == len(variants)
    assert len(ids) == len(variants) - 1  # of the same bytes there are two receipts


def test_an_undeclared_format_is_archived_all_the_same(folder, catalog, settings):
    put(folder, f"{DAY}/gaj/cameras.xlsx")
    (delivery,) = received(folder, catalog, settings.archive)
    assert archived(settings.archive, delivery.sha256).exists()


def test_a_file_that_changes_while_it_is_copied_is_left_for_later(
    folder, catalog, settings, monkeypatch
):
    path = put(folder, f"{DAY}/gaj/records.csv", b"half")
    copy = receipts._copy_to_archive

    def and_grow(origin, archive):
        digest = copy(origin, archive)
        with path.open("ab") as stream:
            stream.write(b" and half")
        return digest

    monkeypatch.setattr(receipts, "_copy_to_archive", and_grow)
    with pytest.raises(UsageError, match="still being written"):
        received(folder, catalog, settings.archive)
    monkeypatch.setattr(receipts, "_copy_to_archive", copy)
    (delivery,) = received(folder, catalog, settings.archive)
    assert archived(settings.archive, delivery.sha256).read_bytes() == b"half and half"


def test_a_copy_that_fails_leaves_nothing_in_the_archive(folder, catalog, settings, monkeypatch):
    put(folder, f"{DAY}/gaj/records.csv")
    monkeypatch.setattr(
        receipts, "archived", lambda archive, sha256: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(OSError, match="disk full"):
        received(folder, catalog, settings.archive)
    assert list(settings.archive.iterdir()) == []


# --- clear --------------------------------------------------------------------------------------


def test_a_recorded_file_is_removed_with_the_folders_it_leaves_empty(folder, catalog, settings):
    put(folder, f"{DAY}/gaj/records.csv")
    (delivery,) = received(folder, catalog, settings.archive)
    clear(delivery, folder)
    assert folder.is_dir()
    assert list(folder.iterdir()) == []
    clear(delivery, folder)


def test_folders_with_other_files_stay(folder, catalog, settings):
    put(folder, f"{DAY}/gaj/records.csv")
    other = put(folder, f"{DAY}/wjw/.records.csv.part")
    (delivery,) = received(folder, catalog, settings.archive)
    clear(delivery, folder)
    assert other.exists()
    assert not (folder / DAY / "gaj").exists()


def test_landing_itself_stays(folder, catalog, settings):
    path = put(folder, f"{DAY}/gaj/records.csv")
    (delivery,) = received(folder, catalog, settings.archive)
    shallow = folder / "records.csv"
    path.rename(shallow)
    clear(delivery.model_copy(update={"path": shallow}), folder)
    assert not shallow.exists()
    assert folder.is_dir()


@pytest.mark.parametrize(("data", "later"), [(b"longer", 0), (b"y", 1_000_000_000)])
def test_a_file_that_was_replaced_is_not_removed(folder, catalog, settings, data, later):
    path = put(folder, f"{DAY}/gaj/records.csv")
    (delivery,) = received(folder, catalog, settings.archive)
    before = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(before + later, before + later))
    clear(delivery, folder)
    assert path.read_bytes() == data


# --- submit -------------------------------------------------------------------------------------


@pytest.fixture
def export(tmp_path):
    file = tmp_path / "归集量 (1).CSV"
    file.write_bytes(b"data")
    return file


def test_a_submitted_file_lands_where_look_finds_it(settings, catalog, export):
    place = submit(export, settings, catalog, "records", "gaj", date(2021, 10, 1), "a1")
    assert place == settings.landing / DAY / "gaj" / "records.a1.csv"
    (landed,), problems, _ = look(settings.landing, catalog)
    assert problems == []
    assert (landed.path, landed.part) == (place, "a1")
    assert export.read_bytes() == place.read_bytes() == b"data"
    assert [path.name for path in place.parent.iterdir()] == [place.name]


@pytest.mark.parametrize("end", [".csv.gz", ".ZIP", ".json.zip", ".et", ".xml"])
def test_a_submitted_file_keeps_the_whole_end_of_its_name(settings, catalog, tmp_path, end):
    file = tmp_path / f"导出.2021{end}"
    file.write_bytes(b"data")
    place = submit(file, settings, catalog, "records", "gaj", date(2021, 10, 1))
    assert place.name == f"records{end.lower()}"


def test_a_file_that_says_its_own_department_and_day_lands_in_bulk(settings, catalog, export):
    place = submit(export, settings, catalog, "records", None, None)
    assert place == settings.landing / "bulk" / "all" / "records.csv"
    (landed,), *_ = look(settings.landing, catalog)
    assert (landed.department, landed.business_date) == (None, None)


def test_submitting_again_replaces_what_waits(settings, catalog, export):
    submit(export, settings, catalog, "records", "gaj", date(2021, 10, 1))
    export.write_bytes(b"newer")
    with pytest.raises(UsageError, match="waits to be taken in"):
        submit(export, settings, catalog, "records", "gaj", date(2021, 10, 1))
    place = submit(export, settings, catalog, "records", "gaj", date(2021, 10, 1), replace=True)
    assert place.read_bytes() == b"newer"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "recs"}, ["recs", "cameras, records"]),
        ({"department": "xyz"}, ["xyz", "departments.csv"]),
        ({"department": "all"}, ["all"]),
        ({"source": "cameras", "department": None}, ["--department", "cameras"]),
        ({"source": "cameras", "business_date": None}, ["--date", "cameras"]),
        ({"part": "../../x"}, ["part", "../../x"]),
        ({"part": "a.b"}, ["part", "a.b"]),
        ({"part": "a\n"}, ["part"]),
        ({"file": "absent.csv"}, ["absent.csv", "no file"]),
        ({"file": "."}, ["no file"]),
        ({"file": "report.pdf"}, ["report.pdf", ".csv", ".xlsx"]),
    ],
)
def test_every_wrong_argument_is_named_and_nothing_lands(
    settings, catalog, export, tmp_path, changes, words
):
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    given = {
        "file": export,
        "source": "records",
        "department": "gaj",
        "business_date": date(2021, 10, 1),
        "part": "",
    }
    given |= {key: tmp_path / value if key == "file" else value for key, value in changes.items()}
    with pytest.raises(UsageError) as caught:
        submit(settings=settings, catalog=catalog, **given)
    assert all(word in str(caught.value) for word in words)
    assert caught.value.exit_code == 2
    assert not settings.landing.exists()


def test_a_copy_that_fails_lands_nothing(settings, catalog, export, monkeypatch):
    def fail(origin, target, size):
        target.write(b"ha")
        raise OSError("disk full")

    monkeypatch.setattr(shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="disk full"):
        submit(export, settings, catalog, "records", "gaj", date(2021, 10, 1))
    assert look(settings.landing, catalog) == ([], [], [])
    left = [path for path in settings.landing.rglob("*") if path.is_file()]
    assert left == []
