-- Grain: one row per delivery of a source whose bytes were ever purged: when last, and why
-- Reads: purge, delivery
SELECT
    purge.delivery_id,
    purge.sha256,
    max(purge.purged_at) AS purged_at,
    arg_max(purge.reason, purge.purged_at) AS reason
FROM purge
WHERE purge.delivery_id IN (SELECT delivery_id FROM delivery WHERE source = $source)
GROUP BY purge.delivery_id, purge.sha256
