-- Purpose: Every debt and credit that the month begins with or brings, with what it amounts to before allocation.
-- Grain: one row per account and item: a transaction with all its revisions, or a balance brought forward.
-- Reads: carried_items, transactions
-- Writes: nothing, is the relation items
-- Parameters: $period (text), $statement_due_on (date)
-- Rerun: same inputs give the same rows, in no order.
--
-- A later revision moves its own item: what was paid and is then cancelled becomes a credit, a payment that is reversed
-- a debt. An item under review has no due date; accepted, it gets its own or that of this statement. Only what is under
-- review, or has something left, is kept.
--
-- A month's rows are many, and nearly all are the first and only word about their item: only the others are looked at
-- together, and joined with what they speak of, so that no wide row waits in memory for another one.
WITH told_again AS (
    -- Two rows of one item differ in one of these; where neither does, the row is its item's only one in the month.
    SELECT DISTINCT
        transactions.account_key,
        transactions.transaction_id
    FROM transactions
    WHERE transactions.revision <> 1 OR transactions.version <> 1 OR transactions.arrival IN ('moved', 'restored')
),

rows_told_again AS (
    SELECT transactions.*
    FROM transactions
    SEMI JOIN told_again
        ON
            transactions.account_key = told_again.account_key
            AND transactions.transaction_id = told_again.transaction_id
),

last_words AS (
    SELECT
        transactions.*,
        transactions.effect_cents AS moved_cents
    FROM transactions
    ANTI JOIN told_again
        ON
            transactions.account_key = told_again.account_key
            AND transactions.transaction_id = told_again.transaction_id
    UNION ALL
    SELECT
        rows_told_again.*,
        SUM(rows_told_again.effect_cents) OVER of_item AS moved_cents
    FROM rows_told_again
    WINDOW of_item AS (PARTITION BY rows_told_again.account_key, rows_told_again.transaction_id)
    -- The last word of the month about the item; the words before it moved the balance too.
    QUALIFY
        ROW_NUMBER() OVER (
            PARTITION BY rows_told_again.account_key, rows_told_again.transaction_id
            ORDER BY rows_told_again.revision DESC, rows_told_again.version DESC, rows_told_again.arrival DESC
        ) = 1
),

postings AS (
    SELECT
        last_words.account_key,
        last_words.transaction_id AS item_id,
        last_words.bn15,
        last_words.kind,
        last_words.transaction_number,
        last_words.activity_on,
        last_words.posted_on,
        last_words.due_on,
        last_words.broker_bn9,
        last_words.is_counted AND last_words.status = 'under_review' AS is_under_review,
        last_words.amount_cents,
        COALESCE(last_words.anti_dumping_cents, 0) + COALESCE(last_words.countervailing_cents, 0) AS sima_cents,
        CAST(last_words.moved_cents AS BIGINT) AS effect_cents
    FROM last_words
),

-- What the month says of items that it began with: few.
later_words AS (
    SELECT postings.*
    FROM postings
    SEMI JOIN carried_items
        ON postings.account_key = carried_items.account_key AND postings.item_id = carried_items.item_id
),

all_items AS (
    SELECT
        carried_items.account_key,
        carried_items.bn15,
        carried_items.item_id,
        COALESCE(later_words.kind, carried_items.kind) AS kind,
        COALESCE(later_words.transaction_number, carried_items.transaction_number) AS transaction_number,
        COALESCE(later_words.activity_on, carried_items.activity_on) AS activity_on,
        -- In the order of allocation an item keeps its place, whatever is said of it later.
        carried_items.posted_on,
        carried_items.placed_in,
        CASE WHEN later_words.item_id IS NULL THEN carried_items.broker_bn9 ELSE later_words.broker_bn9 END
            AS broker_bn9,
        COALESCE(later_words.is_under_review, carried_items.is_under_review) AS is_under_review,
        COALESCE(later_words.due_on, carried_items.due_on) AS due_on,
        COALESCE(later_words.amount_cents, carried_items.amount_cents) AS amount_cents,
        COALESCE(later_words.sima_cents, carried_items.sima_cents) AS sima_cents,
        carried_items.remaining_cents AS carried_cents,
        carried_items.remaining_cents + COALESCE(later_words.effect_cents, 0) AS remaining_cents
    FROM carried_items
    LEFT JOIN later_words
        ON carried_items.account_key = later_words.account_key AND carried_items.item_id = later_words.item_id
    UNION ALL
    SELECT
        postings.account_key,
        postings.bn15,
        postings.item_id,
        postings.kind,
        postings.transaction_number,
        postings.activity_on,
        postings.posted_on,
        $period AS placed_in,
        postings.broker_bn9,
        postings.is_under_review,
        postings.due_on,
        postings.amount_cents,
        postings.sima_cents,
        0 AS carried_cents,
        postings.effect_cents AS remaining_cents
    FROM postings
    ANTI JOIN carried_items
        ON postings.account_key = carried_items.account_key AND postings.item_id = carried_items.item_id
)

SELECT
    all_items.bn15,
    all_items.account_key,
    all_items.item_id,
    all_items.kind,
    all_items.transaction_number,
    all_items.activity_on,
    all_items.posted_on,
    CASE WHEN all_items.is_under_review THEN NULL ELSE COALESCE(all_items.due_on, $statement_due_on) END AS due_on,
    all_items.placed_in,
    all_items.broker_bn9,
    all_items.is_under_review,
    all_items.amount_cents,
    all_items.sima_cents,
    all_items.carried_cents,
    all_items.remaining_cents
FROM all_items
WHERE all_items.remaining_cents <> 0 OR all_items.is_under_review OR all_items.carried_cents <> 0
