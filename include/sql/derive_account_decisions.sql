-- Purpose: Decide what the clean-up does with each account that is open at the end of the month, and say why.
-- Grain: one row per account open as of the month's last day.
-- Reads: account_facts, coverage, program_type_rules
-- Writes: account_decisions
-- Parameters: $as_of (date), $cutoff_on (date), $exporter_without_evidence (text)
-- Rerun: same inputs give the same rows in the same order.
--
-- The order of the tests is the rule: what proposes no change is settled first, then the evidence is looked at (a
-- change rests on absence, and absence can be told only where everything was received), then what holds a change back.
-- A value that is missing where it should decide never lets a change pass: hence every COALESCE.

WITH facts AS (
    SELECT
        bn15,
        account_key,
        valid_from,
        program_type,
        province,
        opened_on,
        reinstated_on,
        hold_reason,
        hold_until,
        balance_cents,
        under_review_cents,
        under_review_items,
        -- Goods that move after the period's end are evidence for a later month.
        CASE WHEN last_import_on <= $as_of THEN last_import_on END AS last_import_on,
        CASE WHEN last_export_on <= $as_of THEN last_export_on END AS last_export_on,
        CASE WHEN last_other_on <= $as_of THEN last_other_on END AS last_other_on,
        COALESCE(has_open_quarantine, TRUE) AS has_open_quarantine
    FROM account_facts
    WHERE status = 'open'
),

rules AS (
    SELECT
        rule_id,
        program_type,
        activity_seen,
        action,
        new_program_type,
        reason
    FROM program_type_rules
),

-- A feed without a row here was not received. Every feed counts for closing, these two each for one kind of correction.
feeds AS (
    SELECT
        COALESCE(BOOL_AND(COALESCE(covered, FALSE)) FILTER (WHERE feed = 'transactions'), FALSE) AS is_import_covered,
        COALESCE(
            BOOL_AND(COALESCE(covered, FALSE)) FILTER (WHERE feed = 'export_declarations'), FALSE
        ) AS is_export_covered,
        COALESCE(BOOL_AND(COALESCE(covered, FALSE)), FALSE) AS is_each_covered
    FROM coverage
),

seen AS (
    SELECT
        facts.*,
        feeds.is_import_covered,
        feeds.is_export_covered,
        feeds.is_each_covered AND feeds.is_import_covered AND feeds.is_export_covered AS is_all_covered,
        COALESCE(facts.last_import_on >= $cutoff_on, FALSE) AS has_import,
        COALESCE(facts.last_export_on >= $cutoff_on, FALSE) AS has_export,
        -- GREATEST passes over NULL; it is NULL only where every date is.
        GREATEST(facts.last_import_on, facts.last_export_on, facts.last_other_on) AS last_activity_on,
        GREATEST(
            facts.last_import_on,
            facts.last_export_on,
            facts.last_other_on,
            facts.opened_on,
            facts.reinstated_on
        ) AS clock_on
    FROM facts
    CROSS JOIN feeds
),

told AS (
    SELECT
        seen.*,
        CASE
            WHEN has_import AND has_export THEN 'both'
            WHEN has_import THEN 'import'
            WHEN has_export THEN 'export'
            WHEN is_all_covered AND NOT has_open_quarantine THEN 'none'
            ELSE 'unknown'
        END AS activity_seen
    FROM seen
),

-- What the rule table alone would do. Its columns "none" and "unknown" speak of dormant accounts only.
proposed AS (
    SELECT
        told.*,
        rules.rule_id,
        CASE
            WHEN rules.rule_id IS NULL THEN 'review'
            WHEN told.has_import OR told.has_export THEN rules.action
            WHEN told.clock_on IS NULL THEN 'review'
            WHEN told.clock_on >= $cutoff_on THEN 'keep'
            ELSE rules.action
        END AS proposed_action,
        CASE
            WHEN rules.rule_id IS NULL THEN 'unknown_program_type'
            WHEN told.has_import OR told.has_export THEN rules.reason
            WHEN told.clock_on IS NULL THEN 'unknown_open_date'
            -- A drawback claim within the window says nothing of the type, but somebody works with the account.
            WHEN told.last_activity_on >= $cutoff_on THEN 'active'
            WHEN told.clock_on >= $cutoff_on THEN 'younger_than_4_years'
            ELSE rules.reason
        END AS proposed_reason,
        CASE WHEN rules.action = 'convert' THEN rules.new_program_type END AS proposed_program_type
    FROM told
    LEFT JOIN rules
        ON
            told.program_type = rules.program_type
            AND told.activity_seen = rules.activity_seen
),

-- The first test that stops the proposal, by the word for its reason; NULL where the proposal stands.
tested AS (
    SELECT
        proposed.*,
        CASE
            WHEN proposed_action NOT IN ('close', 'convert', 'unknown') THEN NULL
            WHEN
                NOT CASE
                    WHEN proposed_program_type = 'exporter' THEN is_import_covered
                    WHEN proposed_program_type = 'importer' THEN is_export_covered
                    ELSE is_all_covered
                END
                THEN 'coverage_incomplete'
            WHEN has_open_quarantine THEN 'row_in_quarantine'
            WHEN
                $exporter_without_evidence = 'review'
                AND program_type IN ('exporter', 'dual')
                AND NOT has_export
                THEN 'exporter_without_evidence'
            WHEN hold_reason IS NOT NULL AND (hold_until IS NULL OR hold_until >= $as_of) THEN 'on_hold'
            -- An importer may keep its debts; who loses the right to import, or the account, must have none.
            WHEN proposed_program_type = 'importer' THEN NULL
            -- Items are counted: two that cancel out are still two questions that nobody has answered.
            WHEN COALESCE(under_review_items <> 0, TRUE) THEN 'under_review'
            WHEN COALESCE(balance_cents <> 0, TRUE) THEN 'balance_not_zero'
        END AS stopped_by
    FROM proposed
),

decided AS (
    SELECT
        tested.*,
        CASE
            WHEN stopped_by IS NULL THEN proposed_action
            WHEN stopped_by IN ('coverage_incomplete', 'row_in_quarantine') THEN 'unknown'
            WHEN stopped_by = 'exporter_without_evidence' THEN 'review'
            ELSE 'hold'
        END AS action,
        CASE
            WHEN stopped_by IS NULL OR stopped_by = 'exporter_without_evidence' THEN proposed_reason
            ELSE stopped_by
        END AS reason
    FROM tested
)

SELECT
    bn15,
    account_key,
    valid_from,
    program_type,
    province,
    activity_seen,
    last_import_on,
    last_export_on,
    last_other_on,
    last_activity_on,
    opened_on,
    reinstated_on,
    clock_on,
    CAST($cutoff_on AS DATE) AS cutoff_on,
    balance_cents,
    under_review_cents,
    under_review_items,
    has_open_quarantine,
    rule_id,
    proposed_action,
    proposed_program_type,
    action,
    CASE WHEN action = 'convert' THEN proposed_program_type END AS new_program_type,
    reason
FROM decided
ORDER BY account_key
