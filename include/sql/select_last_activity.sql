-- Purpose: The last activity of doubtful accounts up to the day, read from the rows again.
-- Grain: one row per such account that has any activity left.
-- Reads: published_transactions, published_export_declarations, transaction_kinds, doubtful
-- Writes: nothing, is the relation exact_activity
-- Parameters: $as_of (date)
-- Rerun: same inputs give the same rows in the same order.
WITH published AS (
    SELECT
        't' || published_transactions.transaction_id AS item,
        published_transactions.revision,
        published_transactions.version,
        published_transactions.arrival,
        published_transactions.account_key,
        published_transactions.is_counted,
        transaction_kinds.activity,
        published_transactions.activity_on
    FROM published_transactions
    INNER JOIN transaction_kinds ON published_transactions.kind = transaction_kinds.kind
    WHERE published_transactions.arrival NOT IN ('moved', 'restored')
    UNION ALL
    SELECT
        'e' || published_export_declarations.declaration_id AS item,
        published_export_declarations.revision,
        published_export_declarations.version,
        published_export_declarations.arrival,
        published_export_declarations.account_key,
        published_export_declarations.is_counted,
        'export' AS activity,
        published_export_declarations.exported_on AS activity_on
    FROM published_export_declarations
    WHERE published_export_declarations.arrival NOT IN ('moved', 'restored')
),

items AS (
    -- All rows of every item that ever stood on a doubtful account: its last row may stand elsewhere.
    SELECT published.*
    FROM published
    SEMI JOIN (
        SELECT DISTINCT published.item
        FROM published
        SEMI JOIN doubtful ON published.account_key = doubtful.account_key
    ) AS theirs ON published.item = theirs.item
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
WHERE states.is_counted AND states.activity_on <= $as_of
GROUP BY states.account_key
ORDER BY states.account_key
