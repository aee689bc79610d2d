-- grain: one row per delivery of a chain that was withdrawn after the chain's newest was received,
-- and before the return upon it was
SELECT DISTINCT decision.delivery_id
FROM decision
WHERE
    decision.kind = 'withdraw'
    AND list_contains($chain, decision.delivery_id)
    AND decision.position > (
        SELECT min(position) FROM delivery
        WHERE delivery_id = $newest AND received_at = $newest_received_at
    )
    -- in a rebuild, too, what counts is what was decided when the return came
    AND decision.position < coalesce(
        (
            SELECT min(position) FROM delivery
            WHERE delivery_id = $delivery_id AND received_at = $received_at
        ),
        decision.position + 1
    )
ORDER BY decision.delivery_id
