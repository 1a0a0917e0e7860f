-- Purpose: Ledger rows of all feeds that stand in quarantine.
-- Grain: one row per quarantined source row.
-- Reads: quarantine, quarantine_released
-- Writes: nothing, is the relation open_quarantine
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    quarantine.dataset,
    quarantine.row_key,
    quarantine.bn15,
    quarantine.posted_on,
    quarantine.reason
FROM quarantine
ANTI JOIN quarantine_released
    ON
        quarantine.dataset = quarantine_released.dataset
        AND quarantine.row_key = quarantine_released.row_key
        AND quarantine.row_hash = quarantine_released.row_hash
        AND quarantine.period <= quarantine_released.period
WHERE quarantine.dataset IN ('transactions', 'export_declarations')
ORDER BY quarantine.dataset, quarantine.row_key, quarantine.row_hash
