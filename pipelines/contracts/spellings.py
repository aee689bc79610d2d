"""Spellings of headers and units that stand for the same: width, case, blanks, scales."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

SCALES = "十百千万亿"
SCALE = f"[{SCALES}拾佰仟萬億]+"  # as a contract may spell one


UNSEEN = (*range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF)
USUAL_HEADER = 100  # characters
FOLDED = dict.fromkeys(UNSEEN, "") | {ord("萬"): "万", ord("億"): "亿"}


def fold_text(text: str) -> str:
    """A header or title as it is compared, but for its blanks: width, case, 萬 and 億 folded.

    What nobody sees is gone: byte order marks, zero-width blanks, marks of direction.
    """
    return unicodedata.normalize("NFKC", text).translate(FOLDED).casefold()


def fold_header(header: str) -> str:
    """A header as it is compared: as `fold_text` has it, without blanks."""
    return _folded(header) if len(header) <= USUAL_HEADER else _folded.__wrapped__(header)


@lru_cache(maxsize=4096)  # thousands of files a night have the same few
def _folded(header: str) -> str:
    return re.sub(r"\s+", "", fold_text(header))
