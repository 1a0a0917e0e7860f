-- Purpose: What the lake holds of the source, counted as the source counts itself, for the posting months asked for.
-- Grain: one row per posting month, kind and status.
-- Reads: published_items, open_quarantine, posting_months
-- Writes: nothing, is part of control_totals
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH published AS (
    SELECT published_items.*
    FROM published_items
    WHERE published_items.arrival NOT IN ('moved', 'restored')
),

-- Few rows are ever published again: only their keys need a look at which publication is the last.
republished AS (
    SELECT
        published.item_id,
        published.revision,
        max(published.version) AS last_version
    FROM published
    WHERE published.version > 1
    GROUP BY published.item_id, published.revision
),

shadowed AS (
    SELECT DISTINCT regexp_replace(open_quarantine.row_key, '~[0-9]+$', '') AS row_key
    FROM open_quarantine
    WHERE open_quarantine.replaces_published
),

standing AS (
    SELECT
        published.posted_on,
        published.kind,
        published.status,
        published.amount_cents,
        1 AS valid_row
    FROM published
    LEFT JOIN republished
        ON published.item_id = republished.item_id AND published.revision = republished.revision
    WHERE
        published.version = coalesce(republished.last_version, 1)
        AND published.arrival <> 'vanished'
        AND published.item_id || '#' || CAST(published.revision AS VARCHAR) NOT IN (
            SELECT shadowed.row_key FROM shadowed
        )
    UNION ALL
    SELECT
        open_quarantine.posted_on,
        open_quarantine.kind,
        open_quarantine.status,
        coalesce(open_quarantine.amount_cents, 0) AS amount_cents,
        0 AS valid_row
    FROM open_quarantine
)

SELECT
    posting_months.posted_period,
    coalesce(standing.kind, '') AS kind,
    coalesce(standing.status, '') AS status,
    count(*) AS row_count,
    CAST(sum(standing.valid_row) AS BIGINT) AS valid_row_count,
    CAST(sum(standing.amount_cents) AS BIGINT) AS sum_cents
FROM standing
INNER JOIN posting_months
    ON
        standing.posted_on BETWEEN posting_months.start_on AND posting_months.end_on
        OR (standing.posted_on IS NULL AND posting_months.posted_period = 'undated')
GROUP BY posting_months.posted_period, coalesce(standing.kind, ''), coalesce(standing.status, '')
ORDER BY posting_months.posted_period, coalesce(standing.kind, ''), coalesce(standing.status, '')
