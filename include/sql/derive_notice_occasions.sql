-- Purpose: Say what there is to tell about accounts this month: statement ready, account closed, closure to come,
--          program type corrected, account open again, multi-factor authentication not registered.
-- Grain: one row per kind, what it is about, and version.
-- Reads: account_changes, account_decisions, accounts, notices_owed, statements, told_elsewhere
-- Writes: none
-- Parameters: $closes_on (date), $effective_on (date), $is_live, $period (text), $reminds_of_mfa, $as_of (date),
--             $quarter (text)
-- Rerun: the same rows in the same order.
--
-- No amount is selected: a statement notice must not carry one, because the last balance is what proves a client's
-- identity when it registers for the portal.
WITH changes AS (
    -- A shadow run tells what would change.
    SELECT
        bn15,
        action,
        program_type,
        new_program_type,
        CAST($effective_on AS DATE) AS effective_on
    FROM account_decisions
    WHERE
        NOT $is_live
        AND action IN ('close', 'convert')
    UNION ALL
    -- A live run tells what did change: a decision that was held or dropped is no news to its owner.
    SELECT
        bn15,
        action,
        program_type,
        new_program_type,
        -- Of a change that was handed over, the day that it holds from and not the month that confirms it.
        effective_on
    FROM account_changes
    WHERE
        $is_live
        AND action IN ('close', 'convert')
),

occasions AS (
    SELECT
        'statement' AS kind,
        bn15,
        bn15 || '/' || $period AS about,
        version,
        period_start,
        period_end,
        issued_on,
        due_on,
        NULL AS program_type,
        NULL AS new_program_type,
        NULL AS effective_on,
        NULL AS undoes
    FROM statements
    UNION ALL
    SELECT
        CASE action
            WHEN 'close' THEN 'closure'
            ELSE 'conversion'
        END AS kind,
        bn15,
        bn15 || '/' || CAST(effective_on AS VARCHAR) || CASE action
            WHEN 'close' THEN ''
            ELSE '/' || new_program_type
        END AS about,
        1 AS version,
        NULL AS period_start,
        NULL AS period_end,
        NULL AS issued_on,
        NULL AS due_on,
        program_type,
        new_program_type,
        effective_on,
        NULL AS undoes
    FROM changes
    UNION ALL
    -- A shadow run tells what would be announced; a closure that an earlier month announced was told by that month.
    SELECT
        'closure_coming' AS kind,
        bn15,
        bn15 || '/' || $period AS about,
        1 AS version,
        NULL AS period_start,
        NULL AS period_end,
        NULL AS issued_on,
        NULL AS due_on,
        program_type,
        NULL AS new_program_type,
        CAST($closes_on AS DATE) AS effective_on,
        NULL AS undoes
    FROM account_decisions
    WHERE
        NOT $is_live
        AND action = 'candidate'
        AND announced_in = $period
    UNION ALL
    -- What is owed for having happened: closures that were announced, accounts that are open again.
    SELECT
        notices_owed.kind,
        notices_owed.bn15,
        notices_owed.about,
        notices_owed.version,
        NULL AS period_start,
        NULL AS period_end,
        NULL AS issued_on,
        NULL AS due_on,
        notices_owed.program_type,
        notices_owed.new_program_type,
        COALESCE(notices_owed.effective_on, CAST($closes_on AS DATE)) AS effective_on,
        notices_owed.undoes
    FROM notices_owed
    WHERE $is_live
    UNION ALL
    -- Of an account that is being closed this month nobody is asked to register for anything.
    SELECT
        'mfa' AS kind,
        accounts.bn15,
        accounts.bn15 || '/' || $quarter AS about,
        1 AS version,
        NULL AS period_start,
        NULL AS period_end,
        NULL AS issued_on,
        NULL AS due_on,
        NULL AS program_type,
        NULL AS new_program_type,
        accounts.portal_registered_on AS effective_on,
        NULL AS undoes
    FROM accounts
    LEFT JOIN changes
        ON
            accounts.bn15 = changes.bn15
            AND changes.action = 'close'
    WHERE
        $reminds_of_mfa
        AND accounts.status = 'open'
        AND accounts.portal_registered_on <= $as_of
        AND (accounts.mfa_registered_on IS NULL OR accounts.mfa_registered_on > $as_of)
        AND changes.bn15 IS NULL
)

SELECT
    occasions.kind,
    occasions.bn15,
    occasions.about,
    occasions.version,
    occasions.period_start,
    occasions.period_end,
    occasions.issued_on,
    occasions.due_on,
    occasions.program_type,
    occasions.new_program_type,
    occasions.effective_on,
    occasions.undoes
FROM occasions
-- A reminder of the same quarter by another month, an undoing that was told when it was done.
ANTI JOIN told_elsewhere
    ON
        occasions.kind = told_elsewhere.kind
        AND occasions.about = told_elsewhere.about
        AND occasions.version = told_elsewhere.version
ORDER BY
    occasions.kind,
    occasions.bn15,
    occasions.about,
    occasions.version
