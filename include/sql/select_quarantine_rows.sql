-- Purpose: Refused rows with what became of each since.
-- Grain: one row per quarantined source row.
-- Reads: quarantine, quarantine_released
-- Writes: nothing, is the relation quarantine_rows
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- state: open, released (released_in and how say when and why), or judged_anew for the rows of a snapshot, which are
-- refused anew each month and speak of their own month alone.
-- row_id: names a row in an address, which its key must not: it is text from the source.
WITH releases AS (
    SELECT
        quarantine.period,
        quarantine.dataset,
        quarantine.row_key,
        quarantine.row_hash,
        min(quarantine_released.period) AS released_in,
        arg_min(quarantine_released.how, quarantine_released.period) AS how
    FROM quarantine
    INNER JOIN quarantine_released
        ON
            quarantine.dataset = quarantine_released.dataset
            AND quarantine.row_key = quarantine_released.row_key
            AND quarantine.row_hash = quarantine_released.row_hash
            AND quarantine.period <= quarantine_released.period
    GROUP BY quarantine.period, quarantine.dataset, quarantine.row_key, quarantine.row_hash
)

SELECT
    quarantine.period,
    quarantine.dataset,
    quarantine.row_key,
    quarantine.expectation,
    quarantine.reason,
    quarantine.bn15,
    quarantine.kind,
    quarantine.status,
    quarantine.amount_cents,
    quarantine.posted_on,
    quarantine.replaces_published,
    quarantine.row_hash,
    quarantine.row_json,
    CASE
        WHEN quarantine.dataset NOT IN ('transactions', 'export_declarations') THEN 'judged_anew'
        WHEN releases.released_in IS NULL THEN 'open'
        ELSE 'released'
    END AS state,
    releases.released_in,
    releases.how,
    md5(concat_ws(chr(31), quarantine.dataset, quarantine.row_key, quarantine.row_hash)) AS row_id
FROM quarantine
LEFT JOIN releases
    ON
        quarantine.period = releases.period
        AND quarantine.dataset = releases.dataset
        AND quarantine.row_key = releases.row_key
        AND quarantine.row_hash = releases.row_hash
ORDER BY quarantine.period, quarantine.reason, quarantine.dataset, quarantine.row_key, quarantine.row_hash
