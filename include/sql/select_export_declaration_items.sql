-- Purpose: Published export declarations in the words that all ledger feeds share.
-- Grain: one row per published row.
-- Reads: published_export_declarations
-- Writes: nothing, is the relation published_items of the feed export_declarations
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
SELECT
    published_export_declarations.declaration_id AS item_id,
    published_export_declarations.revision,
    published_export_declarations.version,
    published_export_declarations.arrival,
    published_export_declarations.is_counted,
    published_export_declarations.account_key,
    published_export_declarations.bn15,
    'EXPORT' AS kind,
    published_export_declarations.status,
    published_export_declarations.exported_on AS activity_on,
    published_export_declarations.reported_on AS posted_on,
    coalesce(published_export_declarations.value_cents, 0) AS amount_cents,
    published_export_declarations.row_hash,
    published_export_declarations.period AS placed_in,
    'export' AS activity
FROM published_export_declarations
