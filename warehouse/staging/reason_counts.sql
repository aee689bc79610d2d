-- grain: one row per delivery and rule that its rows fail, with the first failing row's value
WITH failures AS (
    SELECT staged._delivery, staged._row, failure.rule, failure._id, failure.value
    FROM failure
    INNER JOIN staged USING (_id)
),

named AS (
    SELECT
        failures._delivery, rule.critical, rule.code, rule."column",
        arg_min(failures.value, failures._id) AS value, rule.expected,
        arg_min(failures._row, failures._id) AS first_row, count(*) AS rows
    FROM failures
    INNER JOIN rule USING (rule)
    GROUP BY failures._delivery, rule.critical, rule.code, rule."column", rule.expected
),

faults AS (
    SELECT
        _delivery, true AS critical, fault AS code, '' AS "column",
        arg_min(fault_value, _id) AS value, arg_min(expected, _id) AS expected,
        arg_min(_row, _id) AS first_row, count(*) AS rows
    FROM faulted
    GROUP BY _delivery, fault
)

SELECT * FROM named
UNION ALL
SELECT * FROM faults
ORDER BY _delivery, critical DESC, rows DESC, code, "column"
