-- Purpose: Say to whom each occasion of the month is told, once to each person, whatever roles that person has.
-- Grain: one row per occasion and address; one without an address where nobody is there to be told.
-- Reads: account_addresses, accounts, delegate_addresses, notice_occasions, recipient_roles
-- Writes: none
-- Parameters: none
-- Rerun: the same rows in the same order.
WITH people AS (
    -- The address comes from the source and the rest from the lake: only a version that passed validation is told.
    SELECT
        accounts.bn15,
        'account' AS role,
        account_addresses.email
    FROM accounts
    LEFT JOIN account_addresses
        ON
            accounts.bn15 = account_addresses.bn15
            AND accounts.valid_from = account_addresses.valid_from
    UNION ALL
    SELECT
        delegate_addresses.bn15,
        delegate_addresses.role,
        delegate_addresses.email
    FROM delegate_addresses
    INNER JOIN accounts
        ON delegate_addresses.bn15 = accounts.bn15
),

recipients AS (
    SELECT DISTINCT
        recipient_roles.kind,
        people.bn15,
        LOWER(TRIM(people.email)) AS address
    FROM people
    INNER JOIN recipient_roles
        ON people.role = recipient_roles.role
)

SELECT
    notice_occasions.kind,
    notice_occasions.bn15,
    notice_occasions.about AS subject_of_notice,
    notice_occasions.version,
    -- An account that validation parked has no row here; its notice is unreachable, not lost.
    recipients.address,
    -- A delegation records no language: its holder reads what is written about the account in that of the account.
    CASE
        WHEN accounts.language IN ('en', 'fr') THEN accounts.language
        ELSE 'both'
    END AS language,
    accounts.legal_name,
    notice_occasions.period_start,
    notice_occasions.period_end,
    notice_occasions.issued_on,
    notice_occasions.due_on,
    notice_occasions.program_type,
    notice_occasions.new_program_type,
    notice_occasions.effective_on,
    notice_occasions.undoes
FROM notice_occasions
LEFT JOIN recipients
    ON
        notice_occasions.kind = recipients.kind
        AND notice_occasions.bn15 = recipients.bn15
LEFT JOIN accounts
    ON notice_occasions.bn15 = accounts.bn15
ORDER BY
    notice_occasions.kind,
    notice_occasions.bn15,
    notice_occasions.about,
    notice_occasions.version,
    recipients.address
