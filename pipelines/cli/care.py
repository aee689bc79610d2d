"""Commands that look after a deployment: doctor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipelines.cli.terminal import SHANGHAI, Json, command, console
from pipelines.settings import Settings

if TYPE_CHECKING:
    from pipelines.doctor import Finding

STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red"}


@command()
def doctor(as_json: Json = False) -> None:
    """Examine this deployment: configuration, versions, disks, stores, runs. Changes nothing.

    Exits with 1 when there is a failure; warnings exit with 0.

    JSON: {healthy (neither failures nor warnings), findings: a list of {check, level (ok, warning,
    failure), message, mend}}.

    Example: `citybrain doctor`, each morning or on a new machine
    """
    from pipelines.cli import rendering
    from pipelines.doctor import Level, examine

    today, now = datetime.now(SHANGHAI).date(), datetime.now(UTC).replace(tzinfo=None)
    findings = list(examine(Settings(), today, now))
    if as_json:
        healthy = all(finding.level is Level.OK for finding in findings)
        told = {"healthy": healthy, "findings": [asdict(finding) for finding in findings]}
        typer.echo(rendering.as_json(told))
    else:
        show_findings(console, findings)
    if any(finding.level is Level.FAILURE for finding in findings):
        raise typer.Exit(1)


def show_findings(console: Console, findings: Sequence[Finding]) -> None:
    """Every finding with its mend below it, and the verdict."""
    from pipelines.doctor import verdict

    drawn = Table.grid(padding=(0, 2, 0, 0))
    for is_word in (True, True, False):
        drawn.add_column(no_wrap=is_word, overflow="fold")
    for finding in findings:
        message = Text(finding.message)
        if finding.mend:
            message.append(f"\n→ {finding.mend}", style="italic")
        drawn.add_row(Text(finding.level, STYLES[finding.level]), Text(finding.check), message)
    console.print(drawn)
    console.print(verdict(findings), markup=False)
