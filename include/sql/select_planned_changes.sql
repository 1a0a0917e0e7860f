-- Purpose: Pick the part of a plan that touches clients, with what each change rests on.
-- Grain: one row per account to be closed or converted, or whose closure is announced this month.
-- Reads: account_decisions
-- Writes: none
-- Parameters: $period (text)
-- Rerun: reads only.
--
-- Of a balance the evidence says only whether there was one: the journal is read by more people than the ledger.
SELECT
    bn15,
    account_key,
    valid_from,
    program_type,
    action,
    new_program_type,
    rule_id,
    reason,
    activity_seen,
    last_import_on,
    last_export_on,
    last_other_on,
    last_activity_on,
    opened_on,
    reinstated_on,
    clock_on,
    cutoff_on,
    CASE
        WHEN balance_cents = 0 THEN 'zero'
        ELSE 'not_zero'
    END AS balance,
    under_review_items,
    announced_in
FROM account_decisions
WHERE
    action IN ('close', 'convert')
    OR (action = 'candidate' AND announced_in = $period)
ORDER BY account_key
