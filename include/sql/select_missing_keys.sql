-- Purpose: Keys that the lake has in a moved month and that the rows just read do not hold there.
-- Grain: one row per source key.
-- Reads: published_items, raw_keys, moved
-- Writes: nothing, returns the keys to look for
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH standing AS (
    SELECT DISTINCT published_items.item_id
    FROM published_items
    INNER JOIN moved ON published_items.posted_on BETWEEN moved.start_on AND moved.end_on
    WHERE published_items.arrival NOT IN ('vanished', 'moved', 'restored')
)

SELECT standing.item_id
FROM standing
ANTI JOIN raw_keys ON standing.item_id = raw_keys.item_id
ORDER BY standing.item_id
