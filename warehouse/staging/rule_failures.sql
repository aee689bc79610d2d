-- grain: one row per staged row and row rule that it fails
INSERT INTO failure
WITH pairs AS (
    SELECT _id, unnest(rules) AS rule, unnest(texts) AS value
    FROM flagged
)

SELECT _id, rule, left(value, 200)
FROM pairs
WHERE rule IS NOT NULL;
DELETE FROM flagged;
