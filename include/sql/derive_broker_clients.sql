-- Purpose: What a broker secured for each client: open before, new, paid, still open, and how old that is.
-- Grain: one row per broker and client account.
-- Reads: allocated_items, broker_accounts, broker_items, carried_items, firm_numbers, items, labelled_items,
--   statement_lines
-- Writes: broker_clients
-- Parameters: $period (text)
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
--
-- closing = opening + debits - credits + moved - settled. An item stands, as a whole, with the broker that its last
-- revision names. What another broker (or none: key 0) had of it, carried or posted in the month, is `moved` from the
-- one to the other, so that over all brokers and the debts without one it adds up to zero. `settled` is what allocation
-- paid on the items, less what it used of them where they are credits. Of items that never named a broker nothing is
-- asked.
WITH carried AS (
    SELECT
        carried_items.account_key,
        carried_items.item_id,
        COALESCE(firm_numbers.firm_key, 0) AS firm_key,
        carried_items.remaining_cents AS opening_cents,
        0 AS amount_cents
    FROM carried_items
    LEFT JOIN firm_numbers
        ON carried_items.broker_bn9 = firm_numbers.bn9
),

posted AS (
    SELECT
        statement_lines.account_key,
        statement_lines.transaction_id AS item_id,
        COALESCE(firm_numbers.firm_key, 0) AS firm_key,
        0 AS opening_cents,
        statement_lines.amount_cents
    FROM statement_lines
    SEMI JOIN labelled_items
        ON
            statement_lines.account_key = labelled_items.account_key
            AND statement_lines.transaction_id = labelled_items.item_id
    LEFT JOIN firm_numbers
        ON statement_lines.broker_bn9 = firm_numbers.bn9
),

standing AS (
    SELECT
        items.account_key,
        items.item_id,
        COALESCE(firm_numbers.firm_key, 0) AS firm_key
    FROM items
    LEFT JOIN firm_numbers
        ON items.broker_bn9 = firm_numbers.bn9
),

-- What each broker had of an item before anything was moved.
shares AS (
    SELECT
        both_sides.account_key,
        both_sides.item_id,
        both_sides.firm_key,
        SUM(both_sides.opening_cents + both_sides.amount_cents) AS cents
    FROM (
        SELECT
            carried.account_key,
            carried.item_id,
            carried.firm_key,
            carried.opening_cents,
            carried.amount_cents
        FROM carried
        UNION ALL
        SELECT
            posted.account_key,
            posted.item_id,
            posted.firm_key,
            posted.opening_cents,
            posted.amount_cents
        FROM posted
    ) AS both_sides
    GROUP BY
        both_sides.account_key,
        both_sides.item_id,
        both_sides.firm_key
),

strayed AS (
    SELECT
        shares.account_key,
        shares.firm_key AS from_key,
        COALESCE(standing.firm_key, 0) AS to_key,
        shares.cents
    FROM shares
    LEFT JOIN standing
        ON shares.account_key = standing.account_key AND shares.item_id = standing.item_id
    WHERE shares.cents <> 0 AND shares.firm_key <> COALESCE(standing.firm_key, 0)
),

measures AS (
    SELECT
        carried.account_key,
        carried.firm_key,
        carried.opening_cents,
        0 AS debits_cents,
        0 AS credits_cents,
        0 AS moved_cents,
        0 AS settled_cents,
        0 AS line_count
    FROM carried
    UNION ALL
    SELECT
        posted.account_key,
        posted.firm_key,
        0 AS opening_cents,
        GREATEST(posted.amount_cents, 0) AS debits_cents,
        GREATEST(-posted.amount_cents, 0) AS credits_cents,
        0 AS moved_cents,
        0 AS settled_cents,
        1 AS line_count
    FROM posted
    UNION ALL
    SELECT
        strayed.account_key,
        strayed.from_key AS firm_key,
        0 AS opening_cents,
        0 AS debits_cents,
        0 AS credits_cents,
        -strayed.cents AS moved_cents,
        0 AS settled_cents,
        0 AS line_count
    FROM strayed
    UNION ALL
    SELECT
        strayed.account_key,
        strayed.to_key AS firm_key,
        0 AS opening_cents,
        0 AS debits_cents,
        0 AS credits_cents,
        strayed.cents AS moved_cents,
        0 AS settled_cents,
        0 AS line_count
    FROM strayed
    UNION ALL
    SELECT
        standing.account_key,
        standing.firm_key,
        0 AS opening_cents,
        0 AS debits_cents,
        0 AS credits_cents,
        0 AS moved_cents,
        -allocated_items.moved_cents AS settled_cents,
        0 AS line_count
    FROM standing
    INNER JOIN allocated_items
        ON standing.account_key = allocated_items.account_key AND standing.item_id = allocated_items.item_id
),

flows AS (
    SELECT
        measures.firm_key,
        measures.account_key,
        CAST(SUM(measures.opening_cents) AS BIGINT) AS opening_cents,
        CAST(SUM(measures.debits_cents) AS BIGINT) AS debits_cents,
        CAST(SUM(measures.credits_cents) AS BIGINT) AS credits_cents,
        CAST(SUM(measures.moved_cents) AS BIGINT) AS moved_cents,
        CAST(SUM(measures.settled_cents) AS BIGINT) AS settled_cents,
        CAST(SUM(measures.line_count) AS BIGINT) AS line_count
    FROM measures
    WHERE measures.firm_key <> 0
    GROUP BY
        measures.firm_key,
        measures.account_key
),

still_open AS (
    SELECT
        broker_items.firm_key,
        broker_items.account_key,
        COUNT(*) AS item_count,
        SUM(broker_items.remaining_cents) AS closing_cents,
        SUM(broker_items.remaining_cents) FILTER (WHERE broker_items.is_under_review) AS under_review_cents,
        SUM(broker_items.remaining_cents) FILTER (WHERE broker_items.days_past_due = 0) AS current_cents,
        SUM(broker_items.remaining_cents) FILTER (WHERE broker_items.days_past_due BETWEEN 1 AND 30) AS age_30_cents,
        SUM(broker_items.remaining_cents) FILTER (WHERE broker_items.days_past_due BETWEEN 31 AND 60) AS age_60_cents,
        SUM(broker_items.remaining_cents) FILTER (WHERE broker_items.days_past_due BETWEEN 61 AND 90) AS age_90_cents,
        SUM(broker_items.remaining_cents) FILTER (WHERE broker_items.days_past_due > 90) AS over_90_cents
    FROM broker_items
    GROUP BY
        broker_items.firm_key,
        broker_items.account_key
)

SELECT
    firm_numbers.bn9,
    firm_numbers.firm_key,
    broker_accounts.bn15,
    broker_accounts.account_key,
    CAST($period AS VARCHAR) AS period,
    broker_accounts.legal_name,
    COALESCE(flows.opening_cents, 0) AS opening_cents,
    COALESCE(flows.debits_cents, 0) AS debits_cents,
    COALESCE(flows.credits_cents, 0) AS credits_cents,
    COALESCE(flows.moved_cents, 0) AS moved_cents,
    COALESCE(flows.settled_cents, 0) AS settled_cents,
    CAST(COALESCE(still_open.closing_cents, 0) AS BIGINT) AS closing_cents,
    CAST(COALESCE(still_open.under_review_cents, 0) AS BIGINT) AS under_review_cents,
    CAST(COALESCE(still_open.current_cents, 0) AS BIGINT) AS ageing_current_cents,
    CAST(COALESCE(still_open.age_30_cents, 0) AS BIGINT) AS ageing_30_cents,
    CAST(COALESCE(still_open.age_60_cents, 0) AS BIGINT) AS ageing_60_cents,
    CAST(COALESCE(still_open.age_90_cents, 0) AS BIGINT) AS ageing_90_cents,
    CAST(COALESCE(still_open.over_90_cents, 0) AS BIGINT) AS ageing_over_90_cents,
    COALESCE(flows.line_count, 0) AS line_count,
    COALESCE(still_open.item_count, 0) AS item_count
FROM flows
FULL OUTER JOIN still_open
    ON flows.firm_key = still_open.firm_key AND flows.account_key = still_open.account_key
INNER JOIN broker_accounts
    ON COALESCE(flows.account_key, still_open.account_key) = broker_accounts.account_key
INNER JOIN firm_numbers
    ON COALESCE(flows.firm_key, still_open.firm_key) = firm_numbers.firm_key
WHERE
    COALESCE(flows.line_count, 0) > 0
    OR COALESCE(still_open.item_count, 0) > 0
    OR COALESCE(flows.opening_cents, 0) <> 0
    OR COALESCE(flows.moved_cents, 0) <> 0
ORDER BY
    firm_numbers.firm_key,
    broker_accounts.account_key
