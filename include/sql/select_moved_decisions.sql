-- Purpose: Count the accounts that a shadow run decided otherwise, by what was decided and what would be.
-- Grain: one row per decision on record and decision in shadow.
-- Reads: decision_differences
-- Writes: nothing, returns counts
-- Parameters: none
-- Rerun: the same relation gives the same rows in the same order.
SELECT
    action_record,
    new_program_type_record,
    reason_record,
    action_shadow,
    new_program_type_shadow,
    reason_shadow,
    COUNT(*) AS accounts
FROM decision_differences
GROUP BY
    action_record,
    new_program_type_record,
    reason_record,
    action_shadow,
    new_program_type_shadow,
    reason_shadow
ORDER BY
    action_record NULLS FIRST,
    reason_record NULLS FIRST,
    action_shadow NULLS FIRST,
    reason_shadow NULLS FIRST,
    new_program_type_record NULLS FIRST,
    new_program_type_shadow NULLS FIRST
