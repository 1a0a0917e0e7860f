-- Purpose: The accounts with a text in their legal or operating name.
-- Grain: one row per account.
-- Reads: accounts
-- Writes: nothing, returns what a person looked for
-- Parameters: $pattern (text), $most (integer)
-- Rerun: same inputs give the same rows in the same order.
--
-- The pattern is a regular expression: it knows the spellings of each letter.
SELECT
    accounts.bn15,
    accounts.legal_name,
    accounts.operating_name,
    accounts.program_type,
    accounts.status,
    accounts.province
FROM accounts
WHERE regexp_matches(accounts.legal_name, $pattern) OR regexp_matches(accounts.operating_name, $pattern)
ORDER BY accounts.account_key
LIMIT $most
