"""Text decoded strictly in its declared encoding, in blocks; an encoding is never guessed."""

from __future__ import annotations

from codecs import BOM_UTF16_BE, BOM_UTF16_LE, getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path

from pipelines.contracts.formats import ENCODINGS
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError

BLOCK = 1 << 20
HEAD_BYTES = 256 << 10
BYTE_ORDER_MARK = "\ufeff"


def strict_text(path: Path, encoding: str, source: Source) -> Iterator[str]:
    """Yield the file's text in blocks, without a byte order mark.

    Raises UnreadableError naming the first byte and line that do not fit, and the encoding in
    which the contract's headers would have been found.
    """
    decoder = getincrementaldecoder(encoding)("strict")
    offset, line, is_first = 0, 1, True
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block)
            except UnicodeDecodeError as error:
                line += error.object[: error.start].decode(encoding, "ignore").count("\n")
                place = f"byte {offset - pending + error.start}, line {line}"
                raise other_encoding(path, encoding, place, source) from None
            except UnicodeError as error:  # UTF-16 that does not say its byte order
                raise other_encoding(path, encoding, str(error), source) from None
            offset += len(block)
            line += text.count("\n")
            yield text.removeprefix(BYTE_ORDER_MARK) if is_first else text
            is_first = False
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            place = f"byte {offset - len(decoder.getstate()[0])}, line {line}"
            raise other_encoding(path, encoding, place, source) from None


def other_encoding(path: Path, declared: str, place: str, source: Source) -> UnreadableError:
    """Return what to raise about a file that is not in its encoding; `place` is where that shows.

    The message names the other encoding in which the file's head has headers of the contract that
    are not ASCII: no other could spell them so.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    spellings = [header for column in source.columns for header in column.header]
    value = place
    for encoding in other_encodings(path, declared):
        try:
            text = getincrementaldecoder(encoding)("strict").decode(head)
        except UnicodeError:
            continue
        if any(not header.isascii() and header in text for header in spellings):
            value = f"{place}; it reads as {encoding}"
            break
    return UnreadableError(Reason(code="encoding", value=value, expected=declared))


def other_encodings(path: Path, declared: str) -> tuple[str, ...]:
    """Return the encodings that a file may be in instead of `declared`."""
    with path.open("rb") as stream:
        is_marked = stream.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE)
    unmarked = () if is_marked else ("utf-16-le", "utf-16-be")
    others = (*ENCODINGS, *unmarked)
    return tuple(encoding for encoding in others if encoding != declared)
