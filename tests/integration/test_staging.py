"""Rules 7, 8 and 10: how deliveries are judged, each by itself, and what never gets out."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlalchemy as sa
from integration.conftest import DAY, RECORDS, City, expectation, with_columns

from pipelines.contracts.suites import ROW_RULES, TABLE_RULES
from pipelines.deliveries.delivery import Verdict
from pipelines.jobs import intake, night, repairs

WIDE = with_columns(
    RECORDS,
    {"name": "other", "header": ["其他"], "type": "integer"},
    {"name": "share", "header": ["比例"], "type": "decimal"},
    {
        "name": "held_on",
        "header": ["日期"],
        "type": "date",
        "minimum": date(2021, 1, 1),
        "maximum": date(2021, 12, 31),
    },
)
HEADER = ("事项", "数量", "领域", "其他", "比例", "日期")
GOOD = ("k1", 5, "交通", 3, "0.1", "2021-09-23")

# rule: (its arguments, a row that keeps it, one that breaks it, the value then shown)
ROWS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], str | None]] = {
    "column_values_to_not_be_null": ({"column": "domain"}, {}, {"领域": ""}, None),
    "column_values_to_be_null": ({"column": "other"}, {"其他": ""}, {"其他": "7"}, "7"),
    "column_values_to_be_between": (
        {"column": "amount", "min_value": 5, "max_value": 9},
        {"数量": "9"},
        {"数量": "10"},
        "10",
    ),
    "column_values_to_be_in_set": (
        {"column": "domain", "value_set": ["交通", "医疗"]},
        {"领域": ""},
        {"领域": "他"},
        "他",
    ),
    "column_values_to_not_be_in_set": (
        {"column": "domain", "value_set": ["医疗"]},
        {"领域": ""},
        {"领域": "医疗"},
        "医疗",
    ),
    "column_values_to_match_regex": (
        {"column": "item", "regex": "^k"},
        {"事项": "k'9"},
        {"事项": "x1"},
        "x1",
    ),
    "column_values_to_not_match_regex": (
        {"column": "domain", "regex": "测试"},
        {"领域": ""},
        {"领域": "测试一"},
        "测试一",
    ),
    "column_value_lengths_to_be_between": (
        {"column": "domain", "min_value": 2, "max_value": 3},
        {"领域": "城市管"},
        {"领域": "城"},
        "城",
    ),
    "column_value_lengths_to_equal": (
        {"column": "domain", "value": 2},
        {"领域": ""},
        {"领域": "城市管"},
        "城市管",
    ),
    "column_pair_values_a_to_be_greater_than_b": (
        {"column_A": "amount", "column_B": "other", "or_equal": True},
        {"数量": "3", "其他": "3"},
        {"数量": "2", "其他": "3"},
        "2",
    ),
    "column_pair_values_to_be_equal": (
        {"column_A": "amount", "column_B": "other"},
        {"数量": "3", "其他": "3"},
        {"数量": "2", "其他": "3"},
        "2",
    ),
}
TABLES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]] = {
    "table_row_count_to_be_between": ({"min_value": 2}, [{}, {"事项": "k2"}], [{}]),
    "column_sum_to_be_between": (
        {"column": "share", "min_value": 0.1, "max_value": 0.3},
        [{"比例": "0.1"}, {"事项": "k2", "比例": "0.2"}],
        [{"比例": "0.2"}, {"事项": "k2", "比例": "0.100001"}],
    ),
    "column_min_to_be_between": ({"column": "share", "min_value": 0.1}, [{}], [{"比例": "0.09"}]),
    "column_max_to_be_between": (
        {"column": "amount", "max_value": 9, "strict_max": True},
        [{"数量": "8"}],
        [{"数量": "9"}],
    ),
    "column_mean_to_be_between": (
        {"column": "amount", "max_value": 2.5},
        [{"数量": "2"}, {"事项": "k2", "数量": "3"}],
        [{"数量": "2"}, {"事项": "k2", "数量": "4"}],
    ),
    "column_unique_value_count_to_be_between": (
        {"column": "domain", "min_value": 2},
        [{}, {"事项": "k2", "领域": "医疗"}],
        [{}, {"事项": "k2"}],
    ),
}


def row(changes: dict[str, Any]) -> tuple[Any, ...]:
    given = dict(zip(HEADER, GOOD, strict=True)) | changes
    return tuple(given[name] for name in HEADER)


def sources(city: City, rules: dict[str, list[dict[str, Any]]]) -> None:
    """Declare a source for every rule, so that all are judged in the same run."""
    for name, suite in rules.items():
        city.source(WIDE | {"name": name}, suite)


def short(kind: str) -> str:
    return kind.removeprefix("column_").replace("values_to_", "")[:40]


def test_every_supported_rule_is_tried_here() -> None:
    assert {f"expect_{kind}" for kind in ROWS} == ROW_RULES
    assert {f"expect_{kind}" for kind in TABLES} == TABLE_RULES


def test_row_rules_split_each_delivery_by_itself(city: City) -> None:
    """Stage all deliveries in one batch: only the row that breaks a rule is kept out."""
    broken: dict[tuple[str, date], tuple[str, str | None]] = {}
    day = DAY + timedelta(days=1)
    sources(city, {short(kind): [expectation(kind, **ROWS[kind][0])] for kind in ROWS})
    for kind, (_, good, bad, shown) in ROWS.items():
        name = short(kind)
        city.land([row(good)], source=name, header=HEADER)
        city.land([row(bad), row({"事项": "k7"} | good)], day=day, source=name, header=HEADER)
        broken[name, day] = (kind, shown)
    judged = {(each.delivery.source, each.delivery.business_date): each for each in city.take()}
    assert len(judged) == 2 * len(ROWS)
    for (name, day), judgement in judged.items():
        if (name, day) not in broken:
            assert judgement.verdict is Verdict.ACCEPTED, name
            continue
        kind, shown = broken[name, day]
        assert judgement.verdict is Verdict.ACCEPTED_WITH_QUARANTINE, name
        (reason,) = judgement.reasons
        assert (reason.code, reason.count, reason.value) == ("rule", 1, shown or ""), name
        assert kind in reason.expected
        assert city.rows(
            "SELECT row_number, reasons[1].value FROM quarantine WHERE source = ?", name
        ) == [(2, shown)]
        assert city.rows(f"SELECT count(*) FROM {name}") == [(2,)]


def test_table_rules_judge_each_delivery_by_itself(city: City) -> None:
    suite = []
    rules = {}
    for kind, (kwargs, _, _) in TABLES.items():
        rules[short(kind)] = [expectation(kind, **kwargs)]
        suite.append(expectation(kind, **kwargs))
    sources(city, rules)
    good, bad = DAY, DAY + timedelta(days=1)
    for kind, (_, keeps, breaks) in TABLES.items():
        for day, rows in ((good, keeps), (bad, breaks)):
            content = [row(changes) for changes in rows]
            city.land(content, day=day, source=short(kind), header=HEADER)
    for judgement in city.take():
        name = judgement.delivery.source
        if judgement.delivery.business_date == good:
            assert judgement.verdict is Verdict.ACCEPTED, (name, judgement.reasons)
            continue
        assert judgement.verdict is Verdict.REJECTED, name
        (reason,) = judgement.reasons
        assert reason.code == "table_rule"
        assert reason.value


def test_severity_and_what_a_failure_does(city: City) -> None:
    much = {"column": "amount", "max_value": 10}
    hold = {"meta": {"on_failure": "hold"}}
    sources(
        city,
        {
            "warns": [
                expectation("column_sum_to_be_between", "warning", **much),
                expectation("column_values_to_be_between", "warning", **much),
                expectation("column_values_to_not_be_null", "info", column="domain"),
            ],
            "holds": [expectation("column_sum_to_be_between", **much, **hold)],
            "both": [
                expectation("column_sum_to_be_between", **much, **hold),
                expectation("column_max_to_be_between", **much),
            ],
        },
    )
    for name in ("warns", "holds", "both"):
        city.land([row({"数量": "11", "领域": ""})], source=name, header=HEADER)
    judged = {judgement.delivery.source: judgement for judgement in city.take()}
    assert {name: judgement.verdict.value for name, judgement in judged.items()} == {
        "warns": "accepted",
        "holds": "held",
        "both": "rejected",
    }
    codes = sorted(
        (warning.code, warning.count, warning.value) for warning in judged["warns"].warnings
    )
    assert codes == [("rule", 1, ""), ("rule", 1, "11"), ("table_rule", None, "11")]
    assert city.rows("SELECT warnings::VARCHAR LIKE '%rule%' FROM delivery WHERE source='warns'")
    assert city.rows("SELECT count(*) FROM quarantine") == [(0,)]


def test_dates_and_counts_have_bounds(city: City) -> None:
    city.source(WIDE, rows={"min": 2, "max": 3}, max_quarantine=0.5)
    other = [("k2", *GOOD[1:])]
    contents = [
        [row({"日期": "2020-12-31"}), row({"事项": "k2", "日期": "2021年1月1日"})],
        [row({"日期": "2021/12/31"}), *other, row({"事项": "k3", "日期": "2022-01-01"})],
        [GOOD],
        [row({"事项": f"k{number}"}) for number in range(4)],
        [row({"日期": "无"}), row({"事项": "k2", "数量": "无"}), row({"事项": "k3"})],
    ]
    for number, content in enumerate(contents):
        city.land(content, day=DAY + timedelta(days=number), header=HEADER)
    judged = sorted(city.take(), key=lambda judgement: str(judgement.delivery.business_date))
    verdicts = [
        (
            judgement.verdict.value,
            [(why.code, why.value, why.expected) for why in judgement.reasons],
        )
        for judgement in judged
    ]
    span = "2021-01-01..2021-12-31"
    assert verdicts == [
        ("accepted_with_quarantine", [("range", "2020-12-31", span)]),
        ("accepted_with_quarantine", [("range", "2022-01-01", span)]),
        ("rejected", [("row_count", "1", "2..3")]),
        ("rejected", [("row_count", "4", "2..3")]),
        (
            "rejected",
            [
                ("too_many_quarantined", "66.7% (2/3)", "50%"),
                ("type", "无", "an integer"),
                ("type", "无", "a date"),
            ],
        ),
    ]


def test_an_empty_delivery_follows_its_contract(city: City) -> None:
    city.source(RECORDS | {"name": "quiet"}, empty="accept")
    city.source(RECORDS, footer=["合计"])
    for name in ("quiet", "records"):
        city.land([("x", 1, "")], source=name)
    city.take()
    city.land("事项,数量\n", source="quiet")
    city.land("事项,数量\n合计,0\n\n", source="records")
    judged = {judgement.delivery.source: judgement for judgement in city.take()}
    assert judged["quiet"].verdict is Verdict.ACCEPTED
    assert judged["records"].verdict is Verdict.REJECTED
    assert judged["records"].reasons[0].code == "no_rows"
    assert judged["records"].accounting is not None
    assert judged["records"].accounting.ignored == 2
    assert (city.items("quiet"), city.items()) == (set(), {"x"})


def test_a_delivery_that_breaks_the_checks_is_isolated(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.staging.checks import ChecksFailedError, Judge

    city.source(
        RECORDS,
        [expectation("column_values_to_be_in_set", column="domain", value_set=["好", "怪"])],
    )
    texts = ["好", "好", "怪", "坏", "好"]
    for number, text in enumerate(texts):
        city.land([("x", 9, text)], day=DAY + timedelta(days=number))
    judge, judged_ranges = Judge.broken, []

    def broken(self: Judge, table: str, row_rules: list[Any]) -> list[Any]:
        first, last = map(int, table.removeprefix("chunk.judged_").split("_"))
        judged_ranges.append((first, last))
        if first <= texts.index("怪") <= last:
            raise ChecksFailedError("overflow")
        return judge(self, table, row_rules)

    monkeypatch.setattr(Judge, "broken", broken)
    judged = sorted(city.take(), key=lambda judgement: str(judgement.delivery.business_date))
    assert [judgement.verdict.value for judgement in judged] == [
        "accepted",
        "accepted",
        "rejected",
        "accepted_with_quarantine",
        "accepted",
    ]
    assert judged[2].reasons[0].code == "check_failed"
    assert judged[2].accounting is not None
    assert judged[2].accounting.withheld == 1
    assert city.rows("SELECT count(*) FROM records") == [(3,)]
    assert judged_ranges == [(0, 4), (0, 2), (0, 1), (2, 2), (3, 4)]


def test_a_delivery_that_our_code_fails_on_is_set_aside(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines.reading import formats

    city.source(RECORDS)
    for number in range(7):
        city.land([(f"k{number}", 1, "交通")], day=DAY + timedelta(days=number))
    real = formats.open_delivery

    def defective(path: Path, *arguments: Any) -> Any:
        if b"k4" in path.read_bytes():
            raise RuntimeError("a defect")
        return real(path, *arguments)

    monkeypatch.setattr(formats, "open_delivery", defective)
    judgements = city.take()
    verdicts = [judgement.verdict for judgement in judgements]
    assert verdicts.count(Verdict.ACCEPTED) == 6
    [broken] = [judgement for judgement in judgements if judgement.verdict is Verdict.UNREADABLE]
    assert broken.delivery.business_date == DAY + timedelta(days=4)
    assert "(RuntimeError)" in broken.reasons[0].english()
    assert city.items() == {f"k{number}" for number in range(7) if number != 4}

    monkeypatch.setattr(formats, "open_delivery", real)
    repairs.rebuild(city.deployment, "records")
    assert city.items() == {f"k{number}" for number in range(7)}


def test_nothing_of_a_chunk_stays_open(city: City) -> None:
    """Check that a process that stages many chunks does not hold their deleted files."""
    city.send([("x", 1, "")])
    opened = [entry for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink()]
    held = [str(entry.readlink()) for entry in opened]
    assert [name for name in held if str(city.settings.staging) in name] == []


def test_unreadable_keys_are_no_conflict(city: City) -> None:
    key = {"name": "item", "header": ["事项"], "type": "integer", "required": True}
    city.source(RECORDS, columns=[key, *RECORDS["columns"][1:]])
    judged = city.send([("甲", 1, ""), ("乙", 2, ""), ("", 3, ""), ("", 4, "")])
    codes = sorted((reason.code, reason.count) for reason in judged.reasons)
    assert codes == [("required", 2), ("type", 2)]


def test_a_row_condition_is_honoured_or_refused(city: City) -> None:
    """Refuse a `row_condition` of GX that would judge other rows than are split off."""
    from pipelines.contracts.loading import read_catalog

    rule = expectation("column_values_to_be_between", column="amount", max_value=5)
    rule["kwargs"] |= {
        "row_condition": 'col("domain") == "交通"',
        "condition_parser": "great_expectations",
    }
    city.source(RECORDS, [rule])
    _, problems = read_catalog(city.config)
    if not problems:
        judged = city.send([("x", 9, "交通"), ("y", 9, "医疗"), ("z", 1, "交通")])
        assert judged.accounting is not None
        assert judged.accounting.quarantined == 1


# --- personal data ------------------------------------------------------------------------------

PHONES = ["13812345678", "13987654321", "13700001111", "13655556666", "0563-3021234"]
NAMES = ["欧阳小明", "诸葛建国", "司马春花", "上官雨桐"]
PRIVATE = with_columns(
    RECORDS,
    {
        "name": "phone",
        "header": ["联系电话"],
        "type": "text",
        "pii": "phone",
        "pattern": r"^1\d{10}$",
    },
    {"name": "person", "header": ["联系人"], "type": "text", "required": True, "pii": "name"},
)


def texts(settings: Any) -> list[str]:
    """Return every value of every table, and every text file, outside landing and archive."""
    values: list[str] = []
    databases = [settings.warehouse, *settings.published.rglob("*.duckdb")]
    for path in databases:
        with duckdb.connect(path, read_only=True) as connection:
            tables = connection.execute(
                "SELECT schema_name, table_name FROM duckdb_tables() WHERE NOT internal"
            ).fetchall()
            for schema, table in tables:
                values += map(str, connection.execute(f'FROM "{schema}"."{table}"').fetchall())
    for path in settings.staging.rglob("*.parquet"):
        values += map(str, duckdb.sql(f"FROM read_parquet('{path}')").fetchall())
    engine = sa.create_engine(settings.operations_url)
    with engine.connect() as connection:
        for table in sa.inspect(engine).get_table_names():
            values += map(str, connection.exec_driver_sql(f"SELECT * FROM {table}"))
    engine.dispose()
    return values


def leaks(folder: Path, secrets: list[str]) -> list[tuple[str, str]]:
    files = [
        path
        for path in folder.rglob("*")
        if path.is_file() and path.relative_to(folder).parts[0] not in ("landing", "archive")
    ]
    assert files
    return [
        (path.name, secret)
        for path in files
        for secret in secrets
        if secret.encode() in path.read_bytes()
    ]


def test_personal_data_stays_in_the_archive(
    city: City, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    city.source(PRIVATE, footer=["合计"], max_quarantine=0.9)
    header = (*("事项", "数量", "领域"), "联系电话", "联系人")
    rows = [
        ("x", 1, "", PHONES[0], NAMES[0]),
        ("y", "坏", "", PHONES[1], NAMES[1]),  # another column is bad
        ("z", 1, "", PHONES[4], NAMES[2]),  # the phone is not of the pattern
        ("w", 1, "", PHONES[2], NAMES[3]),
        ("w", 2, "", PHONES[2], NAMES[3]),  # key conflict
        ("v", 1, "", PHONES[3], NAMES[0], "多"),  # ragged
        ("u", 1, "", PHONES[3], ""),
    ]
    city.land(rows, header=header)
    city.land([*rows[1:3], *rows[4:]], department="b", header=header)  # withheld and rejected
    city.land([row[3:] for row in rows], department="c", header=("联系电话", "联系人"))
    city.land("\n".join(",".join(map(str, row)) for row in rows), day=date(2021, 9, 24))
    lines = [json.dumps(dict(zip(header, row, strict=False))) for row in rows]
    broken = '{"联系人": "' + NAMES[1]
    city.land("\n".join([*lines, broken]), day=date(2021, 9, 25), suffix=".jsonl")
    city.source(PRIVATE, footer=["合计"], max_quarantine=0.9, formats={"csv": {}, "jsonl": {}})
    city.land(
        [rows[0], ("q", 5, "", PHONES[1], NAMES[2])],
        day=date(2021, 9, 26),
        header=header,
        part="p1",
    )
    city.land([("q", 6, "", PHONES[1], NAMES[2])], day=date(2021, 9, 26), header=header, part="p2")
    discovery = intake.discover(city.deployment, "pii")
    staged = intake.stage(city.deployment, discovery.pending, "pii", 0)
    secrets = PHONES + NAMES
    escaped = [json.dumps(name)[1:-1] for name in NAMES]
    assert leaks(city.settings.data_dir, secrets + escaped) == []
    report = night.RunReport("pii", DAY)
    report.judgements = intake.load_staged(city.deployment, [staged], "pii")
    assert len(report.judgements) == 8  # seven files, and a part judged anew
    night._finish(city.deployment, report, datetime(2021, 9, 24))
    assert leaks(city.settings.data_dir, secrets + escaped) == []
    messages = "\n".join(
        [
            *texts(city.settings),
            str(report),
            staged.model_dump_json(),
            caplog.text,
            *(
                reason.chinese() + reason.english()
                for judgement in report.judgements
                for reason in (*judgement.reasons, *judgement.warnings)
            ),
            *capfd.readouterr(),
        ]
    )
    assert "138****5678" in messages
    assert "欧***" in messages
    assert [secret for secret in secrets + escaped if secret in messages] == []
