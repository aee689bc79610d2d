-- Grain: one row per delivery whose bytes were last received, by any delivery, before $before
-- Reads: delivery
SELECT sha256, delivery_id
FROM delivery
GROUP BY sha256, delivery_id
QUALIFY max(max(received_at)) OVER (PARTITION BY sha256) < $before
ORDER BY sha256, delivery_id
