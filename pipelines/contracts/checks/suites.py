"""Check a suite against its source, and against what can be split by rows."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.checks.regexes import check_regex
from pipelines.contracts.columns import NUMBERS
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import ROW_RULES, TABLE_RULES, Suite
from pipelines.errors import Problem

NUMBER_RULES = frozenset(
    f"expect_column_{name}_to_be_between" for name in ("sum", "min", "max", "mean")
)


SEVERITIES = ("critical", "warning", "info")


def check_suite(source: Source, suite: Suite, file: str) -> Iterator[Problem]:
    """Check that every expectation is supported and names columns that it can judge."""
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
            yield from check_regex(str(kwargs["regex"]), file, f"{key}.kwargs.regex")
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
