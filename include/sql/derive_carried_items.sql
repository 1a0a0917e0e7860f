-- Purpose: What the month begins with: the open items of the month before, or, at the beginning, the balances.
-- Grain: one row per account and item.
-- Reads: previous_open_items, baseline
-- Writes: nothing, is the relation carried_items
-- Parameters: $baseline_due_on (date), $baseline_placed_in (text)
-- Rerun: same inputs give the same rows, in no order.
--
-- What was posted before the first extracted month is one item an account: nobody observed what it is made of, so no
-- part of it is told apart, and it bears no calculated interest.
SELECT
    previous_open_items.bn15,
    previous_open_items.account_key,
    previous_open_items.item_id,
    previous_open_items.kind,
    previous_open_items.transaction_number,
    previous_open_items.activity_on,
    previous_open_items.posted_on,
    previous_open_items.due_on,
    previous_open_items.placed_in,
    previous_open_items.broker_bn9,
    previous_open_items.is_under_review,
    previous_open_items.amount_cents,
    previous_open_items.sima_cents,
    previous_open_items.remaining_cents
FROM previous_open_items
UNION ALL
SELECT
    baseline.bn15,
    baseline.account_key,
    'brought forward' AS item_id,
    'BFW' AS kind,
    NULL AS transaction_number,
    NULL AS activity_on,
    $baseline_due_on AS posted_on,
    $baseline_due_on AS due_on,
    $baseline_placed_in AS placed_in,
    NULL AS broker_bn9,
    FALSE AS is_under_review,
    baseline.balance_cents AS amount_cents,
    0 AS sima_cents,
    baseline.balance_cents AS remaining_cents
FROM baseline
WHERE baseline.balance_cents <> 0
