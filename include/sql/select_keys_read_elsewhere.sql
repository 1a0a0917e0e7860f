-- Purpose: Keys that were just read and whose published row was posted on a day that was not read.
-- Grain: one row per source key.
-- Reads: published_items, raw_keys, fetched_ranges
-- Writes: nothing, returns the keys to look for
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- The source may hold the key twice, or may have given its row another date: only all its rows together tell.
WITH standing AS (
    SELECT published_items.*
    FROM published_items
    SEMI JOIN raw_keys
        ON
            published_items.item_id = raw_keys.item_id
            AND published_items.revision = whole_number(coalesce(raw_keys.revision, '1'))
    WHERE published_items.arrival NOT IN ('moved', 'restored')
    QUALIFY row_number() OVER (
        PARTITION BY published_items.item_id, published_items.revision ORDER BY published_items.version DESC
    ) = 1
)

SELECT DISTINCT standing.item_id
FROM standing
LEFT JOIN fetched_ranges ON standing.posted_on BETWEEN fetched_ranges.start_on AND fetched_ranges.end_on
WHERE fetched_ranges.start_on IS NULL AND standing.arrival <> 'vanished'
ORDER BY standing.item_id
