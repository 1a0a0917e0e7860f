-- Purpose: Find entries of a provider's index that no delegation bears out, and delegations without an entry.
-- Grain: one row per offending provider and account; an empty result means that every index is right.
-- Reads: delegations, firm_numbers, provider_clients, statement_heads
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
WITH statements AS (
    SELECT
        statement_heads.account_key,
        statement_heads.bn15,
        statement_heads.issued_on
    FROM statement_heads
    WHERE statement_heads.parked_reason IS NULL
),

due AS (
    SELECT
        firm_numbers.firm_key,
        statements.account_key,
        MIN(statements.bn15) AS bn15
    FROM statements
    INNER JOIN delegations
        ON statements.account_key = delegations.account_key
    INNER JOIN firm_numbers
        ON delegations.provider_bn9 = firm_numbers.bn9
    WHERE
        statements.issued_on >= delegations.valid_from
        AND statements.issued_on < COALESCE(delegations.valid_to, DATE '9999-12-31')
    GROUP BY
        firm_numbers.firm_key,
        statements.account_key
),

told AS (
    SELECT
        provider_clients.firm_key,
        provider_clients.account_key,
        MIN(provider_clients.bn15) AS bn15,
        COUNT(*) AS times
    FROM provider_clients
    GROUP BY
        provider_clients.firm_key,
        provider_clients.account_key
)

SELECT
    CASE
        WHEN told.times IS NULL THEN 'an account that delegated to a provider is not on its index'
        WHEN due.account_key IS NULL THEN 'an account is on the index of a provider to whom it did not delegate'
        ELSE 'an account is on the index of a provider more than once'
    END AS problem,
    COALESCE(due.bn15, told.bn15) AS bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM due
FULL OUTER JOIN told
    ON due.firm_key = told.firm_key AND due.account_key = told.account_key
WHERE told.times IS NULL OR due.account_key IS NULL OR told.times > 1
ORDER BY
    problem,
    bn15
