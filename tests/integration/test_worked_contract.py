"""The contract that docs/exports.md works through takes what its comments say."""

from __future__ import annotations

import io
import re
import zipfile
from decimal import Decimal
from pathlib import Path

import yaml
from integration.conftest import City

PAGE = Path(__file__).parents[2] / "docs" / "exports.md"
DISTRICT = """某区办件统计
事项编码,受理方式,办件量,,累计办件量（件）,满意率,收费,计量单位
,,网上,合计（万件）,,,,
A0001,网上,12,3.5,35012,97%,约3余,万元
A0002,窗口,1,2,20000,98,无,元
合计,,13,5.5,55012,,,
"""


def test_a_zip_of_a_file_per_district_is_one_delivery(city: City) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    contract = yaml.safe_load(text)
    contract["due"]["departments"] = ["a"]
    city.source(contract)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for district in ("东区", "西区"):
            members.writestr(f"{district}.csv", DISTRICT.encode("gb18030"))
    judged = city.send(archive.getvalue(), source=contract["name"], suffix=".zip")
    assert judged.accounting is not None
    counts = judged.accounting
    assert (judged.verdict, counts.accepted, counts.ignored) == ("accepted", 4, 2)
    assert judged.reasons == judged.warnings == ()
    assert city.rows(
        "SELECT channel, online_cases, new_cases, year_cases, satisfied, fees, fees_unit, fees_word"
        " FROM window_cases WHERE district = '东区' ORDER BY item"
    ) == [
        ("online", 12, 35000, 35012, Decimal(97), Decimal(30000), "万元", "约…余"),
        ("desk", 1, 20000, 20000, Decimal(98), None, "元", None),
    ]
