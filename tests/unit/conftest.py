from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.loading import load_catalog, read_catalog
from pipelines.errors import Problem

RECORDS = r"""
name: records
title: 数据归集量
owner: 数据资源科
content: events
grain: one row per item and day
key: [item]
max_quarantine: 0.5
due: {frequency: daily, time: "02:00", from: 2021-09-23}
formats:
  csv: {encoding: gb18030, departments: {wjw: {encoding: utf-8}}}
  xlsx: {}
  jsonl: {}
  parquet: {}
footer: ["合计"]
partition: {department: unit, business_date: day}
columns:
  - {name: unit, header: [报送单位], type: text}
  - {name: day, header: [统计日期], type: date, required: true}
  - {name: item, header: [目录编码], type: text, required: true, pattern: '^[A-Z]\d+$'}
  - {name: amount, header: [数据量], type: integer, required: true}
  - {name: phone, header: [联系电话], type: text, pii: phone}
"""
CAMERAS = r"""
name: cameras
title: 视频通道
owner: 智慧城市科
content: snapshot
grain: one row per camera
key: []
formats: {csv: {}}
columns:
  - {name: camera, header: [通道编号], type: text, required: true}
  - {name: status, header: [状态], type: text, values: {在线: online, 离线: offline}}
  - {name: integrated, header: [是否接入], type: boolean}
"""
METRICS = """
- {name: amount, title: 数据量, unit: 条, kind: flow, source: records,
   value: {aggregate: sum, column: amount}}
- {name: online, title: 在线数, unit: 路, kind: stock, source: cameras,
   value: {aggregate: count, where: {status: online, integrated: true}}}
- {name: online_rate, title: 在线率, unit: "%", kind: ratio, source: cameras,
   numerator: {aggregate: count, where: {status: online}}, denominator: {aggregate: count}}
"""
TARGETS = """
- name: campaign
  title: 攻坚
  metric: amount
  scope: each_department
  start: 2021-09-23
  end: 2021-12-31
  goal: 100
  department_goals: {gaj: 60, wjw: 40}
  revisions:
    - {effective: 2021-11-15, goal: 120, unallocated: 20, reason: 会议}
- {name: rate, title: 在线率, metric: online_rate, scope: each_department, start: 2021-09-01,
   end: 2021-12-31, goal: 95, department_goal: 95, curve: level}
"""
DEPARTMENTS = """code,name,short_name,group,region,valid_from,valid_to,successor
gaj,市公安局,公安局,政法,市本级,,,
wjw,市卫生健康委员会,市卫健委,政府部门,市本级,,,
wsj,市卫生局,,,,,2021-10-31,wjw
"""
FILES = {
    "sources/records.yaml": RECORDS,
    "sources/cameras.yaml": CAMERAS,
    "expectations/records.json": '{"name": "records", "expectations": [], "meta": {}}',
    "expectations/cameras.json": '{"name": "cameras", "expectations": [], "meta": {}}',
    "metrics.yaml": METRICS,
    "targets.yaml": TARGETS,
    "departments.csv": DEPARTMENTS,
}


@dataclass(frozen=True)
class Config:
    """A small sound configuration folder, to be broken."""

    folder: Path

    def write(self, file: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        (self.folder / file).write_bytes(data)

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert text.count(old) == 1, f"{old!r} is {text.count(old)} times in {file}"
        self.write(file, text.replace(old, new))

    def problems(self) -> list[Problem]:
        return read_catalog(self.folder)[1]

    def catalog(self) -> Catalog:
        return load_catalog(self.folder)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    folder = tmp_path / "config"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return Config(folder)


@pytest.fixture
def catalog(config: Config) -> Catalog:
    return config.catalog()
