-- Purpose: Find where brokers and clients are told different things: a line or an open item that only one of them has.
-- Grain: one row per offending line or item; an empty result means that both see the same ledger.
-- Reads: broker_accounts, broker_items, broker_lines, firm_numbers, open_items, statement_lines
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
WITH labelled AS (
    SELECT
        statement_lines.account_key,
        statement_lines.line_no,
        statement_lines.bn15,
        statement_lines.transaction_id,
        firm_numbers.firm_key,
        statement_lines.amount_cents
    FROM statement_lines
    INNER JOIN firm_numbers
        ON statement_lines.broker_bn9 = firm_numbers.bn9
),

told_lines AS (
    SELECT
        broker_lines.account_key,
        broker_lines.line_no,
        MIN(broker_lines.bn15) AS bn15,
        MIN(broker_lines.transaction_id) AS transaction_id,
        MIN(broker_lines.firm_key) AS firm_key,
        SUM(broker_lines.amount_cents) AS amount_cents,
        COUNT(*) AS times
    FROM broker_lines
    GROUP BY
        broker_lines.account_key,
        broker_lines.line_no
),

secured AS (
    SELECT
        open_items.account_key,
        open_items.item_id,
        open_items.bn15,
        firm_numbers.firm_key,
        open_items.remaining_cents
    FROM open_items
    INNER JOIN firm_numbers
        ON open_items.broker_bn9 = firm_numbers.bn9
    SEMI JOIN broker_accounts
        ON open_items.account_key = broker_accounts.account_key
),

told_items AS (
    SELECT
        broker_items.account_key,
        broker_items.item_id,
        MIN(broker_items.bn15) AS bn15,
        MIN(broker_items.firm_key) AS firm_key,
        SUM(broker_items.remaining_cents) AS remaining_cents,
        COUNT(*) AS times
    FROM broker_items
    GROUP BY
        broker_items.account_key,
        broker_items.item_id
),

judged AS (
    SELECT
        COALESCE(labelled.bn15, told_lines.bn15) AS bn15,
        COALESCE(labelled.transaction_id, told_lines.transaction_id) AS transaction_id,
        CASE
            WHEN told_lines.times IS NULL THEN 'a line that a broker secured is not on its statement'
            WHEN labelled.account_key IS NULL THEN 'a line of a broker is no line of its client''s statement'
            WHEN told_lines.times > 1 THEN 'a line that a broker secured is on its statement more than once'
            WHEN
                labelled.transaction_id <> told_lines.transaction_id
                OR labelled.firm_key <> told_lines.firm_key
                OR labelled.amount_cents <> told_lines.amount_cents
                THEN 'a line of a broker is not what its client''s statement says'
        END AS problem
    FROM labelled
    FULL OUTER JOIN told_lines
        ON labelled.account_key = told_lines.account_key AND labelled.line_no = told_lines.line_no
    UNION ALL
    SELECT
        COALESCE(secured.bn15, told_items.bn15) AS bn15,
        COALESCE(secured.item_id, told_items.item_id) AS transaction_id,
        CASE
            WHEN told_items.times IS NULL THEN 'an open debt that a broker secured is not on its statement'
            WHEN secured.account_key IS NULL THEN 'an open debt of a broker is no open item of its client'
            WHEN
                told_items.times > 1
                OR secured.firm_key <> told_items.firm_key
                OR secured.remaining_cents <> told_items.remaining_cents
                THEN 'an open debt of a broker is not what is open of its client''s item'
        END AS problem
    FROM secured
    FULL OUTER JOIN told_items
        ON secured.account_key = told_items.account_key AND secured.item_id = told_items.item_id
)

SELECT
    judged.problem,
    judged.bn15,
    judged.transaction_id
FROM judged
WHERE judged.problem IS NOT NULL
ORDER BY
    judged.problem,
    judged.bn15,
    judged.transaction_id
