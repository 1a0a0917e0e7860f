-- Purpose: Everything posted before the first extracted month, brought forward as one row an account.
-- Grain: one row per account with any earlier row.
-- Reads: activity
-- Writes: baseline
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
SELECT
    activity.bn15,
    activity.account_key,
    activity.effect_cents AS balance_cents,
    activity.under_review_effect_cents AS under_review_cents,
    activity.under_review_items_effect AS under_review_items,
    activity.last_import_on,
    activity.last_export_on,
    activity.last_other_on
FROM activity
ORDER BY activity.account_key
