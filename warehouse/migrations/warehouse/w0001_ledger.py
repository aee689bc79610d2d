"""Create the ledger, the metrics as known over time, the pace of targets, the configuration.

The columns of `pace` are those of the first version. Columns declared since in `Pace`
(pipelines/tracking/pace.py) are added when a warehouse is opened.
"""

from alembic import op

revision = "w0001"
down_revision = None
branch_labels = ("warehouse",)

# table: (comment, {column: (type, comment)})
TABLES = {
    "delivery": (
        "报送台账：每行是对一次报送的一次判定，只增不改",
        {
            "position": ("BIGINT NOT NULL", "台账序号，越大越晚"),
            "delivery_id": ("VARCHAR NOT NULL", "报送编号"),
            "run_id": ("VARCHAR NOT NULL", "判定所在的运行编号"),
            "cause": ("VARCHAR NOT NULL", "判定原因：landing 新到、rebuild 重建、accept 人工接收"),
            "source": ("VARCHAR NOT NULL", "数据源"),
            "department": ("VARCHAR", "报送单位代码；空表示由文件内容决定"),
            "business_date": ("DATE", "业务日期；空表示由文件内容决定"),
            "part": ("VARCHAR NOT NULL", "分包名；整包为空串"),
            "file_name": ("VARCHAR NOT NULL", "到达时的文件名"),
            "format": ("VARCHAR NOT NULL", "文件格式"),
            "size": ("BIGINT NOT NULL", "文件字节数"),
            "sha256": ("VARCHAR NOT NULL", "原始文件的 SHA-256"),
            "contract_hash": ("VARCHAR NOT NULL", "判定所依据的约定的指纹"),
            "received_at": ("TIMESTAMP NOT NULL", "到达时间（UTC）"),
            "judged_at": ("TIMESTAMP NOT NULL", "入账时间（UTC）"),
            "verdict": ("VARCHAR NOT NULL", "判定"),
            "rows_read": ("BIGINT", "读到的行数；不可读或未变化时为空"),
            "accepted": ("BIGINT", "接收的行数"),
            "quarantined": ("BIGINT", "隔离的行数"),
            "duplicates": ("BIGINT", "完全重复的行数"),
            "ignored": ("BIGINT", "约定忽略的行数（空行、合计行）"),
            "withheld": ("BIGINT", "因整体未接收而扣留的合格行数"),
            "reasons": ("JSON NOT NULL", "判定理由"),
            "warnings": ("JSON NOT NULL", "提醒"),
            "superseded": ("VARCHAR[] NOT NULL", "被本次报送取代的报送编号"),
            "stage_seconds": ("DOUBLE NOT NULL", "读取用时（秒）"),
        },
    ),
    "delivery_partition": (
        "分区台账：数据源各分区由哪次报送提供，何时起止",
        {
            "position": ("BIGINT NOT NULL", "提供该分区的台账序号"),
            "delivery_id": ("VARCHAR NOT NULL", "报送编号"),
            "source": ("VARCHAR NOT NULL", "数据源"),
            "department": ("VARCHAR NOT NULL", "单位代码"),
            "business_date": ("DATE NOT NULL", "业务日期"),
            "part": ("VARCHAR NOT NULL", "分包名"),
            "rows": ("BIGINT NOT NULL", "接收的行数"),
            "received_at": ("TIMESTAMP NOT NULL", "到达时间（UTC）"),
            "known_from": ("BIGINT NOT NULL", "自该台账序号起有效"),
            "known_until": ("BIGINT", "至该台账序号止；空表示现行"),
        },
    ),
    "quarantine": (
        "隔离区：未接收的行及全部理由；个人信息已脱敏",
        {
            "position": ("BIGINT NOT NULL", "判定的台账序号"),
            "delivery_id": ("VARCHAR NOT NULL", "报送编号"),
            "source": ("VARCHAR NOT NULL", "数据源"),
            "department": ("VARCHAR", "单位代码"),
            "business_date": ("DATE", "业务日期"),
            "sheet": ("VARCHAR", "工作表"),
            "row_number": ("BIGINT", "文件中的行号，从 1 起"),
            "row_text": ("JSON", "该行内容（脱敏）；无法对应到列时为空"),
            "reasons": (
                'STRUCT(code VARCHAR, "column" VARCHAR, value VARCHAR, expected VARCHAR)[]',
                "隔离理由",
            ),
        },
    ),
    "decision": (
        "人工决定：接收或撤回",
        {
            "position": ("BIGINT NOT NULL", "台账序号"),
            "kind": ("VARCHAR NOT NULL", "accept 接收、withdraw 撤回"),
            "delivery_id": ("VARCHAR NOT NULL", "报送编号"),
            "source": ("VARCHAR NOT NULL", "数据源"),
            "department": ("VARCHAR", "单位代码"),
            "business_date": ("DATE", "业务日期"),
            "part": ("VARCHAR NOT NULL", "分包名"),
            "reason": ("VARCHAR NOT NULL", "理由"),
            "decided_by": ("VARCHAR NOT NULL", "决定人"),
            "decided_at": ("TIMESTAMP NOT NULL", "决定时间（UTC）"),
        },
    ),
    "configuration": (
        "配置历史：约定、指标、目标、单位、节假日，按指纹保存",
        {
            "hash": ("VARCHAR NOT NULL", "整套配置的指纹"),
            "position": ("BIGINT NOT NULL", "启用时的台账序号"),
            "effective_at": ("TIMESTAMP NOT NULL", "启用时间（UTC）"),
            "content": ("JSON NOT NULL", "配置内容"),
        },
    ),
    "metric_daily": (
        "指标日值：只增不改；按 known_from/known_until 可还原任一时刻所知",
        {
            "metric": ("VARCHAR NOT NULL", "指标"),
            "department": ("VARCHAR NOT NULL", "单位代码"),
            "business_date": ("DATE NOT NULL", "业务日期"),
            "breakdown": ("VARCHAR NOT NULL", "细分取值；空串为合计"),
            "value": ("DECIMAL(28,6)", "指标值"),
            "numerator": ("DECIMAL(28,6)", "比率的分子"),
            "denominator": ("DECIMAL(28,6)", "比率的分母"),
            "known_from": ("BIGINT NOT NULL", "自该台账序号起所知"),
            "known_until": ("BIGINT", "至该台账序号止；空表示现行"),
        },
    ),
    "pace": (
        "目标进度：每次运行按截止日计算的结果",
        {
            "run_id": ("VARCHAR NOT NULL", "运行编号"),
            "as_of": ("DATE NOT NULL", "截止日"),
            "target": ("VARCHAR NOT NULL", "目标"),
            "department": ("VARCHAR", "单位代码；空为全市"),
            "revision": ("INTEGER NOT NULL", "目标修订号"),
            "configuration_hash": ("VARCHAR NOT NULL", "配置指纹"),
            "position": ("BIGINT NOT NULL", "计算时的台账序号"),
            "baseline": ("DOUBLE", "基数"),
            "goal": ("DOUBLE", "目标值"),
            "actual": ("DOUBLE", "实际值"),
            "expected": ("DOUBLE", "计划应达值"),
            "progress": ("DOUBLE", "完成比例"),
            "spi": ("DOUBLE", "进度绩效指数 SPI"),
            "spi_t": ("DOUBLE", "时间进度绩效指数 SPI(t)"),
            "sv_t": ("DOUBLE", "时间偏差（天），负为落后"),
            "required_per_day": ("DOUBLE", "剩余每日需完成量"),
            "days_elapsed": ("INTEGER", "已过天数（按计划日历）"),
            "days_left": ("INTEGER", "剩余天数（按计划日历）"),
            "coverage": ("DOUBLE", "应报单位中已报的比例"),
            "status": ("VARCHAR NOT NULL", "状态"),
            "last_observed": ("DATE", "最近数据的业务日期"),
        },
    ),
    "run": (
        "运行记录",
        {
            "run_id": ("VARCHAR NOT NULL", "运行编号"),
            "as_of": ("DATE NOT NULL", "截止日"),
            "started_at": ("TIMESTAMP NOT NULL", "开始时间（UTC）"),
            "finished_at": ("TIMESTAMP NOT NULL", "结束时间（UTC）"),
            "position": ("BIGINT NOT NULL", "结束时的台账序号"),
            "configuration_hash": ("VARCHAR NOT NULL", "配置指纹"),
            "summary": ("JSON NOT NULL", "各判定的报送数"),
        },
    ),
    "department": (
        "单位名录（现行配置）",
        {
            "code": ("VARCHAR NOT NULL", "单位代码"),
            "name": ("VARCHAR NOT NULL", "单位名称"),
            "short_name": ("VARCHAR NOT NULL", "简称"),
            "department_group": ("VARCHAR NOT NULL", "类别"),
            "region": ("VARCHAR NOT NULL", "区域"),
            "valid_from": ("DATE", "启用日"),
            "valid_to": ("DATE", "停用日"),
            "successor": ("VARCHAR", "承接单位代码"),
        },
    ),
}


def upgrade() -> None:
    for table, (comment, columns) in TABLES.items():
        body = ", ".join(f'"{name}" {declared}' for name, (declared, _) in columns.items())
        op.execute(f"CREATE TABLE {table} ({body})")
        op.execute(f"COMMENT ON TABLE {table} IS '{comment}'")
        for name, (_, chinese) in columns.items():
            op.execute(f"COMMENT ON COLUMN {table}.\"{name}\" IS '{chinese}'")
