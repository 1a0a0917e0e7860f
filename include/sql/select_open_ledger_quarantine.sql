-- Purpose: Ledger rows of all feeds that stand in quarantine.
-- Grain: one row per quarantined source row.
-- Reads: quarantine, quarantine_released
-- Writes: nothing, is the relation open_quarantine
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- activity_until: the last day on which the row may speak of activity; NULL where nobody can tell. A transaction speaks
-- of no later day than its posting; an export may be declared before the goods leave.
-- bn15: the account that the row's number names once all but letters and digits is taken out of it. A row that was
-- refused for its number may still be one of that account's.
SELECT
    quarantine.dataset,
    quarantine.row_key,
    upper(regexp_replace(quarantine.bn15, '[^0-9A-Za-z]', '', 'g')) AS bn15,
    quarantine.posted_on,
    CASE
        WHEN quarantine.dataset = 'transactions' THEN quarantine.posted_on
        ELSE iso_day(json_extract_string(quarantine.row_json, '$.exported_on'))
    END AS activity_until,
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
