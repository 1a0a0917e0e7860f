-- Purpose: What each account did in the rows placed in a month, and what these rows did to its balance.
-- Grain: one row per account with any published row in the month.
-- Reads: transactions, export_declarations, transaction_kinds
-- Writes: activity
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH placed AS (
    SELECT
        transactions.account_key,
        transactions.bn15,
        CASE WHEN transactions.is_counted THEN transaction_kinds.activity ELSE 'none' END AS activity,
        transactions.activity_on,
        transactions.effect_cents,
        transactions.under_review_effect_cents,
        transactions.under_review_items_effect
    FROM transactions
    INNER JOIN transaction_kinds ON transactions.kind = transaction_kinds.kind
    UNION ALL
    SELECT
        export_declarations.account_key,
        export_declarations.bn15,
        CASE WHEN export_declarations.is_counted THEN 'export' ELSE 'none' END AS activity,
        export_declarations.exported_on AS activity_on,
        0 AS effect_cents,
        0 AS under_review_effect_cents,
        0 AS under_review_items_effect
    FROM export_declarations
)

SELECT
    any_value(placed.bn15) AS bn15,
    placed.account_key,
    count(*) FILTER (WHERE placed.activity = 'import') AS import_count,
    count(*) FILTER (WHERE placed.activity = 'export') AS export_count,
    count(*) FILTER (WHERE placed.activity = 'other') AS other_count,
    max(placed.activity_on) FILTER (WHERE placed.activity = 'import') AS last_import_on,
    max(placed.activity_on) FILTER (WHERE placed.activity = 'export') AS last_export_on,
    max(placed.activity_on) FILTER (WHERE placed.activity = 'other') AS last_other_on,
    CAST(sum(placed.effect_cents) AS BIGINT) AS effect_cents,
    CAST(sum(placed.under_review_effect_cents) AS BIGINT) AS under_review_effect_cents,
    CAST(sum(placed.under_review_items_effect) AS BIGINT) AS under_review_items_effect
FROM placed
GROUP BY placed.account_key
ORDER BY placed.account_key
