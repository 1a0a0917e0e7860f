-- Purpose: Count what the lake knows of the ledger rows of some accounts, with their last days, to be held against the
--   source.
-- Grain: one row per account, kind and status.
-- Reads: standing_items, planned
-- Writes: nothing, is part of the relation known_rows
-- Parameters: $feed (text)
-- Rerun: same inputs give the same rows in the same order.
SELECT
    standing_items.bn15,
    $feed AS feed,
    coalesce(standing_items.kind, '') AS kind,
    coalesce(standing_items.status, '') AS status,
    count(*) AS row_count,
    CAST(sum(standing_items.amount_cents) AS BIGINT) AS sum_cents,
    max(substr(standing_items.posted_text, 1, 10)) AS last_posted,
    max(substr(standing_items.activity_text, 1, 10)) AS last_activity
FROM standing_items
SEMI JOIN planned ON standing_items.bn15 = planned.bn15
GROUP BY standing_items.bn15, coalesce(standing_items.kind, ''), coalesce(standing_items.status, '')
ORDER BY standing_items.bn15, coalesce(standing_items.kind, ''), coalesce(standing_items.status, '')
