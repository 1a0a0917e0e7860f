-- Purpose: The rows that the lake holds of a feed, each as its last publication has it, and those in quarantine.
-- Grain: one row per source row that the lake knows.
-- Reads: published_items, published_again, open_quarantine
-- Writes: nothing, is the relation standing_items
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
WITH published AS (
    SELECT published_items.*
    FROM published_items
    WHERE published_items.arrival NOT IN ('moved', 'restored')
),

-- Few rows are ever published again: only their keys need a look at which publication is the last.
republished AS (
    SELECT
        published_again.item_id,
        published_again.revision,
        max(published_again.version) AS last_version
    FROM published_again
    GROUP BY published_again.item_id, published_again.revision
),

shadowed AS (
    SELECT DISTINCT regexp_replace(open_quarantine.row_key, '~[0-9]+$', '') AS row_key
    FROM open_quarantine
    WHERE open_quarantine.replaces_published
)

SELECT
    published.bn15,
    published.posted_on,
    published.kind,
    published.status,
    published.amount_cents,
    CAST(published.posted_on AS VARCHAR) AS posted_text,
    CAST(published.activity_on AS VARCHAR) AS activity_text,
    TRUE AS is_valid
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
    open_quarantine.bn15,
    open_quarantine.posted_on,
    open_quarantine.kind,
    open_quarantine.status,
    coalesce(open_quarantine.amount_cents, 0) AS amount_cents,
    open_quarantine.posted_text,
    open_quarantine.activity_text,
    FALSE AS is_valid
FROM open_quarantine
