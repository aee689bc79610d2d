-- grain: one row per row of a partition that is replaced, in force or in standby
DELETE FROM ${table}
USING replaced
WHERE
    ${unqualified}.business_date = replaced.business_date
    AND ${unqualified}.department = replaced.department
    AND ${unqualified}.part = replaced.part
