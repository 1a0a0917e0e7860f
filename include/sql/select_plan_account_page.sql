-- Purpose: Find what a plan decides by action, stratum, reason and number, in the order that is asked for, in part.
-- Grain: one row per account of the part, and one without an account where the part has none.
-- Reads: plan_accounts
-- Writes: nothing, returns what a person is shown
-- Parameters: $actions (texts), $program_type (text), $province (text), $reason (text), $bn_prefix (text),
--             $sort (text), $is_descending (flag), $rows (integer), $rows_before (integer)
-- Rerun: same inputs give the same rows in the same order.
--
-- NULL as $program_type, $province or $reason: any. $sort: bn15, program_type, province, action, reason, clock_on.
-- found: how many accounts there are, whatever the part. Only the keys are put in order.
WITH matching AS (
    SELECT
        account_key,
        CASE $sort
            WHEN 'program_type' THEN program_type
            WHEN 'province' THEN province
            WHEN 'action' THEN action
            WHEN 'reason' THEN reason
            WHEN 'clock_on' THEN CAST(clock_on AS VARCHAR)
            ELSE bn15
        END AS sort_value
    FROM plan_accounts
    WHERE
        list_contains($actions, action)
        AND (CAST($program_type AS VARCHAR) IS NULL OR program_type = $program_type)
        AND (CAST($province AS VARCHAR) IS NULL OR province = $province)
        AND (CAST($reason AS VARCHAR) IS NULL OR reason = $reason)
        AND starts_with(bn15, $bn_prefix)
),

counted AS (
    SELECT count(*) AS found
    FROM matching
),

part AS (
    SELECT
        account_key,
        sort_value
    FROM matching
    ORDER BY
        CASE WHEN $is_descending THEN sort_value END DESC NULLS LAST,
        CASE WHEN NOT $is_descending THEN sort_value END ASC NULLS LAST,
        account_key
    LIMIT $rows OFFSET $rows_before
)

SELECT
    counted.found,
    plan_accounts.bn15,
    plan_accounts.program_type,
    plan_accounts.province,
    plan_accounts.action,
    plan_accounts.new_program_type,
    plan_accounts.reason,
    plan_accounts.missing,
    plan_accounts.rule_id,
    plan_accounts.activity_seen,
    plan_accounts.clock_on,
    plan_accounts.cutoff_on,
    plan_accounts.announced_in
FROM counted
LEFT JOIN part ON TRUE
LEFT JOIN plan_accounts ON part.account_key = plan_accounts.account_key
ORDER BY
    CASE WHEN $is_descending THEN part.sort_value END DESC NULLS LAST,
    CASE WHEN NOT $is_descending THEN part.sort_value END ASC NULLS LAST,
    part.account_key
