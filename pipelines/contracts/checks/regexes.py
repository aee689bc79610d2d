"""Check regular expressions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipelines.errors import Problem

BEYOND_RE2 = re.compile(r"\(\?<?[=!]|\(\?P=|\\[1-9]")


def check_regex(pattern: str, file: str, key: str, is_sql: bool = True) -> Iterator[Problem]:
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
