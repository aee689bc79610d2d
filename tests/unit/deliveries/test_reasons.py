"""Every reason can be said in both languages, and the Chinese is Chinese."""

from __future__ import annotations

import re

import pytest

from pipelines.deliveries.reason_texts import TEMPLATES
from pipelines.deliveries.reasons import Reason
from pipelines.settings import PROJECT


@pytest.mark.parametrize("code", sorted(set(TEMPLATES) - {"rule"}))
def test_every_reason_has_two_languages(code: str) -> None:
    reason = Reason(code=code, column="amount", value="7", expected="5", count=3, row=9)
    assert reason.english().startswith("3 rows, first row 9: ")
    chinese = reason.chinese({"amount": "数量"})
    assert chinese.startswith("第 9 行等 3 行：")
    without_extensions = re.sub(r"\.(?:csv|jsonl|xlsx)\b", "", chinese)
    assert not re.search(r"[a-z]{2,}", without_extensions), chinese


@pytest.mark.parametrize(
    ("detected", "beginning"),
    [
        ("byte 4, line 2", "文件编码不是 gb18030：第 2 行（第 4 字节处）无法识别；"),
        ("line 9, byte 3 of it", "文件编码不是 gb18030：第 9 行（行内第 3 字节处）无法识别；"),
        ("it reads as utf-8", "文件编码不是 gb18030：实际为 utf-8 编码；"),
    ],
)
def test_a_detected_encoding_is_reported_in_chinese(detected: str, beginning: str) -> None:
    reason = Reason(code="encoding", value=detected, expected="gb18030")
    assert detected in reason.english()
    assert reason.chinese().startswith(beginning)


def test_what_a_department_wrote_is_not_translated() -> None:
    reason = Reason(code="type", column="amount", value="it reads as x", expected="an integer")
    assert reason.chinese({"amount": "数量"}) == "数量：“it reads as x”不是有效的整数，请更正"


def test_quoted_text_cannot_forge_lines_of_a_message() -> None:
    reason = Reason(code="extra_column", value="a\nrow 1: accepted", place="sheet\r2")
    assert reason.english().startswith("sheet 2: column a row 1: accepted is not in the contract")
    assert "\n" not in reason.chinese()


def test_documents_name_reasons_by_links_to_codes_that_exist() -> None:
    linked = {
        (text, anchor)
        for document in (PROJECT / "docs").rglob("*.md")
        for text, anchor in re.findall(
            r"\[`(\w+)`\]\((?:\.\./)?reasons\.md#(\w+)\)", document.read_text(encoding="utf-8")
        )
    }
    assert len(linked) > 10
    assert [(text, anchor) for text, anchor in linked if text != anchor] == []
    assert {anchor for _, anchor in linked} <= set(TEMPLATES)


def test_an_outcome_of_exports_names_its_reason_by_a_link() -> None:
    """Check every link: `unreadable: wide` once named a reason that did not exist."""
    text = (PROJECT / "docs" / "exports.md").read_text(encoding="utf-8")
    assert re.findall(r"(?:unreadable|rejected|held|warning): `\w+`", text) == []


def test_the_reference_has_every_reason() -> None:
    text = (PROJECT / "docs" / "reasons.md").read_text(encoding="utf-8")
    assert re.findall(r"^### (\w+)$", text, re.MULTILINE) == list(TEMPLATES)
