-- Purpose: Quarantined rows that do not stand in the source any more as they were: mended, changed or gone.
-- Grain: one row per released row.
-- Reads: staged, invalid_rows, open_quarantine
-- Writes: quarantine_released
-- Parameters: $dataset (text)
-- Rerun: same inputs give the same rows in the same order.
WITH read_rows AS (
    SELECT
        staged.row_key,
        staged.row_hash,
        regexp_replace(staged.row_key, '~[0-9]+$', '') AS source_key,
        invalid_rows.row_no IS NULL AS is_valid
    FROM staged
    LEFT JOIN invalid_rows ON staged.row_no = invalid_rows.row_no
),

still_refused AS (
    SELECT read_rows.*
    FROM read_rows
    WHERE NOT read_rows.is_valid
),

keys AS (
    SELECT
        read_rows.source_key,
        bool_or(read_rows.is_valid) AS is_mended
    FROM read_rows
    GROUP BY read_rows.source_key
)

SELECT
    $dataset AS dataset,
    open_quarantine.row_key,
    open_quarantine.row_hash,
    CASE
        WHEN keys.is_mended THEN 'published'
        WHEN keys.source_key IS NOT NULL THEN 'changed'
        ELSE 'vanished'
    END AS how
FROM open_quarantine
LEFT JOIN keys ON regexp_replace(open_quarantine.row_key, '~[0-9]+$', '') = keys.source_key
ANTI JOIN still_refused
    ON open_quarantine.row_key = still_refused.row_key AND open_quarantine.row_hash = still_refused.row_hash
ORDER BY open_quarantine.row_key, open_quarantine.row_hash
