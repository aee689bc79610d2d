-- grain: one row per target and department (null: the city) of one run, as they were stored
SELECT
    target, department, as_of, revision, baseline, goal, actual, expected, progress, spi, spi_t,
    sv_t, required_per_day, days_elapsed, days_left, coverage, status, last_observed
FROM pace
WHERE run_id = $run_id
ORDER BY rowid
