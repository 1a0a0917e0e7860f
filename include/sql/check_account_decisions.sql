-- Purpose: Find decisions that facts and rule table do not bear, looked at again without the deciding statement.
-- Grain: one row per problem and account; an empty result means that the decisions hold.
-- Reads: account_decisions, account_facts, coverage, program_type_rules
-- Writes: none
-- Parameters: $as_of (date)
-- Rerun: reads only.

WITH changes AS (
    SELECT
        account_key,
        bn15,
        program_type,
        activity_seen,
        action,
        new_program_type,
        reason,
        rule_id
    FROM account_decisions
    WHERE action IN ('close', 'convert')
),

uncovered AS (
    SELECT
        COUNT(*) FILTER (WHERE feed = 'transactions' AND covered) = 0
        OR COUNT(*) FILTER (WHERE feed = 'transactions' AND covered IS DISTINCT FROM TRUE) > 0 AS transactions,
        COUNT(*) FILTER (WHERE feed = 'export_declarations' AND covered) = 0
        OR COUNT(*) FILTER (WHERE feed = 'export_declarations' AND covered IS DISTINCT FROM TRUE) > 0 AS exports,
        COUNT(*) FILTER (WHERE covered IS DISTINCT FROM TRUE) > 0 AS any_feed
    FROM coverage
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
            AND changes.action = rules.action
            AND changes.new_program_type IS NOT DISTINCT FROM rules.new_program_type
            AND changes.reason = rules.reason
    WHERE rules.rule_id IS NULL
    UNION ALL
    SELECT
        'a change rests on a feed that is not covered' AS problem,
        changes.bn15
    FROM changes
    CROSS JOIN uncovered
    WHERE
        (changes.action = 'close' AND (uncovered.any_feed OR uncovered.transactions OR uncovered.exports))
        OR (changes.new_program_type = 'exporter' AND uncovered.transactions)
        OR (changes.new_program_type = 'importer' AND uncovered.exports)
    UNION ALL
    SELECT
        'an account with a hold on record would change' AS problem,
        changes.bn15
    FROM changes
    INNER JOIN account_facts
        ON changes.account_key = account_facts.account_key
    WHERE
        account_facts.hold_reason IS NOT NULL
        AND COALESCE(account_facts.hold_until, $as_of) >= $as_of
    UNION ALL
    SELECT
        'an account with open money would be closed or lose the right to import' AS problem,
        changes.bn15
    FROM changes
    INNER JOIN account_facts
        ON changes.account_key = account_facts.account_key
    WHERE
        changes.new_program_type IS DISTINCT FROM 'importer'
        AND (
            account_facts.balance_cents IS DISTINCT FROM 0
            OR account_facts.under_review_items IS DISTINCT FROM 0
        )
)

SELECT
    problem,
    bn15
FROM problems
ORDER BY
    problem,
    bn15
