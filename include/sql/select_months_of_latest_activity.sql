-- Purpose: The months of activity that may hold a row behind an account's latest import, export or other activity.
-- Grain: one row per dataset, activity or baseline, and month.
-- Reads: activity, baseline
-- Writes: nothing, says which large files have to be read
-- Parameters: $account_key (integer), $last_import_on (date), $last_export_on (date), $last_other_on (date)
-- Rerun: same inputs give the same rows in the same order.
--
-- The days are NULL where the account has no such activity. For an account of which no revision took activity away:
-- there all rows of an item that counts carry its day.
WITH seen AS (
    SELECT
        'activity' AS dataset,
        activity.period,
        activity.last_import_on,
        activity.last_export_on,
        activity.last_other_on
    FROM activity
    WHERE activity.account_key = $account_key
    UNION ALL
    SELECT
        'baseline' AS dataset,
        baseline.period,
        baseline.last_import_on,
        baseline.last_export_on,
        baseline.last_other_on
    FROM baseline
    WHERE baseline.account_key = $account_key
)

-- Not before the day, for a month may announce an export of a later day beside it.
SELECT
    seen.dataset,
    seen.period
FROM seen
WHERE
    seen.last_import_on >= $last_import_on
    OR seen.last_export_on >= $last_export_on
    OR seen.last_other_on >= $last_other_on
ORDER BY
    seen.dataset,
    seen.period
