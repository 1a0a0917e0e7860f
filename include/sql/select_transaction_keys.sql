-- Purpose: What the rows of a partition are asked for by: their key, and the number that a payment and its NSF share.
-- Grain: one row per row of the partition, one more per payment or NSF that has a number.
-- Reads: partition_rows
-- Writes: nothing, is the relation keyed of the feed transactions
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
SELECT partition_rows.transaction_id AS asked_for
FROM partition_rows
UNION ALL
SELECT 'number ' || partition_rows.transaction_number AS asked_for
FROM partition_rows
WHERE partition_rows.kind IN ('PMT', 'NSF') AND partition_rows.transaction_number IS NOT NULL
