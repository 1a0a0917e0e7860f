-- Purpose: Write the plan as text, for its hash: every decision with all its evidence as one line of JSON.
-- Grain: one row per decision.
-- Reads: account_decisions
-- Writes: none
-- Parameters: none
-- Rerun: reads only; the same decisions give the same text, whatever the Parquet bytes.

SELECT
    CAST(
        JSON_ARRAY(
            bn15,
            account_key,
            CAST(valid_from AS VARCHAR),
            program_type,
            province,
            activity_seen,
            CAST(last_import_on AS VARCHAR),
            CAST(last_export_on AS VARCHAR),
            CAST(last_other_on AS VARCHAR),
            CAST(last_activity_on AS VARCHAR),
            CAST(opened_on AS VARCHAR),
            CAST(reinstated_on AS VARCHAR),
            CAST(clock_on AS VARCHAR),
            CAST(cutoff_on AS VARCHAR),
            balance_cents,
            under_review_cents,
            under_review_items,
            has_open_quarantine,
            rule_id,
            proposed_action,
            proposed_program_type,
            action,
            new_program_type,
            reason,
            missing,
            announced_in,
            review_no,
            hold_no
        ) AS VARCHAR
    ) AS line
FROM account_decisions
ORDER BY
    account_key,
    line
