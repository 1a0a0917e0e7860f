-- Purpose: Rows of the baseline, brought into the form of rows just read, to give them months of their own.
-- Grain: one row per row of the baseline.
-- Reads: baseline_export_declarations
-- Writes: nothing, is staged for the ledger
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    baseline_export_declarations.*,
    FALSE AS is_surplus_copy,
    row_number() OVER (
        ORDER BY baseline_export_declarations.declaration_id, baseline_export_declarations.revision
    ) AS row_no,
    baseline_export_declarations.declaration_id AS item_id,
    baseline_export_declarations.declaration_id || '#'
    || CAST(baseline_export_declarations.revision AS VARCHAR) AS row_key,
    'EXPORT' AS kind,
    baseline_export_declarations.exported_on AS activity_on,
    baseline_export_declarations.reported_on AS posted_on,
    coalesce(baseline_export_declarations.value_cents, 0) AS amount_cents,
    'export' AS activity
FROM baseline_export_declarations
ORDER BY row_no
