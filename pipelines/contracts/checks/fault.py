"""A mistake in one declaration, before its file is known."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """A mistake: the key it is at, such as `columns.item.pattern`, what is wrong, and the mend."""

    key: str
    message: str
    mend: str
