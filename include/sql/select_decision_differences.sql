-- Purpose: Say of which accounts a shadow run of an issued month decided otherwise than the record.
-- Grain: one row per account with another decision, or with a decision on one side alone.
-- Reads: decisions_record, decisions_shadow
-- Writes: nothing, returns the accounts with both decisions
-- Parameters: none
-- Rerun: the same relations give the same rows in the same order.
SELECT
    COALESCE(decisions_record.bn15, decisions_shadow.bn15) AS bn15,
    decisions_record.action AS action_record,
    decisions_record.new_program_type AS new_program_type_record,
    decisions_record.reason AS reason_record,
    decisions_shadow.action AS action_shadow,
    decisions_shadow.new_program_type AS new_program_type_shadow,
    decisions_shadow.reason AS reason_shadow
FROM decisions_record
FULL OUTER JOIN decisions_shadow
    ON decisions_record.account_key = decisions_shadow.account_key
WHERE
    (decisions_record.action IS DISTINCT FROM decisions_shadow.action)
    OR (decisions_record.new_program_type IS DISTINCT FROM decisions_shadow.new_program_type)
    OR (decisions_record.reason IS DISTINCT FROM decisions_shadow.reason)
ORDER BY COALESCE(decisions_record.account_key, decisions_shadow.account_key)
