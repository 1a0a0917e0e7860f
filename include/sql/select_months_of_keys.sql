-- Purpose: In which months something was published under a key that a run has read.
-- Grain: one row per dataset and month.
-- Reads: key_numbers, asked
-- Writes: nothing, tells whose rows have to be looked at
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- Two keys may have one number: then a month is looked at in vain, and nothing is missed.
WITH numbers AS (
    SELECT key_hash(asked.item_id) AS key_hash
    FROM asked
)

SELECT DISTINCT key_numbers.period
FROM key_numbers
SEMI JOIN numbers ON key_numbers.key_hash = numbers.key_hash
ORDER BY key_numbers.period
