"""What a file is by its first bytes, whatever it is called; of text nothing is guessed."""

from __future__ import annotations

import json
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
PAGE = re.compile(r"<(?:!doctype\s+html|html|head|body|meta|style|table)\b", re.IGNORECASE)
SPREADSHEETML = "urn:schemas-microsoft-com:office:spreadsheet"
MHTML = re.compile(r"mime-version:", re.IGNORECASE)
CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f]")
BLANK = " \t\r\n\ufeff"


def format_by_content(path: Path, claimed: str) -> str:
    """The format of the file's bytes: `claimed` itself where nothing speaks against it.

    Else another format's name, gz, zip, `encrypted`, `txt`, or the name of what we do not read.
    """
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    signed = _signature(path, head)
    if signed:
        return signed
    text = _text(head)
    start = text.lstrip(BLANK)
    marked = _markup(start)
    if marked and (marked != "xml" or claimed != "html"):
        return marked
    if claimed in ("json", "jsonl") and start[:1] in ("[", "{"):
        return _json(start, claimed)
    if claimed in ("csv", "jsonl") or (claimed in ("xml", "html") and start.startswith("<")):
        return claimed
    return claimed if CONTROLS.search(text) or not start else TEXT


def _signature(path: Path, head: bytes) -> str:
    if head.startswith(OLE):
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as file:
            return ENCRYPTED if file.find("EncryptedPackage".encode("utf-16-le")) >= 0 else "xls"
    if head.startswith(b"PK\x03\x04"):
        with opened(path) as package:
            return _package(package)
    return next((name for magic, name in MAGIC.items() if head.startswith(magic)), "")


def _package(package: zipfile.ZipFile) -> str:
    """What kind of zip: a workbook's parts stand where its format says."""
    names = set(package.namelist())
    if "[Content_Types].xml" in names:
        for part, kind in (
            ("xl/workbook.bin", "xlsb"),
            ("xl/workbook.xml", "xlsx"),
            ("word/document.xml", "Word"),
            ("ppt/presentation.xml", "PowerPoint"),
        ):
            if part in names:
                return kind
        return "xlsx"
    if "mimetype" in names and package.getinfo("mimetype").file_size < 200:
        kind = package.read("mimetype").decode("latin-1")
        if kind.startswith("application/vnd.oasis.opendocument"):
            return "ods" if "spreadsheet" in kind else "OpenDocument"
    return "xlsx" if any(name.startswith("xl/") for name in names) else "zip"


def _text(head: bytes) -> str:
    """The head as text whose ASCII can be trusted, in whatever encoding the file is."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return head[: len(head) & ~1].decode("utf-16", "replace")
    for pattern, encoding in ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be")):
        if head.startswith(pattern):
            return head.decode(encoding, "replace")
    return head.removeprefix(b"\xef\xbb\xbf").decode("latin-1")


def _markup(start: str) -> str:
    """HTML, XML or what Office writes as such; nothing for other text."""
    if MHTML.match(start):
        return "MHTML"
    if start.startswith("<?xml"):
        if SPREADSHEETML in start[:4096]:
            return "SpreadsheetML 2003"
        return "html" if re.search(r"<html\b", start[:4096], re.IGNORECASE) else "xml"
    if start.startswith("<!--"):
        start = start.partition("-->")[2].lstrip(BLANK)
    return "html" if PAGE.match(start) else ""


def _json(start: str, claimed: str) -> str:
    """An array or one object, or objects in lines: told by whether the first line is whole."""
    if start.startswith("["):
        return "json" if claimed == "json" or _is_open(start) else claimed
    line, _, rest = start.partition("\n")
    try:
        json.loads(line.encode("latin-1", "replace").decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return "json" if claimed == "json" or _is_open(start) else "jsonl"
    is_single = not rest.lstrip(BLANK).startswith("{")
    return claimed if is_single else "jsonl"


def _is_open(start: str) -> bool:
    """Whether the first line only begins an array or object that others go on with."""
    line = start.partition("\n")[0].strip(BLANK)
    return line in ("[", "{") or line.startswith("[{")
