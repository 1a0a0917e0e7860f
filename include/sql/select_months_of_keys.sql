-- Purpose: In which months something was published under a key, or a number, that a run has read.
-- Grain: one row per question and month.
-- Reads: key_numbers, wanted
-- Writes: nothing, tells whose rows have to be looked at
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- Two keys may have one number: then a month is looked at in vain, and nothing is missed.
WITH numbers AS (
    SELECT
        wanted.question,
        key_hash(wanted.asked_for) AS key_hash
    FROM wanted
),

hits AS (
    SELECT
        key_numbers.period,
        key_numbers.key_hash
    FROM key_numbers
    SEMI JOIN numbers ON key_numbers.key_hash = numbers.key_hash
)

SELECT DISTINCT
    numbers.question,
    hits.period
FROM hits
INNER JOIN numbers ON hits.key_hash = numbers.key_hash
ORDER BY
    numbers.question,
    hits.period
