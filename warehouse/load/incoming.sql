-- grain: one row per partition that the wave brings, with what stands against it
CREATE OR REPLACE TEMP TABLE incoming AS
WITH there AS (
    SELECT
        given.position, provider.department, provider.business_date, provider.delivery_id,
        provider.received_at, provider.first_received_at, provider.known_until
    FROM given
    INNER JOIN delivery_partition AS provider
        ON
            given.source = provider.source
            AND given.department = provider.department
            AND given.business_date = provider.business_date
            AND given.part = provider.part
    WHERE
        provider.known_until IS NULL
        -- what a person took away is not made up for by what had come before it
        OR provider.delivery_id IN (SELECT delivery_id FROM decision WHERE kind = 'withdraw')
),

mended AS (
    SELECT
        mend.*,
        (
            SELECT max(delivery.received_at)
            FROM delivery
            WHERE
                delivery.delivery_id = mend.laid_upon[1]
                AND delivery.received_at < mend.received_at
        ) AS since,
        (
            SELECT min(delivery.position)
            FROM delivery
            WHERE
                delivery.delivery_id = mend.delivery_id
                AND delivery.received_at = mend.received_at
        ) AS first_position
    FROM (
        SELECT DISTINCT position, delivery_id, received_at, laid_upon
        FROM given
        WHERE len(laid_upon) > 0
    ) AS mend
),

-- what came between a file and its return, of something else, is newer than the file's rows;
-- it counts, in a rebuild as at first, if it was known when the return came
overtaken AS (
    SELECT DISTINCT there.position, there.department, there.business_date
    FROM there
    INNER JOIN mended ON there.position = mended.position
    INNER JOIN delivery AS receipt ON there.delivery_id = receipt.delivery_id
    WHERE
        there.delivery_id <> mended.delivery_id
        AND NOT list_contains(mended.laid_upon, there.delivery_id)
        AND receipt.received_at BETWEEN mended.since AND mended.received_at
        AND (mended.first_position IS NULL OR receipt.position < mended.first_position)
        -- what was taken away counts where nothing took its place
        AND (
            there.known_until IS NULL
            OR NOT EXISTS (
                SELECT 1
                FROM there AS other
                WHERE
                    other.known_until IS NULL
                    AND other.position = there.position
                    AND other.department = there.department
                    AND other.business_date = there.business_date
            )
        )
),

receipts AS (
    -- bytes that came again, unchanged, were received again
    SELECT delivery_id, max(received_at) AS received_at
    FROM delivery
    SEMI JOIN there USING (delivery_id)
    GROUP BY delivery_id
),

standing AS (
    SELECT
        there.position, there.department, there.business_date,
        max({'at': greatest(there.received_at, receipts.received_at), 'id': there.delivery_id})
            AS newest,
        min(there.first_received_at) FILTER (there.known_until IS NULL) AS first_received_at
    FROM there
    LEFT JOIN receipts ON there.delivery_id = receipts.delivery_id AND there.known_until IS NULL
    GROUP BY there.position, there.department, there.business_date
)

SELECT
    given.* EXCLUDE (laid_upon),
    overtaken.position IS NOT NULL AS is_overtaken,
    -- newest is by receipt: what arrived earlier and is processed later changes nothing
    is_overtaken OR (
        ${by_receipt} AND coalesce(
            standing.newest > {'at': given.received_at, 'id': given.delivery_id}, false
        )
    ) AS is_late,
    least(given.received_at, standing.first_received_at) AS first_received_at
FROM given
LEFT JOIN standing USING (position, department, business_date)
LEFT JOIN overtaken
    ON
        given.position = overtaken.position
        AND given.department = overtaken.department
        AND given.business_date = overtaken.business_date
