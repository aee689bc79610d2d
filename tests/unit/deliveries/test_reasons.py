"""Every reason can be said in both languages, and the Chinese is Chinese."""

from __future__ import annotations

import re

import pytest

from pipelines.deliveries.reasons import TEMPLATES, Reason


@pytest.mark.parametrize("code", sorted(set(TEMPLATES) - {"rule"}))
def test_every_reason_has_two_languages(code: str) -> None:
    reason = Reason(code=code, column="amount", value="7", expected="5", count=3, row=9)
    assert reason.english().startswith("3 rows, first row 9: ")
    chinese = reason.chinese({"amount": "数量"})
    assert chinese.startswith("第 9 行等 3 行：")
    assert not re.search(r"[a-z]{2,}", chinese), chinese


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("byte 4, line 2", "文件编码不是 gb18030：第 2 行（第 4 字节处）无法识别；"),
        ("line 9, byte 3 of it", "文件编码不是 gb18030：第 9 行（行内第 3 字节处）无法识别；"),
        ("it reads as utf-8", "文件编码不是 gb18030：实际为 utf-8 编码；"),
    ],
)
def test_what_was_found_of_an_encoding_is_told_in_chinese(found: str, told: str) -> None:
    reason = Reason(code="encoding", value=found, expected="gb18030")
    assert found in reason.english()
    assert reason.chinese().startswith(told)


def test_what_a_department_wrote_is_not_translated() -> None:
    reason = Reason(code="type", column="amount", value="it reads as x", expected="an integer")
    assert reason.chinese({"amount": "数量"}) == "数量：“it reads as x”不是有效的整数，请更正"
