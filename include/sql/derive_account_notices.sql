-- Purpose: Say who is told what about an account this month: statement ready, account closed, program type corrected.
-- Grain: one row per kind, account and recipient.
-- Reads: account_addresses, account_changes, account_decisions, accounts, statements
-- Writes: none
-- Parameters: effective_on, is_live
-- Rerun: the same rows in the same order.
--
-- No amount is selected: a statement notice must not carry one, because the last balance is what proves a client's
-- identity when it registers for the portal.
WITH recipients AS (
    -- One row per account and person to be told. Delegates join here.
    SELECT
        accounts.bn15,
        LOWER(TRIM(account_addresses.email)) AS address,
        CASE
            WHEN accounts.language IN ('en', 'fr') THEN accounts.language
            ELSE 'both'
        END AS language,
        accounts.legal_name
    FROM accounts
    -- The address comes from the source and the rest from the lake: only a version that passed validation is told.
    LEFT JOIN account_addresses
        ON
            accounts.bn15 = account_addresses.bn15
            AND accounts.valid_from = account_addresses.valid_from
),

changes AS (
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
        version,
        period_start,
        period_end,
        issued_on,
        due_on,
        NULL AS program_type,
        NULL AS new_program_type,
        NULL AS effective_on
    FROM statements
    UNION ALL
    SELECT
        CASE action
            WHEN 'close' THEN 'closure'
            ELSE 'conversion'
        END AS kind,
        bn15,
        1 AS version,
        NULL AS period_start,
        NULL AS period_end,
        NULL AS issued_on,
        NULL AS due_on,
        program_type,
        new_program_type,
        effective_on
    FROM changes
)

SELECT
    occasions.kind,
    occasions.bn15,
    occasions.version,
    -- An account that validation parked has no row here; its notice is unreachable, not lost.
    recipients.address,
    COALESCE(recipients.language, 'both') AS language,
    recipients.legal_name,
    occasions.period_start,
    occasions.period_end,
    occasions.issued_on,
    occasions.due_on,
    occasions.program_type,
    occasions.new_program_type,
    occasions.effective_on
FROM occasions
LEFT JOIN recipients
    ON occasions.bn15 = recipients.bn15
ORDER BY
    occasions.kind,
    occasions.bn15,
    recipients.address
