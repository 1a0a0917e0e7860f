-- Purpose: Find decisions that facts, records and rule table do not bear, looked at again without the deciding
--   statement.
-- Grain: one row per problem and account; an empty result means that the decisions hold.
-- Reads: account_decisions, account_facts, clean_up_records, coverage, needed_feeds, program_type_rules
-- Writes: none
-- Parameters: $period (text), $as_of (date), $cutoff_on (date), $announced_by (text),
--   $exporter_without_evidence (text)
-- Rerun: reads only.
--
-- $announced_by is the last month whose announcements have run their time; NULL where closures wait for none.

WITH changes AS (
    SELECT
        account_key,
        bn15,
        program_type,
        activity_seen,
        action,
        -- A closure that is announced is looked at as the closure that it will be.
        CASE WHEN action = 'candidate' THEN 'close' ELSE action END AS rule_action,
        COALESCE(new_program_type, 'close') AS change,
        new_program_type,
        reason,
        rule_id,
        announced_in
    FROM account_decisions
    WHERE action IN ('close', 'convert', 'candidate')
),

-- The feeds that are there without a doubt: named, and never said to be missing.
covered AS (
    SELECT feed
    FROM coverage
    GROUP BY feed
    HAVING COUNT(*) FILTER (WHERE covered IS DISTINCT FROM TRUE) = 0
),

-- A program type that the policy does not name has no feed here, and so may not change.
borne AS (
    SELECT
        needed_feeds.program_type,
        needed_feeds.change
    FROM needed_feeds
    LEFT JOIN covered
        ON needed_feeds.feed = covered.feed
    GROUP BY
        needed_feeds.program_type,
        needed_feeds.change
    HAVING COUNT(*) = COUNT(covered.feed)
),

announced AS (
    SELECT
        account_key,
        MAX(announced_in) AS announced_in
    FROM clean_up_records
    WHERE kind = 'announced'
    GROUP BY account_key
),

told AS (
    SELECT
        changes.account_key,
        changes.bn15,
        changes.program_type,
        changes.change,
        changes.rule_id,
        account_facts.last_import_on,
        account_facts.last_export_on,
        GREATEST(
            account_facts.last_import_on,
            account_facts.last_export_on,
            account_facts.last_other_on,
            account_facts.opened_on,
            account_facts.reinstated_on
        ) AS clock_on,
        account_facts.hold_reason,
        account_facts.hold_until,
        account_facts.balance_cents,
        account_facts.under_review_items,
        account_facts.has_open_quarantine
    FROM changes
    INNER JOIN account_facts
        ON changes.account_key = account_facts.account_key
),

problems AS (
    SELECT
        'an open account has no decision' AS problem,
        account_facts.bn15
    FROM account_facts
    LEFT JOIN account_decisions
        ON account_facts.account_key = account_decisions.account_key
    WHERE
        account_facts.status = 'open'
        AND account_decisions.account_key IS NULL
    UNION ALL
    SELECT
        'a decision is not about an open account in the version and type of the facts' AS problem,
        account_decisions.bn15
    FROM account_decisions
    LEFT JOIN account_facts
        ON
            account_decisions.account_key = account_facts.account_key
            AND account_decisions.bn15 = account_facts.bn15
            AND account_decisions.valid_from = account_facts.valid_from
            AND account_decisions.program_type IS NOT DISTINCT FROM account_facts.program_type
            AND account_facts.status = 'open'
    WHERE account_facts.account_key IS NULL
    UNION ALL
    SELECT
        'a fact tells of activity after the period, which may hide an earlier one' AS problem,
        bn15
    FROM account_facts
    WHERE GREATEST(last_import_on, last_export_on, last_other_on) > $as_of
    UNION ALL
    SELECT
        'a change is not an arrow of the rule table' AS problem,
        changes.bn15
    FROM changes
    LEFT JOIN program_type_rules AS rules
        ON
            changes.rule_id = rules.rule_id
            AND changes.program_type = rules.program_type
            AND changes.activity_seen = rules.activity_seen
            AND changes.rule_action = rules.action
            AND changes.new_program_type IS NOT DISTINCT FROM rules.new_program_type
            AND changes.reason = CASE WHEN changes.action = 'candidate' THEN 'closure_announced' ELSE rules.reason END
    WHERE rules.rule_id IS NULL
    UNION ALL
    SELECT
        'a change rests on a feed that is not covered' AS problem,
        changes.bn15
    FROM changes
    LEFT JOIN borne
        ON
            changes.program_type = borne.program_type
            AND changes.change = borne.change
    WHERE borne.change IS NULL
    UNION ALL
    SELECT
        'a change rests on an account with a row in quarantine' AS problem,
        bn15
    FROM told
    WHERE has_open_quarantine IS DISTINCT FROM FALSE
    UNION ALL
    SELECT
        'an account that is not dormant would be closed' AS problem,
        bn15
    FROM told
    WHERE
        change = 'close'
        AND COALESCE(clock_on >= $cutoff_on, TRUE)
    UNION ALL
    SELECT
        'a program type would be corrected to one that was not the only one seen' AS problem,
        bn15
    FROM told
    WHERE
        (change = 'importer' AND NOT COALESCE(last_import_on >= $cutoff_on, FALSE))
        OR (change = 'importer' AND COALESCE(last_export_on >= $cutoff_on, FALSE))
        OR (change = 'exporter' AND NOT COALESCE(last_export_on >= $cutoff_on, FALSE))
        OR (change = 'exporter' AND COALESCE(last_import_on >= $cutoff_on, FALSE))
    UNION ALL
    SELECT
        'an exporter would change for lack of export evidence, against the policy' AS problem,
        bn15
    FROM told
    WHERE
        $exporter_without_evidence = 'review'
        AND program_type IN ('exporter', 'dual')
        AND change <> 'exporter'
    UNION ALL
    SELECT
        'an account with a hold on record would change' AS problem,
        told.bn15
    FROM told
    LEFT JOIN clean_up_records AS records
        ON
            told.account_key = records.account_key
            AND records.kind = 'hold'
            AND COALESCE(records.until, $as_of) >= $as_of
    WHERE
        records.account_key IS NOT NULL
        OR (told.hold_reason IS NOT NULL AND COALESCE(told.hold_until, $as_of) >= $as_of)
    UNION ALL
    SELECT
        'an account with open money would be closed or lose the right to import' AS problem,
        bn15
    FROM told
    WHERE
        change <> 'importer'
        AND (
            balance_cents IS DISTINCT FROM 0
            OR under_review_items IS DISTINCT FROM 0
        )
    UNION ALL
    SELECT
        'a change that a person undid would be made again on the same evidence' AS problem,
        told.bn15
    FROM told
    INNER JOIN clean_up_records AS records
        ON
            told.account_key = records.account_key
            AND records.kind = 'undone'
            AND told.rule_id = records.rule_id
    WHERE
        (told.change = 'close' AND told.clock_on < records.effective_on)
        OR (told.change = 'importer' AND COALESCE(told.last_export_on, DATE '0001-01-01') < records.effective_on)
        OR (told.change = 'exporter' AND COALESCE(told.last_import_on, DATE '0001-01-01') < records.effective_on)
    UNION ALL
    SELECT
        'a closure is announced, or is not, against the policy' AS problem,
        changes.bn15
    FROM changes
    LEFT JOIN announced AS records
        ON changes.account_key = records.account_key
    WHERE
        CASE
            WHEN CAST($announced_by AS VARCHAR) IS NULL
                THEN changes.action = 'candidate' OR changes.announced_in IS NOT NULL
            WHEN changes.action = 'candidate'
                THEN
                    COALESCE(records.announced_in <= $announced_by, FALSE)
                    OR changes.announced_in IS DISTINCT FROM COALESCE(records.announced_in, $period)
            WHEN changes.action = 'close'
                THEN
                    COALESCE(records.announced_in > $announced_by, TRUE)
                    OR changes.announced_in IS DISTINCT FROM records.announced_in
            ELSE changes.announced_in IS NOT NULL
        END
    UNION ALL
    SELECT
        'a record settles or holds what it does not speak of' AS problem,
        account_decisions.bn15
    FROM account_decisions
    LEFT JOIN clean_up_records AS records
        ON
            account_decisions.account_key = records.account_key
            AND records.kind = CASE WHEN account_decisions.review_no IS NULL THEN 'hold' ELSE 'review' END
            AND records.record_no = COALESCE(account_decisions.review_no, account_decisions.hold_no)
            AND COALESCE(records.until, $as_of) >= $as_of
    WHERE
        (
            COALESCE(account_decisions.review_no, account_decisions.hold_no) IS NOT NULL
            AND (
                records.account_key IS NULL
                OR account_decisions.action <> CASE WHEN account_decisions.review_no IS NULL THEN 'hold' ELSE 'keep' END
            )
        )
        OR (account_decisions.review_no IS NOT NULL AND account_decisions.hold_no IS NOT NULL)
)

SELECT DISTINCT
    problem,
    bn15
FROM problems
ORDER BY
    problem,
    bn15
