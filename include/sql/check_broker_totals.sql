-- Purpose: Find totals of brokers and their clients that the lines and the open items do not bear out.
-- Grain: one row per offending broker and client, or broker; an empty result means that all of them add up.
-- Reads: broker_clients, broker_heads, broker_items, broker_lines, parked
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
WITH line_sums AS (
    SELECT
        broker_lines.firm_key,
        broker_lines.account_key,
        MIN(broker_lines.bn15) AS bn15,
        COUNT(*) AS line_count,
        SUM(GREATEST(broker_lines.amount_cents, 0)) AS debits_cents,
        SUM(GREATEST(-broker_lines.amount_cents, 0)) AS credits_cents
    FROM broker_lines
    GROUP BY
        broker_lines.firm_key,
        broker_lines.account_key
),

item_sums AS (
    SELECT
        broker_items.firm_key,
        broker_items.account_key,
        MIN(broker_items.bn15) AS bn15,
        COUNT(*) AS item_count,
        SUM(broker_items.remaining_cents) AS closing_cents,
        SUM(CASE WHEN broker_items.is_under_review THEN broker_items.remaining_cents ELSE 0 END) AS under_review_cents
    FROM broker_items
    GROUP BY
        broker_items.firm_key,
        broker_items.account_key
),

sums AS (
    SELECT
        COALESCE(line_sums.firm_key, item_sums.firm_key) AS firm_key,
        COALESCE(line_sums.account_key, item_sums.account_key) AS account_key,
        COALESCE(line_sums.bn15, item_sums.bn15) AS bn15,
        COALESCE(line_sums.line_count, 0) AS line_count,
        COALESCE(line_sums.debits_cents, 0) AS debits_cents,
        COALESCE(line_sums.credits_cents, 0) AS credits_cents,
        COALESCE(item_sums.item_count, 0) AS item_count,
        COALESCE(item_sums.closing_cents, 0) AS closing_cents,
        COALESCE(item_sums.under_review_cents, 0) AS under_review_cents
    FROM line_sums
    FULL OUTER JOIN item_sums
        ON line_sums.firm_key = item_sums.firm_key AND line_sums.account_key = item_sums.account_key
),

clients AS (
    SELECT
        broker_clients.firm_key,
        broker_clients.account_key,
        MIN(broker_clients.bn15) AS bn15,
        COUNT(*) AS times,
        SUM(broker_clients.opening_cents) AS opening_cents,
        SUM(broker_clients.debits_cents) AS debits_cents,
        SUM(broker_clients.credits_cents) AS credits_cents,
        SUM(broker_clients.moved_cents) AS moved_cents,
        SUM(broker_clients.settled_cents) AS settled_cents,
        SUM(broker_clients.closing_cents) AS closing_cents,
        SUM(broker_clients.under_review_cents) AS under_review_cents,
        SUM(
            broker_clients.ageing_current_cents
            + broker_clients.ageing_30_cents
            + broker_clients.ageing_60_cents
            + broker_clients.ageing_90_cents
            + broker_clients.ageing_over_90_cents
        ) AS ageing_cents,
        SUM(broker_clients.line_count) AS line_count,
        SUM(broker_clients.item_count) AS item_count
    FROM broker_clients
    GROUP BY
        broker_clients.firm_key,
        broker_clients.account_key
),

client_problems AS (
    SELECT
        COALESCE(clients.bn15, sums.bn15) AS bn15,
        CASE
            WHEN clients.account_key IS NULL THEN 'a client whose debts a broker secured is not on its statement'
            WHEN parked.account_key IS NOT NULL THEN 'a parked account is on the statement of a broker'
            WHEN clients.times > 1 THEN 'a client is on the statement of a broker more than once'
            WHEN
                clients.line_count <> COALESCE(sums.line_count, 0)
                OR clients.debits_cents <> COALESCE(sums.debits_cents, 0)
                OR clients.credits_cents <> COALESCE(sums.credits_cents, 0)
                THEN 'the lines of a broker do not add up to the debits and credits of their client'
            WHEN
                clients.item_count <> COALESCE(sums.item_count, 0)
                OR clients.closing_cents <> COALESCE(sums.closing_cents, 0)
                OR clients.under_review_cents <> COALESCE(sums.under_review_cents, 0)
                OR clients.ageing_cents <> COALESCE(sums.closing_cents, 0)
                THEN 'the open debts of a broker do not add up to what is open of their client'
            WHEN
                clients.closing_cents
                <> clients.opening_cents
                + clients.debits_cents
                - clients.credits_cents
                + clients.moved_cents
                - clients.settled_cents
                THEN 'what a broker secures is not what was open plus what came less what was paid'
        END AS problem
    FROM clients
    FULL OUTER JOIN sums
        ON clients.firm_key = sums.firm_key AND clients.account_key = sums.account_key
    LEFT JOIN parked
        ON clients.account_key = parked.account_key
),

broker_sums AS (
    SELECT
        broker_clients.firm_key,
        COUNT(*) AS clients,
        SUM(broker_clients.opening_cents) AS opening_cents,
        SUM(broker_clients.debits_cents) AS debits_cents,
        SUM(broker_clients.credits_cents) AS credits_cents,
        SUM(broker_clients.moved_cents) AS moved_cents,
        SUM(broker_clients.settled_cents) AS settled_cents,
        SUM(broker_clients.closing_cents) AS closing_cents,
        SUM(broker_clients.under_review_cents) AS under_review_cents,
        SUM(broker_clients.ageing_current_cents) AS ageing_current_cents,
        SUM(broker_clients.ageing_30_cents) AS ageing_30_cents,
        SUM(broker_clients.ageing_60_cents) AS ageing_60_cents,
        SUM(broker_clients.ageing_90_cents) AS ageing_90_cents,
        SUM(broker_clients.ageing_over_90_cents) AS ageing_over_90_cents,
        SUM(broker_clients.line_count) AS line_count,
        SUM(broker_clients.item_count) AS item_count
    FROM broker_clients
    GROUP BY broker_clients.firm_key
),

head_problems AS (
    SELECT
        CAST(NULL AS VARCHAR) AS bn15,
        'the totals of a broker are not those of its clients' AS problem
    FROM broker_heads
    FULL OUTER JOIN broker_sums
        ON broker_heads.firm_key = broker_sums.firm_key
    WHERE
        broker_heads.clients IS DISTINCT FROM broker_sums.clients
        OR broker_heads.opening_cents IS DISTINCT FROM broker_sums.opening_cents
        OR broker_heads.debits_cents IS DISTINCT FROM broker_sums.debits_cents
        OR broker_heads.credits_cents IS DISTINCT FROM broker_sums.credits_cents
        OR broker_heads.moved_cents IS DISTINCT FROM broker_sums.moved_cents
        OR broker_heads.settled_cents IS DISTINCT FROM broker_sums.settled_cents
        OR broker_heads.closing_cents IS DISTINCT FROM broker_sums.closing_cents
        OR broker_heads.under_review_cents IS DISTINCT FROM broker_sums.under_review_cents
        OR broker_heads.ageing_current_cents IS DISTINCT FROM broker_sums.ageing_current_cents
        OR broker_heads.ageing_30_cents IS DISTINCT FROM broker_sums.ageing_30_cents
        OR broker_heads.ageing_60_cents IS DISTINCT FROM broker_sums.ageing_60_cents
        OR broker_heads.ageing_90_cents IS DISTINCT FROM broker_sums.ageing_90_cents
        OR broker_heads.ageing_over_90_cents IS DISTINCT FROM broker_sums.ageing_over_90_cents
        OR broker_heads.line_count IS DISTINCT FROM broker_sums.line_count
        OR broker_heads.item_count IS DISTINCT FROM broker_sums.item_count
)

SELECT
    client_problems.problem,
    client_problems.bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM client_problems
WHERE client_problems.problem IS NOT NULL
UNION ALL
SELECT
    head_problems.problem,
    head_problems.bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM head_problems
ORDER BY
    problem,
    bn15
