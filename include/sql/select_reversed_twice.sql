-- Purpose: Rows that would reverse an item a second time: a bounced payment that is reversed by status as well.
-- Grain: one row per staged row at fault.
-- Reads: reversing_rows, invalid_rows, known_payments
-- Writes: nothing, returns row numbers for the gate
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH read_rows AS (
    -- A row that is refused reverses nothing. Of a key's copies one at most is left.
    SELECT
        reversing_rows.row_no,
        reversing_rows.transaction_id,
        reversing_rows.bn15,
        reversing_rows.kind,
        reversing_rows.transaction_number,
        reversing_rows.status,
        reversing_rows.revision
    FROM reversing_rows
    ANTI JOIN invalid_rows ON reversing_rows.row_no = invalid_rows.row_no
),

-- Whichever came second is at fault. Read together, it is the counter-posting.
bounced AS (
    SELECT
        known_payments.transaction_id,
        known_payments.bn15,
        known_payments.transaction_number
    FROM known_payments
    WHERE known_payments.kind = 'NSF' AND known_payments.is_counted
),

late_reversals AS (
    SELECT read_rows.row_no
    FROM read_rows
    SEMI JOIN bounced
        ON read_rows.bn15 = bounced.bn15 AND read_rows.transaction_number = bounced.transaction_number
    WHERE read_rows.kind = 'PMT' AND read_rows.status IN ('cancelled', 'reversed')
),

items AS (
    SELECT
        read_rows.transaction_id,
        read_rows.bn15,
        read_rows.kind,
        read_rows.transaction_number,
        read_rows.status,
        read_rows.revision,
        1 AS is_read
    FROM read_rows
    ANTI JOIN late_reversals ON read_rows.row_no = late_reversals.row_no
    UNION ALL
    SELECT
        known_payments.transaction_id,
        known_payments.bn15,
        known_payments.kind,
        known_payments.transaction_number,
        known_payments.status,
        known_payments.revision,
        0 AS is_read
    FROM known_payments
),

last_items AS (
    SELECT items.*
    FROM items
    QUALIFY row_number() OVER (
        PARTITION BY items.transaction_id ORDER BY items.revision DESC, items.is_read DESC
    ) = 1
),

reversed_payments AS (
    SELECT
        last_items.bn15,
        last_items.transaction_number
    FROM last_items
    WHERE
        last_items.kind = 'PMT'
        AND last_items.status IN ('cancelled', 'reversed')
        AND trim(last_items.transaction_number) <> ''
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
SELECT late_reversals.row_no
FROM late_reversals
ORDER BY row_no
