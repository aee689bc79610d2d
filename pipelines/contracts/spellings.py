"""Spellings that stand for the same word in headers, titles and units."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SCALES = "十百千万亿"
# The scales as a contract may spell them, among them the formal and traditional characters.
SCALE = f"[{SCALES}拾佰仟萬億]+"
# Zero-width blanks, marks of direction and byte order marks show nothing on a screen.
INVISIBLE = (*range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF)
FOLDED = dict.fromkeys(INVISIBLE, "") | {ord("萬"): "万", ord("億"): "亿"}
LONGEST_CACHED = 100  # characters


def fold_text(text: str) -> str:
    """Fold width, case, 萬 and 億 and drop invisible characters; blanks stay as they are."""
    return unicodedata.normalize("NFKC", text).translate(FOLDED).casefold()


def fold_header(header: str) -> str:
    """Fold a header to the form in which headers are compared: `fold_text` without blanks.

    Thousands of files a night have the same few headers, so short ones are cached. Longer texts
    are not: a cache full of cells of a hostile file would hold its memory for the whole night.
    """
    return _folded(header) if len(header) <= LONGEST_CACHED else _folded.__wrapped__(header)


@lru_cache(maxsize=4096)
def _folded(header: str) -> str:
    return re.sub(r"\s+", "", fold_text(header))
