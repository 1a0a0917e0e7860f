-- Purpose: The accounts whose secured debts a broker is told of: those with a published row that are not parked.
-- Grain: one row per account.
-- Reads: accounts, parked
-- Writes: nothing, is the relation broker_accounts
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    accounts.account_key,
    accounts.bn15,
    accounts.legal_name
FROM accounts
ANTI JOIN parked
    ON accounts.account_key = parked.account_key
ORDER BY accounts.account_key
