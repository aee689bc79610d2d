"""The only door to Great Expectations (GX): judge staged rows and say which rows fail which rule.

Structure rules come from the contract, business rules from the source's native GX suite. GX runs
once over a whole batch of deliveries. It is then asked for the SQL condition by which it judged
each failed rule, so that rows are split by the very rules that ran and by no second definition.

Importing this module takes seconds (it imports GX): only staging does it, once for many deliveries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

from pipelines.contracts.columns import CAUSE, REFUSED, Column, ColumnType
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import TABLE_RULES, Suite
from pipelines.deliveries.reasons import Reason
from pipelines.machine.failures import describe_machine_failure
from pipelines.staging.types import total_row

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
# A spreadsheet turns a long code into this: 3.20102E+19.
SCIENTIFIC = r"^[0-9０-９]{1,3}(?:[.．][0-9０-９]+)?[EeＥｅ][+＋][0-9０-９]{2,3}$"
LARGEST = 1e15  # A number beyond it is a slip of the hand, and would overflow a day's sum.


class ChecksFailedError(Exception):
    """GX could not compute a rule on these rows; the message names the rule and the error."""


@dataclass(frozen=True)
class Rule:
    """A rule and the reason that it gives. `column` is the one whose value a failing row shows.

    A failure of a critical rule quarantines the row, or rejects the delivery if the rule is a
    table's; with `holds` the delivery waits for a person instead. Other failures are warnings.
    """

    expectation: Mapping[str, Any]
    reason: Reason
    critical: bool
    column: str
    holds: bool = False


@dataclass(frozen=True)
class BrokenRule:
    """A row rule that some rows fail: `condition` is true of exactly those `rows` rows."""

    rule: Rule
    condition: sa.ColumnElement[bool]
    rows: int


class _MatchesRegex(ColumnMapMetricProvider):
    """Give `match_regex` a DuckDB form (RE2, searched), which GX itself does not have."""

    condition_metric_name = "column_values.match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:  # noqa: N805 - GX's own form
        return sa.func.regexp_matches(column, regex)


class _MatchesNoRegex(ColumnMapMetricProvider):
    """Give `not_match_regex` a DuckDB form."""

    condition_metric_name = "column_values.not_match_regex"
    condition_value_keys = ("regex",)

    @column_condition_partial(engine=SqlAlchemyExecutionEngine)
    def _sqlalchemy(cls, column: Any, regex: str, **_: Any) -> Any:  # noqa: N805 - GX's own form
        return sa.not_(sa.func.regexp_matches(column, regex))


def rules(source: Source, suite: Suite) -> tuple[list[Rule], list[Rule]]:
    """Return the row rules and the table rules of a source: its contract's and its suite's."""
    row_rules = [rule for column in source.columns for rule in _structure_rules(column, source)]
    table_rules: list[Rule] = []
    for expectation in suite.expectations:
        kwargs = expectation.get("kwargs", {})
        column = kwargs.get("column") or kwargs.get("column_A") or ""
        arguments = ", ".join(f"{key}={value}" for key, value in kwargs.items())
        title = expectation.get("description") or f"{expectation['type']}({arguments})"
        is_table = expectation["type"] in TABLE_RULES
        rule = Rule(
            expectation=expectation,
            reason=Reason(code="table_rule" if is_table else "rule", column=column, expected=title),
            critical=expectation.get("severity", "critical") == "critical",
            column=column,
            holds=(expectation.get("meta") or {}).get("on_failure") == "hold",
        )
        (table_rules if is_table else row_rules).append(rule)
    return row_rules, table_rules


def _structure_rules(column: Column, source: Source) -> Iterator[Rule]:
    """Yield the rules that a column's declaration promises.

    A column that is typed or translated is judged by its companion `<column>__refused`, which is
    null unless the cell was filled and could not be read; others by their text.
    """

    def rule(kind: str, code: str, expected: str = "", on: str = "", **kwargs: Any) -> Rule:
        reason = Reason(code=code, column=column.name, expected=expected)
        kwargs = {"column": on or column.name, **kwargs}
        expectation = {"type": f"expect_column_values_{kind}", "kwargs": kwargs}
        return Rule(expectation | {"severity": "critical"}, reason, True, column.name)

    refused_text = column.name + REFUSED
    type_name = TYPE_NAMES[column.type]
    if column.unit:
        for code, expected in (("type", type_name), ("unit", "、".join(column.unit))):
            cause = column.name + CAUSE
            yield rule("to_not_be_in_set", code, expected, cause, value_set=[code])
    elif column.type is not ColumnType.TEXT:
        yield rule("to_be_null", "type", type_name, refused_text)
    elif column.values is not None:
        yield rule("to_be_null", "values", "、".join(column.values), refused_text)
    elif column.code is not None:
        yield rule("to_be_null", "code", CODE_NAMES[column.code], refused_text)
    elif column.pii is not None and column.pattern is not None:
        # The pattern was applied before the value was masked.
        yield rule("to_be_null", "pattern", column.pattern, refused_text)
    elif column.pattern is not None:
        yield rule("to_match_regex", "pattern", column.pattern, regex=column.pattern)
    elif column.pii is None and column.qualifier_of is None:
        yield rule("to_not_match_regex", "scientific", regex=SCIENTIFIC)
        if source.footer:
            yield rule("to_not_match_regex", "total_row", regex=total_row(source))
    if column.required:
        yield rule("to_not_be_null", "required")
    low, high = column.minimum, column.maximum
    if column.type in (ColumnType.INTEGER, ColumnType.DECIMAL):
        # Figures are bounded even where the contract does not say so: sums must stay exact.
        low = -LARGEST if low is None else low
        high = LARGEST if high is None else high
    if low is not None or high is not None:
        yield rule("to_be_between", "range", _range(column), min_value=low, max_value=high)


def _range(column: Column) -> str:
    """Spell the declared bounds of a column: `>= 0`, `<= 1e+15`, `0..100`."""
    low, high = (
        f"{bound:g}" if isinstance(bound, float) else bound and f"{bound}"
        for bound in (column.minimum, column.maximum)
    )
    if low is None:
        return f"<= {high or f'{LARGEST:g}'}"
    return f">= {low}" if high is None else f"{low}..{high}"


class Judge:
    """Run rules over tables of one DuckDB file; tables are named `schema.table`."""

    def __init__(self, url: str, connect_args: Mapping[str, Any]) -> None:
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = ProgressBarsConfig(globally=False)
        # DuckDB closes a cursor's rows with its transaction: GX must neither roll back nor reset.
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
        self._batches = 0
        self._refusals: list[BaseException] = []
        execution_engine = self._datasource.get_execution_engine()
        self._engines = (execution_engine.engine, self._datasource.get_engine())
        for engine in self._engines:
            sa.event.listen(engine, "handle_error", self._note_refusal)

    def close(self) -> None:
        """Let go of the file: GX would hold it, deleted or not, until the process ends."""
        self._datasource.get_execution_engine().close()
        for engine in self._engines:
            engine.dispose()

    def broken(self, table: str, row_rules: Sequence[Rule]) -> list[BrokenRule]:
        """Return the row rules that fail somewhere in `table`, each with its condition.

        Raises ChecksFailedError when GX cannot compute one of them. What this machine refused
        (disk, memory) is raised as it is: no delivery is to blame for that.
        """
        with self._validator(table) as (batch, validator):
            suite = gx.ExpectationSuite(
                name=f"{table}_{self._batches}",
                expectations=[
                    _expectation(rule.expectation, meta={"rule": number})
                    for number, rule in enumerate(row_rules)
                ],
            )
            broken_rules = []
            for outcome in batch.validate(suite, result_format="SUMMARY").results:
                # One dictionary if the whole expectation failed, else one for each metric.
                errors = outcome.exception_info
                for error in [errors] if "raised_exception" in errors else errors.values():
                    if isinstance(error, Mapping) and error.get("raised_exception"):
                        message = " ".join(str(error.get("exception_message")).split())[:300]
                        raise ChecksFailedError(f"{outcome.expectation_config.type}: {message}")
                if not outcome.success:
                    rule = row_rules[outcome.expectation_config.meta["rule"]]
                    condition = _condition(rule, batch.data.execution_engine, validator)
                    count = outcome.result["unexpected_count"]
                    broken_rules.append(BrokenRule(rule, condition, count))
            return broken_rules

    def figures(self, table: str, table_rules: Sequence[Rule]) -> list[sa.ColumnElement[Any]]:
        """Return GX's aggregate of each table rule, to be computed per delivery in one pass."""
        with self._validator(table) as (_, validator):
            figures = []
            for rule in table_rules:
                metric = get_expectation_impl(rule.expectation["type"]).metric_dependencies[0]
                domain = {"column": rule.column} if rule.column else {}
                aggregate = MetricConfiguration(f"{metric}.aggregate_fn", domain, {})
                figures.append(validator.get_metric(aggregate)[0])
            return figures

    @contextmanager
    def _validator(self, table: str) -> Iterator[tuple[Any, Validator]]:
        """Yield GX's batch and validator of a table.

        GX catches every exception and keeps its words only. What the machine refused inside the
        block is therefore noted by `_note_refusal` and raised here as what it was.
        """
        self._refusals.clear()
        try:
            self._batches += 1
            schema, _, name = table.rpartition(".")
            asset = self._datasource.add_table_asset(
                f"{name}_{self._batches}", table_name=name, schema_name=schema or None
            )
            batch = asset.add_batch_definition_whole_table("all").get_batch()
            validator = Validator(execution_engine=batch.data.execution_engine, batches=[batch])
            validator.metrics_calculator.show_progress_bars = False
            yield batch, validator
        except Exception as error:
            if self._refusals:
                raise self._refusals[0] from error
            raise
        if self._refusals:
            raise self._refusals[0]

    def _note_refusal(self, context: sa.ExceptionContext) -> None:
        """Keep an exception that the machine, and no row, is to blame for."""
        if describe_machine_failure(context.original_exception) is not None:
            self._refusals.append(context.original_exception)


def _expectation(declared: Mapping[str, Any], **changes: Any) -> Any:
    """Build GX's expectation of a declared one."""
    implementation = get_expectation_impl(declared["type"])
    return implementation(
        **declared.get("kwargs", {}), severity=declared.get("severity", "critical"), **changes
    )


def _condition(rule: Rule, engine: Any, validator: Validator) -> sa.ColumnElement[bool]:
    """Return the SQL expression by which GX judged `rule`: true of the rows that fail."""
    expectation = _expectation(rule.expectation)
    needed = expectation.get_validation_dependencies(
        execution_engine=engine,
        runtime_configuration={"result_format": {"result_format": "BOOLEAN_ONLY"}},
    ).metric_configurations
    judged = needed[f"{expectation.map_metric}.unexpected_count"]
    domain = judged.metric_domain_kwargs
    metric = validator.get_metric(
        MetricConfiguration(
            f"{expectation.map_metric}.condition", domain, judged.metric_value_kwargs
        )
    )
    condition: sa.ColumnElement[bool] = metric[0]
    # A pair rule ignores rows before it counts, and its condition does not say so.
    ignore = domain.get("ignore_row_if")
    if "column_A" not in domain or ignore in (None, "neither"):
        return condition
    filled = [sa.column(domain[name]).is_not(None) for name in ("column_A", "column_B")]
    return sa.and_(condition, sa.and_(*filled) if ignore.startswith("either") else sa.or_(*filled))


def is_within(rule: Rule, value: float | Decimal | None) -> bool:
    """Return whether a table rule's figure keeps its bounds; no rows have no figure, and do."""
    kwargs = rule.expectation.get("kwargs", {})
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if value is None:
        return True
    if isinstance(value, Decimal):
        # 0.1 is what the suite says, and not the binary fraction next to it.
        low, high = (None if bound is None else Decimal(str(bound)) for bound in (low, high))
    is_above = low is None or (value > low if kwargs.get("strict_min") else value >= low)
    is_below = high is None or (value < high if kwargs.get("strict_max") else value <= high)
    return bool(is_above and is_below)
