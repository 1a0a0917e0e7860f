-- Purpose: Every number of a broker or a provider of services that the month names, as it is written.
-- Grain: one row per spelling.
-- Reads: carried_items, delegations, items, open_items, statement_lines, transactions
-- Writes: nothing, is judged number by number
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH numbers AS (
    SELECT carried_items.broker_bn9 AS written
    FROM carried_items
    UNION
    SELECT items.broker_bn9 AS written
    FROM items
    UNION
    SELECT open_items.broker_bn9 AS written
    FROM open_items
    UNION
    SELECT statement_lines.broker_bn9 AS written
    FROM statement_lines
    UNION
    SELECT transactions.broker_bn9 AS written
    FROM transactions
    UNION
    SELECT delegations.provider_bn9 AS written
    FROM delegations
)

SELECT numbers.written
FROM numbers
WHERE numbers.written IS NOT NULL
ORDER BY numbers.written
