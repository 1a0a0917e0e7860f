-- Purpose: Compare what two plans do to clients.
-- Grain: one row per account that one of the plans touches and the other does not, or not so.
-- Reads: decisions_before, decisions_after
-- Writes: none
-- Parameters: none
-- Rerun: reads only; the same rows in the same order.
--
-- Only what one of the plans touches is looked up in both: a plan changes few of its accounts.
WITH touched AS (
    SELECT account_key
    FROM decisions_before
    WHERE action IN ('close', 'convert', 'candidate')
    UNION
    SELECT account_key
    FROM decisions_after
    WHERE action IN ('close', 'convert', 'candidate')
),

paired AS (
    SELECT
        touched.account_key,
        COALESCE(decisions_after.bn15, decisions_before.bn15) AS bn15,
        COALESCE(decisions_after.program_type, decisions_before.program_type) AS program_type,
        decisions_before.action AS action_before,
        decisions_before.new_program_type AS new_program_type_before,
        decisions_before.reason AS reason_before,
        decisions_before.rule_id AS rule_id_before,
        decisions_after.action AS action_after,
        decisions_after.new_program_type AS new_program_type_after,
        decisions_after.reason AS reason_after,
        decisions_after.rule_id AS rule_id_after,
        COALESCE(decisions_before.action IN ('close', 'convert', 'candidate'), FALSE) AS was_in,
        COALESCE(decisions_after.action IN ('close', 'convert', 'candidate'), FALSE) AS is_in
    FROM touched
    LEFT JOIN decisions_before ON touched.account_key = decisions_before.account_key
    LEFT JOIN decisions_after ON touched.account_key = decisions_after.account_key
)

SELECT
    CASE
        WHEN NOT was_in THEN 'entered'
        WHEN NOT is_in THEN 'left'
        ELSE 'changed'
    END AS difference,
    bn15,
    program_type,
    action_before,
    new_program_type_before,
    reason_before,
    rule_id_before,
    action_after,
    new_program_type_after,
    reason_after,
    rule_id_after
FROM paired
WHERE
    was_in <> is_in
    OR (
        was_in
        AND is_in
        AND (
            (action_before IS DISTINCT FROM action_after)
            OR (new_program_type_before IS DISTINCT FROM new_program_type_after)
            OR (rule_id_before IS DISTINCT FROM rule_id_after)
        )
    )
ORDER BY
    difference,
    account_key
