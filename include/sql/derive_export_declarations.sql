-- Purpose: The rows of export_declarations that the run publishes, with their effects.
-- Grain: one row per published row.
-- Reads: events, staged, published_export_declarations
-- Writes: export_declarations and baseline_export_declarations of the months being extracted
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH payload AS (
    -- A row comes from what was just read; one that the source deleted or moved comes from its last publication.
    SELECT
        events.placed_in,
        events.arrival,
        events.version,
        events.origin,
        events.is_late,
        events.is_counted,
        events.effect_cents,
        events.under_review_effect_cents,
        events.under_review_items_effect,
        staged.declaration_id,
        staged.revision,
        staged.bn15,
        staged.account_key,
        staged.exported_on,
        staged.reported_on,
        staged.status,
        staged.value_cents,
        staged.row_hash
    FROM events
    INNER JOIN staged ON events.row_no = staged.row_no
    UNION ALL
    SELECT
        events.placed_in,
        events.arrival,
        events.version,
        events.origin,
        events.is_late,
        events.is_counted,
        events.effect_cents,
        events.under_review_effect_cents,
        events.under_review_items_effect,
        published_export_declarations.declaration_id,
        published_export_declarations.revision,
        published_export_declarations.bn15,
        published_export_declarations.account_key,
        published_export_declarations.exported_on,
        published_export_declarations.reported_on,
        published_export_declarations.status,
        published_export_declarations.value_cents,
        published_export_declarations.row_hash
    FROM events
    INNER JOIN published_export_declarations
        ON
            events.item_id = published_export_declarations.declaration_id
            AND events.revision = published_export_declarations.revision
            AND events.payload_version = published_export_declarations.version
    WHERE events.row_no IS NULL AND published_export_declarations.arrival NOT IN ('moved', 'restored')
)

SELECT
    payload.placed_in,
    payload.declaration_id,
    payload.revision,
    payload.version,
    payload.bn15,
    payload.account_key,
    payload.exported_on,
    payload.reported_on,
    CASE WHEN payload.arrival IN ('vanished', 'moved') THEN 'cancelled' ELSE payload.status END AS status,
    payload.value_cents,
    payload.origin,
    payload.arrival,
    payload.is_late,
    payload.is_counted,
    payload.effect_cents,
    payload.under_review_effect_cents,
    payload.under_review_items_effect,
    payload.row_hash
FROM payload
ORDER BY
    payload.placed_in,
    payload.account_key,
    payload.reported_on,
    payload.declaration_id,
    payload.revision,
    payload.version,
    payload.arrival
