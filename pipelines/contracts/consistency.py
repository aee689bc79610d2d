"""Holds the declared files against each other; each problem names file, key and mend."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.contracts.models import (
    SCALES,
    Column,
    ColumnType,
    Kind,
    Metric,
    Source,
    Suite,
    Target,
    Totals,
)
from pipelines.errors import Problem

if TYPE_CHECKING:
    from pipelines.contracts.catalog import Catalog

# what every source table has besides its contract's columns, and the ledger's own tables
RESERVED_COLUMNS = frozenset(
    {
        "department",
        "business_date",
        "part",
        "delivery_id",
        "sheet",
        "row_number",
        "first",
        "noise",
        "fault",
        "fault_value",
        "fault_expected",
        "torn",
        "content",
    }
)
RESERVED_TABLES = frozenset(
    {
        "configuration",
        "decision",
        "delivery",
        "delivery_partition",
        "metric_daily",
        "pace",
        "quarantine",
        "run",
        "alembic_version",
        "department",
        "departments",
        "generation",
        "candidate",
        "given",
        "incoming",
        "replaced",
        "clash",
        "judged",
        "touched",
        "computed",
        "known",
        "outdated",
        "paces",
        "profile",
        "looked",
        "near_day",
        "stated",
        "observed",
        "neighbour",
        "total_entry",
        "total_break",
    }
)

# The GX expectations a native suite may use: row rules, whose failing rows are quarantined, and
# figures of a whole delivery. What is not here has no condition to split rows by.
ROW_RULES = frozenset(
    {
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_be_null",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_not_match_regex",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
    }
)
TABLE_RULES = frozenset(
    {
        "expect_table_row_count_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_max_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_unique_value_count_to_be_between",
    }
)
BEYOND_RE2 = re.compile(r"\(\?<?[=!]|\(\?P=|\\[1-9]")
NUMBERS = (ColumnType.INTEGER, ColumnType.DECIMAL)
DATES = (ColumnType.DATE, ColumnType.TIMESTAMP)
NUMBER_RULES = frozenset(
    f"expect_column_{name}_to_be_between" for name in ("sum", "min", "max", "mean")
)
FORMATS_WITHOUT_LINES = ("jsonl", "parquet")  # nothing stands beside their records
FORMATS_WITHOUT_SHEETS = ("csv", "html", "json", "jsonl", "xml", "parquet")
SEVERITIES = ("critical", "warning", "info")
UNSEEN = (*range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF)
USUAL_HEADER = 100  # characters
FOLDED = dict.fromkeys(UNSEEN, "") | {ord("萬"): "万", ord("億"): "亿"}


def fold_text(text: str) -> str:
    """A header or title as it is compared, but for its blanks: width, case, 萬 and 億 folded.

    What nobody sees is gone: byte order marks, zero-width blanks, marks of direction.
    """
    return unicodedata.normalize("NFKC", text).translate(FOLDED).casefold()


def fold_header(header: str) -> str:
    """A header as it is compared: as `fold_text` has it, without blanks."""
    return _folded(header) if len(header) <= USUAL_HEADER else _folded.__wrapped__(header)


@lru_cache(maxsize=4096)  # thousands of files a night have the same few
def _folded(header: str) -> str:
    return re.sub(r"\s+", "", fold_text(header))


def files_of(source: str) -> tuple[str, str]:
    """What problems call a source's contract and its suite."""
    return f"sources/{source}.yaml", f"expectations/{source}.json"


def cross_check(
    catalog: Catalog, metrics_file: str, targets_file: str, departments_file: str
) -> Iterator[Problem]:
    """Every problem of one file with another; the names are those of the files, for messages."""
    for source in catalog.sources.values():
        contract, business_rules = files_of(source.name)
        yield from _check_source(source, catalog, contract)
        yield from _check_suite(source, catalog.suites[source.name], business_rules)
    for metric in catalog.metrics.values():
        yield from _check_metric(metric, catalog, metrics_file)
    for target in catalog.targets.values():
        yield from _check_target(target, catalog, targets_file)
    yield from _check_departments(catalog, departments_file)


def _check_source(source: Source, catalog: Catalog, file: str) -> Iterator[Problem]:
    names = source.column_names
    if source.name in RESERVED_TABLES:
        yield Problem(file, "name", f"{source.name} is a table of the ledger", "rename the source")
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(file, "columns", f"{name} is declared {count} times", "rename one")
    for name in RESERVED_COLUMNS.intersection(names):
        yield Problem(file, "columns", f"{name} is a column of every source", "rename it")
    headers = Counter(
        header for column in source.columns for header in {fold_header(h) for h in column.header}
    )
    for header, count in headers.items():
        if not header:
            yield Problem(file, "columns", "a header is blank", "write what the file has")
        elif header.count("|") >= source.header_rows:
            rows = header.count("|") + 1
            yield Problem(
                file,
                "columns",
                f"header {header} takes {rows} rows, and a header has {source.header_rows}",
                f"say `header_rows: {rows}`",
            )
        elif count > 1:
            yield Problem(
                file, "columns", f"header {header} stands for {count} columns", "keep one"
            )
    if not source.key and any(column.pii for column in source.columns):
        yield Problem(
            file,
            "key",
            "without a key, two persons who look the same masked are one row",
            "name a key that is not personal",
        )
    for name in source.key:
        if name not in names:
            yield Problem(file, "key", f"{name} is no column", f"use one of {', '.join(names)}")
        elif not source.column(name).required:
            yield Problem(file, "key", f"{name} is not required", "say `required: true`")
        elif source.column(name).pii:
            yield Problem(
                file,
                "key",
                f"{name} is masked, and two persons may look the same",
                "use a key that is not personal",
            )
    yield from _check_unit_above(source, file)
    yield from _check_partition(source, file)
    yield from _check_totals(source, file)
    yield from _check_drift(source, file)
    for column in source.columns:
        yield from _check_references(column, source, file)
        yield from _check_derived(column, source, file)
        yield from _check_code(column, file)
    for key, pattern in _patterns(source):
        yield from _check_regex(pattern, file, key)
    for pattern in source.file_patterns:
        yield from _check_regex(pattern, file, "file_patterns", is_sql=False)
    for pattern in source.file_patterns:
        unknown = set(re.findall(r"\(\?P<(\w+)>", pattern)) - {
            "department",
            "business_date",
            "part",
        }
        if unknown:
            yield Problem(
                file,
                "file_patterns",
                f"group {', '.join(sorted(unknown))} means nothing",
                "name groups department, business_date or part",
            )
    if not source.formats.declared:
        yield Problem(
            file, "formats", "no format is declared", "declare csv, xlsx, json or another"
        )
    owing = catalog.due_departments(source)
    coded = source.formats.csv.departments if source.formats.csv else {}
    for key, codes in (("due.departments", owing), ("formats.csv.departments", tuple(coded))):
        for code in codes:
            if code not in catalog.departments:
                yield Problem(file, key, f"{code} is no department", "add it to departments.csv")
    ended = {
        code: catalog.departments[code].valid_to for code in owing if code in catalog.departments
    }
    for code, last in ended.items() if source.due and source.due.departments != "all" else ():
        if source.due and last is not None and last < source.due.start:
            yield Problem(
                file,
                "due.departments",
                f"{code} ended on {last}, before it owes anything",
                "name who took over",
            )


def _check_unit_above(source: Source, file: str) -> Iterator[Problem]:
    """Check that a number column counts in `unit_above` and that every format can say it."""
    if source.unit_above is None:
        return
    base = source.unit_above.lstrip(SCALES)
    counted = {unit.lstrip(SCALES) for column in source.columns for unit in column.unit}
    if base == source.unit_above:
        yield Problem(
            file,
            "unit_above",
            f"{base} has no scale ({SCALES})",
            "leave the key out: a line with the unit that is stored need not be declared",
        )
    if not counted or (base and base not in counted):
        yield Problem(
            file,
            "unit_above",
            f"no column has the `unit` {base or 'that it scales'}",
            "say the `unit` of the columns that are counted in it",
        )
    for name in FORMATS_WITHOUT_LINES:
        if name in source.formats.declared:
            yield Problem(
                file,
                "unit_above",
                f"a {name} file has no line that could say it",
                f"say the unit in the headers, or leave {name} out of `formats`",
            )


def _check_partition(source: Source, file: str) -> Iterator[Problem]:
    wanted = {"department": ColumnType.TEXT, "business_date": ColumnType.DATE}
    for role, column_type in wanted.items():
        name = getattr(source.partition, role)
        if name is None:
            continue
        if name not in source.column_names:
            yield Problem(file, f"partition.{role}", f"{name} is no column", "declare it")
            continue
        column = source.column(name)
        if column.type is not column_type or column.pii or column.values:
            yield Problem(
                file,
                f"partition.{role}",
                f"{name} must be a plain {column_type} column",
                "correct the column",
            )


def _check_references(column: Column, source: Source, file: str) -> Iterator[Problem]:
    """A column says the unit of a number, or takes its qualifier."""
    if column.unit_from is not None:
        key = f"columns.{column.name}.unit_from"
        if not column.unit:
            yield Problem(
                file, key, f"{column.name} has no `unit` to hold it against", "say its `unit`"
            )
        if column.unit_from not in source.column_names:
            yield Problem(file, key, f"{column.unit_from} is no column", "declare it")
        else:
            unit = source.column(column.unit_from)
            if unit.type is not ColumnType.TEXT or unit.pii or unit.qualifier_of:
                yield Problem(
                    file,
                    key,
                    f"{unit.name} must be a text column that is not personal",
                    "correct the column",
                )
    if column.qualifier_of is not None:
        key = f"columns.{column.name}.qualifier_of"
        if column.qualifier_of not in source.column_names:
            yield Problem(file, key, f"{column.qualifier_of} is no column", "declare it")
        elif source.column(column.qualifier_of).type not in NUMBERS:
            yield Problem(file, key, f"{column.qualifier_of} is no number", "name a number column")
        for other in ("pattern", "values", "pii", "code", "nulls"):
            if getattr(column, other):
                yield Problem(
                    file,
                    key,
                    f"`{other}` is for what a file holds, and this is found in "
                    f"{column.qualifier_of}",
                    "remove it",
                )


def _check_derived(column: Column, source: Source, file: str) -> Iterator[Problem]:
    """A column that no header of the file stands for."""
    if column.is_derived and not column.description:
        yield Problem(
            file,
            f"columns.{column.name}.description",
            "no header names the column",
            "say in a `description` what people call it",
        )
    if column.from_sheet and column.pii:
        yield Problem(
            file,
            f"columns.{column.name}.pii",
            "names of sheets say where a row stands, and are told",
            "leave persons out of them",
        )
    one_table = [name for name in source.formats.declared if name in FORMATS_WITHOUT_SHEETS]
    if column.from_sheet and column.required and one_table and source.formats.zip.members != "all":
        yield Problem(
            file,
            f"columns.{column.name}.required",
            f"{', '.join(one_table)} have no sheets: every row of theirs would lack {column.name}",
            "leave `required` out, or declare workbooks only",
        )


def _check_code(column: Column, file: str) -> Iterator[Problem]:
    key = f"columns.{column.name}.code"
    if column.code is None:
        return
    if column.pattern is not None or column.values is not None:
        yield Problem(
            file,
            key,
            f"{column.code} says what the cells look like already",
            "remove `pattern` and `values`",
        )
    if column.code == "id_number" and column.pii != "id_number":
        yield Problem(file, key, "an identity number is personal", "say `pii: id_number`")


def _check_totals(source: Source, file: str) -> Iterator[Problem]:
    """Totals are of numbers, and one row of a department and day says each."""
    names = source.column_names
    for position, totals in enumerate(source.totals):
        key = f"totals[{position}]"
        figures = {
            role: getattr(totals, role) for role in ("cumulative", "increment", "correction")
        }
        for role, name in figures.items():
            if name is None:
                continue
            if name not in names:
                yield Problem(
                    file, f"{key}.{role}", f"{name} is no column", f"use one of {', '.join(names)}"
                )
            elif source.column(name).type not in NUMBERS:
                yield Problem(file, f"{key}.{role}", f"{name} is no number", "name a number column")
        for name, count in Counter(filter(None, figures.values())).items():
            if count > 1:
                yield Problem(file, key, f"{name} is there {count} times", "name another column")
        if not source.key:
            yield Problem(
                file, key, "without a key, several rows may say one total", "name the source's key"
            )
        yield from _check_by(source, totals, file, f"{key}.by")


def _check_by(source: Source, totals: Totals, file: str, key: str) -> Iterator[Problem]:
    partition = (source.partition.department, source.partition.business_date)
    for name in totals.by:
        if name not in source.column_names:
            yield Problem(
                file, key, f"{name} is no column", f"use one of {', '.join(source.column_names)}"
            )
        elif source.column(name).pii:
            yield Problem(
                file,
                key,
                f"{name} is masked, and messages name it",
                "use a column that is not personal",
            )
        elif not source.column(name).required:
            yield Problem(file, key, f"{name} is not required", "say `required: true`")
        elif name == source.partition.business_date:
            yield Problem(file, key, f"{name} is another every day", "leave it out")
    missing = [name for name in source.key if name not in (*source.by_of(totals), *partition)]
    if missing:
        yield Problem(
            file,
            key,
            f"several rows of a day may say one total: {', '.join(missing)} of the key is left out",
            "name the whole key",
        )


def _check_drift(source: Source, file: str) -> Iterator[Problem]:
    if source.drift is None:
        return
    if source.drift.minimum > source.drift.history:
        yield Problem(
            file,
            "drift.minimum",
            f"{source.drift.minimum} is more than `history`, "
            f"{source.drift.history}: nothing would ever be told",
            "lower it",
        )
    for name in source.drift.categories:
        if name not in source.column_names:
            yield Problem(
                file,
                "drift.categories",
                f"{name} is no column",
                f"use one of {', '.join(source.column_names)}",
            )
        elif source.column(name).type is not ColumnType.TEXT:
            yield Problem(file, "drift.categories", f"{name} is no text", "name a text column")
        elif source.column(name).pii:
            yield Problem(
                file,
                "drift.categories",
                f"{name} is personal, and its values would be kept",
                "use a column that is not personal",
            )


def _patterns(source: Source) -> Iterator[tuple[str, str]]:
    for pattern in source.footer:
        yield "footer", pattern
    for column in source.columns:
        if column.pattern is not None:
            yield f"columns.{column.name}.pattern", column.pattern


def _check_regex(pattern: str, file: str, key: str, is_sql: bool = True) -> Iterator[Problem]:
    """What is no pattern, or (`is_sql`) none that DuckDB's RE2 can match."""
    try:
        re.compile(pattern)
    except re.error as error:
        yield Problem(file, key, f"{pattern!r} is no regular expression: {error}", "correct it")
        return
    if is_sql and BEYOND_RE2.search(pattern):
        yield Problem(
            file,
            key,
            f"{pattern!r} looks around or back, which RE2 cannot",
            "say it without (?=, (?!, (?<= and \\1",
        )


def _check_suite(source: Source, suite: Suite, file: str) -> Iterator[Problem]:
    if suite.name != source.name:
        yield Problem(file, "name", f"{suite.name} is not {source.name}", "name it as the source")
    for position, expectation in enumerate(suite.expectations):
        key = f"expectations[{position}]"
        kind, kwargs = expectation["type"], expectation.get("kwargs", {})
        if kind not in ROW_RULES | TABLE_RULES:
            yield Problem(
                file,
                f"{key}.type",
                f"{kind} is not supported",
                f"use one of {', '.join(sorted(ROW_RULES | TABLE_RULES))}",
            )
        if expectation.get("severity", "critical") not in SEVERITIES:
            yield Problem(
                file,
                f"{key}.severity",
                f"{expectation['severity']} is no severity",
                f"use one of {', '.join(SEVERITIES)}",
            )
        if "mostly" in kwargs:
            yield Problem(
                file,
                f"{key}.kwargs.mostly",
                "`mostly` is not for row rules here",
                "remove it: the contract's max_quarantine says how many rows may fail",
            )
        if "row_condition" in kwargs:
            yield Problem(
                file,
                f"{key}.kwargs.row_condition",
                "rows are judged and split without conditions",
                "remove it: say it with a pair rule or a regular expression",
            )
        if "regex" in kwargs:
            yield from _check_regex(str(kwargs["regex"]), file, f"{key}.kwargs.regex")
        for argument in _column_arguments(kind):
            name = kwargs.get(argument)
            if name not in source.column_names:
                yield Problem(
                    file,
                    f"{key}.kwargs.{argument}",
                    f"{name} is no column of {source.name}",
                    f"use one of {', '.join(source.column_names)}",
                )
            elif kind in NUMBER_RULES and source.column(name).type not in NUMBERS:
                yield Problem(
                    file, f"{key}.kwargs.{argument}", f"{name} is no number", "use a number column"
                )
            elif source.column(name).pii:
                yield Problem(
                    file,
                    f"{key}.kwargs.{argument}",
                    f"{name} is masked before checks",
                    "use the contract's `pattern`, which looks before the mask",
                )


def _column_arguments(expectation: str) -> tuple[str, ...]:
    """The arguments by which a supported expectation names its columns."""
    if "_pair_" in expectation:
        return "column_A", "column_B"
    return ("column",) if expectation.startswith("expect_column_") else ()


def _check_metric(metric: Metric, catalog: Catalog, file: str) -> Iterator[Problem]:
    source = catalog.sources.get(metric.source)
    if source is None:
        yield Problem(
            file,
            f"{metric.name}.source",
            f"{metric.source} is no sound source",
            f"use one of {', '.join(catalog.sources) or '(none is sound yet)'}",
        )
        return
    if metric.kind is Kind.FLOW and source.content != "events":
        yield Problem(
            file,
            f"{metric.name}.kind",
            f"{source.name} is a snapshot, which has no flow",
            "make it a stock, or the source events",
        )
    if metric.by is not None and metric.by not in source.column_names:
        yield Problem(file, f"{metric.name}.by", f"{metric.by} is no column", "correct it")
    counted = [part.column for part in metric.aggregates if part.aggregate == "count_distinct"]
    for name in filter(None, [metric.by, *counted]):
        if name in source.column_names and source.column(name).pii:
            yield Problem(
                file,
                metric.name,
                f"{name} is masked, and two persons may look the same",
                "use a column that is not personal",
            )
    for aggregate in metric.aggregates:
        named = [aggregate.column] if aggregate.column else []
        for name in [*named, *aggregate.where]:
            if name not in source.column_names:
                yield Problem(
                    file,
                    f"{metric.name}",
                    f"{name} is no column of {source.name}",
                    f"use one of {', '.join(source.column_names)}",
                )
        if aggregate.column in source.column_names and aggregate.aggregate in ("sum", "min", "max"):
            column = source.column(aggregate.column or "")
            if column.type not in (ColumnType.INTEGER, ColumnType.DECIMAL):
                yield Problem(
                    file,
                    f"{metric.name}",
                    f"{aggregate.aggregate} of {column.type} {column.name}",
                    "use a number column, or `count`",
                )
        for name, wanted in aggregate.where.items():
            if name in source.column_names:
                yield from _check_where(metric, source.column(name), wanted, file)


def _check_where(metric: Metric, column: Column, wanted: object, file: str) -> Iterator[Problem]:
    stored = set(column.values.values()) if column.values else None
    for value in wanted if isinstance(wanted, tuple) else (wanted,):
        if stored is not None and value not in stored:
            yield Problem(
                file,
                f"{metric.name}.where.{column.name}",
                f"{value!r} never occurs",
                f"use one of {', '.join(sorted(stored))}",
            )
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if (column.type is ColumnType.BOOLEAN) != isinstance(value, bool) or (
            column.type in NUMBERS
        ) != is_number:
            yield Problem(
                file,
                f"{metric.name}.where.{column.name}",
                f"{value!r} is not {column.type}",
                "compare like with like",
            )


def _check_target(target: Target, catalog: Catalog, file: str) -> Iterator[Problem]:
    metric = catalog.metrics.get(target.metric)
    if metric is None:
        yield Problem(
            file,
            f"{target.name}.metric",
            f"{target.metric} is no sound metric",
            f"use one of {', '.join(catalog.metrics)}",
        )
        return
    for as_of in [target.start, *(revision.effective for revision in target.revisions)]:
        number, revised = target.revised(as_of)
        key = f"{target.name}.revisions[{number - 1}]" if number else target.name
        yield from _check_goals(revised, metric, catalog, file, key)
    distinct = any(aggregate.aggregate == "count_distinct" for aggregate in metric.aggregates)
    if distinct:
        yield Problem(
            file,
            f"{target.name}.metric",
            f"{metric.name} counts distinct values, which never add up over departments",
            "track a count or a sum",
        )


def _check_goals(
    target: Target, metric: Metric, catalog: Catalog, file: str, key: str
) -> Iterator[Problem]:
    if target.end < target.start:
        yield Problem(file, f"{key}.end", f"{target.end} is before the start", "correct it")
    for name in ("departments", "department_goals"):
        for code in getattr(target, name):
            if code not in catalog.departments:
                yield Problem(file, f"{key}.{name}", f"{code} is no department", "correct it")
                continue
            ended = catalog.departments[code].valid_to
            if ended is not None and ended < target.start:
                yield Problem(
                    file,
                    f"{key}.{name}",
                    f"{code} ended on {ended}, before the target starts",
                    "name who took over",
                )
    sums = metric.kind is not Kind.RATIO and target.curve != "level"
    if target.scope == "city":
        if target.department_goals or target.department_goal is not None or target.unallocated:
            yield Problem(file, key, "a city target has no goals of departments", "remove them")
        return
    if not sums:
        if target.department_goal is None or target.department_goals:
            yield Problem(
                file,
                f"{key}.department_goals",
                "a ratio or a level never sums over departments",
                "give one `department_goal` that serves all",
            )
        return
    if target.department_goal is not None:
        yield Problem(file, f"{key}.department_goal", "this target sums", "use `department_goals`")
    total = sum(target.department_goals.values()) + target.unallocated
    if abs(total - target.goal) > 1e-6 * max(1.0, abs(target.goal)):
        yield Problem(
            file,
            f"{key}.department_goals",
            f"they and `unallocated` sum to {total:,.0f}, and the goal is {target.goal:,.0f}",
            f"say `unallocated: "
            f"{target.goal - total + target.unallocated:.0f}` or correct the goals",
        )


def _check_departments(catalog: Catalog, file: str) -> Iterator[Problem]:
    names = Counter(
        name
        for one in catalog.departments.values()
        for name in {one.code, one.name, one.short_name} - {""}
    )
    for name, count in names.items():
        if count > 1:
            yield Problem(
                file,
                name,
                f"{count} departments are called so, and rows name them by it",
                "give each a name of its own",
            )
    for code, department in catalog.departments.items():
        began, ended = department.valid_from, department.valid_to
        if began is not None and ended is not None and ended < began:
            yield Problem(file, f"{code}.valid_to", f"{ended} is before {began}", "correct it")
        if department.successor is not None and department.successor not in catalog.departments:
            yield Problem(
                file, f"{code}.successor", f"{department.successor} is no department", "correct it"
            )
        if department.successor is not None and department.valid_to is None:
            yield Problem(file, f"{code}.valid_to", "has a successor and no end", "add valid_to")
        seen: set[str] = {code}
        current = department.successor
        while current is not None and current in catalog.departments:
            if current in seen:
                yield Problem(file, f"{code}.successor", "successors go round", "break the circle")
                break
            seen.add(current)
            current = catalog.departments[current].successor
