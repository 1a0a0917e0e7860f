-- Purpose: Pick the part of a plan that changes accounts.
-- Grain: one row per account to be closed or converted.
-- Reads: account_decisions
-- Writes: none
-- Parameters: none
-- Rerun: reads only.

SELECT
    bn15,
    account_key,
    valid_from,
    program_type,
    action,
    new_program_type,
    rule_id,
    reason
FROM account_decisions
WHERE action IN ('close', 'convert')
ORDER BY account_key
