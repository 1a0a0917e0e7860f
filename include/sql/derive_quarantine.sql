-- Purpose: Rows that a critical rule refused and that do not stand in quarantine already.
-- Grain: one row per refused source row.
-- Reads: staged, invalid_rows, open_quarantine, published_items, periods
-- Writes: quarantine (with the number of a row; the step puts the row as it was read in its place)
-- Parameters: $dataset (text), $period (text), $batch_start (date), $before_batch (text)
-- Rerun: same inputs give the same rows in the same order.
WITH refused AS (
    SELECT
        staged.*,
        invalid_rows.expectation,
        invalid_rows.reason
    FROM staged
    INNER JOIN invalid_rows ON staged.row_no = invalid_rows.row_no
),

entering AS (
    SELECT refused.*
    FROM refused
    ANTI JOIN open_quarantine
        ON refused.row_key = open_quarantine.row_key AND refused.row_hash = open_quarantine.row_hash
),

standing AS (
    SELECT published_items.*
    FROM published_items
    SEMI JOIN entering ON published_items.item_id = entering.item_id
    WHERE published_items.arrival NOT IN ('moved', 'restored')
    QUALIFY row_number() OVER (
        PARTITION BY published_items.item_id, published_items.revision ORDER BY published_items.version DESC
    ) = 1
)

SELECT
    CASE
        WHEN entering.posted_on < $batch_start THEN $before_batch
        ELSE coalesce(periods.period, $period)
    END AS placed_in,
    $dataset AS dataset,
    entering.row_key,
    entering.expectation,
    entering.reason,
    entering.bn15,
    entering.kind,
    entering.status,
    entering.amount_cents,
    entering.posted_on,
    standing.item_id IS NOT NULL AND standing.arrival <> 'vanished' AND NOT entering.is_surplus_copy
        AS replaces_published,
    entering.row_hash,
    entering.row_no
FROM entering
LEFT JOIN standing ON entering.item_id = standing.item_id AND entering.revision = standing.revision
LEFT JOIN periods ON entering.posted_on BETWEEN periods.start_on AND periods.end_on
ORDER BY placed_in, entering.row_key, entering.row_hash
