-- Purpose: The months in which a doubtful account's last activity up to the day can lie, and its latest day in each.
-- Grain: one row per doubtful account, kind of activity, and month in which it has any.
-- Reads: activity, baseline, doubtful
-- Writes: nothing, is the relation activity_bounds
-- Parameters: $as_of (date)
-- Rerun: same inputs give the same rows, in no order.
WITH seen AS (
    SELECT
        'activity' AS dataset,
        activity.period,
        activity.account_key,
        activity.last_import_on,
        activity.last_export_on,
        activity.last_other_on
    FROM activity
    SEMI JOIN doubtful ON activity.account_key = doubtful.account_key
    UNION ALL
    SELECT
        'baseline' AS dataset,
        baseline.period,
        baseline.account_key,
        baseline.last_import_on,
        baseline.last_export_on,
        baseline.last_other_on
    FROM baseline
    SEMI JOIN doubtful ON baseline.account_key = doubtful.account_key
),

by_kind AS (
    SELECT
        seen.dataset,
        seen.period,
        seen.account_key,
        'import' AS activity,
        seen.last_import_on AS last_on
    FROM seen
    UNION ALL
    SELECT
        seen.dataset,
        seen.period,
        seen.account_key,
        'export' AS activity,
        seen.last_export_on AS last_on
    FROM seen
    UNION ALL
    SELECT
        seen.dataset,
        seen.period,
        seen.account_key,
        'other' AS activity,
        seen.last_other_on AS last_on
    FROM seen
)

SELECT
    by_kind.dataset,
    by_kind.period,
    by_kind.account_key,
    by_kind.activity,
    least(by_kind.last_on, $as_of) AS at_latest_on
FROM by_kind
WHERE by_kind.last_on IS NOT NULL
