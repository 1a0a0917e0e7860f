-- Purpose: Payments, and what sends them back, as last published under the numbers that a run asks for.
-- Grain: one row per item.
-- Reads: published_transactions, reversing_numbers
-- Writes: nothing, is the relation known_payments
-- Parameters: none
-- Rerun: same inputs give the same rows, in no order.
WITH published AS (
    SELECT
        published_transactions.transaction_id,
        published_transactions.bn15,
        published_transactions.kind,
        published_transactions.transaction_number,
        published_transactions.status,
        published_transactions.revision,
        published_transactions.version,
        published_transactions.arrival,
        published_transactions.is_counted
    FROM published_transactions
    SEMI JOIN reversing_numbers
        ON published_transactions.transaction_number = reversing_numbers.transaction_number
    WHERE published_transactions.kind IN ('PMT', 'NSF') AND published_transactions.arrival NOT IN ('moved', 'restored')
),

keys AS (
    SELECT published.*
    FROM published
    QUALIFY row_number() OVER (
        PARTITION BY published.transaction_id, published.revision ORDER BY published.version DESC
    ) = 1
)

-- A revision that the source deleted says nothing any more.
SELECT
    keys.transaction_id,
    keys.bn15,
    keys.kind,
    keys.transaction_number,
    keys.status,
    keys.revision,
    keys.is_counted
FROM keys
WHERE keys.arrival <> 'vanished'
QUALIFY row_number() OVER (PARTITION BY keys.transaction_id ORDER BY keys.revision DESC) = 1
