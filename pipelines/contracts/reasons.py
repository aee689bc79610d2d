"""Why a row or a delivery was not taken as sent: one structure, two languages.

Stored in the ledger as it is; English for the command line and logs, Chinese for departments.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

# code: (English, Chinese); the fields of Reason are what a template may use
TEMPLATES: dict[str, tuple[str, str]] = {
    # the file
    "empty_file": (
        "the file has no bytes; export it again",
        "文件为空（0 字节），请重新导出后报送",
    ),
    "encoding": (
        "the file is not {expected}: {value}; save it as {expected}",
        "文件编码不是 {expected}：{value}；请另存为 {expected} 编码后重新报送",
    ),
    "encrypted": (
        "the workbook is password-protected; save it without a password",
        "工作簿设有密码，请取消密码后重新报送",
    ),
    "damaged": (
        "the file is truncated or damaged ({value}); export it again",
        "文件不完整或已损坏，请重新导出后报送",
    ),
    "too_large": (
        "the file unpacks to {value} bytes, more than {expected}; split it into parts",
        "文件解压后为 {value} 字节，超过上限 {expected}；请拆分后报送",
    ),
    "sparse": (
        "a sheet spans {value} cells, more than {expected}: delete what stands far outside",
        "工作表范围达 {value} 个单元格，超过 {expected}；请删除表格以外的零散内容后重新报送",
    ),
    "format": (
        "files of type {value} are not declared; send one of: {expected}",
        "数据源未约定 {value} 格式，请改用：{expected}",
    ),
    "malformed": (
        "row {value} cannot be read as {expected}; export the file again",
        "第 {value} 行不是有效的 {expected}，请重新导出后报送",
    ),
    "missing_sheet": (
        "the workbook has no sheet {expected}; its sheets are: {value}",
        "工作簿中没有工作表 {expected}，现有工作表：{value}",
    ),
    # the delivery
    "missing_column": (
        "required column {column} is missing: none of the headers {expected} was found among "
        "{value}; name the column as agreed",
        "缺少必填列“{expected}”，文件表头为：{value}；请按约定列名修改表头",
    ),
    "repeated_header": (
        "column {column} is there twice (headers {value}); keep one",
        "列“{value}”重复出现，请只保留一列",
    ),
    "no_rows": (
        "there is a header and no data rows; send the data, or withdraw the day",
        "只有表头，没有数据行；请补充数据后重新报送",
    ),
    "row_count": (
        "{value} data rows, and the contract asks for {expected}",
        "数据行数为 {value}，约定应为 {expected}",
    ),
    "too_many_quarantined": (
        "{value} of the rows fail a critical check, and at most {expected} may",
        "{value} 的数据行未通过检查，超过允许的 {expected}",
    ),
    "table_rule": (
        "{column}: {value}, expected {expected}",
        "{column}：实际为 {value}，应为 {expected}",
    ),
    "check_failed": (
        "the checks could not be computed on this delivery: {value}",
        "无法对该文件执行检查：{value}",
    ),
    "defect": (
        "our own program failed on this file ({value}); report it, rebuild the source when mended",
        "系统处理该文件时出错（{value}），已转技术人员处理，无需重新报送",
    ),
    "parts_mixed": (
        "the day has files with and without a part: those that came first stand, this one waits; "
        "withdraw those, or send the day in one way only",
        "同一天既有分包文件又有整包文件，以先到者为准，本次报送暂不生效；请只报送其中一种",
    ),
    "part_conflict": (
        "{value} rows have a key that another part of the day has with other values",
        "有 {value} 行的主键与同一天其他分包重复而内容不同，请核对后重新报送",
    ),
    "part_key_conflict": (
        "another part of the day has the same key ({expected}) with other values; send one of them",
        "主键（{expected}）与同一天其他分包重复而内容不同，请核对后只报送其中一条",
    ),
    "overruled": (
        "accepted by decision: {value}",
        "经人工确认接收：{value}",
    ),
    "outside_validity": (
        "{value} is not a valid department on that day",
        "{value} 在该业务日期不是有效单位",
    ),
    "extra_column": (
        "column {value} is not in the contract and was left out",
        "列“{value}”不在约定范围内，未予采集",
    ),
    "rule": ("rule not met: {expected}", "不符合规则：{expected}"),
    "late_receipt": (
        "something received later provides this day already: nothing changed",
        "该业务日期已有更晚到达的报送，本次报送未生效",
    ),
    # the row
    "type": (
        "{column}: {value!r} is not {expected}; write {expected}",
        "{column}：“{value}”不是有效的{expected}，请更正",
    ),
    "required": ("{column} is empty; fill it in", "{column}不能为空，请补填"),
    "values": (
        "{column}: {value!r} is not one of {expected}; use one of them",
        "{column}：“{value}”不在允许取值 {expected} 之内，请更正",
    ),
    "pattern": (
        "{column}: {value!r} does not match {expected}; write it so",
        "{column}：“{value}”不符合格式 {expected}，请更正",
    ),
    "range": (
        "{column}: {value} is outside {expected}; correct the figure",
        "{column}：{value} 超出范围 {expected}，请核实更正",
    ),
    "unit": (
        "{column}: {value!r} does not carry the unit {expected}; use that unit",
        "{column}：“{value}”的单位不是 {expected}，请换算后填写",
    ),
    "cells": (
        "the row has {value} cells, and the header {expected}; align it with the header",
        "该行有 {value} 个单元格，表头为 {expected} 列，请与表头对齐",
    ),
    "key_conflict": (
        "another row has the same key ({expected}) and other values; keep the right one",
        "存在主键（{expected}）相同而内容不同的行，请保留正确的一行",
    ),
    "other_partition": (
        "{column}: {value} does not belong to this delivery ({expected}); send it with its own",
        "{column}：{value} 不属于本次报送（{expected}），请另行报送",
    ),
    "unknown_department": (
        "{column}: {value!r} is no known department; use a name or code of departments.csv",
        "{column}：“{value}”不是已登记单位，请填写规范的单位名称或代码",
    ),
}

# what is expected, as departments read it
EXPECTED_CHINESE = {
    "an integer": "整数",
    "a number": "数字",
    "a date": "日期",
    "a time": "时间",
    "yes or no": "是/否",
    "the delivery's department": "报送单位应为本单位",
    "the delivery's business date": "日期应为本业务日期",
}


CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")  # would forge lines of a message

# what was found, where it is a phrase of ours and not the department's own text
FOUND_CHINESE = (
    (re.compile(r"byte (\d+), line (\d+)"), r"第 \2 行（第 \1 字节处）无法识别"),
    (re.compile(r"line (\d+), byte (\d+) of it"), r"第 \1 行（行内第 \2 字节处）无法识别"),
    (re.compile(r"it reads as (.+)"), r"实际为 \1 编码"),
)


class Reason(BaseModel):
    """One reason. `value` is what was found (masked if personal), `expected` what was promised.

    `code` is a key of TEMPLATES. In a delivery's summary `count` says how many rows it speaks of,
    `row` the number of the first, whose value is shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    column: str = ""
    value: str = ""
    expected: str = ""
    count: int | None = None
    row: int | None = None

    def english(self) -> str:
        """For the command line and logs."""
        text = TEMPLATES[self.code][0].format(**self._fields())
        return self._counted(text, "row {row}: ", "{count} rows, first row {row}: ")

    def chinese(self, titles: Mapping[str, str] = MappingProxyType({})) -> str:
        """For departments, duty officers and leaders; `titles` are the columns' Chinese names."""
        fields = self._fields() | {
            "expected": EXPECTED_CHINESE.get(self.expected, self.expected),
            "column": titles.get(self.column, self.column),
        }
        if self.code == "encoding":
            for phrase, chinese in FOUND_CHINESE:
                fields["value"] = phrase.sub(chinese, fields["value"])
        text = TEMPLATES[self.code][1].format(**fields)
        return self._counted(text, "第 {row} 行：", "第 {row} 行等 {count} 行：")

    def _fields(self) -> dict[str, str]:
        fields = {"column": self.column, "value": self.value, "expected": self.expected}
        return {name: CONTROLS.sub(" ", text) for name, text in fields.items()}

    def _counted(self, text: str, one: str, many: str) -> str:
        if self.count is None or self.row is None:
            return text
        return (one if self.count == 1 else many).format(row=self.row, count=self.count) + text
