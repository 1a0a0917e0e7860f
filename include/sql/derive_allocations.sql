-- Purpose: One pass of allocation: which credit pays which debt, and how much of it.
-- Grain: one row per credit and debt that meet.
-- Reads: items, allocated_items
-- Writes: nothing, is the relation allocations_of_pass
-- Parameters: $credits (text), $in_cycle (text), $newest_first (boolean), $pass_no (integer)
-- Rerun: same inputs give the same rows in the same order.
--
-- Debts and credits of an account are laid end to end on one line of cents, each in its order; where a debt and a
-- credit lie above each other, the one pays the other. So no cent is used twice, and the cost is that of a sort. What
-- is under review neither pays nor is paid. A disbursement takes the credit that it pays out before anything else does.
WITH left_over AS (
    SELECT
        items.account_key,
        items.bn15,
        items.item_id,
        items.kind = 'DSB' AND items.remaining_cents > 0 AS is_disbursement,
        items.posted_on,
        items.due_on,
        items.remaining_cents + COALESCE(allocated_items.moved_cents, 0) AS cents
    FROM items
    LEFT JOIN allocated_items
        ON items.account_key = allocated_items.account_key AND items.item_id = allocated_items.item_id
    WHERE
        NOT items.is_under_review
        AND ($in_cycle = '' OR items.placed_in = $in_cycle)
        AND (items.remaining_cents > 0 OR $credits = 'all' OR (items.kind = 'PMT') = ($credits = 'payments'))
),

-- Where no debt meets a credit, nothing need be laid out.
meeting AS (
    SELECT left_over.account_key
    FROM left_over
    GROUP BY left_over.account_key
    HAVING MIN(left_over.cents) < 0 AND MAX(left_over.cents) > 0
),

laid_out AS (
    SELECT
        left_over.account_key,
        left_over.bn15,
        left_over.item_id,
        left_over.posted_on,
        left_over.cents > 0 AS is_debt,
        SUM(ABS(left_over.cents)) OVER (
            PARTITION BY left_over.account_key, left_over.cents > 0
            ORDER BY
                NOT left_over.is_disbursement,
                -- Credits pay in the order in which they came.
                CASE WHEN left_over.cents < 0 THEN left_over.posted_on END,
                CASE WHEN $newest_first THEN left_over.posted_on END DESC,
                left_over.due_on,
                left_over.posted_on,
                left_over.item_id
            ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
        ) AS ends_at
    FROM left_over
    SEMI JOIN meeting ON left_over.account_key = meeting.account_key
    WHERE left_over.cents <> 0
),

cuts AS (
    SELECT
        laid_out.account_key,
        laid_out.bn15,
        laid_out.ends_at,
        LAG(laid_out.ends_at, 1, 0) OVER of_account AS begins_at,
        FIRST_VALUE(CASE WHEN laid_out.is_debt THEN laid_out.item_id END IGNORE NULLS) OVER from_here AS debt_id,
        FIRST_VALUE(CASE WHEN NOT laid_out.is_debt THEN laid_out.item_id END IGNORE NULLS) OVER from_here AS credit_id,
        FIRST_VALUE(CASE WHEN NOT laid_out.is_debt THEN laid_out.posted_on END IGNORE NULLS) OVER from_here
            AS allocated_on
    FROM laid_out
    WINDOW
        of_account AS (PARTITION BY laid_out.account_key ORDER BY laid_out.ends_at, laid_out.is_debt),
        from_here AS (
            PARTITION BY laid_out.account_key
            ORDER BY laid_out.ends_at, laid_out.is_debt
            ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        )
)

SELECT
    cuts.bn15,
    cuts.account_key,
    cuts.debt_id,
    cuts.credit_id,
    cuts.allocated_on,
    CAST($pass_no AS BIGINT) AS pass_no,
    CAST(cuts.ends_at - cuts.begins_at AS BIGINT) AS amount_cents
FROM cuts
WHERE cuts.ends_at > cuts.begins_at AND cuts.debt_id IS NOT NULL AND cuts.credit_id IS NOT NULL
ORDER BY cuts.account_key, cuts.debt_id, cuts.credit_id
