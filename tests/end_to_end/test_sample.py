"""The sample city: the same on every call, true to its facts, and faulty exactly where it says."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from python_calamine import CalamineWorkbook

from pipelines.clock import SHANGHAI
from pipelines.contracts.catalog import Catalog
from pipelines.contracts.loading import load_catalog
from pipelines.contracts.spellings import fold_header
from pipelines.errors import UsageError
from pipelines.sample import SampleSummary, write_sample
from pipelines.sample.city import due_days
from pipelines.sample.irregularities import IRREGULARITIES, SPOILT, Irregularity

CATALOG = load_catalog()
NEW = "new_records"


@dataclass(frozen=True)
class Landing:
    folder: Path
    summary: SampleSummary

    def file(self, irregularity: Irregularity, at: int = 0) -> Path:
        folder = irregularity.folder or f"{irregularity.day}/{irregularity.department}"
        name = (
            irregularity.files[at].name
            if irregularity.folder
            else f"{irregularity.source}.{irregularity.files[at].name}"
        )
        return self.folder / folder / name


@pytest.fixture(scope="module")
def quarter(tmp_path_factory: pytest.TempPathFactory) -> Landing:
    folder = tmp_path_factory.mktemp("quarter")
    return Landing(folder, write_sample(folder, CATALOG, date(2021, 9, 30)))


@pytest.fixture(scope="module")
def october(tmp_path_factory: pytest.TempPathFactory) -> Landing:
    folder = tmp_path_factory.mktemp("october")
    return Landing(folder, write_sample(folder, CATALOG))


# --- an independent, small reader: what a clerk would read in the file -----------------------


def grid(path: Path) -> list[list[object]]:
    """Return the cells of a file, title rows and footers included."""
    source, department = path.name.split(".")[0], path.parent.name
    match path.suffix.lower():
        case ".xlsx":
            sheet = CalamineWorkbook.from_path(str(path)).get_sheet_by_index(0)
            return [list(row) for row in sheet.to_python()]
        case ".jsonl":
            lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
            return [list(lines[0]), *(list(line.values()) for line in lines)]
        case ".parquet":
            table = pq.read_table(path)
            return [table.column_names, *map(list, zip(*table.to_pydict().values(), strict=True))]
    formats = CATALOG.sources[source].formats.csv
    assert formats is not None
    dialect = formats.dialect(department)
    text = path.read_bytes().decode(dialect.encoding)
    return [list(row) for row in csv.reader(io.StringIO(text), delimiter=dialect.delimiter)]


def table(path: Path) -> list[dict[str, object]]:
    """Return the data rows of a file, by the contract's column names."""
    source = CATALOG.sources[path.name.split(".")[0]]
    names = {fold_header(h): column.name for column in source.columns for h in column.header}
    header: list[str | None] = []
    rows: list[dict[str, object]] = []
    for row in grid(path):
        if not header:
            known = [names.get(fold_header(str(cell))) for cell in row]
            header = known if len(set(known)) > 2 else []
        elif not any(re.match(pattern, str(row[0])) for pattern in source.footer):
            rows.append({name: cell for name, cell in zip(header, row, strict=True) if name})
    return rows


def number(cell: object) -> int:
    """Return the value of a number as the sample's clerks write it."""
    if isinstance(cell, int) or (isinstance(cell, str) and cell.isascii() and cell.isdigit()):
        return int(cell)
    text = fold_header(str(cell)).replace(",", "").removesuffix("条")
    if text.endswith("万"):
        whole, fraction = text.removesuffix("万").split(".")
        return int(whole) * 10000 + int(fraction)
    return int(float(text))


@cache
def day_of(cell: object) -> date:
    if isinstance(cell, datetime):
        return cell.date()
    if isinstance(cell, date):
        return cell
    parts = re.findall(r"\d+", str(cell))
    if len(parts) == 1:
        return datetime.strptime(parts[0], "%Y%m%d").date()
    return date(*map(int, parts))


def files_of(folder: Path, source: str) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob(f"{source}.*")) if path.is_file())


def content(folder: Path) -> dict[str, tuple[str, int]]:
    """Map every file to its hash and time of change."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mtime_ns,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


# --- the same on every call ------------------------------------------------------------------


def test_two_landings_are_identical_in_bytes_and_times(quarter: Landing, tmp_path: Path) -> None:
    again = write_sample(tmp_path, CATALOG, date(2021, 9, 30))
    assert content(tmp_path) == content(quarter.folder)
    assert again == quarter.summary


def test_landing_twice_into_one_folder_changes_nothing(tmp_path: Path) -> None:
    first = write_sample(tmp_path, CATALOG, date(2021, 9, 23))
    before = content(tmp_path)
    assert write_sample(tmp_path, CATALOG, date(2021, 9, 23)) == first
    assert content(tmp_path) == before


def test_a_shorter_sample_is_the_beginning_of_a_longer_one(
    quarter: Landing, october: Landing
) -> None:
    short, long = content(quarter.folder), content(october.folder)
    assert short.items() <= long.items()


def test_workbooks_carry_no_time_of_writing(october: Landing) -> None:
    with zipfile.ZipFile(october.folder / "2021-09-23/czj/data_records.xlsx") as book:
        assert {member.date_time for member in book.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        core = book.read("docProps/core.xml").decode()
    assert set(re.findall(r"\d{4}-\d\d-\d\dT[\d:]+Z", core)) == {"2021-09-23T08:00:00Z"}


def test_nothing_temporary_is_left_and_the_count_is_right(october: Landing) -> None:
    files = [path for path in october.folder.rglob("*") if path.is_file()]
    assert [path.name for path in files if path.suffix == ".tmp"] == ["x.tmp"]
    assert len(files) == october.summary.files
    assert sum(path.stat().st_size for path in files) == october.summary.bytes
    assert 15e6 < october.summary.bytes < 40e6


def test_progress_counts_days(tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    write_sample(tmp_path, CATALOG, date(2021, 9, 24), lambda *done: heard.append(done))
    assert heard == [(1, 2), (2, 2)]


@pytest.mark.parametrize("until", [date(2021, 9, 22), date(2022, 1, 1)])
def test_days_outside_the_city_are_refused(until: date, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="2021-09-23 to 2021-12-31"):
        write_sample(tmp_path, CATALOG, until)


def test_a_configuration_without_the_citys_sources_is_refused(tmp_path: Path) -> None:
    bare = Catalog(sources={}, metrics={}, targets={}, departments={}, suites={})
    with pytest.raises(UsageError, match="needs data_records"):
        write_sample(tmp_path, bare)


# --- true to its facts -----------------------------------------------------------------------


def test_the_third_quarter_adds_up_to_the_published_figure(quarter: Landing) -> None:
    total, items = 0, set()
    for path in files_of(quarter.folder, "data_records"):
        if path == quarter.folder / "2021-09-29/kjj/data_records.csv":
            continue  # replaced by the correction beside it
        for row in table(path):
            assert date(2021, 7, 1) <= day_of(row["record_date"]) <= date(2021, 9, 30)
            total += number(row[NEW])
            items.add(row["catalog_code"])
    assert total == quarter.summary.facts["q3_new_records"] == 265_000_000
    assert len(items) == quarter.summary.facts["catalog_items"] == 5041
    assert all(re.fullmatch(r"[A-Z]{2}\d{6}", str(code)) for code in items)


def test_totals_run_on_from_day_to_day(quarter: Landing) -> None:
    last: dict[object, int] = {}
    bulk = sorted((quarter.folder / "bulk/all").iterdir())
    daily = sorted(quarter.folder.glob("2021-*/gaj/data_records.csv"))
    rows = [row for path in [*bulk, *daily] for row in table(path)]
    for row in rows:
        code, new, total = row["catalog_code"], number(row[NEW]), number(row["cumulative_records"])
        assert last.get(code, total - new) + new == total
        last[code] = total


def test_bulk_parts_are_months_and_were_received_before_the_campaign(quarter: Landing) -> None:
    paths = sorted((quarter.folder / "bulk/all").iterdir())
    assert [path.name for path in paths] == [f"data_records.2021m0{m}.csv" for m in (7, 8, 9)]
    for path, month in zip(paths, (7, 8, 9), strict=True):
        assert {day_of(row["record_date"]).month for row in table(path)} == {month}
        received = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        assert received == datetime(2021, 9, 23, tzinfo=UTC)


def test_every_department_but_the_silent_sends_every_day(october: Landing) -> None:
    for offset in range(39):
        day = date(2021, 9, 23) + timedelta(days=offset)
        valid = {code for code, who in CATALOG.departments.items() if who.valid_on(day)}
        silent = {"rfb"} | ({"hszh"} if day >= date(2021, 10, 12) else set())
        sent = {path.parent.name for path in october.folder.glob(f"{day}/*/data_records.*")}
        assert sent - {"lyfz"} == valid - silent


def test_the_renamed_department_goes_on_with_its_catalogue(october: Landing) -> None:
    before, after = (
        [row for path in october.folder.glob(f"*/{code}/data_records.csv") for row in table(path)]
        for code in ("cgj", "cgzf")
    )
    assert {row["catalog_code"] for row in after} & {row["catalog_code"] for row in before}
    assert {row["reporting_unit"] for row in after} == {"市城管执法局"}


def test_the_city_is_at_risk_by_the_end_of_october(october: Landing) -> None:
    plan = 300_000_000 * 39 / 100
    assert 0.88 < october.summary.facts["campaign_new_records"] / plan < 0.92
    assert 0.97 < october.summary.facts["app_visits"] / (6_000_000 * 39 / 100) < 1.03


def test_campaign_fact_agrees_with_the_files(october: Landing) -> None:
    """Count from the files, without what the table of irregularities says is not loaded."""
    lost = {
        october.file(irregularity, at)
        for irregularity in IRREGULARITIES
        for at, landed in enumerate(irregularity.files)
        if landed.outcome in ("rejected", "unreadable", "unchanged", "stray", "ignored")
    }
    lost.add(october.folder / "2021-09-29/kjj/data_records.csv")
    total = 0
    for path in files_of(october.folder, "data_records"):
        if path not in lost and path.parent.parent.name != "bulk":
            total += sum(number(row[NEW]) for row in _sound_rows(path))
    assert total == october.summary.facts["campaign_new_records"]


def _sound_rows(path: Path) -> Iterator[dict[str, object]]:
    rows = list({tuple(row.items()): row for row in table(path)}.values())
    keys = Counter(row["catalog_code"] for row in rows)
    for row in rows:
        texts = (str(row[NEW]), str(row["cumulative_records"]), str(row["record_date"]))
        if (
            any(re.search("待核实|^-|02-30", text) for text in texts)
            or keys[row["catalog_code"]] > 1
        ):
            continue
        if number(row["cumulative_records"]) >= number(row[NEW]):
            yield row


@pytest.mark.parametrize(
    ("day", "share"),
    [(date(2021, 9, 27), 0.62), (date(2021, 10, 8), 0.68), (date(2021, 10, 11), 0.70)],
)
def test_a_survey_of_all_departments_counts_6417_channels(
    october: Landing, day: date, share: float
) -> None:
    paths = list(october.folder.glob(f"{day}/*/video_channels.*"))
    rows = [row for path in paths for row in table(path)]
    ids = {str(row["channel_id"]) for row in rows}
    assert len(paths) == 59
    assert len(ids) == len(rows) == october.summary.facts["video_channels"] == 6417
    assert all(re.fullmatch(r"\d{10}13[12]\d{7}", channel_id) for channel_id in ids)
    assert all(re.fullmatch(r"1\d{10}", str(row["contact_phone"])) for row in rows)
    integrated = sum(row["integrated"] in ("是", True) for row in rows)
    assert integrated / 6417 == pytest.approx(share, abs=0.02)


def test_fewer_channels_are_offline_with_every_survey(october: Landing) -> None:
    days = due_days(CATALOG.sources["video_channels"], CATALOG, date(2021, 10, 31))
    assert [day.day for day in days] == [27, 8, 11, 18, 25]
    offline = [
        sum(
            row["status"] == "离线"
            for path in october.folder.glob(f"{day}/*/video_channels.*")
            for row in table(path)
        )
        for day in days
    ]
    assert offline == sorted(offline, reverse=True)
    assert 6417 * 0.03 < offline[-1] < offline[0] < 6417 * 0.07


def test_apps_are_23_scenarios_of_6_fields_in_4_channels(october: Landing) -> None:
    for day in ("2021-09-23", "2021-10-16", "2021-10-31"):
        paths = list(october.folder.glob(f"{day}/*/app_visits.*"))
        rows = [row for path in paths for row in table(path)]
        assert {path.parent.name for path in paths} <= set(
            CATALOG.due_departments(CATALOG.sources["app_visits"])
        )
        assert len({row["app"] for row in rows}) == 23
        assert len({row["scenario_field"] for row in rows}) == 6
        assert len({(row["app"], row["channel"]) for row in rows}) == len(rows) == 92
        assert all(number(row["visits"]) >= number(row["unique_visitors"]) for row in rows)


def test_indicators_state_the_published_figures(october: Landing) -> None:
    def value(day: str, department: str, indicator: str) -> str:
        (path,) = october.folder.glob(f"{day}/{department}/indicator_reports.*")
        return next(str(row["value"]) for row in table(path) if row["indicator"] == indicator)

    assert value("2021-09-30", "sjzy", "政务数据资源目录完善数") == "5041条"
    assert value("2021-09-24", "zwfw", "实体政务服务场所数") == "1142个"
    assert value("2021-09-24", "zwfw", "自助终端数") == "596台"
    assert value("2021-10-29", "dxgs", "5G基站建成数") == "143座"
    assert value("2021-10-29", "ydgs", "5G基站建成数") == "约125"
    assert value("2021-09-24", "wjw", "健康码申领人次") == "26.9万余人次"
    assert value("2021-09-24", "wjw", "电子病历调阅次数") == "１，２３４次"
    facts = october.summary.facts
    assert (facts["base_stations"], facts["online_service_rate"]) == (268, 97.4)
    assert (facts["service_venues"], facts["kiosks"], facts["catalog_entries"]) == (1142, 596, 5041)


def test_indicators_are_reported_on_working_fridays(october: Landing) -> None:
    days = {path.parent.parent.name for path in files_of(october.folder, "indicator_reports")}
    fridays = {"2021-09-24", "2021-10-08", "2021-10-15", "2021-10-22", "2021-10-29"}
    assert days == fridays | {"2021-09-30"}
    for day in fridays:
        senders = {path.parent.name for path in october.folder.glob(f"{day}/*/indicator_reports.*")}
        assert senders == set(CATALOG.due_departments(CATALOG.sources["indicator_reports"]))


# --- readable, in every way of writing -------------------------------------------------------


def test_every_regular_file_is_readable_and_complete(october: Landing) -> None:
    """Check that the contract accepts every header and that no required cell is empty."""
    irregular = {
        october.file(irregularity, at)
        for irregularity in IRREGULARITIES
        for at, _ in enumerate(irregularity.files)
    }
    formats: Counter[str] = Counter()
    for name, source in CATALOG.sources.items():
        required = [column.name for column in source.columns if column.required]
        sent = {column.name for column in source.columns if not column.is_derived}
        for path in set(files_of(october.folder, name)) - irregular:
            rows = table(path)
            assert rows, path
            assert sent == set(rows[0]), path
            assert all(row[column] not in ("", None) for row in rows for column in required), path
            formats[path.suffix] += 1
    assert set(formats) == {".csv", ".xlsx", ".jsonl", ".parquet"}
    assert formats[".csv"] > formats[".xlsx"] > 300


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("jxj/data_records.csv", "2021年9月23日"),
        ("tzb/data_records.csv", "2021/9/23"),
        ("ycj/data_records.csv", "20210923"),
        ("daj/data_records.xlsx", "20210923"),
        ("czj/data_records.xlsx", date(2021, 9, 23)),
        ("swju/data_records.parquet", date(2021, 9, 23)),
        ("sthj/data_records.jsonl", "2021-09-23"),
    ],
)
def test_dates_are_written_in_the_departments_way(
    quarter: Landing, file: str, expected: object
) -> None:
    assert {row["record_date"] for row in table(quarter.folder / "2021-09-23" / file)} == {expected}


@pytest.mark.parametrize(
    ("file", "pattern"),
    [
        ("czj/data_records.xlsx", r"\d{1,3}(,\d{3})+"),
        ("zjy/data_records.csv", r"\d{1,3}(,\d{3})+"),
        ("tsw/data_records.csv", r"[０-９]+"),
        ("zzb/data_records.xlsx", r"\d+\.\d{4}万"),
        ("cjr/data_records.csv", r"\d+\.\d{4}万"),
        ("zgh/data_records.xlsx", r"\d+ 条"),
    ],
)
def test_some_numbers_are_written_in_the_departments_way(
    quarter: Landing, file: str, pattern: str
) -> None:
    cells = [str(row["cumulative_records"]) for row in table(quarter.folder / "2021-09-23" / file)]
    assert 0 < sum(bool(re.fullmatch(pattern, cell)) for cell in cells) < len(cells) / 2


def test_workbooks_have_titles_above_and_lines_below(quarter: Landing) -> None:
    rows = grid(quarter.folder / "2021-09-23/czj/data_records.xlsx")
    assert str(rows[0][0]) == "市财政局数据归集量"
    assert not any(rows[0][1:])
    assert rows[2][:3] == ["报送单位", "统计日期", "目录编码"]
    assert rows[-2][0] == "合计"
    assert rows[-2][5] == sum(number(row[5]) for row in rows[3:-2])
    assert str(rows[-1][0]).startswith("注:")


def test_headers_vary_within_what_the_contract_accepts(quarter: Landing) -> None:
    day = quarter.folder / "2021-09-23"
    assert grid(day / "zfw/data_records.csv")[0][5] == " 新增\u3000数据量"
    assert grid(day / "gzw/data_records.xlsx")[1][5] == "当日新增"
    assert grid(day / "jkq/data_records.csv")[0][-1] == "备注说明"


def test_encodings_are_those_of_the_contract(quarter: Landing) -> None:
    day = quarter.folder / "2021-09-23"
    assert "报送单位,统计日期" in (day / "gaj/data_records.csv").read_text("gb18030")
    assert "报送单位,统计日期" in (day / "wjw/data_records.csv").read_text("utf-8")
    assert "报送单位\t统计日期" in (day / "dxgs/data_records.csv").read_text("utf-8")


def test_files_arrive_in_the_night_after_their_day(quarter: Landing) -> None:
    late = {quarter.folder / "2021-09-29/kjj/data_records.xlsx"}
    for path in set(quarter.folder.glob("2021-*/*/*")) - late:
        received = datetime.fromtimestamp(path.stat().st_mtime, UTC).astimezone(SHANGHAI)
        day = date.fromisoformat(path.parent.parent.name)
        assert received.date() == day + timedelta(days=1)
        assert "00:10" <= received.strftime("%H:%M") <= "01:50"


# --- faulty exactly where it says ------------------------------------------------------------


def test_the_summary_expects_what_the_table_declares(october: Landing) -> None:
    expected = october.summary.expected
    declared = Counter(
        landed.outcome for irregularity in IRREGULARITIES for landed in irregularity.files
    )
    counted = sum((Counter(counts) for counts in expected.values()), Counter())
    assert counted == Counter({k: n for k, n in declared.items() if k not in ("stray", "ignored")})
    assert expected["data_records", "jtys", date(2021, 10, 13), "csv"] == {
        "accepted": 1,
        "unchanged": 1,
    }
    assert expected["data_records", "swj", date(2021, 10, 12), "csv"] == {"rejected": 1}
    assert len(october.summary.strays) == 3
    assert len(october.summary.ignored) == 3
    beside = len(october.summary.strays) + len(october.summary.ignored)
    assert sum(october.summary.verdicts.values()) + beside == october.summary.files


def test_an_earlier_end_has_only_the_irregularities_that_fit(quarter: Landing) -> None:
    assert {key[2] for key in quarter.summary.expected} == {date(2021, 9, 29)}
    assert quarter.summary.strays == quarter.summary.ignored == ()


def test_irregularities_keep_off_the_last_days_and_off_each_other() -> None:
    assert max(irregularity.day for irregularity in IRREGULARITIES) <= date(2021, 10, 29)
    places = [
        (irregularity.source, irregularity.department, irregularity.day)
        for irregularity in IRREGULARITIES
    ]
    assert len(set(places)) == len(places)


def _is_late(landing: Landing, irregularity: Irregularity) -> bool:
    received = datetime.fromtimestamp(landing.file(irregularity).stat().st_mtime, UTC).astimezone(
        SHANGHAI
    )
    source = CATALOG.sources[irregularity.source]
    assert source.due is not None
    return received.date() > irregularity.day + timedelta(days=1 + source.due.grace_days)


def _arrives_later(landing: Landing, irregularity: Irregularity) -> bool:
    return (
        landing.file(irregularity, 0).stat().st_mtime
        < landing.file(irregularity, 1).stat().st_mtime
    )


def _wrong_figures(landing: Landing, irregularity: Irregularity) -> bool:
    wrong, right = (table(landing.file(irregularity, at)) for at in (0, 1))
    smaller = all(number(a[NEW]) == number(b[NEW]) // 10 for a, b in zip(wrong, right, strict=True))
    return smaller and _arrives_later(landing, irregularity)


def _rejected_then_right(landing: Landing, irregularity: Irregularity) -> bool:
    first, second = (table(landing.file(irregularity, at)) for at in (0, 1))
    lacks = "catalog_code" not in first[0] and "catalog_code" in second[0]
    return lacks and _arrives_later(landing, irregularity)


def _bad_correction(landing: Landing, irregularity: Irregularity) -> bool:
    good = all(number(row[NEW]) >= 0 for row in table(landing.file(irregularity)))
    bad = [row[NEW] == "待核实" for row in table(landing.file(irregularity, 1))]
    return good and sum(bad) / len(bad) > 0.05 and _arrives_later(landing, irregularity)


def _same_bytes_again(landing: Landing, irregularity: Irregularity) -> bool:
    same = landing.file(irregularity).read_bytes() == landing.file(irregularity, 1).read_bytes()
    return same and _arrives_later(landing, irregularity)


def _wrong_encoding(landing: Landing, irregularity: Irregularity) -> bool:
    data = landing.file(irregularity).read_bytes()
    assert "目录编码" in data.decode("utf-8")
    with pytest.raises(UnicodeDecodeError):
        data.decode("gb18030")
    return True


def _lacks(column: str) -> Callable[[Landing, Irregularity], bool]:
    return lambda landing, irregularity: column not in table(landing.file(irregularity))[0]


def _unknown_header(landing: Landing, irregularity: Irregularity) -> bool:
    return "本日归集条数" in grid(landing.file(irregularity))[0] and _lacks(NEW)(
        landing, irregularity
    )


def _rows_with(column: str, pattern: str) -> Callable[[Landing, Irregularity], bool]:
    """Return a check that exactly the declared rows hold the fault, few enough to quarantine."""

    def check(landing: Landing, irregularity: Irregularity) -> bool:
        rows = table(landing.file(irregularity))
        faulty = [at for at, row in enumerate(rows) if re.search(pattern, str(row[column]))]
        few = len(faulty) / len(rows) <= CATALOG.sources[irregularity.source].max_quarantine
        return tuple(faulty) == SPOILT[irregularity.kind] and few

    return check


def _much_text(landing: Landing, irregularity: Irregularity) -> bool:
    rows = table(landing.file(irregularity))
    return sum(row[NEW] == "待核实" for row in rows) / len(rows) > 0.05


def _key_conflict(landing: Landing, irregularity: Irregularity) -> bool:
    rows = table(landing.file(irregularity))
    same = [row for row in rows if row["catalog_code"] == rows[-1]["catalog_code"]]
    few = len(same) / len(rows) <= 0.05
    return len(same) == 2 and same[0][NEW] != same[1][NEW] and few


def _total_below_part(landing: Landing, irregularity: Irregularity) -> bool:
    rows = table(landing.file(irregularity))
    below = [
        at for at, row in enumerate(rows) if number(row["cumulative_records"]) < number(row[NEW])
    ]
    return tuple(below) == SPOILT[irregularity.kind] and len(below) / len(rows) <= 0.05


def _duplicate_rows(landing: Landing, irregularity: Irregularity) -> bool:
    rows = [tuple(row.values()) for row in table(landing.file(irregularity))]
    return len(rows) - len(set(rows)) == 3


def _no_rows(landing: Landing, irregularity: Irregularity) -> bool:
    return len(grid(landing.file(irregularity))) == 1


def _zero_bytes(landing: Landing, irregularity: Irregularity) -> bool:
    return landing.file(irregularity).stat().st_size == 0


def _truncated(landing: Landing, irregularity: Irregularity) -> bool:
    path = landing.file(irregularity)
    return path.read_bytes()[:2] == b"PK" and not zipfile.is_zipfile(path)


def _password(landing: Landing, irregularity: Irregularity) -> bool:
    data = landing.file(irregularity).read_bytes()
    package = "EncryptedPackage".encode("utf-16-le")
    return data.startswith(bytes.fromhex("D0CF11E0A1B11AE1")) and package in data


def _copy(landing: Landing, irregularity: Irregularity) -> bool:
    """Check that the normal delivery exists, and its copy where it does not belong."""
    normal = landing.folder / f"{irregularity.day}/{irregularity.department}/data_records.csv"
    return normal.read_bytes() == landing.file(
        irregularity
    ).read_bytes() and normal != landing.file(irregularity)


def _leftovers(landing: Landing, irregularity: Irregularity) -> bool:
    return all(landing.file(irregularity, at).exists() for at in range(len(irregularity.files)))


FAULTS: dict[str, Callable[[Landing, Irregularity], bool]] = {
    "late": _is_late,
    "wrong_figures": _wrong_figures,
    "rejected_then_right": _rejected_then_right,
    "bad_correction": _bad_correction,
    "same_bytes_again": _same_bytes_again,
    "wrong_encoding": _wrong_encoding,
    "missing_column": _lacks("domain"),
    "unknown_header": _unknown_header,
    "some_text_in_numbers": _rows_with(NEW, "待核实"),
    "much_text_in_numbers": _much_text,
    "impossible_date": _rows_with("record_date", "^2021-02-30$"),
    "negative_number": _rows_with(NEW, r"^-\d+$"),
    "key_conflict": _key_conflict,
    "total_below_part": _total_below_part,
    "duplicate_rows": _duplicate_rows,
    "no_rows": _no_rows,
    "zero_bytes": _zero_bytes,
    "truncated_workbook": _truncated,
    "password": _password,
    "declared_null": _rows_with("value", "^暂无$"),
    "copy": _copy,
    "leftovers": _leftovers,
}


@pytest.mark.parametrize(
    "irregularity",
    IRREGULARITIES,
    ids=lambda irregularity: f"{irregularity.kind}-{irregularity.department}",
)
def test_the_file_has_the_fault(october: Landing, irregularity: Irregularity) -> None:
    assert FAULTS[irregularity.kind](october, irregularity)
