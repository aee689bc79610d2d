"""Examine a deployment before the night does: find what is wrong, change nothing.

`visit` is what a check is given and what it returns; `readings` reads the state of the stores;
`machine`, `stores` and `nights` are the checks. The doctor waits for nobody: while a run works on a
store, the doctor reads the published copy instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import date, datetime

from pipelines.doctor import machine, nights, stores
from pipelines.doctor.visit import Finding, Level, Visit, failure, in_a_line
from pipelines.settings import Settings

__all__ = ["Finding", "Level", "examine", "verdict"]

CHECKS: dict[str, Callable[[Visit], Iterator[Finding]]] = {
    "configuration": nights.configuration,
    "versions": machine.versions,
    "disk": machine.disk,
    "locks": stores.locks,
    "warehouse": stores.warehouse,
    "operations": stores.operational,
    "calendars": nights.calendars,
    "last run": nights.last_run,
    "published": stores.published_copy,
    "landing": nights.landing_folder,
    "notification": machine.notification,
    "time": machine.clock,
}


def examine(settings: Settings, today: date, now: datetime) -> Iterator[Finding]:
    """Yield the findings of every check, in order.

    `today` is the day in Shanghai, `now` is UTC without a zone. A check that breaks yields a
    failure of its own, and the others go on.
    """
    visit = Visit(settings, today, now)
    for name, check in CHECKS.items():
        try:
            yield from list(check(visit))
        except OSError as error:
            yield failure(
                name,
                f"could not be checked: {error.strerror}: {error.filename}",
                "let this user read it, and see whether its disk is mounted",
            )
        except Exception as error:
            yield failure(
                name,
                f"could not be checked: {type(error).__name__}: {in_a_line(error)}",
                "see what it names; if that is sound, this is a defect of the doctor's",
            )


def verdict(findings: Iterable[Finding]) -> str:
    """Return `healthy`, or the numbers of failures and warnings."""
    levels = [finding.level for finding in findings]
    counts = {level: levels.count(level) for level in (Level.FAILURE, Level.WARNING)}
    phrases = [f"{n} {level}{'s' if n > 1 else ''}" for level, n in counts.items() if n]
    return ", ".join(phrases) or "healthy"
