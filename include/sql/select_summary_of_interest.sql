-- Purpose: Calculated interest beside the interest that the ledger posted, over all accounts of the month.
-- Grain: one row.
-- Reads: interest, parked, statement_lines
-- Writes: nothing, returns the row
-- Parameters: none
-- Rerun: reads only.
--
-- An account without a known rate is in neither sum, nor is one without a statement: the two would not speak of the
-- same accounts.
WITH of_statements AS (
    SELECT
        interest.account_key,
        interest.interest_cents,
        interest.missing_quarter
    FROM interest
    ANTI JOIN parked ON interest.account_key = parked.account_key
),

unknown AS (
    SELECT DISTINCT of_statements.account_key
    FROM of_statements
    WHERE of_statements.missing_quarter IS NOT NULL
),

calculated AS (
    SELECT
        coalesce(sum(of_statements.interest_cents), 0) AS cents,
        count(DISTINCT of_statements.account_key) AS accounts
    FROM of_statements
    ANTI JOIN unknown ON of_statements.account_key = unknown.account_key
),

posted AS (
    SELECT coalesce(sum(statement_lines.amount_cents), 0) AS cents
    FROM statement_lines
    ANTI JOIN unknown ON statement_lines.account_key = unknown.account_key
    WHERE statement_lines.kind = 'INT'
)

SELECT
    CAST(calculated.cents AS BIGINT) AS calculated_cents,
    calculated.accounts,
    CAST(posted.cents AS BIGINT) AS posted_cents,
    CAST(calculated.cents - posted.cents AS BIGINT) AS difference_cents,
    (SELECT count(*) FROM unknown) AS accounts_without_rate,
    (
        SELECT
            coalesce(
                string_agg(DISTINCT of_statements.missing_quarter, ', ' ORDER BY of_statements.missing_quarter), ''
            )
        FROM of_statements
    ) AS missing_quarters
FROM calculated
CROSS JOIN posted
ORDER BY calculated_cents
