-- grain: one row per place whose newest input was not taken: a judgement that waits for a person
SELECT *
FROM delivery
WHERE verdict <> 'unchanged'
QUALIFY
    row_number() OVER (
        PARTITION BY source, department, business_date, part
        ORDER BY received_at DESC, position DESC
    ) = 1
    AND verdict IN ('rejected', 'held', 'unreadable')
    AND received_at >= :since
ORDER BY position
