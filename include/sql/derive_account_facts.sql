-- Purpose: Everything that a decision about an account rests on, as known at the end of the month.
-- Grain: one row per account with a version valid on the month's last day.
-- Reads: accounts, activity, baseline, exact_activity, doubtful, open_quarantine
-- Writes: account_facts
-- Parameters: $window_start (date), $as_of (date)
-- Rerun: same inputs give the same rows in the same order.
WITH placed AS (
    SELECT
        activity.account_key,
        activity.effect_cents AS balance_cents,
        activity.under_review_effect_cents AS under_review_cents,
        activity.under_review_items_effect AS under_review_items,
        activity.last_import_on,
        activity.last_export_on,
        activity.last_other_on
    FROM activity
    UNION ALL
    SELECT
        baseline.account_key,
        baseline.balance_cents,
        baseline.under_review_cents,
        baseline.under_review_items,
        baseline.last_import_on,
        baseline.last_export_on,
        baseline.last_other_on
    FROM baseline
),

totals AS (
    SELECT
        placed.account_key,
        CAST(sum(placed.balance_cents) AS BIGINT) AS balance_cents,
        CAST(sum(placed.under_review_cents) AS BIGINT) AS under_review_cents,
        CAST(sum(placed.under_review_items) AS BIGINT) AS under_review_items,
        max(placed.last_import_on) AS last_import_on,
        max(placed.last_export_on) AS last_export_on,
        max(placed.last_other_on) AS last_other_on
    FROM placed
    GROUP BY placed.account_key
),

-- A quarantined row without a readable date may belong to any month, so it counts as lying in the window; so does one
-- that was posted before the window and may speak of activity in it.
gaps AS (
    SELECT DISTINCT open_quarantine.bn15
    FROM open_quarantine
    WHERE
        open_quarantine.posted_on IS NULL
        OR (
            open_quarantine.posted_on <= $as_of
            AND (
                open_quarantine.posted_on >= $window_start
                OR coalesce(open_quarantine.activity_until >= $window_start, TRUE)
            )
        )
)

SELECT
    accounts.bn15,
    accounts.account_key,
    accounts.valid_from,
    accounts.program_type,
    accounts.status,
    accounts.province,
    accounts.opened_on,
    accounts.reinstated_on,
    accounts.closed_on,
    accounts.hold_reason,
    accounts.hold_until,
    coalesce(totals.balance_cents, 0) AS balance_cents,
    coalesce(totals.under_review_cents, 0) AS under_review_cents,
    coalesce(totals.under_review_items, 0) AS under_review_items,
    CASE WHEN doubtful.account_key IS NULL THEN totals.last_import_on ELSE exact_activity.last_import_on END
        AS last_import_on,
    CASE WHEN doubtful.account_key IS NULL THEN totals.last_export_on ELSE exact_activity.last_export_on END
        AS last_export_on,
    CASE WHEN doubtful.account_key IS NULL THEN totals.last_other_on ELSE exact_activity.last_other_on END
        AS last_other_on,
    gaps.bn15 IS NOT NULL AS has_open_quarantine
FROM accounts
LEFT JOIN totals ON accounts.account_key = totals.account_key
LEFT JOIN doubtful ON accounts.account_key = doubtful.account_key
LEFT JOIN exact_activity ON accounts.account_key = exact_activity.account_key
LEFT JOIN gaps ON accounts.bn15 = gaps.bn15
ORDER BY accounts.account_key
