-- Purpose: Count how two plans differ.
-- Grain: one row per difference and what was and is decided.
-- Reads: plan_differences
-- Writes: nothing, returns what a person is shown
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    difference,
    action_before,
    new_program_type_before,
    reason_before,
    action_after,
    new_program_type_after,
    reason_after,
    count(*) AS accounts
FROM plan_differences
GROUP BY ALL
ORDER BY
    difference,
    accounts DESC,
    action_before,
    new_program_type_before,
    reason_before,
    action_after,
    new_program_type_after,
    reason_after
