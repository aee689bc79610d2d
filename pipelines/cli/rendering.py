"""Turns results into terminal tables and into the JSON that other programs rely on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.contracts.catalog import Catalog
from pipelines.deliveries.delivery import Accounting
from pipelines.deliveries.reasons import Reason
from pipelines.tracking.pace import Pace, pace_columns

if TYPE_CHECKING:
    from pipelines.jobs.night import RunReport

COLOURS = {
    "ahead": "green",
    "on_track": "green",
    "met": "green",
    "at_risk": "yellow",
    "behind": "red",
    "missed": "red",
    "no_data": "magenta",
    "stale": "magenta",
    "accepted": "green",
    "accepted_with_quarantine": "yellow",
    "held": "magenta",
    "rejected": "red",
    "unreadable": "red",
}
WHOLE = ("delivery", "date", "department", "source", "verdict", "status", "target")  # never cut
COUNTS = tuple(Accounting.model_fields)
DELIVERY_KEYS = (
    "delivery",
    "source",
    "department",
    "business_date",
    "part",
    "verdict",
    *COUNTS,
    "reasons",
    "corrects",
    "superseded",
    "warnings",
    "in_force",
)


def as_json(data: object) -> str:
    """Data as indented JSON; dates in ISO form, decimals as numbers."""
    return json.dumps(data, ensure_ascii=False, indent=2, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, date | datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return str(value)


def pace_records(paces: Iterable[Pace]) -> list[dict[str, Any]]:
    """Return the objects of `status --json`: one per target and department (null: the city)."""
    keys = [name for name, (_, column) in pace_columns().items() if column.in_json]
    return [{key: getattr(pace, key) for key in keys} for pace in paces]


def delivery_records(found: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`deliveries --json`: one object per delivery; reasons and warnings are sentences."""
    records = []
    for row in found:
        said = {
            name: [Reason(**reason).english() for reason in json.loads(row[name])]
            for name in ("reasons", "warnings")
        }
        told = {**row, **said, "delivery": row["delivery_id"]}
        records.append({key: told[key] for key in DELIVERY_KEYS})
    return records


def number(value: float | None, digits: int = 2) -> str:
    """A figure for a table: thousands separated, `-` for none."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.{digits}f}"


def shortened(text: str, length: int) -> str:
    """A text for a table, and a sign where it goes on."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def coloured(word: str) -> Text:
    """A status or verdict in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """A plain table; columns whose name ends with ` #` are right-aligned."""
    drawn = Table(title=title, title_justify="left", header_style="bold", pad_edge=False)
    for column in columns:
        numeric = column.endswith(" #")
        drawn.add_column(
            column.removesuffix(" #"),
            justify="right" if numeric else "left",
            no_wrap=numeric or column in WHOLE,
            overflow="fold",
        )
    for row in rows:
        # what departments write is text, and never markup
        drawn.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return drawn


def pace_table(paces: Sequence[Pace], catalog: Catalog) -> Table:
    """Return targets with their pace and status: the columns that `Pace` gives a heading."""
    shown = {name: declared for name, declared in pace_columns().items() if declared[1].heading}
    rows = []
    for pace in paces:
        target = catalog.targets.get(pace.target)
        title = target.title if target else pace.target
        if pace.department is not None:
            department = catalog.departments.get(pace.department)
            title = f"  {department.label if department else pace.department}"
        cells: list[str | Text] = [title]
        for name, (_, column) in shown.items():
            value = getattr(pace, name)
            if column.layout and value is not None:
                cells.append(format(value, column.layout))
            else:
                cells.append(coloured(str(value)) if isinstance(value, str) else number(value))
        rows.append(cells)
    # ` #` makes a column right-aligned, as figures are.
    headings = [
        column.heading + (" #" if kind in (int, float) else "") for kind, column in shown.values()
    ]
    as_of = paces[0].as_of if paces else "-"
    return table(f"Targets as of {as_of}", ("target", *headings), rows)


def accounting_table(report: RunReport) -> Table:
    """Deliveries and rows of a run, by source and verdict."""
    groups: dict[tuple[str, str], Counter[str]] = {}
    for judgement in report.judgements:
        group = groups.setdefault((judgement.delivery.source, judgement.verdict.value), Counter())
        group["deliveries"] += 1
        if judgement.accounting is not None:
            group.update(judgement.accounting.model_dump())
    names = ("deliveries", *COUNTS)
    rows: list[tuple[str | Text, ...]] = [
        (source, coloured(verdict), *(f"{counts[name]:,}" for name in names))
        for (source, verdict), counts in sorted(groups.items())
    ]
    total: Counter[str] = Counter()
    for counts in groups.values():
        total.update(counts)
    rows.append(("total", "", *(f"{total[name]:,}" for name in names)))
    if report.unchanged:
        rows.append(("", "unchanged", f"{report.unchanged:,}", *("-" for _ in names[1:])))
    return table("Deliveries of this run", ("source", "verdict", *(f"{n} #" for n in names)), rows)


def show_report(console: Console, report: RunReport, catalog: Catalog) -> None:
    """A run's outcome for the person who started it."""
    for judgement in report.judgements:
        if judgement.verdict.value not in ("accepted", "unchanged"):
            why = "; ".join(reason.english() for reason in judgement.reasons[:3])
            more = len(judgement.reasons) - 3
            why += f"; and {more} more" if more > 0 else ""
            delivery = judgement.delivery
            told = f" {delivery} ({delivery.delivery_id[:8]}): {why}"
            console.print(Text.assemble(coloured(judgement.verdict.value), told))
    for problem in report.problems:
        console.print(
            f"not a delivery: {problem.path}: {problem.message} ({problem.mend})", markup=False
        )
    if report.waiting:
        console.print(uploads(report.waiting), markup=False)
    for error in report.errors:
        console.print(f"error: {error}", markup=False, style="red")
    console.print(accounting_table(report))
    console.print(pace_table([pace for pace in report.paces if pace.department is None], catalog))
    warned = sum(bool(judgement.warnings) for judgement in report.judgements)
    if warned:
        console.print(f"{warned} deliveries with warnings: `citybrain deliveries` shows them")
    kinds = Counter(alert.kind for alert in report.alerts)
    console.print(
        "alerts: "
        + (", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "none")
        + f"; {report.notified}"
    )
    if report.generation is not None:
        pinned = "" if report.generation.in_place else " (readers are pinned to an older one)"
        console.print(
            f"published: generation {report.generation.number} (ledger position "
            f"{report.generation.position}) at {report.generation.path}{pinned}",
            soft_wrap=True,
        )


def uploads(waiting: Sequence[Path], named: int = 5) -> str:
    """Files that are not whole yet, in a sentence that names the first few."""
    count = f"{len(waiting)} files are" if len(waiting) > 1 else "1 file is"
    names = ", ".join(path.as_posix() for path in waiting[:named])
    more = f" and {len(waiting) - named} more" if len(waiting) > named else ""
    return f"{count} still being uploaded: {names}{more}"


def report_record(report: RunReport) -> dict[str, Any]:
    """`run --json`."""
    verdicts = Counter(judgement.verdict.value for judgement in report.judgements)
    if report.unchanged:
        verdicts["unchanged"] += report.unchanged
    return {
        "run_id": report.run_id,
        "as_of": report.as_of,
        "deliveries": dict(verdicts),
        "problems": [
            {"path": one.path, "message": one.message, "mend": one.mend} for one in report.problems
        ],
        "waiting": [path.as_posix() for path in report.waiting],
        "errors": report.errors,
        "alerts": [alert.key for alert in report.alerts],
        "targets": pace_records(report.paces),
        "published": str(report.generation.path) if report.generation else None,
    }
