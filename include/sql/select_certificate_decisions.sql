-- Purpose: How many decisions there are, of how many accounts, beside the accounts that were open.
-- Grain: one row.
-- Reads: account_decisions, account_facts
-- Writes: nothing, returns counts
-- Parameters: none
-- Rerun: reads only.
WITH decided AS (
    SELECT
        account_decisions.account_key,
        count(*) AS decisions
    FROM account_decisions
    GROUP BY account_decisions.account_key
),

open_accounts AS (
    SELECT account_facts.account_key
    FROM account_facts
    WHERE account_facts.status = 'open'
)

SELECT
    CAST(coalesce(sum(decided.decisions), 0) AS BIGINT) AS decisions,
    count(decided.account_key) AS accounts,
    count(open_accounts.account_key) AS open_accounts,
    count(*) FILTER (
        WHERE decided.account_key IS NULL OR open_accounts.account_key IS NULL OR decided.decisions <> 1
    ) AS faults
FROM decided
FULL OUTER JOIN open_accounts
    ON decided.account_key = open_accounts.account_key
