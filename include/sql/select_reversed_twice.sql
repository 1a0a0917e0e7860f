-- Purpose: Rows that would reverse an item a second time: a bounced payment that is reversed by status as well.
-- Grain: one row per staged row at fault.
-- Reads: staged, reversing_numbers, published_transactions
-- Writes: nothing, returns row numbers for the gate
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH read_rows AS (
    SELECT
        staged.row_no,
        staged.transaction_id,
        staged.bn15,
        staged.kind,
        staged.transaction_number,
        staged.status,
        staged.revision
    FROM staged
    WHERE staged.transaction_number IS NOT NULL AND staged.kind IN ('PMT', 'NSF')
),

published AS (
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
),

-- A revision that the source deleted says nothing any more.
known AS (
    SELECT keys.*
    FROM keys
    WHERE keys.arrival <> 'vanished'
    QUALIFY row_number() OVER (PARTITION BY keys.transaction_id ORDER BY keys.revision DESC) = 1
),

payments AS (
    SELECT
        read_rows.transaction_id,
        read_rows.bn15,
        read_rows.transaction_number,
        read_rows.status,
        read_rows.revision,
        1 AS is_read
    FROM read_rows
    WHERE read_rows.kind = 'PMT'
    UNION ALL
    SELECT
        known.transaction_id,
        known.bn15,
        known.transaction_number,
        known.status,
        known.revision,
        0 AS is_read
    FROM known
    WHERE known.kind = 'PMT'
),

reversed_payments AS (
    SELECT last_payments.*
    FROM (
        SELECT payments.*
        FROM payments
        QUALIFY row_number() OVER (
            PARTITION BY payments.transaction_id ORDER BY payments.revision DESC, payments.is_read DESC
        ) = 1
    ) AS last_payments
    WHERE last_payments.status IN ('cancelled', 'reversed')
),

-- Whichever came second is at fault. Read together, it is the counter-posting.
bounced AS (
    SELECT known.*
    FROM known
    WHERE known.kind = 'NSF' AND known.is_counted
)

SELECT read_rows.row_no
FROM read_rows
SEMI JOIN reversed_payments
    ON
        read_rows.bn15 = reversed_payments.bn15
        AND read_rows.transaction_number = reversed_payments.transaction_number
ANTI JOIN bounced ON read_rows.transaction_id = bounced.transaction_id
WHERE read_rows.kind = 'NSF'
UNION
SELECT read_rows.row_no
FROM read_rows
SEMI JOIN bounced
    ON read_rows.bn15 = bounced.bn15 AND read_rows.transaction_number = bounced.transaction_number
WHERE read_rows.kind = 'PMT' AND read_rows.status IN ('cancelled', 'reversed')
ORDER BY row_no
