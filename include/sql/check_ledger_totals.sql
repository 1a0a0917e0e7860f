-- Purpose: Find totals for the general ledger that are not those of the statements.
-- Grain: one row where they differ; an empty result means that they agree.
-- Reads: ledger_totals, statement_heads
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
WITH totals AS (
    SELECT
        coalesce(sum(ledger_totals.debit_cents), 0) AS debit_cents,
        coalesce(sum(ledger_totals.credit_cents), 0) AS credit_cents
    FROM ledger_totals
),

heads AS (
    SELECT
        coalesce(sum(statement_heads.debits_cents), 0) AS debit_cents,
        coalesce(sum(statement_heads.credits_cents), 0) AS credit_cents
    FROM statement_heads
    WHERE statement_heads.parked_reason IS NULL
)

SELECT
    CAST(NULL AS VARCHAR) AS reason,
    'the totals for the general ledger are not those of the statements' AS problem,
    CAST(NULL AS BIGINT) AS account_key,
    CAST(NULL AS VARCHAR) AS bn15,
    CAST(NULL AS VARCHAR) AS transaction_id
FROM totals
CROSS JOIN heads
WHERE totals.debit_cents <> heads.debit_cents OR totals.credit_cents <> heads.credit_cents
ORDER BY problem
