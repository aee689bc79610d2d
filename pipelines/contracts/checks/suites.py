"""Check a suite against its source, and against what staging can do with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipelines.contracts.checks.fault import Fault
from pipelines.contracts.checks.regexes import check_regex
from pipelines.contracts.columns import NUMBERS
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import ROW_RULES, TABLE_RULES, Suite

NUMBER_RULES = frozenset(
    f"expect_column_{name}_to_be_between" for name in ("sum", "min", "max", "mean")
)
SEVERITIES = ("critical", "warning", "info")


def check_suite(source: Source, suite: Suite) -> Iterator[Fault]:
    """Check that every expectation is supported and names columns that it can judge."""
    if suite.name != source.name:
        yield Fault("name", f"{suite.name} is not {source.name}", "name it as the source")
    for position, expectation in enumerate(suite.expectations):
        key = f"expectations[{position}]"
        rule, severity = expectation["type"], expectation.get("severity", "critical")
        if rule not in ROW_RULES | TABLE_RULES:
            yield Fault(
                f"{key}.type",
                f"{rule} is not supported",
                f"use one of {', '.join(sorted(ROW_RULES | TABLE_RULES))}",
            )
        if severity not in SEVERITIES:
            yield Fault(
                f"{key}.severity",
                f"{severity} is no severity",
                f"use one of {', '.join(SEVERITIES)}",
            )
        yield from _check_arguments(source, rule, expectation.get("kwargs", {}), f"{key}.kwargs")


def _check_arguments(
    source: Source, rule: str, arguments: dict[str, Any], key: str
) -> Iterator[Fault]:
    """Check the arguments of an expectation, above all the columns that it names."""
    if "mostly" in arguments:
        yield Fault(
            f"{key}.mostly",
            "`mostly` is not for row rules here",
            "remove it: the contract's max_quarantine says how many rows may fail",
        )
    if "row_condition" in arguments:
        yield Fault(
            f"{key}.row_condition",
            "rows are judged and split without conditions",
            "remove it: say it with a pair rule or a regular expression",
        )
    if "regex" in arguments:
        yield from check_regex(str(arguments["regex"]), f"{key}.regex")
    if "_pair_" in rule:
        column_arguments: tuple[str, ...] = ("column_A", "column_B")
    else:
        column_arguments = ("column",) if rule.startswith("expect_column_") else ()
    for argument in column_arguments:
        name = arguments.get(argument)
        if name not in source.column_names:
            yield Fault(
                f"{key}.{argument}",
                f"{name} is no column of {source.name}",
                f"use one of {', '.join(source.column_names)}",
            )
        elif rule in NUMBER_RULES and source.column(name).type not in NUMBERS:
            yield Fault(f"{key}.{argument}", f"{name} is no number", "use a number column")
        elif source.column(name).pii:
            yield Fault(
                f"{key}.{argument}",
                f"{name} is masked before checks",
                "use the contract's `pattern`, which looks before the mask",
            )
