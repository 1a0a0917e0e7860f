-- Purpose: How many accounts got which decision, for the month's summary.
-- Grain: one row per action and reason.
-- Reads: account_decisions
-- Writes: nothing, returns counts
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    account_decisions.action,
    account_decisions.reason,
    count(*) AS accounts
FROM account_decisions
GROUP BY account_decisions.action, account_decisions.reason
ORDER BY account_decisions.action, account_decisions.reason
