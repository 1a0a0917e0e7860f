-- Purpose: Open quarantined rows that were looked for by their key and not found as they were.
-- Grain: one row per posting day of such rows.
-- Reads: open_quarantine, staged
-- Writes: nothing, returns the days whose months must be read whole
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- A row may have been mended under another key, which leaves count and sum of its month as they were.
SELECT DISTINCT open_quarantine.posted_on
FROM open_quarantine
ANTI JOIN staged ON open_quarantine.row_key = staged.row_key AND open_quarantine.row_hash = staged.row_hash
WHERE open_quarantine.posted_on IS NOT NULL
ORDER BY open_quarantine.posted_on
