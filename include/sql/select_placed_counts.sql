-- Purpose: How many rows the run publishes, by month of placing, month of posting and way of arrival.
-- Grain: one row per such group.
-- Reads: events, calendar_months
-- Writes: nothing, returns counts for the limits and for the coverage of feeds
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH counted AS (
    -- Counted by day first: a join by a range looks at each row, and a month has few days.
    SELECT
        events.placed_in,
        events.posted_on,
        events.arrival,
        count(*) AS row_count
    FROM events
    GROUP BY events.placed_in, events.posted_on, events.arrival
)

SELECT
    counted.placed_in,
    calendar_months.posted_period,
    counted.arrival,
    CAST(sum(counted.row_count) AS BIGINT) AS row_count
FROM counted
INNER JOIN calendar_months ON counted.posted_on BETWEEN calendar_months.start_on AND calendar_months.end_on
GROUP BY counted.placed_in, calendar_months.posted_period, counted.arrival
ORDER BY counted.placed_in, calendar_months.posted_period, counted.arrival
