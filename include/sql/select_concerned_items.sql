-- Purpose: What was published before of the items that a run has read, and of those posted in months that moved.
-- Grain: one row per item and month in which a row of it was published.
-- Reads: published_keys, asked, moved
-- Writes: nothing, is the relation concerned, which tells where to look
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
--
-- Of all that was ever published only keys and days are read here; whole rows are read where something is found.
WITH wanted AS (
    SELECT asked.item_id
    FROM asked
    UNION
    SELECT published_keys.item_id
    FROM published_keys
    INNER JOIN moved ON published_keys.posted_on BETWEEN moved.start_on AND moved.end_on
)

SELECT DISTINCT
    published_keys.item_id,
    published_keys.placed_in
FROM published_keys
SEMI JOIN wanted ON published_keys.item_id = wanted.item_id
