"""Render results as terminal tables, and as the JSON that other programs rely on."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
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
WHOLE = ("delivery", "date", "department", "source", "verdict", "status", "target")  # never folded
FOLDED = 24  # cells of the screen that a column of text needs at least to be readable
PACE_OPTIONAL = ("coverage #", "required/day #", "expected #", "SPI(t) #")  # the first goes first
NAMED_UPLOADS = 5  # files still being uploaded that are named
GAP = 2  # cells between two columns
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
    """Return data as indented JSON; dates in ISO form, decimals as numbers."""
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


def delivery_records(deliveries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what `deliveries --json` prints; reasons and warnings become sentences."""
    records = []
    for row in deliveries:
        sentences = {
            name: [Reason(**reason).english() for reason in json.loads(row[name])]
            for name in ("reasons", "warnings")
        }
        values = {**row, **sentences, "delivery": row["delivery_id"]}
        records.append({key: values[key] for key in DELIVERY_KEYS})
    return records


def number(value: float | None, digits: int = 2) -> str:
    """Return a figure for a table: thousands separated, `-` for None."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.{digits}f}"


def shortened(text: str, length: int) -> str:
    """Cut a text for a table, with a sign where it goes on."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def coloured(word: str) -> Text:
    """Return a status or verdict in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def show_table(
    console: Console,
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    optional: Sequence[str] = (),
) -> None:
    """Print a table that stays readable on a narrow screen.

    Chinese characters take two cells each. If the table is too wide, the `optional` columns are
    left out one after the other, and named below it. If it is still too wide, every row becomes a
    line of its short cells with its texts below.
    """
    # Copies, as columns are taken out of both.
    names, cells = list(columns), [list(row) for row in rows]
    left_out = []
    for name in optional:
        if sum(_widths(names, cells)) <= console.width:
            break
        position = names.index(name)
        left_out.append(names.pop(position).removesuffix(" #"))
        for row in cells:
            row.pop(position)
    if sum(_widths(names, cells)) <= console.width:
        console.print(table(title, names, cells))
    else:
        if title:
            console.print(Text(title, style="italic"))
        is_short = [name.endswith(" #") or name in WHOLE for name in names]
        for row in cells:
            short = [_text(cell) for cell, fits in zip(row, is_short, strict=True) if fits]
            console.print(Text("  ").join(short))
            for name, cell, fits in zip(names, row, is_short, strict=True):
                if not fits and str(cell):
                    text = Text.assemble((f"{name}: ", "dim"), _text(cell))
                    console.print(Padding(text, (0, 0, 0, 2)))
    if left_out:
        console.print(f"(a wider screen shows {', '.join(left_out)}; --json has everything)")


def _widths(names: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> list[int]:
    """Return the cells of the screen that each column needs, with the gap after it."""
    widths = []
    for position, name in enumerate(names):
        title = name.removesuffix(" #")
        width = max([_text(title).cell_len, *(_text(row[position]).cell_len for row in rows)])
        is_whole = title != name or name in WHOLE
        widths.append((width if is_whole else min(width, FOLDED)) + GAP)
    return widths


def _text(cell: str | Text) -> Text:
    """Return a cell as text and never as markup: departments may write anything into it."""
    return cell if isinstance(cell, Text) else Text(cell)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a plain table; columns whose name ends with ` #` are right-aligned."""
    drawn = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
    )
    for column in columns:
        is_numeric = column.endswith(" #")
        drawn.add_column(
            column.removesuffix(" #"),
            justify="right" if is_numeric else "left",
            no_wrap=is_numeric or column in WHOLE,
            overflow="fold",
        )
    for row in rows:
        drawn.add_row(*map(_text, row))
    return drawn


def show_paces(console: Console, paces: Sequence[Pace], catalog: Catalog) -> None:
    """Print targets with their pace and status: the columns that `Pace` gives a heading."""
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
    title = f"Targets as of {as_of}"
    optional = [heading for heading in PACE_OPTIONAL if heading in headings]
    show_table(console, title, ("target", *headings), rows, optional)


def _show_accounting(console: Console, report: RunReport) -> None:
    """Print the deliveries and rows of a run, by source and verdict."""
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
    columns = ("source", "verdict", *(f"{name} #" for name in names))
    narrow = ("ignored #", "duplicates #", "withheld #", "rows_read #")
    show_table(console, "Deliveries of this run", columns, rows, optional=narrow)


def show_report(console: Console, report: RunReport, catalog: Catalog) -> None:
    """Print a run's outcome for the person who started it."""
    for judgement in report.judgements:
        if judgement.verdict.value not in ("accepted", "unchanged"):
            why = "; ".join(reason.english() for reason in judgement.reasons[:3])
            more = len(judgement.reasons) - 3
            why += f"; and {more} more" if more > 0 else ""
            delivery = judgement.delivery
            outcome = f" {delivery} ({delivery.delivery_id[:8]}): {why}"
            console.print(Text.assemble(coloured(judgement.verdict.value), outcome))
    for problem in report.problems:
        console.print(
            f"not a delivery: {problem.path}: {problem.message} ({problem.mend})", markup=False
        )
    if report.waiting:
        files = "files are" if len(report.waiting) > 1 else "file is"
        named = ", ".join(path.as_posix() for path in report.waiting[:NAMED_UPLOADS])
        others = len(report.waiting) - NAMED_UPLOADS
        console.print(
            f"{len(report.waiting)} {files} still being uploaded: {named}"
            + (f" and {others} more" if others > 0 else ""),
            markup=False,
        )
    for error in report.errors:
        console.print(f"error: {error}", markup=False, style="red")
    _show_accounting(console, report)
    show_paces(console, [pace for pace in report.paces if pace.department is None], catalog)
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


def report_record(report: RunReport) -> dict[str, Any]:
    """Return what `run --json` prints."""
    verdicts = Counter(judgement.verdict.value for judgement in report.judgements)
    if report.unchanged:
        verdicts["unchanged"] += report.unchanged
    return {
        "run_id": report.run_id,
        "as_of": report.as_of,
        "deliveries": dict(verdicts),
        "problems": [
            {"path": problem.path, "message": problem.message, "mend": problem.mend}
            for problem in report.problems
        ],
        "waiting": [path.as_posix() for path in report.waiting],
        "errors": report.errors,
        "alerts": [alert.key for alert in report.alerts],
        "targets": pace_records(report.paces),
        "published": str(report.generation.path) if report.generation else None,
    }
