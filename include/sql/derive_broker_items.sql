-- Purpose: What is still open of the debts that a broker secured, with how long each has been past due.
-- Grain: one row per open item whose broker has a valid number, of an account that is not parked.
-- Reads: broker_accounts, firm_numbers, open_items
-- Writes: broker_items
-- Parameters: $issued_on (date)
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
--
-- A credit, and what is under review and so has no due date, counts as not past due, as on the client's statement.
SELECT
    firm_numbers.bn9,
    firm_numbers.firm_key,
    open_items.bn15,
    open_items.account_key,
    open_items.item_id,
    open_items.kind,
    open_items.transaction_number,
    open_items.activity_on,
    open_items.posted_on,
    open_items.due_on,
    open_items.is_under_review,
    open_items.amount_cents,
    open_items.remaining_cents,
    CASE
        WHEN open_items.remaining_cents <= 0 OR open_items.due_on IS NULL THEN 0
        ELSE GREATEST(CAST($issued_on AS DATE) - open_items.due_on, 0)
    END AS days_past_due
FROM open_items
INNER JOIN firm_numbers
    ON open_items.broker_bn9 = firm_numbers.bn9
SEMI JOIN broker_accounts
    ON open_items.account_key = broker_accounts.account_key
ORDER BY
    firm_numbers.firm_key,
    open_items.account_key,
    open_items.due_on NULLS FIRST,
    open_items.posted_on,
    open_items.item_id
