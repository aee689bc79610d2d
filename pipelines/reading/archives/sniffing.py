"""Tell what a file is by its first bytes, whatever it is called; of text nothing is guessed."""

from __future__ import annotations

import mmap
import re
import zipfile
from pathlib import Path

from pipelines.reading.zips import opened

HEAD_BYTES = 64 << 10
OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # [MS-CFB] 2.2: compound files
ENCRYPTED = "encrypted"  # a workbook with a password
TEXT = "txt"  # text of no known signature
MAGIC = {
    b"PAR1": "parquet",
    b"PARE": "parquet",
    b"\x1f\x8b": "gz",
    b"%PDF": "PDF",
    b"Rar!": "RAR",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"PK\x05\x06": "zip",
}
PARTS = {
    "xl/workbook.bin": "xlsb",
    "xl/workbook.xml": "xlsx",
    "word/document.xml": "Word",
    "ppt/presentation.xml": "PowerPoint",
}
PAGE = re.compile(r"<(?:!doctype\s+html|html|head|body|meta|style|table)\b", re.IGNORECASE)
SPREADSHEETML = "urn:schemas-microsoft-com:office:spreadsheet"
MHTML = re.compile(r"mime-version:", re.IGNORECASE)
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f]")
BARE_OBJECTS = re.compile(r"\}\s*\n\s*\{")
BLANK = " \t\r\n\ufeff"


def format_by_content(path: Path, claimed: str) -> str:
    """Return the format of the file's bytes: `claimed` itself unless they speak against it.

    Otherwise it is the name of another format, gz, zip, `encrypted`, `txt`, or that of a format
    which is not read.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    if head.startswith(OLE):
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as file:
            return ENCRYPTED if file.find("EncryptedPackage".encode("utf-16-le")) >= 0 else "xls"
    if head.startswith(b"PK\x03\x04"):
        with opened(path) as package:
            return _package_format(package)
    for magic, name in MAGIC.items():
        if head.startswith(magic):
            return name
    return _text_format(head, claimed)


def _package_format(package: zipfile.ZipFile) -> str:
    """Return what kind of zip it is: a workbook has its parts where its format says."""
    names = set(package.namelist())
    if "[Content_Types].xml" in names:
        kinds = (kind for part, kind in PARTS.items() if part in names)
        return next(kinds, "xlsx")
    if "mimetype" in names and package.getinfo("mimetype").file_size < 200:
        kind = package.read("mimetype").decode("latin-1")
        if kind.startswith("application/vnd.oasis.opendocument"):
            return "ods" if "spreadsheet" in kind else "OpenDocument"
    return "xlsx" if any(name.startswith("xl/") for name in names) else "zip"


def _text_format(head: bytes, claimed: str) -> str:
    """Return the format of what has no signature, by its first characters."""
    text = _decoded(head)
    start = text.lstrip(BLANK)
    if start[:1] in ("<", "m", "M"):
        markup = _markup_format(start)
        if markup and (markup != "xml" or claimed != "html"):
            return markup
    if claimed in ("json", "jsonl") and start[:1] in ("[", "{"):
        return _json_format(start, claimed)
    if claimed in ("csv", "jsonl") or (claimed in ("xml", "html") and start.startswith("<")):
        return claimed
    return claimed if CONTROLS.search(text) or not start else TEXT


def _decoded(head: bytes) -> str:
    """Return the head as text whose ASCII can be trusted, in whatever encoding the file is."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) & ~1].decode("utf-16", "replace")
    for pattern, encoding in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if head.startswith(pattern):
            return head.decode(encoding, "replace")
    return head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _markup_format(start: str) -> str:
    """Return HTML, XML or what Office writes as such; '' for other text."""
    if MHTML.match(start):
        return "MHTML"
    if start.startswith("<?xml"):
        if SPREADSHEETML in start[:4096]:
            return "SpreadsheetML 2003"
        return "html" if re.search(r"<html\b", start[:4096], re.IGNORECASE) else "xml"
    if start.startswith("<!--"):
        start = start.partition("-->")[2].lstrip(BLANK)
    return "html" if PAGE.match(start) else ""


def _json_format(start: str, claimed: str) -> str:
    """Tell objects in lines from an array or one object: no comma stands between them."""
    first = start.partition("\n")[0].strip(BLANK)
    if claimed == "json":
        return "jsonl" if start.startswith("{") and BARE_OBJECTS.search(start) else "json"
    # An array or object that begins here goes on in later lines, and is no record of one line.
    return "json" if first in ("[", "{") or first.startswith("[{") else "jsonl"
