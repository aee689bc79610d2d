-- Grain: one row per delivery of the wave, code and column in which it differs from its past.
-- Reads: profile, _profiled and _day_kind (from Python), partition_in_force
--
-- The past of a delivery are profiles of the same department and part, for other days, that were
-- received before it and are in force or come in the same wave.
WITH taken AS (
    SELECT profile.*
    FROM profile
    SEMI JOIN partition_in_force AS provider
        ON
            profile.source = provider.source
            AND profile.delivery_id = provider.delivery_id
            AND profile.received_at = provider.received_at
    WHERE profile.source = $source
    QUALIFY
        row_number() OVER (
            PARTITION BY profile.delivery_id, profile.received_at ORDER BY profile.position DESC
        ) = 1
    UNION ALL BY NAME
    SELECT * EXCLUDE (is_taken) FROM _profiled AS profiled WHERE is_taken
),

-- Of each other day the newest profile that was received before the judged one.
past AS (
    SELECT
        profiled.position AS judged, taken.delivery_id, taken.received_at, taken.business_date,
        taken.rows, taken.good_rows,
        taken.business_date < profiled.business_date AS is_before,
        NOT $by_weekday OR judged_day.is_working = taken_day.is_working AS is_same_kind,
        NOT $by_weekday OR isodow(taken.business_date) = isodow(profiled.business_date)
            AS is_same_weekday
    FROM _profiled AS profiled
    INNER JOIN taken
        ON profiled.department = taken.department
        AND profiled.part = taken.part
        AND profiled.business_date <> taken.business_date
        AND (taken.received_at, taken.delivery_id) < (profiled.received_at, profiled.delivery_id)
    INNER JOIN _day_kind AS judged_day ON profiled.business_date = judged_day.business_date
    INNER JOIN _day_kind AS taken_day ON taken.business_date = taken_day.business_date
    QUALIFY
        row_number() OVER (
            PARTITION BY profiled.position, taken.business_date
            ORDER BY taken.received_at DESC, taken.delivery_id DESC
        ) = 1
),

counted AS (
    SELECT
        *,
        count_if(is_same_weekday AND is_same_kind) OVER (PARTITION BY judged) >= $minimum
            AS is_by_both
    FROM past
),

-- The days to compare with: the same weekday, and worked or free alike. While these are few, days
-- that are alike in one of both count, because a source follows either the holidays or the week.
usual AS (
    SELECT *
    FROM counted
    WHERE (is_same_weekday AND is_same_kind)
        OR (NOT is_by_both AND (is_same_weekday OR is_same_kind))
    QUALIFY row_number() OVER (PARTITION BY judged ORDER BY business_date DESC) <= $history
),

volumes AS (
    SELECT
        judged, is_by_both, count(*) AS times,
        -- Days alike in one respect only differ from each other: their whole range is usual.
        CASE WHEN is_by_both THEN median(rows) ELSE min(rows) END AS lowest,
        CASE WHEN is_by_both THEN median(rows) ELSE max(rows) END AS highest,
        -- 1.4826 MAD estimates a standard deviation. Counts scatter by their square root (Poisson),
        -- which a few deliveries may not show; and where a department always sends the same number,
        -- 5 % more is no news.
        greatest(1.4826 * mad(rows), sqrt(median(rows)), 0.05 * median(rows), 1) AS spread
    FROM usual
    GROUP BY judged, is_by_both
    HAVING count(*) >= $minimum
),

distances AS (
    SELECT
        profiled.position, profiled.rows, volumes.*,
        (profiled.rows - least(greatest(profiled.rows, lowest), highest)) / spread AS z
    FROM _profiled AS profiled
    INNER JOIN volumes ON profiled.position = volumes.judged
),

empty_cells AS (
    SELECT judged, entry.key AS "column", median(entry.value / good_rows) AS share
    FROM (
        SELECT usual.judged, usual.good_rows, unnest(map_entries(taken.nulls)) AS entry
        FROM usual
        INNER JOIN taken USING (delivery_id, received_at)
    )
    WHERE good_rows > 0
    GROUP BY judged, entry.key
    HAVING count(*) >= $minimum
),

empty_now AS (
    SELECT position AS judged, good_rows, entry.key AS "column", entry.value AS cells
    FROM (SELECT position, good_rows, unnest(map_entries(nulls)) AS entry FROM _profiled AS profiled)
    WHERE good_rows > 0
),

latest AS (
    SELECT *
    FROM past
    WHERE is_before
    QUALIFY row_number() OVER (PARTITION BY judged ORDER BY business_date DESC) = 1
),

columns_before AS (
    SELECT latest.judged, unnest(list_concat(taken.columns, taken.extra_columns)) AS name
    FROM latest
    INNER JOIN taken USING (delivery_id, received_at)
),

columns_now AS (
    SELECT
        profiled.position AS judged,
        unnest(list_concat(profiled.columns, profiled.extra_columns)) AS name
    FROM _profiled AS profiled
    SEMI JOIN latest ON profiled.position = latest.judged
),

-- Every value of a category column that any department has sent.
sightings AS (
    SELECT
        department, business_date, part, (received_at, delivery_id) AS receipt,
        entry.key AS "column", unnest(entry.value) AS value
    FROM (SELECT *, unnest(map_entries(categories)) AS entry FROM taken)
),

-- The first days on which a column was sent at all, one more than the minimum.
days_sighted AS (
    SELECT "column", business_date, min(receipt) AS receipt
    FROM sightings
    WHERE business_date IS NOT NULL
    GROUP BY "column", business_date
    QUALIFY row_number() OVER (PARTITION BY "column" ORDER BY min(receipt)) <= $minimum + 1
),

-- The first two places of each value: a delivery itself may be one of them.
sighted AS (
    SELECT "column", value, department, business_date, part, min(receipt) AS receipt
    FROM sightings
    GROUP BY "column", value, department, business_date, part
    QUALIFY row_number() OVER (PARTITION BY "column", value ORDER BY min(receipt)) <= 2
),

-- Columns that were sent on enough days before: on the first days every value is new.
familiar AS (
    SELECT profiled.position AS judged, days_sighted."column"
    FROM _profiled AS profiled
    INNER JOIN days_sighted
        ON profiled.business_date <> days_sighted.business_date
        AND days_sighted.receipt < (profiled.received_at, profiled.delivery_id)
    GROUP BY profiled.position, days_sighted."column"
    HAVING count(*) >= $minimum
),

earlier AS (
    SELECT DISTINCT profiled.position AS judged, sighted."column", sighted.value
    FROM _profiled AS profiled
    INNER JOIN sighted
        ON (
            profiled.department IS DISTINCT FROM sighted.department
            OR profiled.business_date IS DISTINCT FROM sighted.business_date
            OR profiled.part <> sighted.part
        )
        AND sighted.receipt < (profiled.received_at, profiled.delivery_id)
),

categories_now AS (
    SELECT judged, entry.key AS "column", unnest(entry.value) AS value
    FROM (SELECT position AS judged, unnest(map_entries(categories)) AS entry FROM _profiled AS profiled)
),

unseen AS (
    SELECT judged, "column", list(value ORDER BY value) AS listed
    FROM categories_now
    SEMI JOIN familiar USING (judged, "column")
    ANTI JOIN earlier USING (judged, "column", value)
    GROUP BY judged, "column"
),

known AS (
    SELECT judged, "column", list(value ORDER BY value) AS listed
    FROM earlier
    GROUP BY judged, "column"
)

SELECT
    position,
    CASE
        WHEN NOT $by_weekday THEN 'drift_volume'
        WHEN is_by_both THEN 'drift_volume_weekday'
        ELSE 'drift_volume_kind'
    END AS code,
    '' AS "column",
    printf('%d (z = %+.1f, n = %d)', rows, z, times) AS value,
    printf(
        '%.0f–%.0f', greatest(ceil(lowest - $volume * spread), 0), floor(highest + $volume * spread)
    ) AS expected
FROM distances
WHERE abs(z) > CAST($volume AS DOUBLE)
UNION ALL
SELECT judged, 'drift_column_new', name, '', ''
FROM (FROM columns_now EXCEPT FROM columns_before)
WHERE $columns
UNION ALL
SELECT judged, 'drift_column_gone', name, '', ''
FROM (FROM columns_before EXCEPT FROM columns_now)
WHERE $columns
UNION ALL
SELECT
    unseen.judged, 'drift_category', "column",
    array_to_string(unseen.listed[:5], '、') || CASE WHEN len(unseen.listed) > 5 THEN '…' ELSE '' END,
    array_to_string(known.listed[:10], '、') || CASE WHEN len(known.listed) > 10 THEN '…' ELSE '' END
FROM unseen
LEFT JOIN known USING (judged, "column")
UNION ALL
SELECT
    judged, 'drift_nulls', "column",
    printf('%.1f%% (%d/%d)', 100 * cells / good_rows, cells, good_rows),
    printf('%.1f%%', 100 * empty_cells.share)
FROM empty_now
INNER JOIN empty_cells USING (judged, "column")
WHERE cells / good_rows - empty_cells.share > CAST($null_share AS DOUBLE)
ORDER BY ALL
