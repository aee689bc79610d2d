-- grain: one row per accepted row; those of the withdrawn delivery go
DELETE FROM ${table}
USING replaced
WHERE
    ${table}.business_date = replaced.business_date
    AND ${table}.department = replaced.department
    AND ${table}.part = replaced.part
