-- Purpose: Posting months in which the source counts or sums otherwise than the lake: there must be none.
-- Grain: one row per posting month, kind and status that differ.
-- Reads: source_totals, control_totals
-- Writes: nothing, returns offenders
-- Parameters: $dataset (text)
-- Rerun: same inputs give the same rows in the same order.
WITH known AS (
    SELECT control_totals.*
    FROM control_totals
    WHERE control_totals.dataset = $dataset
)

SELECT
    coalesce(source_totals.posted_period, known.posted_period) AS posted_period,
    coalesce(source_totals.kind, known.kind) AS kind,
    coalesce(source_totals.status, known.status) AS status,
    coalesce(source_totals.row_count, 0) AS source_rows,
    coalesce(known.row_count, 0) AS known_rows
FROM source_totals
FULL OUTER JOIN known
    ON
        source_totals.posted_period = known.posted_period
        AND source_totals.kind = known.kind
        AND source_totals.status = known.status
WHERE
    coalesce(source_totals.row_count, 0) <> coalesce(known.row_count, 0)
    OR coalesce(source_totals.sum_cents, 0) <> coalesce(known.sum_cents, 0)
ORDER BY
    coalesce(source_totals.posted_period, known.posted_period),
    coalesce(source_totals.kind, known.kind),
    coalesce(source_totals.status, known.status)
