-- grain: one row per total that the wave states
CREATE OR REPLACE TEMP TABLE stated AS
SELECT incoming.position, fresh.*
FROM (
    SELECT delivery_id, department, business_date, row_number, ${columns}
    FROM read_parquet('${accepted}')
) AS fresh
INNER JOIN incoming USING (delivery_id, department, business_date)
WHERE NOT incoming.is_late AND fresh.cumulative IS NOT NULL;

INSERT INTO observed
SELECT
    ${entry}, department, business_date, ${texts}, cumulative, increment, correction,
    position, row_number, NULL
FROM stated;

-- what the wave replaces is told of, too: it stays when the delivery that replaces it is held
INSERT INTO observed
SELECT
    ${entry}, department, business_date, ${texts}, cumulative, increment, correction,
    NULL, NULL, incoming.position
FROM (SELECT department, business_date, part, ${columns} FROM ${table}) AS there
INNER JOIN incoming USING (department, business_date, part)
SEMI JOIN stated USING (${key})
WHERE NOT incoming.is_late AND there.cumulative IS NOT NULL;

-- grain: one row per total in force that is the nearest, before or after, to one that is stated
CREATE OR REPLACE TEMP TABLE neighbour AS
SELECT
    business_date AS for_day, false AS is_after, ${key}, business_date, cumulative, increment,
    correction
FROM stated
WHERE false
