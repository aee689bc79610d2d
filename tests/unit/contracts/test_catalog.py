from __future__ import annotations

import json
import re
from datetime import date

import pytest
from pydantic import TypeAdapter

from pipelines.contracts.columns import LINEAGE_COLUMNS
from pipelines.contracts.declared import Name
from pipelines.contracts.loading import load_catalog, read_catalog
from pipelines.contracts.targets import Target
from pipelines.errors import ConfigurationError
from pipelines.settings import SQL

RECORDS = "sources/records.yaml"
CAMERAS = "sources/cameras.yaml"
METRICS = "metrics.yaml"
TARGETS = "targets.yaml"
SUITE = "expectations/records.json"
DEPARTMENTS = "departments.csv"


def problem_of(config, file, key, *words):
    """Return the only problem of `file` at `key` whose text has all words; each has a mend."""
    problems = config.problems()
    assert all(
        problem.file and problem.key and problem.message and problem.mend for problem in problems
    )
    matching = [
        problem
        for problem in problems
        if problem.file == file
        and problem.key == key
        and all(word in str(problem) for word in words)
    ]
    assert len(matching) == 1, [str(problem) for problem in problems]
    return matching[0]


def test_the_small_configuration_is_sound(config):
    assert config.problems() == []


def test_all_problems_are_reported_at_once(config):
    config.edit(RECORDS, "owner:", "ownr:")
    config.edit(CAMERAS, "name: camera,", "name: camera, requird: true,")
    config.edit(METRICS, "kind: stock", "kind: stok")
    config.edit(TARGETS, "goal: 100", "goal: 101")
    config.edit(DEPARTMENTS, "2021-10-31", "31.10.2021")
    with pytest.raises(ConfigurationError) as caught:
        load_catalog(config.folder)
    assert caught.value.exit_code == 2
    files = {problem.file for problem in caught.value.problems}
    assert {RECORDS, CAMERAS, METRICS, DEPARTMENTS} <= files
    assert str(caught.value).count("\n") == len(caught.value.problems) - 1


# every mistake: the file, what is replaced in it by what, and the problem's file, key and words
@pytest.mark.parametrize(
    ("file", "old", "new", "where", "key", "words"),
    [
        # a contract by itself
        (RECORDS, "owner:", "ownr:", RECORDS, "ownr", ["did you mean `owner`?", "spelling"]),
        (RECORDS, "owner:", "ownr:", RECORDS, "owner", ["missing", "add it"]),
        (
            RECORDS,
            "pii: phone",
            "pi: phone",
            RECORDS,
            "columns.phone.pi",
            ["nobody knows this key; did you mean `pii`?"],
        ),
        (
            RECORDS,
            "type: integer",
            "type: number",
            RECORDS,
            "columns.amount.type",
            ["number", "see docs/contracts.md#columns"],
        ),
        (RECORDS, "max_quarantine: 0.5", "max_quarantine: 5", RECORDS, "max_quarantine", []),
        (RECORDS, "title:", "owner: x\ntitle:", RECORDS, "-", ["'owner'", "2 times"]),
        (RECORDS, "from: 2021-09-23", "from: 2021-02-30", RECORDS, "-", ["out of range"]),
        (RECORDS, "columns:", "columns: [", RECORDS, "-", ["not valid YAML"]),
        (RECORDS, "name: records", "name: recs", RECORDS, "name", ["file's name"]),
        (RECORDS, "key: [item]", "key: [unit]", RECORDS, "key", ["unit", "not required"]),
        (RECORDS, "key: [item]", "key: [itm]", RECORDS, "key", ["itm is no column", "item"]),
        (RECORDS, "[数据量]", "[数据量, 目录 编码]", RECORDS, "columns", ["目录编码", "2"]),
        (RECORDS, "[数据量]", "['　']", RECORDS, "columns", ["blank"]),
        (RECORDS, "[数据量]", "['数据|新增']", RECORDS, "columns", ["header_rows: 2"]),
        (RECORDS, "name: amount", "name: item", RECORDS, "columns", ["declared 2 times"]),
        (RECORDS, "name: phone", "name: row_number", RECORDS, "columns", ["every source"]),
        (RECORDS, r"'^[A-Z]\d+$'", "'['", RECORDS, "columns.item.pattern", ["no regular"]),
        (RECORDS, r"'^[A-Z]\d+$'", "'^(?!A)'", RECORDS, "columns.item.pattern", ["RE2"]),
        (RECORDS, '["合计"]', '["("]', RECORDS, "footer", ["no regular"]),
        (
            RECORDS,
            "footer:",
            "file_patterns: ['(']\nfooter:",
            RECORDS,
            "file_patterns",
            ["no regular"],
        ),
        (
            RECORDS,
            "footer:",
            "file_patterns: ['(?P<day>x)']\nfooter:",
            RECORDS,
            "file_patterns",
            ["group day"],
        ),
        (
            RECORDS,
            "department: unit",
            "department: amount",
            RECORDS,
            "partition.department",
            ["plain text"],
        ),
        (
            RECORDS,
            "department: unit",
            "department: phone",
            RECORDS,
            "partition.department",
            ["plain text"],
        ),
        (
            RECORDS,
            "business_date: day",
            "business_date: item",
            RECORDS,
            "partition.business_date",
            ["plain date"],
        ),
        (
            RECORDS,
            "business_date: day",
            "business_date: dy",
            RECORDS,
            "partition.business_date",
            ["no column"],
        ),
        (RECORDS, "{wjw:", "{wjj:", RECORDS, "formats.csv.departments", ["wjj"]),
        (RECORDS, "gb18030,", "big5,", RECORDS, "formats.csv.encoding", ["big5"]),
        (RECORDS, "gb18030,", 'gb18030, delimiter: "，",', RECORDS, "formats.csv.delimiter", []),
        (
            RECORDS,
            "from: 2021-09-23",
            "from: 2021-09-23, departments: [gaj, xyz]",
            RECORDS,
            "due.departments",
            ["xyz"],
        ),
        (
            RECORDS,
            '"02:00"',
            "18:00",
            RECORDS,
            "due.time",
            ['write it in quotes: "18:00"', "see docs/contracts.md#due"],
        ),
        (
            CAMERAS,
            "{csv: {}}",
            "{xlsx: {sheet: 0, sheets: all}}",
            CAMERAS,
            "formats.xlsx",
            ["say `sheet` or `sheets`, not both"],
        ),
        (
            CAMERAS,
            "{csv: {}}",
            "{csv: {}, jsnl: {}}",
            CAMERAS,
            "formats.jsnl",
            ["did you mean `jsonl`?"],
        ),
        (CAMERAS, "{csv: {}}", "{}", CAMERAS, "formats", ["no format"]),
        (
            CAMERAS,
            "type: boolean",
            "type: boolean, pattern: x",
            CAMERAS,
            "columns.integrated",
            ["`pattern`"],
        ),
        # totals and drift
        *(
            (RECORDS, "columns:", f"{declared}\ncolumns:", RECORDS, key, words)
            for declared, key, words in [
                (
                    "totals: [{cumulative: sum, increment: amount}]",
                    "totals[0].cumulative",
                    ["sum is no column", "use one of unit"],
                ),
                (
                    "totals: [{cumulative: day, increment: amount}]",
                    "totals[0].cumulative",
                    ["no number", "number column"],
                ),
                (
                    "totals: [{cumulative: amount, increment: unit}]",
                    "totals[0].increment",
                    ["no number"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount}]",
                    "totals[0]",
                    ["amount is there 2 times", "another"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount, correction: item}]",
                    "totals[0].correction",
                    ["no number"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount, tolerance: -1}]",
                    "totals[0].tolerance",
                    ["greater than or equal to 0"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount, by: [item, town]}]",
                    "totals[0].by",
                    ["town is no column"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount, by: [item, phone]}]",
                    "totals[0].by",
                    ["masked", "not personal"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount, by: [item, unit]}]",
                    "totals[0].by",
                    ["not required"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount, by: [item, day]}]",
                    "totals[0].by",
                    ["another every day", "leave it out"],
                ),
                (
                    "totals: [{cumulative: amount, increment: amount, by: [amount]}]",
                    "totals[0].by",
                    ["item of the key is left out", "whole key"],
                ),
                ("drift: {history: 5, minimum: 6}", "drift.minimum", ["more than", "lower it"]),
                ("drift: {categories: [kind]}", "drift.categories", ["kind is no column"]),
                ("drift: {categories: [amount]}", "drift.categories", ["no text"]),
                ("drift: {categories: [phone]}", "drift.categories", ["personal"]),
                ("drift: {volume: 0}", "drift.volume", ["greater than 0"]),
            ]
        ),
        (
            CAMERAS,
            "columns:",
            "totals: [{cumulative: status, increment: camera}]\ncolumns:",
            CAMERAS,
            "totals[0]",
            ["without a key", "name the source's key"],
        ),
        (
            RECORDS,
            "type: integer,",
            "type: integer, unit: [条, 万条],",
            RECORDS,
            "columns.amount",
            ["万条 is 条 with a scale", "declare that one"],
        ),
        (
            RECORDS,
            "type: integer,",
            "type: integer, unit: [千克, 克],",
            RECORDS,
            "columns.amount",
            ["千克 is 克 with a scale"],
        ),
        (
            RECORDS,
            "type: integer,",
            "type: integer, unit: 万,",
            RECORDS,
            "columns.amount",
            ["万 is a scale", "say of what"],
        ),
        (
            RECORDS,
            "type: integer,",
            'type: decimal, unit: "%", share: true,',
            RECORDS,
            "columns.amount",
            ["needs a `maximum`"],
        ),
        (
            RECORDS,
            "type: integer,",
            "type: integer, unit: 条, unit_from: ut,",
            RECORDS,
            "columns.amount.unit_from",
            ["ut is no column"],
        ),
        (
            RECORDS,
            "type: integer,",
            "type: integer, unit: 条, unit_from: day,",
            RECORDS,
            "columns.amount.unit_from",
            ["day must be a text column"],
        ),
        (
            RECORDS,
            "type: integer,",
            "type: integer, unit: 条, unit_from: phone,",
            RECORDS,
            "columns.amount.unit_from",
            ["not personal"],
        ),
        (
            RECORDS,
            "type: integer,",
            "type: integer, unit_from: unit,",
            RECORDS,
            "columns.amount.unit_from",
            ["no `unit`"],
        ),
        (RECORDS, "owner:", "unit_above: 条\nowner:", RECORDS, "unit_above", ["has no scale"]),
        (
            RECORDS,
            "owner:",
            "unit_above: 万条\nowner:",
            RECORDS,
            "unit_above",
            ["no column has the `unit` 条", "say the `unit` of the columns"],
        ),
        (
            RECORDS,
            "owner:",
            "unit_above: 万条\nowner:",
            RECORDS,
            "unit_above",
            ["a parquet file has no line", "leave parquet out"],
        ),
        (
            RECORDS,
            "  - {name: phone",
            "  - {name: word, qualifier_of: amout, type: text}\n  - {name: phone",
            RECORDS,
            "columns.word.qualifier_of",
            ["amout is no column"],
        ),
        (
            RECORDS,
            "  - {name: phone",
            "  - {name: word, qualifier_of: day, type: text}\n  - {name: phone",
            RECORDS,
            "columns.word.qualifier_of",
            ["day is no number"],
        ),
        (
            RECORDS,
            "  - {name: phone",
            "  - {name: word, qualifier_of: amount, type: text, nulls: 无}\n  - {name: phone",
            RECORDS,
            "columns.word.qualifier_of",
            ["`nulls`", "amount"],
        ),
        (
            RECORDS,
            "  - {name: phone",
            "  - {name: word, qualifier_of: amount, type: text}\n  - {name: phone",
            RECORDS,
            "columns.word.description",
            ["no header"],
        ),
        (
            RECORDS,
            "  - {name: phone",
            "  - {name: town, from_sheet: true, type: text, "
            "required: true, description: 区县}\n  - {name: phone",
            RECORDS,
            "columns.town.required",
            ["csv, jsonl, parquet have no sheets", "leave `required` out"],
        ),
        (
            RECORDS,
            "  - {name: phone",
            "  - {name: town, from_sheet: true, type: text, pii: name, "
            "description: 区县}\n  - {name: phone",
            RECORDS,
            "columns.town.pii",
            ["sheets"],
        ),
        (
            RECORDS,
            "pii: phone",
            "code: id_number",
            RECORDS,
            "columns.phone.code",
            ["personal", "pii: id_number"],
        ),
        (
            RECORDS,
            "pattern:",
            "code: uscc, pattern:",
            RECORDS,
            "columns.item.code",
            ["remove `pattern`"],
        ),
        # metrics
        (METRICS, "column: amount", "column: amout", METRICS, "amount", ["no column of records"]),
        (METRICS, "column: amount", "column: item", METRICS, "amount", ["sum of text item"]),
        (METRICS, "source: records", "source: cameras", METRICS, "amount.kind", ["snapshot"]),
        (METRICS, "source: records", "source: record", METRICS, "amount.source", ["records"]),
        (METRICS, "column: amount}", "column: amount}, by: domain", METRICS, "amount.by", []),
        (
            METRICS,
            "status: online, integ",
            "status: 在线, integ",
            METRICS,
            "online.where.status",
            ["'在线' never occurs", "offline, online"],
        ),
        (
            METRICS,
            "status: online, integ",
            "status: [online, onn], integ",
            METRICS,
            "online.where.status",
            ["'onn' never"],
        ),
        (
            METRICS,
            "integrated: true",
            'integrated: "yes"',
            METRICS,
            "online.where.integrated",
            ["boolean"],
        ),
        (METRICS, "kind: stock", "kind: ratio", METRICS, "online", ["numerator"]),
        (METRICS, "aggregate: sum", "aggregate: max", METRICS, "amount", ["flow adds up"]),
        (METRICS, "name: online,", "name: amount,", METRICS, "amount", ["given twice"]),
        # targets
        (TARGETS, "metric: amount", "metric: amounts", TARGETS, "campaign.metric", ["amount"]),
        (
            TARGETS,
            "goal: 100",
            "goal: 107",
            TARGETS,
            "campaign.department_goals",
            ["sum to 100", "the goal is 107", "say `unallocated: 7`"],
        ),
        (
            TARGETS,
            "goal: 120",
            "goal: 150",
            TARGETS,
            "campaign.revisions[0].department_goals",
            ["say `unallocated: 50`"],
        ),
        (TARGETS, "gaj: 60", "gjj: 60", TARGETS, "campaign.department_goals", ["gjj"]),
        (TARGETS, "department_goal: 95, ", "", TARGETS, "rate.department_goals", ["never sums"]),
        (
            TARGETS,
            "end: 2021-12-31\n  goal",
            "end: 2021-09-22\n  goal",
            TARGETS,
            "campaign",
            ["before `start`"],
        ),
        (
            TARGETS,
            "reason: 会议}",
            "end: 2021-09-01, reason: 会议}",
            TARGETS,
            "campaign.revisions[0].end",
            ["before the start"],
        ),
        (TARGETS, "start: 2021-09-23", "strt: 2021-09-23", TARGETS, "campaign.strt", ["nobody"]),
        (TARGETS, "curve: level", "curve: linear", TARGETS, "rate.curve", ["or 'level'"]),
        # departments
        (DEPARTMENTS, "2021-10-31,wjw", "2021-10-31,wjj", DEPARTMENTS, "wsj.successor", ["wjj"]),
        (DEPARTMENTS, "2021-10-31,wjw", ",wjw", DEPARTMENTS, "wsj.valid_to", ["no end"]),
        (DEPARTMENTS, "2021-10-31,wjw", "2021-10-31,wsj", DEPARTMENTS, "wsj.successor", ["round"]),
        (DEPARTMENTS, "wsj,市卫生局", "gaj,市卫生局", DEPARTMENTS, "row 4", ["given twice"]),
        (DEPARTMENTS, "2021-10-31", "31.10.2021", DEPARTMENTS, "row 4.valid_to", []),
        (DEPARTMENTS, "code,name", "code,nmae", DEPARTMENTS, "row 2.nmae", ["nobody knows"]),
    ],
)
def test_a_mistake_is_named_with_file_key_and_mend(config, file, old, new, where, key, words):
    config.edit(file, old, new)
    problem_of(config, where, key, *words)


def test_a_column_of_the_sheet_may_be_required_where_every_file_has_sheets(config):
    town = "  - {name: town, from_sheet: true, type: text, required: true, description: 区县}\n"
    config.edit(CAMERAS, "columns:\n", f"columns:\n{town}")
    for formats in ("{xlsx: {sheets: all}, ods: {}}", "{csv: {}, zip: {members: all}}"):
        config.edit(CAMERAS, "formats: {csv: {}}", f"formats: {formats}")
        assert config.problems() == []
        config.edit(CAMERAS, f"formats: {formats}", "formats: {csv: {}}")
    problem_of(config, CAMERAS, "columns.town.required", "csv have no sheets")


def test_an_entry_without_a_name_is_named_by_its_position(config):
    config.edit(CAMERAS, "{name: status, header: [状态]", "{nme: status, header: [状态]")
    problem_of(config, CAMERAS, "columns[1].nme", "did you mean `name`?")
    problem_of(config, CAMERAS, "columns[1].name", "missing")


def test_every_department_in_a_circle_of_successors_is_named(config):
    config.edit(
        DEPARTMENTS, "市卫健委,政府部门,市本级,,,", "市卫健委,政府部门,市本级,,2021-12-01,wsj"
    )
    for code in ("wjw", "wsj"):
        problem_of(config, DEPARTMENTS, f"{code}.successor", "successors go round")


NOT_NULL = "expect_column_values_to_not_be_null"
PAIR = "expect_column_pair_values_to_be_equal"


@pytest.mark.parametrize(
    ("expectation", "key", "words"),
    [
        ({"type": NOT_NULL, "kwargs": {"column": "itm"}}, "[0].kwargs.column", ["itm", "item"]),
        ({"type": NOT_NULL, "kwargs": {"colunm": "item"}}, "[0].kwargs.column", ["None"]),
        ({"type": NOT_NULL}, "[0].kwargs.column", ["None"]),
        (
            {"type": PAIR, "kwargs": {"column_A": "item", "column_B": "x"}},
            "[0].kwargs.column_B",
            ["x is no column"],
        ),
        (
            {"type": "expect_column_sum_to_be_between", "kwargs": {"column": "x"}},
            "[0].kwargs.column",
            ["x is no column"],
        ),
        (
            {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "item"}},
            "[0].type",
            ["not supported", "use one of"],
        ),
        (
            {"type": NOT_NULL, "kwargs": {"column": "item", "mostly": 0.9}},
            "[0].kwargs.mostly",
            ["max_quarantine"],
        ),
        ({"type": NOT_NULL, "kwargs": {"column": "phone"}}, "[0].kwargs.column", ["masked"]),
        (
            {"type": NOT_NULL, "kwargs": {"column": "item"}, "severity": "fatal"},
            "[0].severity",
            ["fatal", "critical"],
        ),
        (
            {
                "type": "expect_column_values_to_match_regex",
                "kwargs": {"column": "item", "regex": "("},
            },
            "[0].kwargs.regex",
            ["no regular"],
        ),
        (
            {
                "type": "expect_column_values_to_match_regex",
                "kwargs": {"column": "item", "regex": r"(a)\1"},
            },
            "[0].kwargs.regex",
            ["RE2"],
        ),
    ],
)
def test_a_suites_mistake_is_named(config, expectation, key, words):
    suite = {"name": "records", "expectations": [expectation], "meta": {}}
    config.write(SUITE, json.dumps(suite))
    problem_of(config, SUITE, f"expectations{key}", *words)


@pytest.mark.parametrize(
    "expectation",
    [
        "text",
        {"kwargs": {}},
        {"type": ["a"], "kwargs": {}},
        {"type": NOT_NULL, "kwargs": None},
        {"type": NOT_NULL, "kwargs": []},
    ],
)
def test_a_misshapen_expectation_is_a_problem_and_no_crash(config, expectation):
    suite = {"name": "records", "expectations": [expectation]}
    config.write(SUITE, json.dumps(suite))
    assert {problem.file for problem in config.problems()} == {SUITE}


@pytest.mark.parametrize("text", ["", "[]", "nul", '"x"', '{"name": "records"'])
def test_a_file_that_is_not_a_suite_is_a_problem(config, text):
    config.write(SUITE, text)
    problem_of(config, SUITE, "-")


def test_a_missing_suite_says_what_to_write(config):
    (config.folder / SUITE).unlink()
    problem = problem_of(config, SUITE, "-", "no suite")
    suite = problem.mend[problem.mend.index("{") :]
    config.write(SUITE, suite)
    assert config.problems() == []


def test_a_suite_with_another_name_than_its_source_is_a_problem(config):
    config.write(SUITE, '{"name": "cameras", "expectations": []}')
    problem_of(config, SUITE, "name", "cameras")


@pytest.mark.parametrize("file", [RECORDS, METRICS, TARGETS, DEPARTMENTS, SUITE])
def test_a_file_that_is_not_utf8_is_named(config, file):
    config.write(file, "名称: 公安局,\n".encode("gb18030"))
    problem_of(config, file, "-", "utf-8")


@pytest.mark.parametrize("file", [METRICS, TARGETS])
@pytest.mark.parametrize("text", ["name: x\n", "just text\n", "3\n"])
def test_a_file_that_should_be_a_list_is_named(config, file, text):
    config.write(file, text)
    problem_of(config, file, "-", "must be a list")


def test_an_entry_that_is_no_mapping_is_named_by_its_position(config):
    config.write(METRICS, "- amount\n")
    problem_of(config, METRICS, "[0]", "dictionary")


@pytest.mark.parametrize("text", ["- a\n", "text\n"])
def test_a_contract_that_is_no_mapping_is_named(config, text):
    config.write(RECORDS, text)
    problem_of(config, RECORDS, "-", "dictionary")


def test_an_empty_contract_is_a_problem_of_its_own(config):
    config.write(RECORDS, "# to do\n")
    problem_of(config, RECORDS, "name", "missing")


def test_a_list_may_be_empty(config):
    config.write(TARGETS, "# none yet\n")
    assert config.problems() == []


@pytest.mark.parametrize("file", [METRICS, TARGETS, DEPARTMENTS])
def test_a_missing_file_is_named(config, file):
    (config.folder / file).unlink()
    problem_of(config, file, "-", "the file is missing")


@pytest.mark.parametrize("text", ["", "code,name\n"])
def test_no_departments_are_a_problem(config, text):
    config.write(DEPARTMENTS, text)
    problem_of(config, DEPARTMENTS, "-", "no departments")


def test_departments_need_only_code_and_name_and_may_have_a_byte_order_mark(config):
    config.write(DEPARTMENTS, "code,name\ngaj,市公安局\nwjw,卫健委\n".encode("utf-8-sig"))
    assert config.problems() == []
    assert config.catalog().departments["gaj"].label == "市公安局"


def test_an_empty_folder_lists_what_to_create(tmp_path):
    catalog, problems = read_catalog(tmp_path)
    assert {problem.file for problem in problems} == {"sources", METRICS, TARGETS, DEPARTMENTS}
    assert not catalog.sources


def test_yaml_cannot_run_code(config):
    config.write(METRICS, "!!python/object/apply:os.system ['true']\n")
    problem_of(config, METRICS, "-", "not valid YAML")


def test_yaml_may_merge_what_it_anchors(config):
    config.edit(
        METRICS,
        "- {name: online,",
        "- &amount {name: a, title: a, unit: 条, kind: flow, source: records,"
        " value: {aggregate: count}}\n- {<<: *amount, name: b}\n- {name: online,",
    )
    assert config.problems() == []
    assert config.catalog().metrics["b"].unit == "条"


def test_a_broken_source_does_not_hide_the_sound_one(config):
    config.edit(RECORDS, "owner:", "ownr:")
    catalog, _ = read_catalog(config.folder)
    assert list(catalog.sources) == ["cameras"]


def test_holidays_are_optional_and_checked(config):
    assert config.catalog().holidays == {}
    config.write("holidays.csv", "date,working\n2021-10-01,false\n2021-10-09,true\n")
    assert config.catalog().holidays == {date(2021, 10, 1): False, date(2021, 10, 9): True}
    config.write("holidays.csv", "date,working\n2021-13-01,maybe\n")
    problem_of(config, "holidays.csv", "row 2.date")
    problem_of(config, "holidays.csv", "row 2.working")


# --- hashes -------------------------------------------------------------------------------------


def test_a_contracts_hash_changes_only_with_keys_that_judge_rows(config):
    before = config.catalog()
    config.edit(METRICS, "title: 数据量", "title: 新增")
    config.edit(TARGETS, "title: 攻坚", "title: 百日攻坚")
    after = config.catalog()
    for name in before.sources:
        assert after.contract_hashes[name] == before.contract_hashes[name]
    assert after.configuration_hash != before.configuration_hash

    config.edit(DEPARTMENTS, "市公安局", "公安局")
    renamed = config.catalog()
    for name, source in before.sources.items():
        is_placed_by_name = source.partition.department is not None
        is_same = renamed.contract_hashes[name] == before.contract_hashes[name]
        assert is_same != is_placed_by_name, name
    before = renamed

    suite = {"name": "records", "expectations": [{"type": NOT_NULL, "kwargs": {"column": "item"}}]}
    config.write(SUITE, json.dumps(suite))
    with_rule = config.catalog()
    assert with_rule.contract_hashes["records"] != before.contract_hashes["records"]
    assert with_rule.contract_hashes["cameras"] == before.contract_hashes["cameras"]

    config.edit(RECORDS, "max_quarantine: 0.5", "max_quarantine: 0.4")
    assert config.catalog().contract_hashes["records"] != with_rule.contract_hashes["records"]


def test_a_hash_depends_on_meaning_and_not_on_spelling(config):
    before = config.catalog()
    config.edit(RECORDS, "key: [item]", "# a comment\nkey:   ['item']")
    assert config.catalog().configuration_hash == before.configuration_hash


def test_the_configuration_is_plain_json_data(catalog):
    assert json.loads(json.dumps(catalog.configuration)) == catalog.configuration


# --- names that are taken -------------------------------------------------------------------------

SCHEMA = json.loads((SQL / "schema.json").read_text(encoding="utf-8"))
DECLARABLE = re.compile(TypeAdapter(Name).json_schema()["pattern"])


def test_a_source_may_not_have_the_name_of_a_table_of_the_warehouse(config):
    assert {"purge", "partition_in_force", "pace"} <= set(SCHEMA["main"])
    contract = (config.folder / CAMERAS).read_text()
    for name in SCHEMA["main"]:
        config.write(f"sources/{name}.yaml", contract.replace("name: cameras", f"name: {name}"))
        config.write(f"expectations/{name}.json", json.dumps({"name": name}))
    refused = {
        problem.file
        for problem in config.problems()
        if problem.key == "name" and "table of the warehouse" in problem.message
    }
    assert refused == {f"sources/{name}.yaml" for name in SCHEMA["main"]}


def test_a_column_may_have_any_name_but_those_of_lineage(config):
    names = {
        name
        for tables in SCHEMA.values()
        for table, columns in tables.items()
        for name in (table, *columns)
        if DECLARABLE.fullmatch(name)
    } | set(LINEAGE_COLUMNS)
    declared = [f"  - {{name: {name}, header: {name}, type: text}}\n" for name in sorted(names)]
    names -= {"camera", "status", "integrated"}
    contract = (config.folder / CAMERAS).read_text()
    declared = [line for line in declared if line.split()[2].rstrip(",") in names]
    config.write(CAMERAS, contract + "".join(declared))
    problems = {str(problem) for problem in config.problems()}
    assert len(problems) == len(LINEAGE_COLUMNS)
    for name in LINEAGE_COLUMNS:
        problem_of(config, CAMERAS, "columns", f"{name} is a column of every source's table")


# --- departments that owe, targets that are revised --------------------------------------------


def test_who_owes_a_source(config):
    catalog = config.catalog()
    assert catalog.due_departments(catalog.sources["records"]) == ("gaj", "wjw", "wsj")
    assert catalog.due_departments(catalog.sources["cameras"]) == ()
    config.edit(RECORDS, "from: 2021-09-23", "from: 2021-09-23, departments: [gaj]")
    catalog = config.catalog()
    assert catalog.due_departments(catalog.sources["records"]) == ("gaj",)


@pytest.mark.parametrize(
    ("day", "valid"),
    [(date(2021, 10, 30), True), (date(2021, 10, 31), True), (date(2021, 11, 1), False)],
)
def test_a_department_is_valid_up_to_and_on_its_last_day(catalog, day, valid):
    assert catalog.departments["wsj"].valid_on(day) is valid


REVISED = Target.model_validate(
    {
        "name": "t",
        "title": "t",
        "metric": "m",
        "scope": "city",
        "start": "2021-09-23",
        "end": "2021-12-31",
        "goal": 100,
        "baseline": 5,
        "revisions": [
            {"effective": "2021-11-15", "goal": 120, "reason": "more"},
            {"effective": "2021-12-01", "end": "2022-01-31", "baseline": 0, "reason": "longer"},
        ],
    }
)


@pytest.mark.parametrize(
    ("day", "number", "goal", "baseline", "end"),
    [
        (date(2020, 1, 1), 0, 100, 5, date(2021, 12, 31)),
        (date(2021, 11, 14), 0, 100, 5, date(2021, 12, 31)),
        (date(2021, 11, 15), 1, 120, 5, date(2021, 12, 31)),
        (date(2021, 11, 30), 1, 120, 5, date(2021, 12, 31)),
        (date(2021, 12, 1), 2, 120, 0, date(2022, 1, 31)),
        (date(2030, 1, 1), 2, 120, 0, date(2022, 1, 31)),
    ],
)
def test_a_target_as_it_stood_on_a_day(day, number, goal, baseline, end):
    revision, target = REVISED.revised(day)
    assert (revision, target.goal, target.baseline, target.end) == (number, goal, baseline, end)


@pytest.mark.parametrize("days", [("2021-12-01", "2021-11-01"), ("2021-11-01", "2021-11-01")])
def test_revisions_are_in_order_one_a_day(days):
    revisions = [{"effective": day, "reason": "x"} for day in days]
    with pytest.raises(ValueError, match="in order"):
        Target.model_validate(REVISED.model_dump() | {"revisions": revisions})


@pytest.mark.parametrize(
    "points",
    [
        [("2021-10-01", 0.5), ("2021-10-01", 1)],
        [("2021-10-01", 0.5), ("2021-11-01", 0.4), ("2021-12-01", 1)],
        [("2021-10-01", 0.5)],
        [("2021-10-01", 1.5)],
        [],
    ],
)
def test_milestones_rise_to_the_goal(points):
    curve = {"milestones": [{"by": day, "share": share} for day, share in points]}
    with pytest.raises(ValueError):
        Target.model_validate(REVISED.model_dump() | {"curve": curve})


# --- the repository's own configuration --------------------------------------------------------


@pytest.fixture(scope="module")
def ours():
    catalog, problems = read_catalog(None)
    assert problems == []
    return catalog


def test_ours_is_large_enough(ours):
    assert len(ours.sources) >= 4
    assert len(ours.metrics) >= 12
    assert len(ours.targets) >= 8
    assert {metric.kind for metric in ours.metrics.values()} == {"flow", "stock", "ratio"}
    assert {source.content for source in ours.sources.values()} == {"events", "snapshot"}
    assert {target.scope for target in ours.targets.values()} == {"city", "each_department"}
    assert "at_most" in {target.direction for target in ours.targets.values()}


def test_ours_has_59_departments_on_every_day_of_the_campaign(ours):
    campaign = ours.targets["hundred_day_collection"]
    for offset in range(100):
        day = date.fromordinal(campaign.start.toordinal() + offset)
        valid = [department for department in ours.departments.values() if department.valid_on(day)]
        assert len(valid) >= 59, day


def test_ours_campaign_lasts_exactly_100_days_and_allots_every_record(ours):
    campaign = ours.targets["hundred_day_collection"]
    assert (campaign.start, campaign.end) == (date(2021, 9, 23), date(2021, 12, 31))
    assert (campaign.end - campaign.start).days + 1 == 100
    for day in [campaign.start, *(revision.effective for revision in campaign.revisions)]:
        target = campaign.revised(day)[1]
        assert sum(target.department_goals.values()) + target.unallocated == target.goal


def test_ours_base_stations_are_330(ours):
    assert ours.targets["base_stations"].goal == 330


def test_ours_every_source_feeds_a_metric_and_every_header_is_found_once(ours):
    for source in ours.sources.values():
        assert ours.metrics_of(source.name)
        assert source.due is not None
        assert len(set(source.titles.values())) == len(source.columns)


def test_a_department_that_ended_before_its_target_is_named(config):
    config.edit(DEPARTMENTS, "gaj,市公安局,公安局,政法,市本级,,,", "gaj,市公安局,,,,,2020-01-01,")
    problem_of(config, TARGETS, "campaign.department_goals", "gaj ended on 2020-01-01")


def test_a_department_that_ends_before_it_begins_is_named(config):
    config.edit(
        DEPARTMENTS, "gaj,市公安局,公安局,政法,市本级,,,", "gaj,市公安局,,,,2031-01-01,2030-01-01,"
    )
    problem_of(config, DEPARTMENTS, "gaj.valid_to", "2030-01-01 is before 2031-01-01")
