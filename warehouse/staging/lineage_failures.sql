-- grain: one row per staged row and reason that concerns the row as a whole
INSERT INTO failure
SELECT _id, ${other_department}, ${stray_department}
FROM staged
INNER JOIN landed USING (_delivery)
WHERE
    _stray_department IS NOT NULL AND landed.department IS NOT NULL
UNION ALL
SELECT _id, ${unknown_department}, ${stray_department}
FROM staged
INNER JOIN landed USING (_delivery)
WHERE
    _stray_department IS NOT NULL
    AND landed.department IS NULL
UNION ALL
SELECT _id, ${other_date}, CAST(_stray_date AS VARCHAR)
FROM staged
WHERE _stray_date IS NOT NULL
UNION ALL
SELECT _id, ${no_date}, NULL
FROM staged
WHERE _business_date IS NULL
UNION ALL
SELECT _id, ${key_conflict}, NULL
FROM repeated
WHERE is_conflict;
-- a day that its column requires is not missing twice
DELETE FROM failure
USING failure AS told, rule AS required
WHERE
    failure.rule = ${no_date} AND told._id = failure._id AND told.rule = required.rule
    AND required.rule <> ${no_date} AND required.code = 'required'
    AND required."column" = (SELECT "column" FROM rule WHERE rule = ${no_date});
-- a cell that could not be read is not empty besides
DELETE FROM failure
USING rule AS empty, failure AS unread, rule AS refused
WHERE
    failure.rule = empty.rule AND empty.code = 'required'
    AND unread._id = failure._id AND unread.rule = refused.rule
    AND refused."column" = empty."column" AND refused.code IN ('type', 'values', 'pattern', 'code', 'unit')
