-- Purpose: The accounts in which two plans differ in one way, in part.
-- Grain: one row per account.
-- Reads: plan_differences
-- Writes: nothing, returns what a person is shown
-- Parameters: $difference (text), $rows (integer), $rows_before (integer)
-- Rerun: same inputs give the same rows in the same order.
SELECT
    bn15,
    program_type,
    action_before,
    new_program_type_before,
    reason_before,
    action_after,
    new_program_type_after,
    reason_after
FROM plan_differences
WHERE difference = $difference
ORDER BY bn15
LIMIT $rows OFFSET $rows_before
