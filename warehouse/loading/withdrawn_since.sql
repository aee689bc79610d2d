-- Grain: one row per delivery of a chain of returns that was withdrawn after the newest of the chain
--     was received, and before the return that is laid upon it.
-- Reads: decision, delivery
SELECT DISTINCT decision.delivery_id
FROM decision
WHERE
    decision.kind = 'withdraw'
    AND list_contains($chain, decision.delivery_id)
    AND decision.position > (
        SELECT min(position) FROM delivery
        WHERE delivery_id = $newest AND received_at = $newest_received_at
    )
    -- A rebuild judges by what was decided when the return came, not by what was decided since.
    AND decision.position < coalesce(
        (
            SELECT min(position) FROM delivery
            WHERE delivery_id = $delivery_id AND received_at = $received_at
        ),
        decision.position + 1
    )
ORDER BY decision.delivery_id
