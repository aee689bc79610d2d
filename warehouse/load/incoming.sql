-- What a wave's deliveries bring, and whether something newer stands there: it changes nothing then,
-- whatever the order of processing. Rows are as old as the file that was sent, also when a return
-- mends it; of one file's returns the later received counts.

-- grain: one row per return of the wave, with when the file that it mends was received
CREATE OR REPLACE TEMP TABLE mended AS
SELECT
    given_return.position,
    given_return.laid_upon,
    -- a row may turn up where the file had none when it says whose or of when it is
    bool_or(coalesce(
        original.verdict LIKE 'accepted%'
        AND (original.department IS NULL OR original.business_date IS NULL),
        false
    )) AS may_stray,
    coalesce(max(original.received_at), given_return.received_at) AS sent_at
FROM given_return
LEFT JOIN delivery AS original
    ON
        original.delivery_id = given_return.laid_upon[1]
        AND original.received_at < given_return.received_at
GROUP BY given_return.position, given_return.laid_upon, given_return.received_at;

-- grain: one row per partition that the wave brings, with what stands against it
CREATE OR REPLACE TEMP TABLE incoming AS
WITH there AS (
    SELECT
        given.position, provider.department, provider.business_date, provider.delivery_id,
        provider.sent_at, provider.received_at, provider.first_received_at, provider.known_until
    FROM given
    INNER JOIN delivery_partition AS provider
        ON
            given.source = provider.source
            AND given.department = provider.department
            AND given.business_date = provider.business_date
            AND given.part = provider.part
    LEFT JOIN delivery AS taker ON provider.known_until = taker.position
    WHERE
        provider.known_until IS NULL
        -- what a person took away, or a return struck out, is not made up for by what had come
        -- before it
        OR (
            provider.known_from >= ${since}
            AND (
                provider.delivery_id IN (SELECT delivery_id FROM decision WHERE kind = 'withdraw')
                OR list_contains(
                    list_transform(taker.corrects, lambda one: one.delivery_id),
                    provider.delivery_id
                )
            )
        )
),

repeats AS (
    -- bytes that came again, unchanged, were received again
    SELECT delivery_id, max(received_at) AS received_at
    FROM delivery
    SEMI JOIN there USING (delivery_id)
    WHERE verdict = 'unchanged'
    GROUP BY delivery_id
),

ranked AS (
    SELECT
        there.position, there.department, there.business_date, there.delivery_id,
        there.first_received_at, there.known_until,
        {
            'sent_at': CASE
                WHEN there.sent_at < there.received_at THEN there.sent_at
                ELSE greatest(there.sent_at, repeats.received_at)
            END,
            'received_at': greatest(there.received_at, repeats.received_at),
            'id': there.delivery_id
        } AS rank
    FROM there
    LEFT JOIN repeats ON there.delivery_id = repeats.delivery_id AND there.known_until IS NULL
),

standing AS (
    SELECT
        ranked.position, ranked.department, ranked.business_date,
        max(ranked.rank) AS newest,
        min(ranked.first_received_at) FILTER (ranked.known_until IS NULL) AS first_received_at,
        count(*) FILTER (NOT list_contains(mended.laid_upon, ranked.delivery_id)) > 0 AS is_others
    FROM ranked
    LEFT JOIN mended ON ranked.position = mended.position
    GROUP BY ranked.position, ranked.department, ranked.business_date
),

-- a return may fill a day of others' that its file had no row of: it does not replace a whole one
strays AS (
    SELECT given.position, given.department, given.business_date
    FROM given
    INNER JOIN mended ON given.position = mended.position
    LEFT JOIN delivery_partition AS own
        ON
            own.delivery_id = mended.laid_upon[1]
            AND given.department = own.department
            AND given.business_date = own.business_date
    LEFT JOIN quarantine AS kept_out
        ON
            kept_out.delivery_id = mended.laid_upon[1]
            AND given.department = kept_out.department
            AND given.business_date = kept_out.business_date
    WHERE mended.may_stray AND own.delivery_id IS NULL AND kept_out.delivery_id IS NULL
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
FROM given
LEFT JOIN mended ON given.position = mended.position
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
