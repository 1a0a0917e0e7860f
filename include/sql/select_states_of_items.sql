-- Purpose: What an account's items are now, each as its latest revision has it, the latest posting first: one page.
-- Grain: one row per item that stands on the account.
-- Reads: rows_of_account
-- Writes: nothing, returns what a person is shown
-- Parameters: $first (integer), $most (integer)
-- Rerun: same inputs give the same rows in the same order.
--
-- `items` of each row is how many there are on all pages.
WITH left_behind AS (
    -- A revision that names another account takes the item away, and leaves a row here that says so.
    SELECT
        rows_of_account.item_id,
        max(rows_of_account.known_in) AS known_in
    FROM rows_of_account
    WHERE rows_of_account.arrival = 'moved'
    GROUP BY rows_of_account.item_id
),

keys AS (
    SELECT rows_of_account.*
    FROM rows_of_account
    LEFT JOIN left_behind ON rows_of_account.item_id = left_behind.item_id
    WHERE
        rows_of_account.arrival NOT IN ('moved', 'restored')
        AND (left_behind.known_in IS NULL OR rows_of_account.known_in > left_behind.known_in)
    QUALIFY row_number() OVER (
        PARTITION BY rows_of_account.item_id, rows_of_account.revision
        ORDER BY rows_of_account.version DESC
    ) = 1
),

states AS (
    SELECT keys.*
    FROM keys
    WHERE keys.arrival <> 'vanished'
    QUALIFY row_number() OVER (
        PARTITION BY keys.item_id
        ORDER BY keys.revision DESC
    ) = 1
)

SELECT
    states.item_id,
    states.revision,
    states.arrival,
    states.kind,
    states.transaction_number,
    states.activity_on,
    states.posted_on,
    states.due_on,
    states.status,
    states.broker_bn9,
    states.amount_cents,
    states.known_in,
    count(*) OVER () AS items
FROM states
ORDER BY
    states.posted_on DESC,
    states.item_id ASC
LIMIT $most OFFSET $first
