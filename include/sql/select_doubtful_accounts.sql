-- Purpose: Accounts whose last activity of a kind may not be the one that counts on the day: a later revision took it
--   away, or it lies after the day (an export is reported before the goods leave) and hides an earlier one.
-- Grain: one row per account.
-- Reads: activity, baseline, activity_retracted
-- Writes: nothing, is the relation doubtful
-- Parameters: $as_of (date)
-- Rerun: same inputs give the same rows in the same order.
WITH seen AS NOT MATERIALIZED (
    SELECT
        activity.account_key,
        activity.last_import_on,
        activity.last_export_on,
        activity.last_other_on
    FROM activity
    UNION ALL
    SELECT
        baseline.account_key,
        baseline.last_import_on,
        baseline.last_export_on,
        baseline.last_other_on
    FROM baseline
),

-- One test a branch: by a single column DuckDB passes over the row groups of all older months.
ahead AS (
    SELECT seen.account_key
    FROM seen
    WHERE seen.last_import_on > $as_of
    UNION ALL
    SELECT seen.account_key
    FROM seen
    WHERE seen.last_export_on > $as_of
    UNION ALL
    SELECT seen.account_key
    FROM seen
    WHERE seen.last_other_on > $as_of
),

last_seen AS (
    SELECT
        seen.account_key,
        max(seen.last_import_on) AS last_import_on,
        max(seen.last_export_on) AS last_export_on,
        max(seen.last_other_on) AS last_other_on
    FROM seen
    SEMI JOIN activity_retracted ON seen.account_key = activity_retracted.account_key
    GROUP BY seen.account_key
)

SELECT last_seen.account_key
FROM last_seen
INNER JOIN activity_retracted ON last_seen.account_key = activity_retracted.account_key
WHERE
    activity_retracted.activity_on >= CASE activity_retracted.activity
        WHEN 'import' THEN last_seen.last_import_on
        WHEN 'export' THEN last_seen.last_export_on
        ELSE last_seen.last_other_on
    END
UNION
SELECT ahead.account_key
FROM ahead
ORDER BY account_key
