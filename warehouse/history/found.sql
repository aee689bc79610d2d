-- the nearest totals in force join those that the wave states
INSERT INTO observed
SELECT DISTINCT
    ${entry}, department, business_date, ${texts}, cumulative, increment, correction,
    NULL, NULL, NULL
FROM neighbour
