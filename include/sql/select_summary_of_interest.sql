-- Purpose: Calculated interest beside the interest that the ledger posted, over all accounts of the month.
-- Grain: one row.
-- Reads: interest, statement_lines
-- Writes: nothing, returns the row
-- Parameters: none
-- Rerun: reads only.
--
-- An account without a known rate is in neither sum: the two would not speak of the same accounts.
WITH unknown AS (
    SELECT DISTINCT interest.account_key
    FROM interest
    WHERE interest.missing_quarter IS NOT NULL
),

calculated AS (
    SELECT
        coalesce(sum(interest.interest_cents), 0) AS cents,
        count(DISTINCT interest.account_key) AS accounts
    FROM interest
    ANTI JOIN unknown ON interest.account_key = unknown.account_key
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
        SELECT coalesce(string_agg(DISTINCT interest.missing_quarter, ', ' ORDER BY interest.missing_quarter), '')
        FROM interest
    ) AS missing_quarters
FROM calculated
CROSS JOIN posted
ORDER BY calculated_cents
