-- Grain: one row per delivery and reason that its rows give, with the first such row and its value
-- Reads: chunk.failure, chunk.staged, chunk.rule, chunk.faulted
WITH failures AS (
    SELECT staged._delivery, staged._row, failure.rule, failure._id, failure.value
    FROM chunk.failure AS failure
    INNER JOIN chunk.staged AS staged USING (_id)
),

broken_rules AS (
    SELECT
        failures._delivery, rule.critical, rule.code, rule."column",
        arg_min(failures.value, failures._id) AS value, rule.expected,
        arg_min(failures._row, failures._id) AS first_row, count(*) AS rows
    FROM failures
    INNER JOIN chunk.rule AS rule USING (rule)
    GROUP BY failures._delivery, rule.critical, rule.code, rule."column", rule.expected
),

faults AS (
    SELECT
        _delivery, true AS critical, fault AS code, '' AS "column",
        arg_min(fault_value, _id) AS value, arg_min(expected, _id) AS expected,
        arg_min(_row, _id) AS first_row, count(*) AS rows
    FROM chunk.faulted
    GROUP BY _delivery, fault
)

SELECT * FROM broken_rules
UNION ALL
SELECT * FROM faults
ORDER BY _delivery, critical DESC, rows DESC, code, "column"
