"""The only door to Great Expectations: judges staged rows, tells which rows fail which rule.

Structure rules come from the contract, business rules from the native suite. GX runs once over a
whole batch of deliveries; the conditions it judged by are then asked of it as SQL expressions, so
that rows are split by the very rules that were run and by no second definition.

Importing this module takes seconds (it imports GX): only staging does, once for many deliveries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import great_expectations as gx
import sqlalchemy as sa
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.metrics.map_metric_provider import (
    ColumnMapMetricProvider,
    column_condition_partial,
)
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.validator.metric_configuration import MetricConfiguration
from great_expectations.validator.validator import Validator

from pipelines.contracts.consistency import TABLE_RULES
from pipelines.contracts.models import Column, ColumnType, Source, Suite
from pipelines.deliveries.reasons import Reason
from pipelines.machine.failures import describe_machine_failure
from pipelines.staging.types import CAUSE, REFUSED, total_row

TYPE_NAMES = {
    ColumnType.TEXT: "text",
    ColumnType.INTEGER: "an integer",
    ColumnType.DECIMAL: "a number",
    ColumnType.DATE: "a date",
    ColumnType.TIMESTAMP: "a time",
    ColumnType.BOOLEAN: "yes or no",
}
CODE_NAMES = {
    "uscc": "a unified social credit code",
    "id_number": "an identity number",
    "region": "a region code",
    "gb28181": "a channel code",
}


# what a spreadsheet makes of a long code: 3.20102E+19
SCIENTIFIC = r"^[0-9０-９]{1,3}(?:[.．][0-9０-９]+)?[EeＥｅ][+＋][0-9０-９]{2,3}$"
LARGEST = 1e15  # a number beyond it is a slip of the hand, and would overflow a day's sum


class ChecksFailedError(Exception):
    """GX could not compute a rule on these rows; the message says which and why."""


@dataclass(frozen=True)
class Rule:
    """One rule and the reason it gives. `column` is shown with a failing row's value."""

    expectation: Mapping[str, Any]
    reason: Reason
    critical: bool
    column: str
    holds: bool = False


@dataclass(frozen=True)
class Broken:
    """A row rule that some rows fail: the condition that is true of exactly those rows."""

    rule: Rule
    condition: sa.ColumnElement[bool]
    rows: int


class _MatchesRegex(ColumnMapMetricProvider):
    """GX has no DuckDB form of regular expressions; this gives `match_regex` one (RE2 search)."""

    condition_metric_name = "column_values.match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:  # noqa: N805 - GX's own form
        return sa.func.regexp_matches(column, regex)


class _MatchesNoRegex(ColumnMapMetricProvider):
    """`not_match_regex` likewise."""

    condition_metric_name = "column_values.not_match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:  # noqa: N805 - GX's own form
        return sa.not_(sa.func.regexp_matches(column, regex))


def rules(source: Source, suite: Suite) -> tuple[list[Rule], list[Rule]]:
    """(row rules, table rules) of a source: the contract's structure and its native suite."""
    row_rules = [rule for column in source.columns for rule in _structure(column, source)]
    table_rules: list[Rule] = []
    for expectation in suite.expectations:
        is_table = expectation["type"] in TABLE_RULES
        rule = _native(expectation, is_table)
        (table_rules if is_table else row_rules).append(rule)
    return row_rules, table_rules


def _structure(column: Column, source: Source) -> Iterator[Rule]:
    """What a column's declaration promises, as GX expectations."""

    def rule(kind: str, reason: Reason, on: str = column.name, **kwargs: Any) -> Rule:
        expectation = {"type": kind, "kwargs": {"column": on, **kwargs}, "severity": "critical"}
        return Rule(expectation, reason, True, column.name)

    name = column.name
    if column.unit:
        units = "、".join(column.unit)
        for reason in (
            Reason(code="type", column=name, expected=TYPE_NAMES[column.type]),
            Reason(code="unit", column=name, expected=units),
        ):
            yield rule(
                "expect_column_values_to_not_be_in_set",
                reason,
                name + CAUSE,
                value_set=[reason.code],
            )
    elif column.type is not ColumnType.TEXT:
        reason = Reason(code="type", column=name, expected=TYPE_NAMES[column.type])
        yield rule("expect_column_values_to_be_null", reason, name + REFUSED)
    elif column.values is not None:
        allowed = "、".join(column.values)
        reason = Reason(code="values", column=name, expected=allowed)
        yield rule("expect_column_values_to_be_null", reason, name + REFUSED)
    elif column.code is not None:
        reason = Reason(code="code", column=name, expected=CODE_NAMES[column.code])
        yield rule("expect_column_values_to_be_null", reason, name + REFUSED)
    elif column.pii is not None and column.pattern is not None:  # looked at before the mask
        reason = Reason(code="pattern", column=name, expected=column.pattern)
        yield rule("expect_column_values_to_be_null", reason, name + REFUSED)
    elif column.pattern is not None:
        reason = Reason(code="pattern", column=name, expected=column.pattern)
        yield rule("expect_column_values_to_match_regex", reason, regex=column.pattern)
    elif column.pii is None and column.qualifier_of is None:
        strayed = {"scientific": SCIENTIFIC}
        if source.footer:
            strayed["total_row"] = total_row(source)
        for code, regex in strayed.items():
            reason = Reason(code=code, column=name)
            yield rule("expect_column_values_to_not_match_regex", reason, regex=regex)
    if column.required:
        reason = Reason(code="required", column=name)
        yield rule("expect_column_values_to_not_be_null", reason)
    low, high = column.minimum, column.maximum
    if column.type in (ColumnType.INTEGER, ColumnType.DECIMAL):  # sums must stay exact
        low = -LARGEST if low is None else low
        high = LARGEST if high is None else high
    if low is not None or high is not None:
        reason = Reason(code="range", column=name, expected=_range(column))
        yield rule("expect_column_values_to_be_between", reason, min_value=low, max_value=high)


def _range(column: Column) -> str:
    low, high = (
        f"{bound:g}" if isinstance(bound, float) else bound and f"{bound}"
        for bound in (column.minimum, column.maximum)
    )
    if low is None:
        return f"<= {high or f'{LARGEST:g}'}"
    return f">= {low}" if high is None else f"{low}..{high}"


def _native(expectation: Mapping[str, Any], is_table: bool) -> Rule:
    kwargs = expectation.get("kwargs", {})
    column = kwargs.get("column") or kwargs.get("column_A") or ""
    arguments = ", ".join(f"{key}={value}" for key, value in kwargs.items())
    title = expectation.get("description") or f"{expectation['type']}({arguments})"
    return Rule(
        expectation=expectation,
        reason=Reason(code="table_rule" if is_table else "rule", column=column, expected=title),
        critical=expectation.get("severity", "critical") == "critical",
        column=column,
        holds=(expectation.get("meta") or {}).get("on_failure") == "hold",
    )


class Judge:
    """Runs rules over tables of one DuckDB file."""

    def __init__(self, url: str, connect_args: Mapping[str, Any]) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        # DuckDB closes a cursor's rows with its transaction: GX must neither roll back nor reset
        self._datasource = context.data_sources.add_sql(
            "staging",
            connection_string=url,
            create_temp_table=False,
            kwargs={
                "isolation_level": "AUTOCOMMIT",
                "skip_autocommit_rollback": True,
                "pool_reset_on_return": None,
                "connect_args": dict(connect_args),
            },
        )
        self._assets = 0
        self._refusals: list[BaseException] = []
        for engine in self._engines():
            sa.event.listen(engine, "handle_error", self._note)

    def _engines(self) -> tuple[sa.Engine, ...]:
        return self._datasource.get_execution_engine().engine, self._datasource.get_engine()

    def _note(self, context: sa.ExceptionContext) -> None:
        """Remember what the machine refused: GX catches everything, and keeps only the words."""
        if describe_machine_failure(context.original_exception) is not None:
            self._refusals.append(context.original_exception)

    @contextmanager
    def _machine(self) -> Iterator[None]:
        """Raise what the machine refused meanwhile as what it was, whatever GX made of it."""
        self._refusals.clear()
        try:
            yield
        except Exception as error:
            if self._refusals:
                raise self._refusals[0] from error
            raise
        if self._refusals:
            raise self._refusals[0]

    def close(self) -> None:
        """Let go of the file: GX would hold it, deleted or not, until the process ends."""
        self._datasource.get_execution_engine().close()
        for engine in self._engines():
            engine.dispose()

    def broken(self, table: str, row_rules: list[Rule]) -> list[Broken]:
        """The row rules that fail somewhere in `table`, each with its condition.

        Raises ChecksFailedError when GX cannot compute one of them, and what this machine refused
        (its disk, its memory) as it is: no delivery is to blame for that.
        """
        with self._machine():
            return self._broken(table, row_rules)

    def _broken(self, table: str, row_rules: list[Rule]) -> list[Broken]:
        batch = self._batch(table)
        suite = gx.ExpectationSuite(
            name=f"{table}_{self._assets}",
            expectations=[
                _expectation(rule.expectation, meta={"rule": number})
                for number, rule in enumerate(row_rules)
            ],
        )
        result = batch.validate(suite, result_format="SUMMARY")
        engine = batch.data.execution_engine
        validator = _quiet_validator(batch)
        found = []
        for outcome in result.results:
            rule = row_rules[outcome.expectation_config.meta["rule"]]
            error = _error(outcome.exception_info)
            if error is not None:
                raise ChecksFailedError(f"{outcome.expectation_config.type}: {error}")
            if outcome.success:
                continue
            condition = _condition(rule, engine, validator)
            found.append(Broken(rule, condition, outcome.result["unexpected_count"]))
        return found

    def figures(self, table: str, table_rules: list[Rule]) -> list[sa.ColumnElement[Any]]:
        """GX's own aggregate of each table rule, to be computed per delivery in one pass."""
        with self._machine():
            return self._figures(table, table_rules)

    def _figures(self, table: str, table_rules: list[Rule]) -> list[sa.ColumnElement[Any]]:
        validator = _quiet_validator(self._batch(table))
        figures = []
        for rule in table_rules:
            metric = get_expectation_impl(rule.expectation["type"]).metric_dependencies[0]
            domain = {"column": rule.column} if rule.column else {}
            figure = validator.get_metric(
                MetricConfiguration(f"{metric}.aggregate_fn", domain, metric_value_kwargs={})
            )
            figures.append(figure[0])
        return figures

    def _batch(self, table: str) -> Any:
        self._assets += 1
        asset = self._datasource.add_table_asset(f"{table}_{self._assets}", table_name=table)
        return asset.add_batch_definition_whole_table("all").get_batch()


def _expectation(declared: Mapping[str, Any], **changes: Any) -> Any:
    implementation = get_expectation_impl(declared["type"])
    return implementation(
        **declared.get("kwargs", {}), severity=declared.get("severity", "critical"), **changes
    )


def _condition(rule: Rule, engine: Any, validator: Validator) -> sa.ColumnElement[bool]:
    """The SQL expression by which GX judged `rule`: true of the rows that fail."""
    expectation = _expectation(rule.expectation)
    needed = expectation.get_validation_dependencies(
        execution_engine=engine,
        runtime_configuration={"result_format": {"result_format": "BOOLEAN_ONLY"}},
    ).metric_configurations
    judged = needed[f"{expectation.map_metric}.unexpected_count"]
    metric = validator.get_metric(
        MetricConfiguration(
            f"{expectation.map_metric}.condition",
            judged.metric_domain_kwargs,
            judged.metric_value_kwargs,
        )
    )
    condition: sa.ColumnElement[bool] = metric[0]
    return _counted_pairs(condition, judged.metric_domain_kwargs)


def _counted_pairs(
    condition: sa.ColumnElement[bool], domain: Mapping[str, Any]
) -> sa.ColumnElement[bool]:
    """A pair rule's condition without the rows that GX leaves out before it counts."""
    ignore = domain.get("ignore_row_if")
    if "column_A" not in domain or ignore in (None, "neither"):
        return condition
    here = [sa.column(domain[name]).is_not(None) for name in ("column_A", "column_B")]
    return sa.and_(condition, sa.and_(*here) if ignore.startswith("either") else sa.or_(*here))


def within(rule: Rule, value: float | Decimal | None) -> bool:
    """Whether a table rule's figure keeps its bounds; no rows have no figure and break none."""
    kwargs = rule.expectation.get("kwargs", {})
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if value is None:
        return True
    if isinstance(value, Decimal):  # 0.1 is what the suite says, and not the double next to it
        low, high = (None if bound is None else Decimal(str(bound)) for bound in (low, high))
    above = low is None or (value > low if kwargs.get("strict_min") else value >= low)
    below = high is None or (value < high if kwargs.get("strict_max") else value <= high)
    return bool(above and below)


def _quiet_validator(batch: Any) -> Validator:
    validator = Validator(execution_engine=batch.data.execution_engine, batches=[batch])
    validator.metrics_calculator.show_progress_bars = False
    return validator


def _error(exception_info: Mapping[str, Any]) -> str | None:
    entries = [exception_info] if "raised_exception" in exception_info else exception_info.values()
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("raised_exception"):
            return " ".join(str(entry.get("exception_message")).split())[:300]
    return None
