-- Purpose: In which months anything was published of the accounts asked for.
-- Grain: one row per dataset, activity or baseline, and month.
-- Reads: activity, baseline, asked_accounts
-- Writes: nothing, tells whose rows have to be looked at
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT DISTINCT
    'activity' AS dataset,
    activity.period
FROM activity
SEMI JOIN asked_accounts ON activity.account_key = asked_accounts.account_key
UNION ALL
SELECT DISTINCT
    'baseline' AS dataset,
    baseline.period
FROM baseline
SEMI JOIN asked_accounts ON baseline.account_key = asked_accounts.account_key
ORDER BY
    dataset,
    period
