-- Purpose: What a plan decides about each account, as people look through it.
-- Grain: one row per decision.
-- Reads: account_decisions
-- Writes: nothing, is the relation plan_accounts
-- Parameters: none
-- Rerun: same decisions give the same rows, in no order.
--
-- A candidate whose closure an earlier month announced is told nothing new: it is waiting, as the breaker counts it. No
-- amount is among the columns.
SELECT
    bn15,
    account_key,
    coalesce(program_type, 'unknown') AS program_type,
    coalesce(province, 'unknown') AS province,
    CASE
        WHEN action = 'candidate' AND announced_in <> period THEN 'waiting'
        ELSE action
    END AS action,
    new_program_type,
    reason,
    missing,
    rule_id,
    activity_seen,
    clock_on,
    cutoff_on,
    announced_in
FROM account_decisions
