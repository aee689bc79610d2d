-- grain: one row per judgement of a delivery; never changed
INSERT INTO delivery BY NAME
SELECT
    judged.*,
    coalesce(
        (SELECT list(DISTINCT replaced.delivery_id ORDER BY replaced.delivery_id)
         FROM replaced
         WHERE replaced.position = judged.position AND replaced.delivery_id <> judged.delivery_id),
        []
    ) AS superseded
FROM judged
