-- Grain: one row per target and department (null: the city) of a run (null: the newest), as stored
-- Reads: pace, run
SELECT ${columns}
FROM pace
WHERE run_id = coalesce($run_id, (SELECT arg_max(run_id, finished_at) FROM run))
ORDER BY rowid
