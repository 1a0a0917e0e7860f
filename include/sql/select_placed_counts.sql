-- Purpose: How many rows the run publishes, by month of placing, month of posting and way of arrival.
-- Grain: one row per such group.
-- Reads: events, calendar_months
-- Writes: nothing, returns counts for the limits and for the coverage of feeds
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    events.placed_in,
    calendar_months.posted_period,
    events.arrival,
    count(*) AS row_count
FROM events
INNER JOIN calendar_months ON events.posted_on BETWEEN calendar_months.start_on AND calendar_months.end_on
GROUP BY events.placed_in, calendar_months.posted_period, events.arrival
ORDER BY events.placed_in, calendar_months.posted_period, events.arrival
