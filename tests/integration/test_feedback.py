"""The way back: workbooks of what was kept out, mended as a person would, returned and loaded."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from integration.conftest import DAY, City
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.clock import now
from pipelines.deliveries import feedback_form
from pipelines.deliveries.delivery import Judgement, Verdict
from pipelines.errors import UsageError
from pipelines.feedback import batch
from pipelines.feedback import workbook as workbooks
from pipelines.jobs import housekeeping, intake, night, repairs
from pipelines.landing import archive
from pipelines.published import connect

SURVEY: dict[str, Any] = {
    "name": "survey",
    "title": "窗口普查",
    "owner": "数据科",
    "content": "snapshot",
    "grain": "one row per desk",
    "key": ["desk"],
    "max_quarantine": 1.0,
    "formats": {"csv": {"encoding": "gb18030"}, "xlsx": {}},
    "partition": {"department": "unit", "business_date": "day"},
    "columns": [
        {
            "name": "desk",
            "header": ["窗口编号"],
            "type": "text",
            "required": True,
            "pattern": r"^\d{5}$",
        },
        {"name": "unit", "header": ["单位"], "type": "text"},
        {"name": "day", "header": ["日期"], "type": "date"},
        {"name": "cases", "header": ["办件量"], "type": "integer", "minimum": 0, "maximum": 1000},
        {
            "name": "state",
            "header": ["状态"],
            "type": "text",
            "values": {"开": "open", "关": "shut"},
        },
        {"name": "phone", "header": ["联系电话"], "type": "text", "pii": "phone"},
    ],
}
HEADER = ("窗口编号", "单位", "日期", "办件量", "状态", "联系电话", "备注")
TODAY, PHONE = "2021-09-23", "13812345678"
GOOD = [("00001", "甲局", TODAY, "5", "开", PHONE, "")]
BAD = {  # by the row of the file: what is wrong, and the cells that mend it
    3: (("00002", "甲局", TODAY, "五个", "开", PHONE, "=cmd|' /C calc'!A0"), {"办件量": "5"}),
    4: (("", "甲局", TODAY, "6", "开", PHONE, "+1+1"), {"窗口编号": "00003"}),
    5: (("00004", "甲局", TODAY, "7", "半开", PHONE, "-2"), {"状态": "关"}),
    6: (("A5", "甲局", TODAY, "8", "开", PHONE, "@SUM(A1)"), {"窗口编号": "00005"}),
    7: (("00006", "甲局", TODAY, "-1", "开", PHONE, "DDE"), {"办件量": "1"}),
    8: (("00007", "甲局", TODAY, "9", "开", PHONE, "先"), {"办件量": "10"}),
    9: (
        ("00007", "甲局", TODAY, "10", "开", PHONE, "后"),
        {feedback_form.ACTION: feedback_form.DELETE},
    ),
    10: (("00008", "乙局", TODAY, "1", "开", PHONE, ""), {"单位": "a"}),
    11: (("00009", "甲局", "2021-09-24", "1", "开", PHONE, ""), {"日期": TODAY}),
    12: (("00010", "甲局", TODAY, "1", "开", PHONE, "", "多"), {"备注": "多"}),
}
RAGGED = 12
LOADED = {"00001", "00002", "00003", "00004", "00005", "00006", "00007", "00008", "00009", "00010"}


def as_csv(rows: list[tuple[str, ...]]) -> bytes:
    return "".join(",".join(row) + "\r\n" for row in (HEADER, *rows)).encode("gb18030")


def as_xlsx(rows: list[tuple[str, ...]]) -> bytes:
    book = openpyxl.Workbook()
    for number, row in enumerate((HEADER, *rows), start=1):
        for column, cell in enumerate(row, start=1):
            book.active.cell(number, column).value = cell
            book.active.cell(number, column).data_type = "s"
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


WAYS: dict[str, Callable[[list[tuple[str, ...]]], bytes]] = {".csv": as_csv, ".xlsx": as_xlsx}
EVERYTHING = GOOD + [cells for cells, _ in BAD.values()]


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path).source(SURVEY)


@pytest.fixture(params=[".csv", ".xlsx"])
def sent(request: pytest.FixtureRequest, city: City) -> City:
    """Return a city to which a delivery with every kind of fault was sent."""
    judged = send(city, WAYS[request.param](EVERYTHING), suffix=request.param)
    assert judged.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert judged.accounting is not None
    assert (judged.accounting.accepted, judged.accounting.quarantined) == (1, 10)
    return city


def send(city: City, content: bytes, **where: Any) -> Judgement:
    return city.send(content, source="survey", **where)


def written(city: City, **given: Any) -> dict[str, Path]:
    """Publish and write feedback: the workbooks by whose they are."""
    night.publish(city.deployment)
    outcomes = batch.write(city.deployment, **given)
    assert not [outcome.error for outcome in outcomes if outcome.error]
    return {outcome.department: outcome.file for outcome in outcomes if outcome.file}


def opened(path: Path) -> Any:
    return openpyxl.load_workbook(path)


def table(sheet: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield a workbook's rows as a person sees them: the row of the original, cells by header."""
    headers = [cell.value for cell in sheet[1]]
    for row in sheet.iter_rows(min_row=2):
        cells = dict(zip(headers, row, strict=True))
        yield int(cells[feedback_form.ORIGIN_ROW].value), cells


def mend(path: Path, changes: Mapping[int, Mapping[str, Any]]) -> bytes:
    """Return the workbook after a person's edits: cells by the original's row and header."""
    book = opened(path)
    for number, cells in table(book[feedback_form.SHEET]):
        for header, value in changes.get(number, {}).items():
            cells[header].value = value
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def give_back(city: City, name: str, content: bytes, folder: str = "回传", **where: Any) -> None:
    """Put a file anywhere into landing, a minute after the one before."""
    place = city.land(content, **where)
    target = city.settings.landing / folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    place.rename(target)


def returned(city: City, path: Path, changes: Mapping[int, Mapping[str, Any]]) -> Judgement:
    give_back(city, path.name, mend(path, changes))
    [judged, *_] = city.take()
    return judged


MENDED = {number: cells for number, (_, cells) in BAD.items()}


def desks(city: City) -> set[str]:
    return {row[0] for row in city.rows("SELECT desk FROM survey")}


CURRENT = "SELECT * EXCLUDE (delivery_id) FROM survey ORDER BY ALL"


def test_a_workbook_shows_what_is_wrong_and_what_would_be_right(sent: City) -> None:
    path = written(sent)["a"]
    judged = sent.rows("SELECT delivery_id, sha256 FROM delivery")[0]
    assert path.parent == sent.settings.feedback / "a"
    assert path.name == f"survey.a.2021-09-23.feedback-{judged[0]}.xlsx"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    book = opened(path)
    assert book.sheetnames == ["说明", "待更正数据"]
    assert {property_.name: property_.value for property_ in book.custom_doc_props.props} == {
        feedback_form.DELIVERY_ID: judged[0],
        feedback_form.SHA256: judged[1],
    }
    summary = {str(row[0].value): str(row[1].value) for row in book["说明"].iter_rows()}
    assert summary["单位"] == "甲局（a）"
    assert summary["数据源"] == "窗口普查（survey）"
    assert summary["业务日期"] == "2021-09-23"
    assert summary[feedback_form.SHA256] == judged[1]
    assert (summary["读取行数"], summary["采集行数"], summary["隔离行数"]) == (
        "11 行",
        "1 行",
        "10 行",
    )
    problems = {row[1].value: row[0].value for row in book["说明"].iter_rows()}
    assert problems["存在主键（窗口编号）相同而内容不同的行，请保留正确的一行"] == 2

    sheet = book["待更正数据"]
    rows = dict(table(sheet))
    assert list(rows) == list(BAD)
    wrong = {
        3: "办件量",
        4: "窗口编号",
        5: "状态",
        6: "窗口编号",
        7: "办件量",
        10: "单位",
        11: "日期",
    }
    for number, cells in rows.items():
        red = [name for name, cell in cells.items() if cell.fill.fgColor.rgb == "FFFFC7CE"]
        assert red == ([wrong[number]] if number in wrong else [])
        marked = cells[wrong.get(number, feedback_form.ORIGIN_ROW)]
        assert marked.comment is not None
        assert marked.comment.text == cells[feedback_form.REASONS].value
        original = BAD[number][0][: len(HEADER)]
        assert tuple(cells[header].value or "" for header in HEADER) == original
        assert {cells[header].number_format for header in HEADER} == {"@"}
        assert {cells[header].data_type for header in HEADER} <= {"s", "n"}, "no formula"
        assert cells[feedback_form.ACTION].value == feedback_form.CORRECT
        assert cells[feedback_form.ORIGIN_ROW].protection.locked
        assert not cells["办件量"].protection.locked
    assert rows[3]["办件量"].comment.text == "办件量：“五个”不是有效的整数，请更正"
    assert rows[RAGGED][feedback_form.OVERFLOW].value == "多"
    assert sheet.freeze_panes == "E2"
    assert sheet.protection.sheet
    assert sheet.column_dimensions["C"].hidden
    [choice] = sheet.data_validations.dataValidation
    assert (choice.formula1, str(choice.sqref)) == ('"更正,确认,删除"', "D2:D11")


def test_a_mended_workbook_loads_fully_and_leaves_a_trace(sent: City) -> None:
    path = written(sent)["a"]
    [(first, sha256, file_format)] = sent.rows("SELECT delivery_id, sha256, format FROM delivery")
    content = mend(path, MENDED)
    give_back(sent, path.name, content)
    [judged] = sent.take()
    assert judged.verdict is Verdict.ACCEPTED
    assert judged.accounting is not None
    assert judged.accounting.model_dump() == {
        "rows_read": 11,
        "accepted": 10,
        "quarantined": 0,
        "duplicates": 0,
        "ignored": 1,
        "withheld": 0,
    }
    assert desks(sent) == LOADED
    assert sent.rows("SELECT row_number FROM survey WHERE desk = '00010'") == [(RAGGED,)]
    [(corrects, superseded, part)] = sent.rows(
        "SELECT corrects, superseded, part FROM delivery WHERE format = 'feedback'"
    )
    assert corrects == [
        {"delivery_id": first, "sha256": sha256, "format": file_format, "scope": ""}
    ]
    assert (superseded, part) == ([first], "")
    assert sent.landed() == []

    rows = sent.rows(CURRENT)
    rebuilt = repairs.rebuild(sent.deployment, "survey")
    assert [judgement.verdict.value for judgement in rebuilt] == [
        "accepted_with_quarantine",
        "accepted",
    ]
    assert sent.rows(CURRENT) == rows
    give_back(sent, path.name.replace(".xlsx", " (1).xlsx"), content)
    [again] = intake.discover(sent.deployment, "r").unchanged
    assert again.delivery_id == judged.delivery.delivery_id

    assert written(sent) == {}
    assert not path.exists(), "a workbook that nobody needs is removed"


def test_rows_that_nobody_edited_stay_unchanged(sent: City) -> None:
    """Keep ragged rows, too, though the workbook shows them aligned."""
    path = written(sent)["a"]
    judged = returned(sent, path, {})
    assert judged.accounting is not None
    assert (judged.accounting.accepted, judged.accounting.quarantined) == (1, 10)
    reasons = "SELECT row_number, reasons FROM quarantine WHERE position = ? ORDER BY row_number"
    assert sent.rows(reasons, 1) == sent.rows(reasons, 2)


def test_a_return_of_a_return_is_applied_to_it(sent: City) -> None:
    path = written(sent)["a"]
    some = {number: cells for number, cells in MENDED.items() if number < 8}
    first = returned(sent, path, some)
    assert first.accounting is not None
    assert (first.accounting.accepted, first.accounting.quarantined) == (6, 5)
    second = written(sent)
    assert not path.exists()
    assert [number for number, _ in table(opened(second["a"])["待更正数据"])] == [8, 9, 10, 11, 12]
    rest = {number: cells for number, cells in MENDED.items() if number >= 8}
    judged = returned(sent, second["a"], rest)
    assert judged.verdict is Verdict.ACCEPTED
    assert desks(sent) == LOADED
    [origin] = sent.rows("SELECT delivery_id FROM delivery ORDER BY position LIMIT 1")
    chain = [corrected.delivery_id for corrected in judged.delivery.corrects]
    assert chain == [origin[0], first.delivery.delivery_id]
    rows = sent.rows(CURRENT)
    repairs.rebuild(sent.deployment, "survey")
    assert sent.rows(CURRENT) == rows


def test_the_first_workbook_may_be_mended_on_and_returned_again(sent: City) -> None:
    path = written(sent)["a"]
    copy = shutil.copy2(path, path.parents[3] / path.name)
    returned(sent, path, {3: MENDED[3]})
    judged = returned(sent, Path(copy), MENDED)
    assert judged.verdict is Verdict.ACCEPTED
    assert desks(sent) == LOADED


def test_a_return_never_brings_old_data_back(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    content = mend(path, MENDED)
    newer = send(city, as_csv([("00077", "甲局", TODAY, "5", "开", PHONE, "")]))
    give_back(city, path.name, content)
    [judged] = city.take()
    assert judged.verdict is Verdict.REJECTED
    assert judged.reasons[0].code == "outdated_return"
    assert judged.reasons[0].value == newer.delivery.delivery_id
    assert judged.accounting is not None
    assert (judged.accounting.withheld, judged.accounting.ignored) == (10, 1)
    assert desks(city) == {"00077"}
    again = repairs.rebuild(city.deployment, "survey")
    assert [judgement.verdict for judgement in again][-1] is Verdict.REJECTED
    assert desks(city) == {"00077"}
    assert written(city) == {}

    overruled = repairs.accept(city.deployment, judged.delivery.delivery_id, "已核实")
    assert overruled.verdict is Verdict.ACCEPTED
    assert desks(city) == LOADED


def test_a_return_never_brings_back_what_was_withdrawn(city: City) -> None:
    sent = send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    content = mend(path, MENDED)
    withdrawn = sent.delivery.delivery_id
    repairs.withdraw(city.deployment, withdrawn, "误报")
    give_back(city, path.name, content)
    [judged] = city.take()
    assert judged.verdict is Verdict.REJECTED
    [reason] = judged.reasons
    assert (reason.code, reason.value) == ("withdrawn_return", withdrawn)
    assert desks(city) == set()
    again = repairs.rebuild(city.deployment, "survey")
    assert [judgement.verdict for judgement in again][-1] is Verdict.REJECTED
    assert desks(city) == set()
    assert written(city) == {}

    overruled = repairs.accept(city.deployment, judged.delivery.delivery_id, "已核实")
    assert overruled.verdict is Verdict.ACCEPTED
    assert desks(city) == LOADED
    repairs.rebuild(city.deployment, "survey")
    assert desks(city) == LOADED


def test_a_delivery_withdrawn_and_sent_again_can_still_be_mended(city: City) -> None:
    sent = send(city, as_csv(EVERYTHING))
    repairs.withdraw(city.deployment, sent.delivery.delivery_id, "误报")
    send(city, as_csv(EVERYTHING))
    assert returned(city, written(city)["a"], MENDED).verdict is Verdict.ACCEPTED
    assert desks(city) == LOADED


def test_a_return_is_outdated_too_when_it_comes_with_a_newer_file(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    content = mend(path, MENDED)
    city.land(as_csv(GOOD), source="survey")
    give_back(city, path.name, content)
    assert [judgement.verdict for judgement in city.take()] == [Verdict.ACCEPTED, Verdict.REJECTED]
    assert desks(city) == {"00001"}


def test_a_file_sent_again_unchanged_can_still_be_mended(city: City) -> None:
    """Mend a file that a system sends unchanged every night."""
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    city.land(as_csv(EVERYTHING), source="survey")
    assert city.take() == [], "unchanged"
    judged = returned(city, path, MENDED)
    assert judged.verdict is Verdict.ACCEPTED
    assert "overtaken_return" not in {warning.code for warning in judged.warnings}
    assert desks(city) == LOADED
    repairs.rebuild(city.deployment, "survey")
    assert desks(city) == LOADED


@pytest.mark.parametrize("is_bulk", [False, True])
def test_a_file_received_between_export_and_return_counts_in_any_order(
    city: City, is_bulk: bool
) -> None:
    """Treat a return's rows as old as the file that it mends."""
    if is_bulk:
        send(city, as_csv(WHOLE), department="all", day="bulk", minute=10)
        mended, newer = {3: {"办件量": "4"}}, {"day": "2021-09-03"}
    else:
        send(city, as_csv(EVERYTHING), minute=10)
        mended, newer = MENDED, {}
    path = written(city)["a"]
    give_back(city, path.name, mend(path, mended), minute=60)
    assert [judgement.verdict.loads for judgement in city.take()] == [True]
    day = newer.get("day", TODAY)
    send(city, as_csv([("00077", "甲局", day, "5", "开", PHONE, "")]), minute=50, **newer)
    assert desks(city) == ({"00077", "00002", "00003"} if is_bulk else {"00077"})
    rows = city.rows(CURRENT)
    repairs.rebuild(city.deployment, "survey", force=True)
    assert city.rows(CURRENT) == rows


def test_a_return_from_a_slow_clock_is_accepted(city: City) -> None:
    send(city, as_csv(EVERYTHING), minute=50)
    path = written(city)["a"]
    content = mend(path, MENDED)
    give_back(city, path.name, content, minute=10)
    assert [judgement.verdict for judgement in city.take()] == [Verdict.ACCEPTED]
    assert desks(city) == LOADED
    give_back(city, path.name, content, minute=10)  # left behind by a killed run
    assert city.take() == []
    repairs.rebuild(city.deployment, "survey")
    assert desks(city) == LOADED


def test_a_newer_file_that_was_refused_replaces_nothing(city: City) -> None:
    city.source(SURVEY, max_quarantine=0.95)
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    content = mend(path, MENDED)
    worse = [("00011", "甲局", TODAY, "五个", "开", PHONE, "")]
    assert send(city, as_csv(worse)).verdict is Verdict.REJECTED
    give_back(city, path.name, content)
    assert [judgement.verdict for judgement in city.take()] == [Verdict.ACCEPTED]
    assert desks(city) == LOADED


def test_a_return_that_can_never_load_cannot_be_accepted(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    give_back(city, path.name, forged(mend(path, MENDED), _strange))
    [judged] = city.take()
    with pytest.raises(UsageError, match="nothing of it can be taken"):
        repairs.accept(city.deployment, judged.delivery.delivery_id, "已核实")
    assert city.rows("SELECT count(*) FROM decision") == [(0,)]


def test_an_acceptance_takes_nothing_of_other_returns_that_were_refused(city: City) -> None:
    rows = [
        ("00001", "甲局", TODAY, "1", "开", PHONE, ""),
        ("00002", "甲局", TODAY, "x", "开", PHONE, ""),
        ("00003", "乙局", TODAY, "x", "开", PHONE, ""),
    ]
    send(city, as_csv(rows), department="all")
    workbooks = written(city)
    mended = {
        whose: mend(workbooks[whose], {n: {"办件量": "2"}}) for n, whose in enumerate("ab", 3)
    }
    send(city, as_csv([("00077", "甲局", TODAY, "5", "开", PHONE, "")]), department="all")
    for whose in "ab":
        give_back(city, workbooks[whose].name, mended[whose])
    refused = city.take()
    assert [judgement.verdict for judgement in refused] == [Verdict.REJECTED] * 2
    of_b = refused[1].delivery
    assert len(of_b.corrects) == 2
    repairs.accept(city.deployment, of_b.delivery_id, "只收乙局")
    assert desks(city) == {"00001", "00003"}
    repairs.rebuild(city.deployment, "survey")
    assert desks(city) == {"00001", "00003"}


def test_an_unreadable_newer_file_replaces_nothing(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    content = mend(path, MENDED)
    assert send(city, b"").verdict is Verdict.UNREADABLE
    assert set(written(city)) == {"a"}, "what is in force is still to be mended"
    give_back(city, path.name, content)
    assert [judgement.verdict for judgement in city.take()] == [Verdict.ACCEPTED]
    assert desks(city) == LOADED


def test_a_full_file_and_rejected_deliveries_are_mended_alike(city: City) -> None:
    city.source(SURVEY, max_quarantine=0.1)
    assert send(city, as_csv(EVERYTHING)).verdict is Verdict.REJECTED
    path = written(city)["a"]
    summary = {str(row[0].value): str(row[1].value) for row in opened(path)["说明"].iter_rows()}
    assert summary["检查结果"] == "未采集（整体退回）"
    assert "超过允许的 10%" in summary["整份报送"]
    assert returned(city, path, MENDED).verdict is Verdict.ACCEPTED
    assert desks(city) == LOADED


def renamed(name: str, of: str, by: str) -> str:
    assert of in name
    return name.replace(of, by)


@pytest.mark.parametrize(
    ("of", "by"),
    [
        ("feedback-", "feedback-0000"),  # no id
        (".a.", ".b."),
        ("2021-09-23", "2021-09-24"),
        (".a.", ".nobody."),
        (".xlsx", ".xls"),
        ("2021-09-23", "bulk"),
        ("survey", "surveys"),
    ],
)
def test_a_workbook_name_without_a_delivery_is_reported_as_unknown(
    city: City, of: str, by: str
) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    give_back(city, renamed(path.name, of, by), mend(path, MENDED))
    discovery = intake.discover(city.deployment, "r")
    assert discovery.pending == []
    [problem] = discovery.problems
    assert problem.mend
    assert problem.chinese
    assert desks(city) == {"00001"}


def test_a_workbook_named_like_a_return_of_no_delivery_is_reported(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    [(known,)] = city.rows("SELECT delivery_id FROM delivery")
    give_back(city, path.name.replace(known, "0123456789abcdef"), mend(path, MENDED))
    discovery = intake.discover(city.deployment, "r")
    assert [problem.message for problem in discovery.problems] == [
        "it mends no delivery that the ledger knows by this name"
    ]
    assert len(city.landed()) == 1
    report = night.run(city.deployment, DAY)
    assert any("反馈文件名" in str(alert) for alert in report.alerts)


def forged(content: bytes, change: Callable[[Any], None]) -> bytes:
    book = openpyxl.load_workbook(io.BytesIO(content))
    change(book)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _other_hash(book: Any) -> None:
    for prop in book.custom_doc_props.props:
        if prop.name == feedback_form.SHA256:
            prop.value = "0" * 64


def _no_origin(book: Any) -> None:
    book.custom_doc_props.props.clear()
    del book["说明"]


def _no_sheet(book: Any) -> None:
    book["待更正数据"].title = "Sheet1"


def _no_identity(book: Any) -> None:
    book["待更正数据"].delete_cols(2)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_other_hash, feedback_form.SHA256),
        (_no_origin, feedback_form.DELIVERY_ID),
        (_no_sheet, "待更正数据"),
        (_no_identity, feedback_form.ORIGIN_ROW),
    ],
)
def test_a_workbook_whose_structure_was_changed_is_unreadable(
    city: City, change: Callable[[Any], None], named: str
) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    give_back(city, path.name, forged(mend(path, MENDED), change))
    [judged] = city.take()
    assert judged.verdict is Verdict.UNREADABLE
    [reason] = judged.reasons
    assert reason.code == "return_layout"
    assert named in reason.value
    assert desks(city) == {"00001"}
    # and does not stand in the way of a sound one
    assert returned(city, path, MENDED).verdict is Verdict.ACCEPTED


def test_the_summary_sheet_replaces_properties_that_a_program_dropped(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    bare = forged(mend(path, MENDED), lambda book: book.custom_doc_props.props.clear())
    with zipfile.ZipFile(io.BytesIO(bare)) as package:
        assert "docProps/custom.xml" not in package.namelist()
    give_back(city, path.name, bare)
    assert [judgement.verdict for judgement in city.take()] == [Verdict.ACCEPTED]


def _strange(book: Any) -> None:
    sheet = book["待更正数据"]
    sheet["B2"] = "99"  # no row of the file
    for column in "BC":  # there twice
        sheet[f"{column}3"] = sheet[f"{column}4"].value
    sheet["D5"] = "随便"
    sheet["B6"] = None
    sheet["B7"] = "2"  # a row of the file that was never in the workbook


def test_rows_that_name_no_original_row_are_reported_by_their_position(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    give_back(city, path.name, forged(mend(path, MENDED), _strange))
    [judged] = city.take()
    assert judged.verdict is Verdict.REJECTED
    reasons = {reason.code: (reason.row, reason.count, reason.value) for reason in judged.reasons}
    assert reasons == {
        "return_unknown_row": (2, 3, ""),
        "return_repeated_row": (4, 1, "5"),
        "return_action": (5, 1, ""),
    }
    assert judged.accounting is not None
    assert judged.accounting.withheld == judged.accounting.rows_read == 11
    assert all(reason.chinese().startswith("第 ") for reason in judged.reasons)


def test_a_row_that_was_never_in_the_workbook_is_not_replaced(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    for action in (feedback_form.CORRECT, feedback_form.DELETE):

        def renumber(book: Any, action: str = action) -> None:
            book["待更正数据"]["B2"] = "2"  # desk 00001, which is in force
            book["待更正数据"]["D2"] = action

        give_back(city, path.name, forged(mend(path, MENDED), renumber))
        [judged] = city.take()
        assert judged.verdict is Verdict.REJECTED
        assert [(reason.code, reason.row) for reason in judged.reasons] == [
            ("return_unknown_row", 2)
        ]
        assert desks(city) == {"00001"}


def test_text_pasted_into_our_columns_is_in_no_message(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    pasted = "王小石电话13987654321"

    def paste(book: Any) -> None:
        sheet = book["待更正数据"]
        sheet["A2"], sheet["B3"], sheet["C4"], sheet["D5"] = (pasted,) * 4
        sheet["B6"] = "13987654321"

    give_back(city, path.name, forged(mend(path, MENDED), paste))
    [judged] = city.take()
    counts = {reason.code: reason.count for reason in judged.reasons}
    assert counts == {"return_unknown_row": 4, "return_action": 1}
    assert all("13987654321" not in text for text in map(str, judged.reasons))
    night.publish(city.deployment)
    outside = [
        file
        for file in city.settings.data_dir.rglob("*")
        if file.is_file() and not file.is_relative_to(city.settings.archive)
    ]
    for text in ("13987654321", "王小石"):
        assert not [file for file in outside if text.encode() in file.read_bytes()]


def test_a_note_beside_the_table_is_not_lost_in_silence(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]

    def note(book: Any) -> None:
        book["待更正数据"]["Z3"] = "请张科长核实"

    give_back(city, path.name, forged(mend(path, MENDED), note))
    [judged] = city.take()
    assert judged.verdict is Verdict.REJECTED
    assert [(reason.code, reason.row) for reason in judged.reasons] == [("cells", 3)]


def _renamed(sheet: Any) -> None:
    next(cell for cell in sheet[1] if cell.value == "办件量").value = "办件数量"


def _doubled(sheet: Any) -> None:
    sheet.insert_cols(6)
    sheet.cell(1, 6).value = "办件量"


def _deleted(sheet: Any) -> None:
    sheet.delete_cols(next(cell.column for cell in sheet[1] if cell.value == "办件量"))


@pytest.mark.parametrize("change", [_renamed, _doubled, _deleted])
def test_a_column_that_is_missing_or_repeated_is_reported(
    city: City, change: Callable[[Any], None]
) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    give_back(city, path.name, forged(mend(path, MENDED), lambda book: change(book["待更正数据"])))
    [judged] = city.take()
    assert judged.verdict is Verdict.UNREADABLE
    [reason] = judged.reasons
    assert reason.code == "return_layout"
    assert "办件量" in reason.value
    assert desks(city) == {"00001"}


def test_a_column_that_a_clerk_inserted_is_ignored(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]

    def insert(book: Any) -> None:
        sheet = book["待更正数据"]
        sheet.insert_cols(6)
        sheet.cell(1, 6).value = "修改人"
        sheet.cell(2, 6).value = "张科长"

    give_back(city, path.name, forged(mend(path, {3: MENDED[3]}), insert))
    [judged] = city.take()
    assert desks(city) == {"00001", "00002"}
    assert judged.accounting is not None
    assert judged.accounting.quarantined == 9, "the torn row, too, is as it was"


def test_a_torn_row_that_is_right_as_shown_can_be_confirmed(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    confirmed = {RAGGED: {feedback_form.ACTION: feedback_form.CONFIRM}}
    judged = returned(city, written(city)["a"], confirmed)
    assert judged.accounting is not None
    assert (judged.accounting.accepted, judged.accounting.quarantined) == (2, 9)
    assert desks(city) == {"00001", "00010"}


def test_numbers_and_dates_as_office_programs_type_them(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    typed = {number: dict(cells) for number, cells in MENDED.items()}
    typed[3]["办件量"] = 5.0
    typed[11]["日期"] = date(2021, 9, 23)
    assert returned(city, written(city)["a"], typed).verdict is Verdict.ACCEPTED
    assert desks(city) == LOADED


def test_the_workbook_states_units_and_a_return_keeps_them(city: City) -> None:
    """Read units of a header, and shares as office programs store them: 98% typed is 0.98."""
    cases = {"name": "cases", "header": ["办件量"], "type": "integer", "unit": "件"}
    rate = {
        "name": "rate",
        "header": ["满意率"],
        "type": "decimal",
        "unit": "%",
        "share": True,
        "maximum": 100,
    }
    city.source(SURVEY | {"columns": [SURVEY["columns"][0], cases, rate], "partition": {}})
    book = openpyxl.Workbook()
    for row in (
        ("窗口编号", "办件量（万件）", "满意率"),
        ("00001", 0.2, 0.95),
        ("00002", "x", 0.5),
        ("00003", 0.1, "y"),
    ):
        book.active.append(row)
    stream = io.BytesIO()
    book.save(stream)
    send(city, stream.getvalue(), suffix=".xlsx")
    path = written(city)["a"]
    units = ("按原文件的注明，以“万件”计，更正时请勿换算", "百分数，如 97%")
    summary = {row[0].value: row[1].value for row in opened(path)["说明"].iter_rows()}
    assert summary["填写单位"] == f"办件量（万件）：{units[0]}\n满意率：{units[1]}"
    sheet = opened(path)["待更正数据"]
    assert tuple(cell.comment.text for cell in sheet[1] if cell.comment) == units
    shown = dict(table(sheet))
    assert [shown[row]["满意率"].value for row in (3, 4)] == ["50%", "y"]
    mended = {3: {"办件量（万件）": "0.3"}, 4: {"满意率": 0.98}}
    assert returned(city, path, mended).verdict is Verdict.ACCEPTED
    assert city.rows("SELECT cases, rate FROM survey ORDER BY desk") == [
        (2000, 95),
        (3000, 50),
        (1000, 98),
    ]


def test_a_computed_figure_is_shown_as_it_was_judged(city: City) -> None:
    rate = {"name": "rate", "header": ["比值"], "type": "decimal"}
    cases = {"name": "cases", "header": ["办件量"], "type": "integer"}
    city.source(SURVEY | {"columns": [SURVEY["columns"][0], cases, rate], "partition": {}})
    rows = [("窗口编号", "办件量", "比值"), ("00001", 1, 1 / 3), ("00002", "x", 1 / 3)]
    send(city, in_book(("东区", rows)), suffix=".xlsx")
    path = written(city)["a"]
    assert dict(table(opened(path)["待更正数据"]))[3]["比值"].value == "0.333333"
    assert returned(city, path, {3: {"办件量": "2"}}).verdict is Verdict.ACCEPTED
    third = Decimal("0.333333")
    assert city.rows("SELECT cases, rate FROM survey ORDER BY desk") == [(1, third), (2, third)]


def test_personal_data_is_in_the_workbook_alone(city: City) -> None:
    city.source(SURVEY)
    judged = send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    cells = [row["联系电话"].value for _, row in table(opened(path)["待更正数据"])]
    assert cells == [PHONE] * 10
    returned(city, path, {3: MENDED[3]})
    written(city)
    outside = [
        file
        for file in city.settings.data_dir.rglob("*")
        if file.is_file()
        and not file.is_relative_to(city.settings.feedback)
        and not file.is_relative_to(city.settings.archive)
    ]
    assert outside
    assert not [file for file in outside if PHONE.encode() in file.read_bytes()]
    with connect(city.settings) as connection:
        text = connection.execute("SELECT string_agg(row_text) FROM quarantine").fetchall()[0][0]
    assert "138****5678" in text
    assert judged.reasons
    assert not any(PHONE in reason.chinese() for reason in judged.reasons)


def test_cells_that_no_workbook_holds(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "长" * 40_000
    rows = [
        ("00001", "甲局", TODAY, "一\x01二", "开", PHONE, "_x0041_ 前\x0b后"),
        ("00002", "甲局", TODAY, "x", "开", PHONE, long),
        ("00003", "甲局", TODAY, "x", "开", PHONE, '"两\r\n行"'),
    ]
    send(city, as_csv(rows))
    path = written(city)["a"]
    shown = dict(table(opened(path)["待更正数据"]))
    assert shown[2]["办件量"].value == "一␁二"
    assert shown[2]["备注"].value == "_x0041_ 前␋后"
    assert shown[3]["备注"].value.endswith(feedback_form.CUT)
    assert len(shown[3]["备注"].value) <= 32_767
    untouched = returned(city, path, {})
    assert untouched.accounting is not None
    assert untouched.accounting.quarantined == 3
    refused = returned(city, written(city)["a"], {3: {"办件量": "5"}})
    assert [(reason.code, reason.row) for reason in refused.reasons] == [("return_cut", 3)]
    struck = {
        3: {feedback_form.ACTION: feedback_form.DELETE},
        2: {"办件量": "5"},
        4: {"办件量": "6"},
    }
    assert returned(city, written(city)["a"], struck).verdict is Verdict.ACCEPTED
    assert desks(city) == {"00001", "00003"}


def test_the_same_state_gives_the_same_bytes_and_more_rows_take_more_sheets(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    before = path.read_bytes()
    for _ in range(2):
        assert written(city)["a"].read_bytes() == before
    monkeypatch.setattr(workbooks, "SHEET_ROWS", 5)  # four rows and the header
    path = written(city)["a"]
    book = opened(path)
    assert book.sheetnames == ["说明", "待更正数据", "待更正数据2", "待更正数据3"]
    for name in book.sheetnames[1:]:
        for number, cells in table(book[name]):
            for header, value in MENDED[number].items():
                cells[header].value = value
    stream = io.BytesIO()
    book.save(stream)
    give_back(city, path.name, stream.getvalue())
    assert [judgement.verdict for judgement in city.take()] == [Verdict.ACCEPTED]
    assert desks(city) == LOADED


BULK_ROWS = [
    ("00001", "甲局", TODAY, "1", "开", PHONE, ""),
    ("00002", "甲局", TODAY, "x", "开", PHONE, ""),
    ("00003", "乙局", TODAY, "x", "开", PHONE, ""),
    ("00004", "无此局", TODAY, "4", "开", PHONE, ""),
    ("00005", "乙局", "2021-09-24", "y", "开", PHONE, ""),
]


@pytest.fixture
def bulk(city: City) -> City:
    judged = send(city, as_csv(BULK_ROWS), department="all", day="bulk")
    assert judged.accounting is not None
    assert (judged.accounting.accepted, judged.accounting.quarantined) == (1, 4)
    return city


def numbers(path: Path) -> list[int]:
    return [number for number, _ in table(opened(path)["待更正数据"])]


def test_each_department_gets_its_own_rows_of_a_file_of_many(bulk: City) -> None:
    workbooks = written(bulk)
    assert {whose: numbers(path) for whose, path in workbooks.items()} == {
        "a": [3],
        "b": [4, 6],
        "all": [5],
    }
    assert workbooks["a"].name.startswith("survey.a.bulk.feedback-")
    assert set(written(bulk, department="b")) == {"b"}
    assert all(path.exists() for path in workbooks.values()), "others' workbooks are still needed"


def test_returns_of_one_file_by_several_departments_add_up(bulk: City) -> None:
    workbooks = written(bulk)
    give_back(bulk, workbooks["a"].name, mend(workbooks["a"], {3: {"办件量": "2"}}))
    give_back(
        bulk, workbooks["b"].name, mend(workbooks["b"], {4: {"办件量": "3"}, 6: {"办件量": "5"}})
    )
    judged = bulk.take()
    assert [judgement.accounting.quarantined for judgement in judged if judgement.accounting] == [
        3,
        1,
    ]
    give_back(bulk, workbooks["all"].name, mend(workbooks["all"], {5: {"单位": "丙局"}}))
    [last] = bulk.take()
    assert last.verdict is Verdict.ACCEPTED
    assert len(last.delivery.corrects) == 3
    query = "SELECT desk, department, business_date FROM survey ORDER BY ALL"
    assert bulk.rows(query) == [
        ("00001", "a", DAY),
        ("00002", "a", DAY),
        ("00003", "b", DAY),
        ("00004", "c", DAY),
        ("00005", "b", date(2021, 9, 24)),
    ]
    rows = bulk.rows(CURRENT)
    repairs.rebuild(bulk.deployment, "survey")
    assert bulk.rows(CURRENT) == rows


@pytest.mark.parametrize(
    "change",
    [
        {"B2": "4"},  # b's row
        {"B2": "2"},  # c's, which was accepted
        {"F2": "乙局"},  # given to b
        {"B2": "5", "F2": "甲局"},  # nobody's
    ],
)  # and sealed anew
def test_a_forged_workbook_does_not_reach_others_rows(bulk: City, change: dict[str, str]) -> None:
    if change == {"B2": "2"}:
        rows = [("00001", "丙局", TODAY, "1", "开", PHONE, ""), *BULK_ROWS[1:]]
        send(bulk, as_csv(rows), department="all", day="bulk")
    path = written(bulk)["a"]
    sound = {3: {"办件量": "2"}}

    def forge(book: Any) -> None:
        sheet = book["待更正数据"]
        for place, text in change.items():
            sheet[place] = text
        of = path.stem.rpartition("-")[2]
        sheet["C2"] = feedback_form.seal(of, "", int(sheet["B2"].value), ())

    give_back(bulk, path.name, forged(mend(path, sound), forge))
    give_back(bulk, written(bulk)["b"].name, mend(written(bulk)["b"], {4: {"办件量": "3"}}))
    refused, taken = bulk.take()
    assert refused.verdict is Verdict.REJECTED
    assert [reason.code for reason in refused.reasons] == ["return_foreign_row"]
    # which is laid upon it, and takes nothing of it
    assert taken.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert len(taken.delivery.corrects) == 2
    assert taken.accounting is not None
    assert (taken.accounting.accepted, taken.accounting.quarantined) == (2, 3)
    assert [number for number, _ in table(opened(written(bulk)["a"])["待更正数据"])] == [3]


WHOLE = [
    ("00001", "甲局", "2021-09-03", "3", "开", PHONE, ""),
    ("00002", "甲局", "2021-09-02", "x", "开", PHONE, ""),
    ("00003", "乙局", "2021-09-03", "7", "开", PHONE, ""),
    ("00004", "甲局", "2021-09-03", "y", "开", PHONE, ""),
]
OF_DAYS = "SELECT desk, department, business_date, cases FROM survey ORDER BY ALL"
NEWER = [("00001", "甲局", "2021-09-03", "333", "开", PHONE, "")]


def test_days_that_something_newer_provides_are_left_alone_by_a_return(city: City) -> None:
    send(city, as_csv(WHOLE), department="all", day="bulk")
    content = mend(written(city)["a"], {3: {"办件量": "4"}, 5: {"办件量": "5"}})
    name = written(city)["a"].name
    send(city, as_csv(NEWER), day="2021-09-03")
    expected = [
        ("00001", "a", date(2021, 9, 3), 333),
        ("00002", "a", date(2021, 9, 2), 4),
        ("00003", "b", date(2021, 9, 3), 7),
    ]
    give_back(city, name, content)
    [judged] = city.take()
    assert judged.verdict is Verdict.ACCEPTED
    warning = judged.warnings[0]
    assert (warning.code, warning.value) == ("overtaken_return", "a 2021-09-03")
    assert warning.chinese().startswith("1 个业务日期已有其他报送")
    assert city.rows(OF_DAYS) == expected
    again = repairs.rebuild(city.deployment, "survey")
    assert again[-1].warnings == judged.warnings
    assert city.rows(OF_DAYS) == expected


def test_a_mended_row_does_not_replace_a_whole_day_that_another_delivery_provides(
    city: City,
) -> None:
    """Keep a whole day though a workbook's row carries its date or office by a slip."""
    older = [(f"{desk:05}", "丙局", TODAY, "1", "开", PHONE, "") for desk in range(100, 103)]
    send(city, as_csv(older), department="c")
    send(city, as_csv(BULK_ROWS), department="all", day="bulk")
    path = written(city)["all"]
    judged = returned(city, path, {5: {"单位": "丙局"}})
    assert judged.warnings[0].code == "overtaken_return"
    query = "SELECT desk FROM survey WHERE department = 'c' ORDER BY desk"
    assert city.rows(query) == [("00100",), ("00101",), ("00102",)]
    repairs.rebuild(city.deployment, "survey")
    assert city.rows(query) == [("00100",), ("00101",), ("00102",)]


def test_a_later_return_removes_rows_that_an_earlier_return_moved(city: City) -> None:
    send(city, as_csv(WHOLE), department="all", day="bulk")
    path = written(city)["a"]
    slip = mend(path, {3: {"办件量": "4", "日期": "2021-09-20"}})
    right, struck = (
        mend(path, {3: given})
        for given in ({"办件量": "4"}, {feedback_form.ACTION: feedback_form.DELETE})
    )
    for content, expected in (
        (slip, [date(2021, 9, 20)]),
        (right, [date(2021, 9, 2)]),
        (struck, []),
    ):
        give_back(city, path.name, content)
        city.take()
        query = "SELECT business_date FROM survey WHERE desk = '00002'"
        assert [row[0] for row in city.rows(query)] == expected
    rows = city.rows(CURRENT)
    repairs.rebuild(city.deployment, "survey")
    assert city.rows(CURRENT) == rows


def test_files_of_other_days_leave_each_others_rows_to_mend(city: City) -> None:
    """Mend monthly files, which hold many days and share a place in landing."""

    def month(number: int, cases: str) -> bytes:
        days = (f"2021-{number:02}-0{day}" for day in (1, 2))
        given = ("1", cases)
        return as_csv(
            [
                (f"0000{n}", "甲局", day, count, "开", PHONE, "")
                for n, (day, count) in enumerate(zip(days, given, strict=True))
            ]
        )

    send(city, month(8, "x"), department="all", day="bulk")
    send(city, month(9, "y"), department="all", day="bulk")
    night.publish(city.deployment)
    august, september = batch.write(city.deployment)
    assert (august.rows, september.rows) == (1, 1)
    assert august.file is not None
    assert september.file is not None
    by_turns = ((august.file, "2"), (september.file, "2"), (august.file, "3"))
    for file, cases in by_turns:  # in one night
        give_back(city, file.name, mend(file, {3: {"办件量": cases}}), folder=f"回传{cases}")
    assert [len(judgement.delivery.corrects) for judgement in city.take()] == [1, 1, 2]
    assert city.rows("SELECT business_date FROM survey ORDER BY 1") == [
        (date(2021, 8, 1),),
        (date(2021, 8, 2),),
        (date(2021, 9, 1),),
        (date(2021, 9, 2),),
    ]
    send(city, month(9, "7"), department="all", day="bulk")  # the whole month, corrected
    assert written(city) == {}


def test_rows_that_a_return_left_alone_need_no_mending(city: City) -> None:
    send(city, as_csv(WHOLE), department="all", day="bulk")
    path = written(city)["a"]
    content = mend(path, {3: {"办件量": "4"}})
    send(city, as_csv(NEWER), day="2021-09-03")
    give_back(city, path.name, content)
    [judged] = city.take()
    assert judged.accounting is not None
    assert judged.accounting.quarantined == 1
    assert written(city) == {}


@pytest.mark.parametrize("part", ["", "1"])
def test_a_return_is_compared_with_what_was_known_when_it_came(city: City, part: str) -> None:
    """Let later deliveries replace a return, or share its day, as they would any delivery."""
    send(city, as_csv(WHOLE), department="all", day="bulk")
    first = returned(city, written(city)["a"], {3: {"办件量": "4"}, 5: {"办件量": "5"}})
    assert first.verdict is Verdict.ACCEPTED
    assert [warning.code for warning in first.warnings] == ["extra_column"]
    send(city, as_csv(NEWER), day="2021-09-03", part=part)
    rows = city.rows(OF_DAYS)
    cases = {desk: count for desk, _, _, count in rows}
    assert cases == {
        "00001": 3 if part else 333,
        "00002": 4,
        "00003": 7,
        **({"00004": 5} if part else {}),
    }
    repairs.rebuild(city.deployment, "survey")
    assert city.rows(OF_DAYS) == rows


def test_a_day_that_was_withdrawn_since_is_not_filled_by_a_return(city: City) -> None:
    send(city, as_csv(WHOLE), department="all", day="bulk")
    path = written(city)["a"]
    content = mend(path, {3: {"办件量": "4"}, 5: {"办件量": "5"}})
    newer = send(city, as_csv(NEWER), day="2021-09-03")
    repairs.withdraw(city.deployment, newer.delivery.delivery_id, "误报")
    give_back(city, path.name, content)
    [judged] = city.take()
    assert judged.warnings[0].code == "overtaken_return"
    rows = city.rows(OF_DAYS)
    assert [row[0] for row in rows] == ["00002", "00003"]
    repairs.rebuild(city.deployment, "survey")
    assert city.rows(OF_DAYS) == rows


def test_a_return_leaves_a_newer_day_alone_beside_parts(city: City) -> None:
    send(city, as_csv(WHOLE), department="all", day="bulk")
    path = written(city)["a"]
    content = mend(path, {3: {"办件量": "4"}, 5: {"办件量": "5"}})
    part = [("00009", "甲局", "2021-09-02", "9", "开", PHONE, "")]
    send(city, as_csv(part), day="2021-09-02", part="1")
    send(city, as_csv(NEWER), day="2021-09-03")
    give_back(city, path.name, content)
    assert path.name in {judgement.delivery.path.name for judgement in city.take()}
    rows = city.rows(OF_DAYS)
    assert ("00001", "a", date(2021, 9, 3), 333) in rows
    repairs.rebuild(city.deployment, "survey")
    assert city.rows(OF_DAYS) == rows


def test_days_that_something_newer_provides_need_no_mending(bulk: City) -> None:
    send(bulk, as_csv([("00003", "乙局", TODAY, "3", "开", PHONE, "")]), department="b")
    assert numbers(written(bulk)["b"]) == [6]


def test_bytes_that_a_return_corrects_are_not_removed(city: City) -> None:
    first = send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    half = returned(city, path, {3: MENDED[3]})
    last = returned(city, written(city)["a"], MENDED)
    settings = city.settings.model_copy(update={"archive_days": 1, "compress_days": 0})
    later = now().replace(year=now().year + 1)
    current = written(city)
    removed = housekeeping.clean(settings, later)
    assert {removal.kind for removal in removed} <= {
        "compressed",
        "leftover",
        "entries",
        "log",
        "generation",
    }
    for corrected in (first, half, last):
        assert archive.find(settings.archive, corrected.delivery.sha256) is not None
    rows = city.rows(CURRENT)
    repairs.rebuild(city.deployment, "survey")
    assert city.rows(CURRENT) == rows
    assert current == {}


def test_feedback_that_is_current_is_not_cleared_away(city: City) -> None:
    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    unfinished = path.with_name(".cut-off.xlsx")
    unfinished.write_bytes(b"x")
    os.utime(unfinished, (0, 0))
    removed = housekeeping.clean(city.settings, now().replace(year=now().year + 1))
    assert path.exists()
    assert "feedback/a/.cut-off.xlsx" in [removal.what for removal in removed]


def test_a_purged_original_takes_its_returns_with_it(city: City) -> None:
    from pipelines.errors import WorseError

    send(city, as_csv(EVERYTHING))
    path = written(city)["a"]
    judged = returned(city, path, {3: MENDED[3]})
    at = now()
    housekeeping.clean(city.settings, at, purge_before=date(2021, 9, 24), reason="保存期满")
    os_path = archive.archived(city.settings.archive, judged.delivery.sha256)
    assert not os_path.exists()
    with pytest.raises(WorseError, match="cannot be built again"):
        repairs.rebuild(city.deployment, "survey")
    [lost] = batch.write(city.deployment) or [None]
    assert lost is not None
    assert lost.file is None
    assert "the archive has lost" in lost.error


def test_the_command(city: City, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CITYBRAIN_CONFIG_DIR", str(city.config))
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(city.settings.data_dir))

    def call(*words: str) -> Any:
        return CliRunner().invoke(app, ["feedback", *words])

    nothing = call()
    assert nothing.exit_code == 1
    assert "citybrain run" in nothing.output
    send(city, as_csv(EVERYTHING))
    night.publish(city.deployment)
    shown = call()
    assert shown.exit_code == 0
    assert "survey" in shown.output
    [answer] = json.loads(call("--json").stdout)
    [(known,)] = city.rows("SELECT delivery_id FROM delivery")
    assert answer == {
        "department": "a",
        "source": "survey",
        "business_date": "2021-09-23",
        "part": "",
        "delivery_id": known,
        "rows": 10,
        "error": "",
        "file": str(city.settings.feedback / "a" / f"survey.a.2021-09-23.feedback-{known}.xlsx"),
    }
    for words in (["-d", "b"], ["--date", "2021-09-22"], ["-d", "b", "--delivery", known[:6]]):
        empty = call(*words)
        assert empty.exit_code == 0
        assert "nothing to mend" in empty.output
        assert json.loads(call(*words, "--json").stdout) == []
    assert Path(answer["file"]).exists()
    elsewhere = call("--out", str(tmp_path / "out"), "--delivery", known[:6], "--json")
    assert Path(json.loads(elsewhere.stdout)[0]["file"]).is_relative_to(tmp_path / "out")
    assert call("-d", "nobody").exit_code == 2
    assert call("-s", "nothing").exit_code == 2
    unknown = call("--delivery", "zzz")
    assert unknown.exit_code == 2
    assert "no published delivery has an id that starts with zzz" in unknown.output


def test_programs_can_read_what_a_return_corrects(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(city, as_csv(EVERYTHING))
    [(first,)] = city.rows("SELECT delivery_id FROM delivery")
    mended = returned(city, written(city)["a"], MENDED)
    night.publish(city.deployment)
    monkeypatch.setenv("CITYBRAIN_CONFIG_DIR", str(city.config))
    monkeypatch.setenv("CITYBRAIN_DATA_DIR", str(city.settings.data_dir))
    deliveries = json.loads(CliRunner().invoke(app, ["deliveries", "--json"]).stdout)
    corrects = {listed["delivery"]: listed["corrects"] for listed in deliveries}
    assert corrects == {mended.delivery.delivery_id: [first], first: []}
    with connect(city.settings) as connection:
        result = connection.execute("SELECT delivery_id, corrects FROM marts.delivery_status")
        assert dict(result.fetchall()) == corrects


def of_sheets(second: tuple[str, ...], row: tuple[str, ...]) -> bytes:
    """Return a workbook of two sheets, with a wrong row in each."""
    book = openpyxl.Workbook()
    book.active.title = "东区"
    book.active.append(HEADER)
    book.active.append(BAD[3][0])
    sheet = book.create_sheet("西区")
    sheet.append(second)
    sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def with_sheets(city: City) -> City:
    columns = [
        {**column, "unit": ["件"]} if column["name"] == "cases" else column
        for column in SURVEY["columns"]
    ]
    return city.source(SURVEY, columns=columns, formats={"xlsx": {"sheets": "all"}})


def test_rows_of_several_sheets_go_back_to_theirs(city: City) -> None:
    turned = of_sheets(tuple(reversed(HEADER)), tuple(reversed(BAD[5][0])))
    assert send(with_sheets(city), turned, suffix=".xlsx").accounting.quarantined == 2  # type: ignore[union-attr]
    path = written(city)["a"]
    shown = [
        (cells[feedback_form.ORIGIN_SHEET].value, number, cells["状态"].value)
        for number, cells in table(opened(path)["待更正数据"])
    ]
    assert shown == [("东区", 2, "开"), ("西区", 2, "半开")]
    judged = returned(city, path, {2: {"办件量": "8", "状态": "关"}})
    assert judged.verdict is Verdict.ACCEPTED
    rows = city.rows("SELECT sheet, desk, cases FROM survey ORDER BY ALL")
    assert rows == [("东区", "00002", 8), ("西区", "00004", 8)]


def test_sheets_with_different_units_are_not_mixed_up(city: City) -> None:
    """Keep headers of different units apart, lest figures come back as ten thousandths."""
    header = tuple("办件量(万件)" if cell == "办件量" else cell for cell in HEADER)
    assert send(with_sheets(city), of_sheets(header, BAD[5][0]), suffix=".xlsx").accounting
    night.publish(city.deployment)
    [refused] = batch.write(city.deployment)
    assert refused.file is None
    assert "stands under other headers" in refused.error


BUDGET: dict[str, Any] = {
    **SURVEY,
    "key": ["item"],
    "partition": {},
    "formats": {"csv": {}, "xlsx": {"sheets": "all"}, "zip": {"members": "all"}},
    "columns": [
        {"name": "item", "header": ["编号"], "type": "text", "required": True},
        {"name": "planned", "header": ["预算"], "type": "integer", "unit": ["元"]},
        {"name": "spent", "header": ["支出"], "type": "integer", "unit": ["元"]},
        {"name": "district", "from_sheet": True, "type": "text", "description": "区"},
    ],
}
FIRST = [("编号", "预算", "支出"), ("1", "10", "5")]
SPENDING = "SELECT item, planned, spent, district FROM survey ORDER BY item"


def in_book(*sheets: tuple[str, list[tuple[Any, ...]]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def in_zip(*members: tuple[str, bytes | list[tuple[str, ...]]]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as package:
        for name, held in members:
            lines = "".join(",".join(row) + "\n" for row in held if isinstance(row, tuple))
            package.writestr(name, held if isinstance(held, bytes) else lines)
    return stream.getvalue()


def test_a_torn_row_goes_back_below_its_own_header(city: City) -> None:
    second = [("编号", "支出", "预算"), ("#REF!", "6", "20")]
    city.source(BUDGET)
    send(city, in_book(("东区", FIRST), ("西区", second)), suffix=".xlsx")
    path = written(city)["a"]
    [(_, cells)] = table(opened(path)["待更正数据"])
    assert (cells["预算"].value, cells["支出"].value) == ("20", "6")
    assert returned(city, path, {2: {"编号": "2"}}).verdict is Verdict.ACCEPTED
    assert city.rows(SPENDING) == [("1", 10, 5, "东区"), ("2", 20, 6, "西区")]


def test_a_torn_row_of_a_later_member_goes_back_below_its_own_header(city: City) -> None:
    second = [("编号", "支出", "预算"), ("2", "6", "20", "多")]
    city.source(BUDGET)
    send(city, in_zip(("东区.csv", FIRST), ("西区.csv", second)), suffix=".zip")
    path = written(city)["a"]
    [(_, cells)] = table(opened(path)["待更正数据"])
    shown = [cells[name].value for name in ("预算", "支出", feedback_form.OVERFLOW)]
    assert shown == ["20", "6", "多"]
    assert returned(city, path, {2: {"编号": "02"}}).verdict is Verdict.ACCEPTED
    assert city.rows(SPENDING) == [("02", 20, 6, "西区"), ("1", 10, 5, "东区")]


PERSONAL = {
    **BUDGET,
    "columns": [
        *BUDGET["columns"][:3],
        {"name": "phone", "header": ["电话"], "type": "text", "pii": "phone"},
    ],
}


@pytest.mark.parametrize("suffix", [".zip", ".xlsx"])
def test_personal_numbers_in_file_names_are_masked_and_rows_still_match(
    city: City, suffix: str
) -> None:
    """Tell two names apart that look alike once they are masked."""
    names = ["报送-张三13812345678", "报送-张三13822225678", "20211008083000"]
    masked = ["20211008083000", "报送-张三138****5678", "报送-张三138****5678 (2)"]
    tables = [[FIRST[0], (str(number), "x", "5")] for number in range(3)]
    city.source(PERSONAL)
    if suffix == ".zip":
        members = [f"{name}.csv" for name in names]
        send(city, in_zip(*zip(members, tables, strict=True)), suffix=suffix)
    else:
        send(city, in_book(*zip(names, tables, strict=True)), suffix=suffix)
    stored = [row[0] for row in city.rows("SELECT sheet FROM quarantine ORDER BY 1")]
    assert [name.replace(".csv", "") for name in stored] == masked
    mends = {at: {"预算": "1"} for at in (2, 3, 4)}
    assert returned(city, written(city)["a"], mends).verdict is Verdict.ACCEPTED
    rows = city.rows("SELECT item, spent, sheet FROM survey ORDER BY 1")
    assert [row[:2] for row in rows] == [("0", 5), ("1", 5), ("2", 5)]
    assert sorted(row[2] for row in rows) == stored


@pytest.mark.parametrize(
    "second",
    [[("编号", "预算(万元)", "支出"), ("#REF!", "6", "20")], [("编号", "支出"), ("#REF!", "20")]],
)
def test_a_torn_row_of_other_headers_is_not_shown(
    city: City, second: list[tuple[str, ...]]
) -> None:
    city.source(BUDGET)
    judged = send(city, in_book(("东区", FIRST), ("西区", second)), suffix=".xlsx")
    assert judged.accounting is not None
    assert judged.accounting.quarantined == 1
    night.publish(city.deployment)
    [refused] = batch.write(city.deployment)
    assert refused.file is None
    assert "of 西区 stands under other headers" in refused.error


@pytest.mark.parametrize("sheets", ["all", None])
@pytest.mark.parametrize("wrong", [("2", "x", "6"), ("#REF!", "20", "6")])
def test_a_mended_row_keeps_the_name_that_its_original_has(
    city: City, sheets: str | None, wrong: tuple[str, ...]
) -> None:
    """Return rows of a zip of workbooks and texts, mapped to columns or not."""
    city.source(BUDGET, formats={"csv": {}, "xlsx": {"sheets": sheets}, "zip": {"members": "all"}})
    east, west = in_book(("预算表", [*FIRST, wrong])), [FIRST[0], ("3", "y", "7"), ("4", "1", "1")]
    send(city, in_zip(("东区.xlsx", east), ("西/西区.csv", west)), suffix=".zip")
    path = written(city)["a"]
    mended = {3: {"编号": "2", "预算": "20"}, 2: {"预算": "30"}}
    assert returned(city, path, mended).verdict is Verdict.ACCEPTED
    name = "预算表" if sheets else "东区"
    assert city.rows(SPENDING) == [
        ("1", 10, 5, name),
        ("2", 20, 6, name),
        ("3", 30, 7, "西区"),
        ("4", 1, 1, "西区"),
    ]
