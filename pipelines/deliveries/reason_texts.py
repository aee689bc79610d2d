"""The words of every reason, in English and in Chinese; docs/reasons.md is written from them.

English is for the command line and logs; Chinese is for departments, in the words that they use.
"""

from __future__ import annotations

import re

# Each code with its English and its Chinese template, which may use the fields of Reason.
Texts = dict[str, tuple[str, str]]

FILE: Texts = {
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
    "large_page": (
        "the page has {value} bytes, more than {expected}; send the table as .xlsx or .csv",
        "网页文件为 {value} 字节，超过上限 {expected}；请另存为 .xlsx 或 .csv 后报送",
    ),
    "large_array": (
        "the JSON document has {value} bytes, more than {expected}; send JSON lines (.jsonl), one "
        "record a line, or .csv",
        "JSON 文件为 {value} 字节，超过上限 {expected}；请改为每行一条记录的 .jsonl 或 .csv 后报送",
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
    "long_row": (
        "row {value} is longer than {expected} bytes; see whether line breaks are missing or a "
        "quote in it is never closed, and export the file again",
        "第 {value} 行超过 {expected} 字节；请检查是否缺少换行或引号未闭合，更正后重新导出",
    ),
    "open_quote": (
        "the quote that row {value} opens is never closed; close or remove it",
        "第 {value} 行的引号未闭合，其后内容无法识别；请补全或删除该引号后重新报送",
    ),
    "crowded": (
        "the file has too many short or blank lines for its columns ({value} cells close together, "
        "at most {expected}); delete the blank lines",
        "文件空行或短行过多（相邻 {value} 个单元格，上限 {expected}）；请删除空行后重新报送",
    ),
    "ragged": (
        "more than {value} rows have another number of cells than the others ({expected}); see "
        "whether delimiter and quotes are as agreed, and export the file again",
        "超过 {value} 行的单元格数与其他行（{expected} 个）不一致；请检查分隔符和引号后重新导出",
    ),
    "too_wide": (
        "the file has at least {value} columns, more than the {expected} of a worksheet; see "
        "whether the delimiter is as agreed, and export the file again",
        "文件至少有 {value} 列，超过工作表上限 {expected} 列；请检查分隔符后重新导出",
    ),
    "misnamed": (
        "the file is called {expected} and is really {value}: it was read as {value}; name it so",
        "文件扩展名为 {expected}，实际为 {value}，已按 {value} 读取；请更正扩展名",
    ),
    "other_format": (
        "the file is really {value}, which is not agreed; save it as one of: {expected}",
        "文件实际为 {value} 格式，不在约定格式之内；请另存为：{expected}",
    ),
    "long_record": (
        "row {value} is longer than {expected} characters; export the file again",
        "第 {value} 行超过 {expected} 个字符，请检查后重新导出报送",
    ),
    "too_many_fields": (
        "the records have more than {expected} fields; export those that were agreed",
        "记录的字段超过 {expected} 个，请只导出约定的数据项",
    ),
    "deep": (
        "row {value} is nested deeper than any data is; export the file again",
        "第 {value} 行嵌套层数过多，请检查后重新导出报送",
    ),
    "no_records": (
        "there are no records at {expected}, the file begins with: {value}; export it as agreed",
        "文件中没有找到约定位置“{expected}”的记录（现有：{value}），请按约定结构导出",
    ),
    "unsafe_xml": (
        "the XML declares a document type or entities ({value}), which is refused; remove it",
        "文件含有文档类型或实体声明，出于安全考虑不予读取，请去除后重新报送",
    ),
    "encrypted_data": (
        "the data is encrypted; save it without encryption",
        "文件内容已加密，请取消加密后重新报送",
    ),
    "encrypted_archive": (
        "{value} in the archive is password-protected; pack it without a password",
        "压缩包中的“{value}”设有密码，请取消密码后重新打包报送",
    ),
    "bomb": (
        "the archive is made to hurt, or damaged ({value}, allowed {expected}); pack it again",
        "压缩包异常（{value}，上限 {expected}），请重新打包报送",
    ),
    "nested": (
        "archives lie in archives, more than {expected} deep; pack the data file directly",
        "压缩包嵌套超过 {expected} 层，请直接压缩数据文件后报送",
    ),
    "packing": (
        "the archive is compressed by {value}; pack it as ordinary zip (deflate)",
        "压缩包采用的压缩方法（{value}）不支持，请使用普通压缩包格式重新打包",
    ),
    "no_data_file": (
        "the archive holds no file of data: {value}; put one in, of type {expected}",
        "压缩包中没有数据文件（现有：{value}），请放入以下格式的文件：{expected}",
    ),
    "several_files": (
        "the archive holds several files of data: {value}; send them one by one",
        "压缩包中有多个数据文件：{value}；请分别报送",
    ),
    "same_title": (
        "it and {value} would both be called {expected}, and nobody could tell their rows apart; "
        "give each file (or sheet) a name of its own",
        "与 {value} 同名，都会记为“{expected}”，无法区分各行的出处；"
        "请为各文件（或工作表）取不同的名称",
    ),
    "second_table": (
        "table {value} of the page has rows of data, too, below the agreed header or without one, "
        "and table {expected} is the one that is read; put header and rows into one table, or send "
        "each table with its header as a file of its own",
        "网页第 {value} 个表格也含有约定格式的数据（带有约定的表头，或无表头的续表），"
        "而约定读取的是第 {expected} 个表格；"
        "请将表头和各表数据合并到一个表格，或将每个表格连同表头单独存为文件报送",
    ),
    "missing_sheet": (
        "the workbook has no sheet {expected}; its sheets are: {value}",
        "工作簿中没有工作表 {expected}，现有工作表：{value}",
    ),
    "hidden_sheet": (
        "sheet {value} is hidden, and hidden sheets are not taken; unhide it",
        "工作表“{value}”已隐藏，按约定不采集隐藏工作表；请取消隐藏后重新报送",
    ),
    "sheets": (
        "the workbook has {value} sheets, more than {expected}; split it",
        "工作簿有 {value} 张工作表，超过 {expected} 张；请拆分后报送",
    ),
    "repeated_text": (
        "the cells hold {value} bytes of text, more than {expected}; split the file",
        "单元格文本合计 {value} 字节，超过上限 {expected}；请拆分后报送",
    ),
    "error_cells": (
        "more than {value} cells hold formula errors; mend the formulas",
        "有超过 {value} 个单元格为公式错误值；请修正公式后重新报送",
    ),
    "missing_table": (
        "the page has {value} tables with cells, and table {expected} was agreed; export it again",
        "网页中有 {value} 个表格，约定取第 {expected} 个；请按约定重新导出",
    ),
    "charset": (
        "the page says that it is {value} and was read as {expected}, as agreed; let it say so",
        "网页声明的编码为 {value}，已按约定的 {expected} 读取；请更正网页声明",
    ),
    "cell_size": (
        "a cell of row {value} is longer than {expected} characters; export the file again",
        "第 {value} 行有单元格超过 {expected} 个字符，请检查后重新导出",
    ),
}
DELIVERY: Texts = {
    "missing_column": (
        "required column {column} is missing: none of the headers {expected} was found among "
        "{value}; name the column as agreed",
        "缺少必填列“{expected}”，文件表头为：{value}；请按约定列名修改表头",
    ),
    "header_unit": (
        "column {column}: the header {value} says another unit than agreed ({expected}); write the "
        "figures in that unit, and the header without one",
        "列“{value}”的单位与约定（{expected}）不符，请换算成约定单位并修改表头",
    ),
    "header_depth": (
        "column {column}: the header {value} does not end where a header of {expected} rows ends; "
        "send the header in as many rows as agreed",
        "列“{value}”的表头行数与约定（{expected} 行）不符；请按约定的表头行数重新导出",
    ),
    "page_header": (
        "row {value} is a header or unit line again ({expected}), and not the one above; give all "
        "pages the same headers, order and units",
        "第 {value} 行又是表头或单位说明（{expected}），与前面的表头不一致；"
        "请统一各页的表头、列序和单位后重新报送",
    ),
    "shifted": (
        "the sheet has no header and begins in column {value}, and the first one in column "
        "{expected}; begin all sheets in the same column, or repeat the header",
        "该工作表没有表头，且从第 {value} 列开始，而首个工作表从第 {expected} 列开始；"
        "请使各表从同一列开始，或在每个表中重复表头",
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
    "undeclared_unit": (
        "text outside the table shows a unit that the contract does not declare ({value}), so it "
        "is not read; declare it with `unit_above`, `unit` or `unit_row`, or load the figures as "
        "the contract reads them with `citybrain accept`",
        "表外文字中的单位未在约定中声明（{value}），系统不作推断，本次报送暂不入库；"
        "请将单位写入表头后重新报送，或与我局约定单位的注明方式，或由我局核实后确认接收",
    ),
    "part_conflict": (
        "{value} rows have a key that another part of the day has with other values",
        "有 {value} 行的主键与同一天其他分包重复而内容不同，请核对后重新报送",
    ),
    "part_key_conflict": (
        "another part of the day has the same key ({expected}) with other values; send one of them",
        "主键（{expected}）与同一天其他分包重复而内容不同，请核对后只报送其中一条",
    ),
    "overruled": ("accepted by decision: {value}", "经人工确认接收：{value}"),
    "outside_validity": (
        "{value} is not a valid department on that day",
        "{value} 在该业务日期不是有效单位",
    ),
    "member_ignored": (
        "the archive also holds what is no data: {value}; it was left out",
        "压缩包中的其他文件未予采集：{value}",
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
}
RETURN: Texts = {
    "outdated_return": (
        "the delivery that this workbook mends has been replaced by {value}: nothing of it is "
        "taken; ask for a new workbook",
        "该反馈所针对的报送已被更新的报送（{value}）替代，本次回传未采用；请按最新的反馈更正",
    ),
    "withdrawn_return": (
        "the delivery that this workbook mends was withdrawn ({value}): nothing of it is taken; "
        "send the whole file again",
        "该反馈所针对的报送已被撤回（{value}），本次回传未采用；如需采集，请重新报送完整文件",
    ),
    "overtaken_return": (
        "days that another delivery provides ({expected}: {value}) were left as they are; correct "
        "them in that one",
        "{expected} 个业务日期已有其他报送（{value}），本次回传未予改动；请在该报送中更正",
    ),
    "return_layout": (
        "the workbook is not as it was sent out ({value}); mend it as it was sent, and keep its "
        "sheets, headers, first columns and properties",
        "反馈工作簿的结构已被改动（{value}）；请在原反馈文件上更正，勿改动工作表、表头和前几列",
    ),
    "return_unknown_row": (
        "the first columns name no row of this workbook as it was sent; keep them as they were, "
        "and send new rows with the whole file",
        "前几列已被改动，或与原反馈中的行不对应；请勿改动前几列，新增数据请随完整文件另行报送",
    ),
    "return_repeated_row": (
        "row {value} of the file that is mended is there twice; keep one",
        "原文件的行（{value}）在工作簿中重复出现，请只保留一行",
    ),
    "return_foreign_row": (
        "row {value} of the file that is mended is not this department's, or is given to another; "
        "mend your own rows only",
        "原文件的行（{value}）不属于本单位，或被改为其他单位；请只更正本单位的数据",
    ),
    "return_action": (
        "what to do with the row is neither of {expected}; choose one of them",
        "“处理”列的内容无效，请从 {expected} 中选择",
    ),
    "return_cut": (
        "a cell was cut because it is longer than a workbook's cell may be; correct the row in "
        "the whole file and send that",
        "该行含有因过长而被截断的单元格，请在完整文件中更正后重新报送",
    ),
}
COMPARISON: Texts = {
    "total_as_increment": (
        "{column}: total and increment are the same figure ({value}); the total should be "
        "{expected}, if the increment is right: correct the one that stands in the other's place",
        "{column}：累计与当日新增为同一数字（{value}），若新增无误，累计应为 {expected}；"
        "请更正填错的一项",
    ),
    "doubled_total": (
        "{column}: the total is twice what it should be ({value}): should be {expected}; correct "
        "it",
        "{column}：累计为应有数的两倍（{value}），应为 {expected}；请更正后重新报送",
    ),
    "fallen_total": (
        "{column}: the total fell ({value}), should be {expected}; correct the total, or send the "
        "earlier day again if that one was wrong, or the days between if those corrected it",
        "{column}：累计较前次减少（{value}），应为 {expected}；请更正，若前次有误请重报前次，"
        "若中间漏报的日期有更正请补报",
    ),
    "total_gap": (
        "{column}: the total does not follow from the one before and the increment ({value}): "
        "should be {expected}; correct the total or the increment",
        "{column}：累计与前次累计加新增不衔接（{value}），应为 {expected}；请更正累计或新增",
    ),
    "total_start": (
        "{column}: the total starts anew from 0 here, and is not what came since ({value}): should "
        "be {expected}; start it anew, or correct the increment",
        "{column}：累计应自期初从 0 重新起算，与期初以来的新增不符（{value}），应为 {expected}；"
        "请重新起算，或更正新增",
    ),
    "total_gap_next": (
        "{column}: the next day, which stands, does not follow from this one ({value}): should be "
        "{expected}; send that day again if this one is right",
        "{column}：已入库的后一日累计与本次不衔接（{value}），应为 {expected}；"
        "若本次无误，请重报后一日",
    ),
    "drift_volume": (
        "{value} data rows, and {expected} is usual for this department; see whether it is "
        "complete, and nothing in it twice",
        "数据行数 {value} 明显偏离本单位以往水平（{expected}），请核实是否漏报或重复",
    ),
    "drift_volume_weekday": (
        "{value} data rows, and {expected} is usual for this department on the same weekday; see "
        "whether it is complete, and nothing in it twice",
        "数据行数 {value} 明显偏离本单位以往同一星期几的水平（{expected}），请核实是否漏报或重复",
    ),
    "drift_volume_kind": (
        "{value} data rows, and {expected} is usual for this department on days worked or free as "
        "this one, or of its weekday; see whether it is complete, and nothing in it twice",
        "数据行数 {value} 明显偏离本单位以往同类日期（同为工作日或休息日，或同一星期几）的水平"
        "（{expected}），请核实是否漏报或重复",
    ),
    "drift_column_new": (
        "column {value} was not in the delivery before; tell the bureau if it is to be taken",
        "新出现列“{value}”，上次报送中没有；如需采集请与我局联系",
    ),
    "drift_column_gone": (
        "column {value} was in the delivery before and is gone; add it again",
        "缺少上次报送中的列“{value}”，请补齐",
    ),
    "drift_category": (
        "{column}: never seen before from anybody: {value}; known are {expected}; see whether it "
        "is spelled as agreed",
        "{column}：出现从未有过的取值“{value}”，已有取值：{expected}；请核实是否写法有误",
    ),
    "drift_nulls": (
        "{column}: {value} of the cells are empty, and {expected} is usual; fill them in",
        "{column}：空值占 {value}，以往为 {expected}；请核实并补填",
    ),
}
ROW: Texts = {
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
    "code": (
        "{column}: {value!r} is not {expected}: a character is wrong, missing or too many; copy it "
        "again from the original",
        "{column}：“{value}”不是有效的{expected}，可能有错漏的字符，请核对原件后更正",
    ),
    "unit": (
        "{column}: {value!r} does not carry the unit {expected}; use that unit",
        "{column}：“{value}”的单位不是 {expected}，请换算后填写",
    ),
    "cells": (
        "the row has {value} cells, and the header {expected}; align it with the header",
        "该行有 {value} 个单元格，表头为 {expected} 列，请与表头对齐",
    ),
    "note": (
        "the row has nothing but a note, a day or a total's name in its first cell; delete it, or "
        "have it declared as a footer",
        "该行仅首个单元格有内容，形如说明、日期、页码或合计字样，不是数据行；"
        "请删除该行，或与我局约定其为表尾说明",
    ),
    "nul": (
        "cell {value} of the row has NUL bytes, which are no text; export the row again",
        "该行第 {value} 个单元格含有空字节（NUL），不是有效文本，请重新导出该行",
    ),
    "swallowed": (
        "a pair of quotes swallows line breaks and separators: {value} lines read as this one row; "
        "remove the quotes, or the separators inside the cell",
        "一对引号把 {value} 行文本并成了这一行（单元格内含换行和分隔符），"
        "请删除多余的引号或单元格内的分隔符",
    ),
    "repeated_key": (
        "{value} is there twice in one record; keep one",
        "同一条记录中“{value}”重复出现，请只保留一个",
    ),
    "error_cell": (
        "{expected}: the cell shows the error {value}; mend the formula, save and send it again",
        "{expected}：单元格为公式错误值 {value}，请修正公式或直接填写数值",
    ),
    "uncalculated": (
        "{expected}: the formula was never calculated; open the file in Excel or WPS and save it",
        "{expected}：公式尚未计算，没有结果；请用 WPS 等软件打开文件，保存后重新报送",
    ),
    "marked_cell": (
        "{expected}: part of the cell is struck out, raised, lowered, hidden or a form's field; "
        "write the value alone",
        "{expected}：单元格中有删除线、上标、下标、隐藏文字或输入控件，无法确定其值；"
        "请只保留数值本身",
    ),
    "nested_cells": (
        "{expected}: the cell holds a table of its own; write the value alone",
        "{expected}：单元格中嵌有表格，无法确定其值；请只保留数值本身",
    ),
    "no_text": (
        "{expected}: the cell holds bytes that are no UTF-8; export the column as text",
        "{expected}：单元格内容不是有效的 UTF-8 文本，请将该列按文本（UTF-8）重新导出",
    ),
    "mixed_text": (
        "{expected}: the element holds text and other elements; write the value alone",
        "{expected}：元素中既有文字又有其他元素，无法确定其值；请只保留数值本身",
    ),
    "attribute_unit": (
        "{expected}: the attribute {value} says another unit than agreed; write the figures in the "
        "unit that is agreed",
        "{expected}：属性“{value}”注明的单位与约定不符，请换算成约定单位后填写",
    ),
    "lost_digits": (
        "{expected}: a spreadsheet has rounded this number to fifteen digits; format the column "
        "as text and fill it in again",
        "{expected}：数字超过十五位，已被表格软件舍入；请将该列设为文本格式后重新填写",
    ),
    "scientific": (
        "{column}: {value!r} is how a spreadsheet shortens a long number; format the column as "
        "text and fill it in again",
        "{column}：“{value}”是被表格软件改为科学计数法的长数字，请将该列设为文本格式后重新填写",
    ),
    "total_row": (
        "{column}: {value!r} is said of a line with totals, which is counted twice; delete it",
        "{column}：“{value}”像是合计行，会使数据重复计算；请删除该行，或将该字样写在首列",
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
GROUPS: dict[str, Texts] = {
    "The file": FILE,
    "The delivery": DELIVERY,
    "A returned feedback workbook": RETURN,
    "Totals and drift": COMPARISON,
    "The row": ROW,
}
TEMPLATES = {code: texts for group in GROUPS.values() for code, texts in group.items()}

# Values of `expected` that are phrases of ours, as departments read them.
EXPECTED_CHINESE = {
    "an integer": "整数",
    "a number": "数字",
    "a date": "日期",
    "a time": "时间",
    "yes or no": "是/否",
    "a unified social credit code": "统一社会信用代码（18 位，含校验码）",
    "an identity number": "居民身份证号码（18 位，含出生日期和校验码）",
    "a region code": "行政区划代码（6 位数字，以省级代码开头）",
    "a channel code": "视频通道国标编码（20 位数字，以行政区划代码开头，第 11 至 13 位为设备类型）",
    "the delivery's department": "报送单位应为本单位",
    "the delivery's business date": "日期应为本业务日期",
}

# Parts of `value` that are phrases of ours and not the department's own text.
FOUND_CHINESE = (
    (re.compile(r"byte (\d+), line (\d+)"), r"第 \2 行（第 \1 字节处）无法识别"),
    (re.compile(r"line (\d+), byte (\d+) of it"), r"第 \1 行（行内第 \2 字节处）无法识别"),
    (re.compile(r"UTF-16 stream does not start with BOM"), "缺少 UTF-16 字节序标记"),
    (re.compile(r"it reads as (.+)"), r"实际为 \1 编码"),
    (re.compile(r"\(no header row\)"), "（无表头）"),
    (re.compile(r"no line says (.+)"), r"未见“\1”"),
)
