-- Purpose: What a run asks of all that was published before: who has this key, and who this number of a payment.
-- Grain: one row per row that was read or stands refused, and per number.
-- Reads: asked, reversing_numbers
-- Writes: nothing, is the relation wanted
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
SELECT
    'key' AS question,
    asked.item_id AS asked_for
FROM asked
UNION ALL
SELECT
    'number' AS question,
    'number ' || reversing_numbers.transaction_number AS asked_for
FROM reversing_numbers
