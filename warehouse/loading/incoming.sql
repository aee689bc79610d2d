-- Grain: one row per partition (department, business date) that a delivery of the wave brings.
-- Reads: _given and _given_return (the wave, from Python), delivery, delivery_partition, decision,
--     quarantine
-- Writes: _mended, _incoming
--
-- Decide for each partition whether something newer stands in its place. It is late then and
-- changes nothing, so that the order of processing does not matter. "Newer" compares when the rows
-- were sent: rows of a return are as old as the file that it mends, and of several returns of one
-- file the later received counts.

-- Grain: one row per return of the wave, with when the file that it mends was received.
CREATE OR REPLACE TEMP TABLE _mended AS
SELECT
    given_return.position,
    given_return.laid_upon,
    -- Where the mended file's cells say the department or the day of a row, a corrected cell may
    -- move the row to a partition of which the file had no row before.
    bool_or(coalesce(
        original.verdict LIKE 'accepted%'
        AND (original.department IS NULL OR original.business_date IS NULL),
        false
    )) AS may_stray,
    coalesce(max(original.received_at), given_return.received_at) AS sent_at
FROM _given_return AS given_return
LEFT JOIN delivery AS original
    ON
        original.delivery_id = given_return.laid_upon[1]
        AND original.received_at < given_return.received_at
GROUP BY given_return.position, given_return.laid_upon, given_return.received_at;

CREATE OR REPLACE TEMP TABLE _incoming AS
-- Versions of the same partition that count against what comes: the one in force, and those that a
-- person withdrew or a return struck out. Their removal must not be undone by an older file that
-- is processed late.
WITH versions AS (
    SELECT
        given.position, version.department, version.business_date, version.delivery_id,
        version.sent_at, version.received_at, version.first_received_at, version.known_until
    FROM _given AS given
    INNER JOIN delivery_partition AS version
        ON
            given.source = version.source
            AND given.department = version.department
            AND given.business_date = version.business_date
            AND given.part = version.part
    LEFT JOIN delivery AS successor ON version.known_until = successor.position
    WHERE
        version.known_until IS NULL
        OR (
            -- A rebuild begins at the position $since and replays removals in their order.
            version.known_from >= $since
            AND (
                version.delivery_id IN (SELECT delivery_id FROM decision WHERE kind = 'withdraw')
                OR list_contains(
                    list_transform(successor.corrects, lambda origin: origin.delivery_id),
                    version.delivery_id
                )
            )
        )
),

-- Bytes that came again, unchanged, were received again.
repeats AS (
    SELECT delivery_id, max(received_at) AS received_at
    FROM delivery
    SEMI JOIN versions USING (delivery_id)
    WHERE verdict = 'unchanged'
    GROUP BY delivery_id
),

ranked AS (
    SELECT
        versions.position, versions.department, versions.business_date, versions.delivery_id,
        versions.first_received_at, versions.known_until,
        {
            'sent_at': CASE
                WHEN versions.sent_at < versions.received_at THEN versions.sent_at
                ELSE greatest(versions.sent_at, repeats.received_at)
            END,
            'received_at': greatest(versions.received_at, repeats.received_at),
            'id': versions.delivery_id
        } AS rank
    FROM versions
    LEFT JOIN repeats
        ON versions.delivery_id = repeats.delivery_id AND versions.known_until IS NULL
),

standing AS (
    SELECT
        ranked.position, ranked.department, ranked.business_date,
        max(ranked.rank) AS newest,
        min(ranked.first_received_at) FILTER (ranked.known_until IS NULL) AS first_received_at,
        count(*) FILTER (NOT list_contains(mended.laid_upon, ranked.delivery_id)) > 0 AS is_others
    FROM ranked
    LEFT JOIN _mended AS mended ON ranked.position = mended.position
    GROUP BY ranked.position, ranked.department, ranked.business_date
),

-- Partitions that a return brings though its file had no row there. The return may fill such a day
-- while it is empty, but never replaces the whole file that another delivery sent for it.
strays AS (
    SELECT given.position, given.department, given.business_date
    FROM _given AS given
    INNER JOIN _mended AS mended ON given.position = mended.position
    LEFT JOIN delivery_partition AS mended_partition
        ON
            mended_partition.delivery_id = mended.laid_upon[1]
            AND given.department = mended_partition.department
            AND given.business_date = mended_partition.business_date
    LEFT JOIN quarantine AS mended_row
        ON
            mended_row.delivery_id = mended.laid_upon[1]
            AND given.department = mended_row.department
            AND given.business_date = mended_row.business_date
    WHERE
        mended.may_stray
        AND mended_partition.delivery_id IS NULL
        AND mended_row.delivery_id IS NULL
)

SELECT
    given.*,
    coalesce(mended.sent_at, given.received_at) AS sent_at,
    (strays.position IS NOT NULL AND coalesce(standing.is_others, false))
    OR coalesce(
        standing.newest > {
            'sent_at': coalesce(mended.sent_at, given.received_at),
            'received_at': given.received_at,
            'id': given.delivery_id
        },
        false
    ) AS is_late,
    is_late AND mended.position IS NOT NULL AS is_overtaken,
    least(given.received_at, standing.first_received_at) AS first_received_at
FROM _given AS given
LEFT JOIN _mended AS mended ON given.position = mended.position
LEFT JOIN standing
    ON
        given.position = standing.position
        AND given.department = standing.department
        AND given.business_date = standing.business_date
LEFT JOIN strays
    ON
        given.position = strays.position
        AND given.department = strays.department
        AND given.business_date = strays.business_date
