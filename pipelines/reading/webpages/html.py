"""One table of an HTML page, such as systems write under a workbook's name."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from lxml.etree import HTMLParser, XMLSyntaxError, strip_elements
from lxml.etree import _Element as Element

from pipelines.contracts.formats import ENCODING_NAMES, WorkbookFormat
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.decoding import HEAD_BYTES, other_encoding, strict_text
from pipelines.reading.layout import Reading, damaged
from pipelines.reading.webpages.second_tables import check_second_tables
from pipelines.reading.webpages.tables import has_data, tables_of
from pipelines.reading.webpages.text import CELL_CHARACTERS, Lines
from pipelines.reading.workbooks.grid import Book, Sheet, read_book

# Measured: the tree of a page and its rows take 15 times the bytes of one with styled cells, 25
# times those of one with plain cells, and 37 times those of one made of tags alone. The largest
# page that is parsed takes 0.5 to 1.2 GiB.
PAGE_BYTES = 32 << 20
UNSEEN = ("style", "script", "comment", "template", "title", "datalist")
END = "end-of-page"  # is fed after a page: the parser's last element, unless that swallowed it
CHARSET = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([A-Za-z][\w-]*)", re.IGNORECASE)


def read_html(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared table; a row's number is its place in the table, from 1.

    A page may name another encoding than the contract. That is a warning, unless the header is
    not found in the contract's encoding: then it is the error.
    """
    options = source.formats.html
    assert options is not None
    size = path.stat().st_size
    if size > PAGE_BYTES:
        raise UnreadableError(Reason(code="large_page", value=str(size), expected=str(PAGE_BYTES)))

    def open_table(_position: int) -> Sheet:
        return _sheet(source, _parsed(path, source, options.encoding), options.table)

    book = Book(names=("",), open=open_table)
    reading = read_book(source, WorkbookFormat(), book, limit)
    named = _named_encoding(path)
    if named is None or named == options.encoding:
        return reading
    if reading.header.faults(source):
        raise other_encoding(path, options.encoding, f"it says {named} of itself", source)
    warning = Reason(code="charset", value=named, expected=options.encoding)
    return replace(reading, warnings=(*reading.warnings, warning))


def _named_encoding(path: Path) -> str | None:
    """Return the encoding that a page names in its head, if contracts know that name."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES).replace(b"\0", b"")
    name = CHARSET.search(head)
    return ENCODING_NAMES.get(name[1].decode().lower()) if name else None


def _parsed(path: Path, source: Source, encoding: str) -> list[Element]:
    """Return the roots of a page: one, or several where pages are glued together.

    The parser mends what is no sound HTML, as browsers do. Where it meets one of its limits it
    drops the rest of the page and says so in its log only; and what stands after a comment, tag or
    script without an end is that comment, tag or script for it. Both are refused.
    """
    parser = HTMLParser(
        no_network=True, remove_comments=True, remove_pis=True, huge_tree=False, recover=True
    )
    try:
        for text in strict_text(path, encoding, source):
            parser.feed(text)
        parser.feed(f"<{END}>")
        root = parser.close()
    except XMLSyntaxError as error:  # there is no element in the page
        raise damaged(error) from None
    roots = [] if root is None else [root, *root.itersiblings()]
    for entry in parser.feed_error_log:
        if entry.type_name == "ERR_RESOURCE_LIMIT":
            row = str(sum(1 for tree in roots for _ in tree.iter("tr")) or 1)
            if "depth" in entry.message:
                raise UnreadableError(Reason(code="deep", value=row))
            limit = str(CELL_CHARACTERS)
            raise UnreadableError(Reason(code="cell_size", value=row, expected=limit))
    last = roots[-1] if roots else None
    while last is not None and len(last):
        last = last[-1]
    if last is None or last.tag != END:
        raise UnreadableError(Reason(code="damaged", value="the page ends inside its markup"))
    for tree in roots:
        strip_elements(tree, *UNSEEN, with_tail=False)
    return roots


def _sheet(source: Source, roots: list[Element], wanted: int) -> Sheet:
    """Return the declared table; raise UnreadableError if another goes on with its rows."""
    tables = tables_of(roots)
    if wanted >= len(tables):
        expected = str(wanted + 1)
        raise UnreadableError(
            Reason(code="missing_table", value=str(len(tables)), expected=expected)
        )
    table = tables[wanted]
    check_second_tables(source, table, [other for other in tables if other.follows(table)])
    data_tables = {other.element for other in tables if has_data(other)}
    lines = Lines(table.element, frozenset(data_tables))
    lines.read(roots)
    return Sheet(table.rows(), table.merged, table.hidden, lines.above, lines.below)
