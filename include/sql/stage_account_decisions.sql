-- Purpose: Gather what the second gate judges of the decisions before anything is applied.
-- Grain: one row per decision, numbered; key_copies counts the decisions of its account.
-- Reads: account_decisions
-- Writes: none
-- Parameters: none
-- Rerun: reads only; the same decisions give the same rows in the same order.

SELECT
    bn15,
    program_type,
    activity_seen,
    last_activity_on,
    cutoff_on,
    clock_on,
    balance_cents,
    under_review_cents,
    has_open_quarantine,
    action,
    new_program_type,
    reason,
    rule_id,
    missing,
    announced_in,
    review_no,
    hold_no,
    ROW_NUMBER() OVER (ORDER BY account_key, bn15) AS row_no,
    COUNT(*) OVER (PARTITION BY bn15) AS key_copies
FROM account_decisions
ORDER BY row_no
