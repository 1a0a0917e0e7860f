-- Purpose: Every debt and credit that the month begins with or brings, with what it amounts to before allocation.
-- Grain: one row per account and item: a transaction with all its revisions, or a balance brought forward.
-- Reads: carried_items, transactions
-- Writes: nothing, is the relation items
-- Parameters: $period (text), $statement_due_on (date)
-- Rerun: same inputs give the same rows in the same order.
--
-- A later revision moves its own item: what was paid and is then cancelled becomes a credit, a payment that is reversed
-- a debt. An item under review has no due date; accepted, it gets its own or that of this statement. Only what is under
-- review, or has something left, is kept.
WITH postings AS (
    SELECT
        transactions.account_key,
        transactions.transaction_id AS item_id,
        transactions.bn15,
        transactions.kind,
        transactions.transaction_number,
        transactions.activity_on,
        transactions.posted_on,
        transactions.due_on,
        transactions.broker_bn9,
        transactions.is_counted AND transactions.status = 'under_review' AS is_under_review,
        transactions.amount_cents,
        COALESCE(transactions.anti_dumping_cents, 0) + COALESCE(transactions.countervailing_cents, 0) AS sima_cents,
        SUM(transactions.effect_cents) OVER of_item AS effect_cents
    FROM transactions
    WINDOW of_item AS (PARTITION BY transactions.account_key, transactions.transaction_id)
    -- The last word of the month about the item; the words before it moved the balance too.
    QUALIFY
        ROW_NUMBER() OVER (
            PARTITION BY transactions.account_key, transactions.transaction_id
            ORDER BY transactions.revision DESC, transactions.version DESC, transactions.arrival DESC
        ) = 1
),

joined AS (
    SELECT
        COALESCE(postings.account_key, carried_items.account_key) AS account_key,
        COALESCE(postings.bn15, carried_items.bn15) AS bn15,
        COALESCE(postings.item_id, carried_items.item_id) AS item_id,
        COALESCE(postings.kind, carried_items.kind) AS kind,
        COALESCE(postings.transaction_number, carried_items.transaction_number) AS transaction_number,
        COALESCE(postings.activity_on, carried_items.activity_on) AS activity_on,
        -- In the order of allocation an item keeps its place, whatever is said of it later.
        COALESCE(carried_items.posted_on, postings.posted_on) AS posted_on,
        COALESCE(carried_items.placed_in, $period) AS placed_in,
        CASE WHEN postings.item_id IS NULL THEN carried_items.broker_bn9 ELSE postings.broker_bn9 END AS broker_bn9,
        COALESCE(postings.is_under_review, carried_items.is_under_review) AS is_under_review,
        CASE
            WHEN COALESCE(postings.is_under_review, carried_items.is_under_review) THEN NULL
            WHEN postings.due_on IS NOT NULL THEN postings.due_on
            WHEN carried_items.due_on IS NOT NULL THEN carried_items.due_on
            ELSE $statement_due_on
        END AS due_on,
        COALESCE(postings.amount_cents, carried_items.amount_cents) AS amount_cents,
        COALESCE(postings.sima_cents, carried_items.sima_cents) AS sima_cents,
        COALESCE(carried_items.remaining_cents, 0) AS carried_cents,
        CAST(COALESCE(carried_items.remaining_cents, 0) + COALESCE(postings.effect_cents, 0) AS BIGINT)
            AS remaining_cents
    FROM carried_items
    FULL OUTER JOIN postings
        ON carried_items.account_key = postings.account_key AND carried_items.item_id = postings.item_id
)

SELECT
    joined.bn15,
    joined.account_key,
    joined.item_id,
    joined.kind,
    joined.transaction_number,
    joined.activity_on,
    joined.posted_on,
    joined.due_on,
    joined.placed_in,
    joined.broker_bn9,
    joined.is_under_review,
    joined.amount_cents,
    joined.sima_cents,
    joined.carried_cents,
    joined.remaining_cents
FROM joined
WHERE joined.remaining_cents <> 0 OR joined.is_under_review OR joined.carried_cents <> 0
ORDER BY joined.account_key, joined.item_id
