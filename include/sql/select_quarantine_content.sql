-- Purpose: Refused rows with all that they hold: one of them, or all for a file.
-- Grain: one row per quarantined source row.
-- Reads: quarantine_rows
-- Writes: nothing, returns rows
-- Parameters: $row_id (text), $dataset (text), $reason (text), $expectation (text), $state (text)
-- Rerun: same inputs give the same rows in the same order.
--
-- A parameter that is NULL asks for all.
SELECT
    quarantine_rows.row_id,
    quarantine_rows.dataset,
    quarantine_rows.row_key,
    quarantine_rows.reason,
    quarantine_rows.expectation,
    quarantine_rows.bn15,
    quarantine_rows.kind,
    quarantine_rows.status,
    quarantine_rows.posted_on,
    quarantine_rows.replaces_published,
    quarantine_rows.state,
    quarantine_rows.released_in,
    quarantine_rows.how,
    quarantine_rows.amount_cents,
    quarantine_rows.row_json
FROM quarantine_rows
WHERE
    ($row_id IS NULL OR quarantine_rows.row_id = $row_id)
    AND ($dataset IS NULL OR quarantine_rows.dataset = $dataset)
    AND ($reason IS NULL OR quarantine_rows.reason = $reason)
    AND ($expectation IS NULL OR quarantine_rows.expectation = $expectation)
    AND ($state IS NULL OR quarantine_rows.state = $state)
ORDER BY
    quarantine_rows.reason,
    quarantine_rows.dataset,
    quarantine_rows.row_key,
    quarantine_rows.row_hash
