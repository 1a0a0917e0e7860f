-- Purpose: A page of the rows that a month refused, without what they hold.
-- Grain: one row per quarantined source row.
-- Reads: quarantine_rows
-- Writes: nothing, returns rows
-- Parameters: $dataset (text), $reason (text), $expectation (text), $state (text), $row_limit (int), $row_offset (int)
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
    quarantine_rows.how
FROM quarantine_rows
WHERE
    ($dataset IS NULL OR quarantine_rows.dataset = $dataset)
    AND ($reason IS NULL OR quarantine_rows.reason = $reason)
    AND ($expectation IS NULL OR quarantine_rows.expectation = $expectation)
    AND ($state IS NULL OR quarantine_rows.state = $state)
ORDER BY
    quarantine_rows.reason,
    quarantine_rows.dataset,
    quarantine_rows.row_key,
    quarantine_rows.row_hash
LIMIT $row_limit OFFSET $row_offset
