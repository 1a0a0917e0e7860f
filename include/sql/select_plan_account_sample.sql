-- Purpose: Draw a few accounts of each stratum of a plan, the same ones for everybody who looks at it.
-- Grain: one row per account that was drawn.
-- Reads: plan_accounts
-- Writes: nothing, returns what a person is shown
-- Parameters: $actions (texts), $plan_hash (text), $size (integer)
-- Rerun: same inputs give the same rows in the same order.
--
-- The plan's hash draws: nobody can choose it, and who looks again sees the same accounts.
WITH drawn AS (
    SELECT
        plan_accounts.*,
        count(*) OVER (PARTITION BY action, program_type, province) AS accounts,
        row_number() OVER (
            PARTITION BY action, program_type, province
            ORDER BY md5($plan_hash || bn15), bn15
        ) AS drawn_no
    FROM plan_accounts
    WHERE list_contains($actions, action)
)

SELECT
    action,
    program_type,
    province,
    accounts,
    bn15,
    new_program_type,
    reason,
    rule_id,
    clock_on
FROM drawn
WHERE drawn_no <= $size
ORDER BY
    action,
    program_type,
    province,
    drawn_no
