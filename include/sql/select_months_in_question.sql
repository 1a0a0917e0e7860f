-- Purpose: The months that may hold a later activity of a doubtful account than was found in those looked at so far.
-- Grain: one row per dataset, activity or baseline, and month.
-- Reads: activity_bounds, looked_in, exact_activity
-- Writes: nothing, tells whose rows have to be looked at next
-- Parameters: $months (integer)
-- Rerun: same inputs give the same rows in the same order.
--
-- $months: how many at most for an account and kind of activity, the most promising first.
WITH open_bounds AS (
    SELECT
        activity_bounds.dataset,
        activity_bounds.period,
        row_number() OVER (
            PARTITION BY activity_bounds.account_key, activity_bounds.activity
            ORDER BY activity_bounds.at_latest_on DESC, activity_bounds.period DESC
        ) AS place
    FROM activity_bounds
    ANTI JOIN looked_in
        ON activity_bounds.dataset = looked_in.dataset AND activity_bounds.period = looked_in.period
    LEFT JOIN exact_activity ON activity_bounds.account_key = exact_activity.account_key
    WHERE
        coalesce(
            activity_bounds.at_latest_on > CASE activity_bounds.activity
                WHEN 'import' THEN exact_activity.last_import_on
                WHEN 'export' THEN exact_activity.last_export_on
                ELSE exact_activity.last_other_on
            END,
            TRUE
        )
)

SELECT DISTINCT
    open_bounds.dataset,
    open_bounds.period
FROM open_bounds
WHERE open_bounds.place <= $months
ORDER BY
    open_bounds.dataset,
    open_bounds.period
