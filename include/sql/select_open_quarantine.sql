-- Purpose: Rows of one feed that stand in quarantine: put there and not released since.
-- Grain: one row per quarantined source row.
-- Reads: quarantine, quarantine_released
-- Writes: nothing, returns the open rows
-- Parameters: $dataset (text)
-- Rerun: same inputs give the same rows in the same order.
WITH entered AS (
    SELECT quarantine.*
    FROM quarantine
    WHERE quarantine.dataset = $dataset
),

released AS (
    SELECT quarantine_released.*
    FROM quarantine_released
    WHERE quarantine_released.dataset = $dataset
)

SELECT
    entered.row_key,
    entered.row_hash,
    entered.bn15,
    entered.kind,
    entered.status,
    entered.amount_cents,
    entered.posted_on,
    coalesce(
        json_extract_string(entered.row_json, '$.posted_on'), json_extract_string(entered.row_json, '$.reported_on')
    ) AS posted_text,
    coalesce(
        json_extract_string(entered.row_json, '$.activity_on'), json_extract_string(entered.row_json, '$.exported_on')
    ) AS activity_text,
    entered.reason,
    entered.replaces_published,
    entered.period AS quarantined_in
FROM entered
ANTI JOIN released
    ON
        entered.row_key = released.row_key
        AND entered.row_hash = released.row_hash
        -- The same row may become unusable again after its release.
        AND entered.period <= released.period
ORDER BY entered.row_key, entered.row_hash
