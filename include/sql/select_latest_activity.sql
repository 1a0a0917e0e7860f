-- Purpose: The transactions behind an account's last activity: of each kind the latest that still stands on the day.
-- Grain: one row per kind of activity that the account has.
-- Reads: published_transactions, published_export_declarations, transaction_kinds
-- Writes: nothing, returns what a person is shown
-- Parameters: $account_key (integer), $as_of (date)
-- Rerun: same inputs give the same rows in the same order.
WITH published AS (
    SELECT
        transaction_kinds.activity,
        published_transactions.transaction_id AS item_id,
        published_transactions.kind,
        published_transactions.revision,
        published_transactions.version,
        published_transactions.arrival,
        published_transactions.is_counted,
        published_transactions.activity_on,
        published_transactions.posted_on,
        published_transactions.period AS known_in
    FROM published_transactions
    INNER JOIN transaction_kinds ON published_transactions.kind = transaction_kinds.kind
    WHERE published_transactions.account_key = $account_key
    UNION ALL
    SELECT
        'export' AS activity,
        published_export_declarations.declaration_id AS item_id,
        'declaration' AS kind,
        published_export_declarations.revision,
        published_export_declarations.version,
        published_export_declarations.arrival,
        published_export_declarations.is_counted,
        published_export_declarations.exported_on AS activity_on,
        published_export_declarations.reported_on AS posted_on,
        published_export_declarations.period AS known_in
    FROM published_export_declarations
    WHERE published_export_declarations.account_key = $account_key
),

-- A revision that names another account takes the item away, and leaves a row here that says so.
left_behind AS (
    SELECT
        published.item_id,
        max(published.known_in) AS known_in
    FROM published
    WHERE published.arrival = 'moved'
    GROUP BY published.item_id
),

keys AS (
    SELECT published.*
    FROM published
    LEFT JOIN left_behind ON published.item_id = left_behind.item_id
    WHERE
        published.arrival NOT IN ('moved', 'restored')
        AND (left_behind.known_in IS NULL OR published.known_in > left_behind.known_in)
    QUALIFY row_number() OVER (
        PARTITION BY published.activity = 'export', published.item_id, published.revision
        ORDER BY published.version DESC
    ) = 1
),

states AS (
    SELECT keys.*
    FROM keys
    WHERE keys.arrival <> 'vanished'
    QUALIFY row_number() OVER (
        PARTITION BY keys.activity = 'export', keys.item_id
        ORDER BY keys.revision DESC
    ) = 1
)

SELECT
    states.activity,
    states.item_id,
    states.kind,
    states.activity_on,
    states.posted_on,
    states.known_in
FROM states
WHERE states.is_counted AND states.activity_on <= $as_of AND states.activity IN ('import', 'export', 'other')
QUALIFY
    row_number() OVER (
        PARTITION BY states.activity
        ORDER BY states.activity_on DESC, states.posted_on DESC, states.item_id DESC
    ) = 1
ORDER BY states.activity
