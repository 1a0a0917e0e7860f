-- Purpose: What the register knows of a firm by its own accounts: its name and the language that it chose.
-- Grain: one row per firm that has an account.
-- Reads: accounts
-- Writes: nothing, is the relation firms
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- A broker or provider has no record of its own. If it has accounts, its name is that of the first of them that has
-- one, and its language the one that they agree on; where they differ, or none of them says, it is both.
SELECT
    CAST(SUBSTR(accounts.bn15, 1, 9) AS BIGINT) AS firm_key,
    ARG_MIN(accounts.legal_name, accounts.account_key) FILTER (WHERE accounts.legal_name IS NOT NULL) AS legal_name,
    CASE
        WHEN COUNT(DISTINCT accounts.language) FILTER (WHERE accounts.language IN ('en', 'fr')) = 1
            THEN MIN(accounts.language) FILTER (WHERE accounts.language IN ('en', 'fr'))
        ELSE 'both'
    END AS language
FROM accounts
GROUP BY CAST(SUBSTR(accounts.bn15, 1, 9) AS BIGINT)
ORDER BY firm_key
