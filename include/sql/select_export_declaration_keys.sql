-- Purpose: What the rows of a partition are asked for by: their key.
-- Grain: one row per row of the partition.
-- Reads: partition_rows
-- Writes: nothing, is the relation keyed of the feed export_declarations
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
SELECT partition_rows.declaration_id AS asked_for
FROM partition_rows
