-- Purpose: Count the labelled lines that stand on no broker's statement, and why.
-- Grain: one row.
-- Reads: firm_numbers, parked, statement_lines, transactions
-- Writes: nothing, is told in the log
-- Parameters: none
-- Rerun: reads only.
WITH printed AS (
    SELECT COUNT(*) FILTER (WHERE statement_lines.broker_bn9 <> '' AND firm_numbers.bn9 IS NULL) AS invalid_number
    FROM statement_lines
    LEFT JOIN firm_numbers
        ON statement_lines.broker_bn9 = firm_numbers.bn9
),

of_parked AS (
    SELECT COUNT(*) AS parked_client
    FROM transactions
    INNER JOIN firm_numbers
        ON transactions.broker_bn9 = firm_numbers.bn9
    SEMI JOIN parked
        ON transactions.account_key = parked.account_key
    WHERE transactions.is_counted OR transactions.effect_cents <> 0
)

SELECT
    printed.invalid_number,
    of_parked.parked_client
FROM printed
CROSS JOIN of_parked
