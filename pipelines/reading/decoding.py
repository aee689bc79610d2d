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

    The message names the other encoding that would have read it.
    """
    encoding = reads_as(path, declared, source)
    value = f"{place}; it reads as {encoding}" if encoding else place
    return UnreadableError(Reason(code="encoding", value=value, expected=declared))


def reads_as(path: Path, declared: str, source: Source) -> str | None:
    """Return the other encoding in which the file's head has headers of the contract, if any.

    Only UTF-16 spells ASCII otherwise than the others do.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    spellings = [header for column in source.columns for header in column.header]
    is_marked = head.startswith((BOM_UTF16_LE, BOM_UTF16_BE))
    unmarked = () if is_marked else ("utf-16-le", "utf-16-be")
    encodings: tuple[str, ...] = (*ENCODINGS, *unmarked)
    for encoding in encodings:
        try:
            text = getincrementaldecoder(encoding)("strict").decode(head)
        except UnicodeError:
            continue
        is_utf_16 = encoding.startswith("utf-16")
        headers = [header for header in spellings if is_utf_16 or not header.isascii()]
        if encoding != declared and any(header in text for header in headers):
            return encoding
    return None
