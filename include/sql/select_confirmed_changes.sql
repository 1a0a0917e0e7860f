-- Purpose: Say of changes that were handed over whether the register made them.
-- Grain: one row per change whose account is in the extract.
-- Reads: handed_over, accounts
-- Writes: none
-- Parameters: none
-- Rerun: reads only; the same rows in the same order.
SELECT
    handed_over.plan_hash,
    handed_over.bn15,
    CASE
        WHEN handed_over.action = 'close' AND accounts.status = 'closed' THEN 'confirmed'
        WHEN handed_over.action = 'convert' AND accounts.program_type = handed_over.new_program_type THEN 'confirmed'
        ELSE 'not_done'
    END AS outcome
FROM handed_over
INNER JOIN accounts
    ON handed_over.bn15 = accounts.bn15
ORDER BY
    handed_over.plan_hash,
    handed_over.bn15
