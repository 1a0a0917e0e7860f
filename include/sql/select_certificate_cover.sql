-- Purpose: How many postings of the month there are, on statement lines and of parked accounts, with their sums.
-- Grain: one row.
-- Reads: statement_heads, statement_lines, transactions
-- Writes: nothing, returns counts and sums in cents
-- Parameters: none
-- Rerun: reads only.
WITH parked_accounts AS (
    SELECT DISTINCT statement_heads.account_key
    FROM statement_heads
    WHERE statement_heads.parked_reason IS NOT NULL
),

postings AS (
    SELECT
        count(*) AS postings,
        coalesce(sum(transactions.effect_cents), 0) AS posting_cents,
        count(parked_accounts.account_key) AS parked_postings,
        coalesce(sum(transactions.effect_cents) FILTER (WHERE parked_accounts.account_key IS NOT NULL), 0)
            AS parked_cents
    FROM transactions
    LEFT JOIN parked_accounts
        ON transactions.account_key = parked_accounts.account_key
    WHERE transactions.is_counted OR transactions.effect_cents <> 0
),

lines AS (
    SELECT
        count(*) AS line_count,
        coalesce(sum(statement_lines.amount_cents), 0) AS line_cents
    FROM statement_lines
)

SELECT
    postings.postings,
    CAST(postings.posting_cents AS BIGINT) AS posting_cents,
    lines.line_count,
    CAST(lines.line_cents AS BIGINT) AS line_cents,
    postings.parked_postings,
    CAST(postings.parked_cents AS BIGINT) AS parked_cents
FROM postings
CROSS JOIN lines
