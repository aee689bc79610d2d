"""Check regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.contracts.checks.fault import Fault

BEYOND_RE2 = re.compile(r"\(\?<?[=!]|\(\?P=|\\[1-9]")


def check_regex(pattern: str, key: str, is_sql: bool = True) -> Iterator[Fault]:
    """Check that Python can compile a pattern and, if it goes into SQL, DuckDB's RE2 as well."""
    try:
        re.compile(pattern)
    except re.error as error:
        yield Fault(key, f"{pattern!r} is no regular expression: {error}", "correct it")
        return
    if is_sql and BEYOND_RE2.search(pattern):
        yield Fault(
            key,
            f"{pattern!r} looks around or back, which RE2 cannot",
            "say it without (?=, (?!, (?<= and \\1",
        )
