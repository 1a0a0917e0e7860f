-- Purpose: The items that ever stood on one of the accounts asked for.
-- Grain: one row per item.
-- Reads: published_items, asked_accounts
-- Writes: nothing, is kept as the relation asked_items
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
--
-- Files are sorted by account, so that DuckDB passes over the row groups of other accounts.
SELECT DISTINCT published_items.item_id
FROM published_items
SEMI JOIN asked_accounts ON published_items.account_key = asked_accounts.account_key
WHERE published_items.arrival NOT IN ('moved', 'restored')
