-- Purpose: The last activity of doubtful accounts up to the day, read from the rows of their items again.
-- Grain: one row per such account that has any activity left in these rows.
-- Reads: transactions_again, export_declarations_again, doubtful
-- Writes: nothing, is the relation exact_activity
-- Parameters: $as_of (date)
-- Rerun: same inputs give the same rows in the same order.
--
-- All rows of an item are there: its last one may stand on another account.
WITH items AS (
    SELECT
        't' || transactions_again.item_id AS item,
        transactions_again.revision,
        transactions_again.version,
        transactions_again.arrival,
        transactions_again.account_key,
        transactions_again.is_counted,
        transactions_again.activity,
        transactions_again.activity_on
    FROM transactions_again
    UNION ALL
    SELECT
        'e' || export_declarations_again.item_id AS item,
        export_declarations_again.revision,
        export_declarations_again.version,
        export_declarations_again.arrival,
        export_declarations_again.account_key,
        export_declarations_again.is_counted,
        export_declarations_again.activity,
        export_declarations_again.activity_on
    FROM export_declarations_again
),

keys AS (
    SELECT items.*
    FROM items
    QUALIFY row_number() OVER (PARTITION BY items.item, items.revision ORDER BY items.version DESC) = 1
),

states AS (
    SELECT keys.*
    FROM keys
    WHERE keys.arrival <> 'vanished'
    QUALIFY row_number() OVER (PARTITION BY keys.item ORDER BY keys.revision DESC) = 1
)

SELECT
    states.account_key,
    max(states.activity_on) FILTER (WHERE states.activity = 'import') AS last_import_on,
    max(states.activity_on) FILTER (WHERE states.activity = 'export') AS last_export_on,
    max(states.activity_on) FILTER (WHERE states.activity = 'other') AS last_other_on
FROM states
SEMI JOIN doubtful ON states.account_key = doubtful.account_key
WHERE states.is_counted AND states.activity_on <= $as_of
GROUP BY states.account_key
ORDER BY states.account_key
