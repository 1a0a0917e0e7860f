-- Purpose: Find accounts whose open items do not add up to the balance that their month closed with.
-- Grain: one row per offending account; an empty result means that all of them do.
-- Reads: open_items, statement_heads
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
--
-- Of an account that is parked because it does not add up, or because its statement before is outstanding, nothing is
-- asked.
WITH items AS (
    SELECT
        open_items.account_key,
        MIN(open_items.bn15) AS bn15,
        SUM(open_items.remaining_cents) AS remaining_cents
    FROM open_items
    GROUP BY open_items.account_key
)

SELECT COALESCE(items.bn15, statement_heads.bn15) AS bn15
FROM items
FULL OUTER JOIN statement_heads
    ON items.account_key = statement_heads.account_key
WHERE
    COALESCE(items.remaining_cents, 0) <> COALESCE(statement_heads.closing_cents, 0)
    AND COALESCE(statement_heads.parked_reason, 'account_not_published') = 'account_not_published'
ORDER BY bn15
