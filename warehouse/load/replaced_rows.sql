-- grain: one row per accepted row; a delivery is the whole truth for its partition
DELETE FROM ${table}
USING replaced
WHERE
    ${unqualified}.business_date = replaced.business_date
    AND ${unqualified}.department = replaced.department
    AND ${unqualified}.part = replaced.part;

DELETE FROM ${standby}
USING replaced
WHERE
    ${unqualified}.business_date = replaced.business_date
    AND ${unqualified}.department = replaced.department
    AND ${unqualified}.part = replaced.part;
