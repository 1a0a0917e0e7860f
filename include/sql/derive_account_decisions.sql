-- Purpose: Decide what the clean-up does with each account that is open at the end of the month, and say why.
-- Grain: one row per account open as of the month's last day.
-- Reads: account_facts, clean_up_records, coverage, needed_feeds, program_type_rules
-- Writes: account_decisions
-- Parameters: $period (text), $as_of (date), $cutoff_on (date), $announced_by (text),
--   $exporter_without_evidence (text)
-- Rerun: same inputs give the same rows in the same order.
--
-- $announced_by is the last month whose announcements have run their time; NULL where closures wait for none.
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

-- What persons recorded. Only what has not run out on the month's last day counts.
recorded AS (
    SELECT
        account_key,
        MAX(record_no) FILTER (WHERE kind = 'hold' AND (until IS NULL OR until >= $as_of)) AS hold_no,
        MAX(record_no) FILTER (WHERE kind = 'review' AND until >= $as_of) AS review_no,
        MAX(announced_in) FILTER (WHERE kind = 'announced') AS announced_in
    FROM clean_up_records
    GROUP BY account_key
),

undone AS (
    SELECT
        account_key,
        rule_id,
        MAX(effective_on) AS undone_on
    FROM clean_up_records
    WHERE kind = 'undone'
    GROUP BY
        account_key,
        rule_id
),

-- What each change of each program type rests on. A feed that is needed and has no row here was not received.
feeds AS (
    SELECT
        needed_feeds.program_type,
        needed_feeds.change,
        needed_feeds.feed,
        COALESCE(BOOL_AND(COALESCE(coverage.covered, FALSE)), FALSE) AS is_covered,
        COALESCE(STRING_AGG(NULLIF(coverage.missing, ''), ',' ORDER BY coverage.missing), 'every month') AS missing
    FROM needed_feeds
    LEFT JOIN coverage
        ON needed_feeds.feed = coverage.feed
    GROUP BY
        needed_feeds.program_type,
        needed_feeds.change,
        needed_feeds.feed
),

evidence AS (
    SELECT
        program_type,
        change,
        BOOL_AND(is_covered) AS is_covered,
        STRING_AGG(feed || ' ' || REPLACE(missing, ',', ', '), '; ' ORDER BY feed) FILTER (WHERE NOT is_covered)
            AS missing
    FROM feeds
    GROUP BY
        program_type,
        change
),

-- Which feeds an account of a type that nobody knows would need, nobody knows either: all of them.
everything AS (
    SELECT COALESCE(BOOL_AND(is_covered), FALSE) AS is_covered
    FROM evidence
),

cells AS (
    SELECT
        rules.rule_id,
        rules.program_type,
        rules.activity_seen,
        rules.action,
        rules.reason,
        CASE WHEN rules.action = 'convert' THEN rules.new_program_type END AS new_program_type,
        COALESCE(evidence.is_covered, FALSE) AS is_covered,
        evidence.missing
    FROM program_type_rules AS rules
    LEFT JOIN evidence
        ON
            rules.program_type = evidence.program_type
            AND CASE WHEN rules.action = 'convert' THEN rules.new_program_type ELSE 'close' END = evidence.change
),

seen AS (
    SELECT
        facts.*,
        COALESCE(evidence.is_covered, everything.is_covered) AND NOT facts.has_open_quarantine AS is_absence_told,
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
    CROSS JOIN everything
    LEFT JOIN evidence
        ON
            facts.program_type = evidence.program_type
            AND evidence.change = 'close'
),

told AS (
    SELECT
        seen.*,
        CASE
            WHEN has_import AND has_export THEN 'both'
            WHEN has_import THEN 'import'
            WHEN has_export THEN 'export'
            WHEN is_absence_told THEN 'none'
            ELSE 'unknown'
        END AS activity_seen
    FROM seen
),

-- What the rule table alone would do. Its columns "none" and "unknown" speak of dormant accounts only.
proposed AS (
    SELECT
        told.*,
        cells.rule_id,
        cells.is_covered,
        cells.missing,
        recorded.hold_no,
        recorded.review_no,
        recorded.announced_in,
        undone.undone_on,
        cells.new_program_type AS proposed_program_type,
        CASE
            WHEN cells.rule_id IS NULL THEN 'review'
            WHEN told.has_import OR told.has_export THEN cells.action
            WHEN told.clock_on IS NULL THEN 'review'
            WHEN told.clock_on >= $cutoff_on THEN 'keep'
            ELSE cells.action
        END AS proposed_action,
        CASE
            WHEN cells.rule_id IS NULL THEN 'unknown_program_type'
            WHEN told.has_import OR told.has_export THEN cells.reason
            WHEN told.clock_on IS NULL THEN 'unknown_open_date'
            -- A drawback claim within the window says nothing of the type, but somebody works with the account.
            WHEN told.last_activity_on >= $cutoff_on THEN 'active'
            WHEN told.clock_on >= $cutoff_on THEN 'younger_than_4_years'
            ELSE cells.reason
        END AS proposed_reason
    FROM told
    LEFT JOIN cells
        ON
            told.program_type = cells.program_type
            AND told.activity_seen = cells.activity_seen
    LEFT JOIN recorded
        ON told.account_key = recorded.account_key
    LEFT JOIN undone
        ON
            told.account_key = undone.account_key
            AND cells.rule_id = undone.rule_id
),

-- The first test that stops the proposal, by the word for its reason; NULL where the proposal stands.
tested AS (
    SELECT
        proposed.*,
        hold_reason IS NOT NULL AND COALESCE(hold_until >= $as_of, TRUE) AS is_held_by_register,
        CASE
            WHEN proposed_action NOT IN ('close', 'convert', 'unknown') THEN NULL
            WHEN NOT is_covered THEN 'coverage_incomplete'
            WHEN has_open_quarantine THEN 'row_in_quarantine'
            WHEN
                $exporter_without_evidence = 'review'
                AND program_type IN ('exporter', 'dual')
                AND NOT has_export
                THEN 'exporter_without_evidence'
            -- Until there is other evidence: a day since then that speaks against what was undone.
            WHEN
                undone_on IS NOT NULL
                AND COALESCE(
                    CASE proposed_program_type
                        WHEN 'exporter' THEN last_import_on
                        WHEN 'importer' THEN last_export_on
                        ELSE clock_on
                    END < undone_on, TRUE
                )
                THEN 'undone_by_person'
            WHEN is_held_by_register OR hold_no IS NOT NULL THEN 'on_hold'
            -- An importer may keep its debts; who loses the right to import, or the account, must have none.
            WHEN proposed_program_type = 'importer' THEN NULL
            -- Items are counted: two that cancel out are still two questions that nobody has answered.
            WHEN COALESCE(under_review_items <> 0, TRUE) THEN 'under_review'
            WHEN COALESCE(balance_cents <> 0, TRUE) THEN 'balance_not_zero'
        END AS stopped_by
    FROM proposed
),

-- What comes out without the review of a person. A closure that nothing stops may still have to be announced first.
weighed AS (
    SELECT
        tested.*,
        CASE
            WHEN stopped_by IN ('coverage_incomplete', 'row_in_quarantine') THEN 'unknown'
            WHEN stopped_by IN ('exporter_without_evidence', 'undone_by_person') THEN 'review'
            WHEN stopped_by IS NOT NULL THEN 'hold'
            WHEN proposed_action <> 'close' OR CAST($announced_by AS VARCHAR) IS NULL THEN proposed_action
            WHEN announced_in <= $announced_by THEN 'close'
            ELSE 'candidate'
        END AS outcome
    FROM tested
),

decided AS (
    SELECT
        weighed.*,
        CASE WHEN outcome IN ('review', 'unknown') AND review_no IS NOT NULL THEN 'keep' ELSE outcome END AS action,
        CASE
            WHEN outcome = 'candidate' THEN 'closure_announced'
            WHEN stopped_by IS NULL OR stopped_by = 'exporter_without_evidence' THEN proposed_reason
            ELSE stopped_by
        END AS reason
    FROM weighed
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
    reason,
    CASE WHEN action = 'unknown' AND reason = 'coverage_incomplete' THEN missing END AS missing,
    CASE
        WHEN action = 'candidate' THEN COALESCE(announced_in, $period)
        WHEN action = 'close' AND CAST($announced_by AS VARCHAR) IS NOT NULL THEN announced_in
    END AS announced_in,
    CASE WHEN outcome IN ('review', 'unknown') THEN review_no END AS review_no,
    CASE WHEN stopped_by = 'on_hold' AND NOT is_held_by_register THEN hold_no END AS hold_no
FROM decided
ORDER BY account_key
