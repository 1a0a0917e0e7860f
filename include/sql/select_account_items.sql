-- Purpose: The published rows of the accounts asked for, with what is counted of them.
-- Grain: one row per published row.
-- Reads: published_items, asked_accounts
-- Writes: nothing, is kept as the relation account_items
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
--
-- Files are sorted by account, so that DuckDB passes over the row groups of other accounts.
SELECT
    published_items.item_id,
    published_items.revision,
    published_items.version,
    published_items.arrival,
    published_items.bn15,
    published_items.kind,
    published_items.status,
    published_items.activity_on,
    published_items.posted_on,
    published_items.amount_cents
FROM published_items
SEMI JOIN asked_accounts ON published_items.account_key = asked_accounts.account_key
