-- Purpose: Say who gets a statement for the month, with all that stands above its lines: names, dates, balances.
-- Grain: one row per account with a printed posting, a balance at either end of the period, a closing inside it, or a
--   reason to be parked.
-- Reads: accounts, activity, ageing, baseline, interest, parking, transactions
-- Writes: statement_heads
-- Parameters: period, period_start, period_end, issued_on, due_on
-- Rerun: the same relations give the same rows in the same order; the period's file is replaced.
--
-- `transactions` and `accounts` hold the period alone; `activity` holds every earlier period (later ones are ignored).
-- The opening balance is the baseline and the effects of all earlier periods, so that it is the previous closing
-- balance whether or not a statement was issued then. An account whose own row was not published has no name, no
-- address and no language: it is parked with a reason instead of getting a statement. So is every account of `parking`,
-- whatever it has in the month: a statement that is outstanding stays so in a month without postings.
WITH account_rows AS (
    SELECT
        account_key,
        bn15,
        legal_name,
        operating_name,
        program_type,
        status AS account_status,
        closed_on,
        language
    FROM accounts
),

to_park AS (
    SELECT
        account_key,
        bn15,
        reason
    FROM parking
),

postings AS (
    SELECT
        account_key,
        effect_cents,
        under_review_effect_cents,
        -- What neither counts nor moves a balance stays in the control totals and prints nowhere.
        (is_counted OR effect_cents <> 0) AS is_printed
    FROM transactions
),

earlier_effects AS (
    SELECT
        account_key,
        balance_cents AS effect_cents,
        under_review_cents AS under_review_effect_cents
    FROM baseline
    UNION ALL
    SELECT
        account_key,
        effect_cents,
        under_review_effect_cents
    FROM activity
    WHERE period < $period
),

opening_balances AS (
    SELECT
        account_key,
        CAST(SUM(effect_cents) AS BIGINT) AS opening_cents,
        CAST(SUM(under_review_effect_cents) AS BIGINT) AS opening_under_review_cents
    FROM earlier_effects
    GROUP BY account_key
),

movements AS (
    SELECT
        account_key,
        CAST(SUM(GREATEST(effect_cents, 0)) AS BIGINT) AS debits_cents,
        CAST(SUM(GREATEST(-effect_cents, 0)) AS BIGINT) AS credits_cents,
        CAST(SUM(under_review_effect_cents) AS BIGINT) AS under_review_effect_cents,
        COUNT(*) FILTER (WHERE is_printed) AS line_count
    FROM postings
    GROUP BY account_key
),

balances AS (
    SELECT
        COALESCE(opening_balances.account_key, movements.account_key) AS account_key,
        COALESCE(opening_balances.opening_cents, 0) AS opening_cents,
        COALESCE(movements.debits_cents, 0) AS debits_cents,
        COALESCE(movements.credits_cents, 0) AS credits_cents,
        COALESCE(opening_balances.opening_under_review_cents, 0)
        + COALESCE(movements.under_review_effect_cents, 0) AS under_review_cents,
        COALESCE(movements.line_count, 0) AS line_count
    FROM opening_balances
    FULL OUTER JOIN movements
        ON opening_balances.account_key = movements.account_key
),

accounts_with_balances AS (
    SELECT
        COALESCE(balances.account_key, account_rows.account_key, to_park.account_key) AS account_key,
        COALESCE(account_rows.bn15, to_park.bn15, BN15_OF(balances.account_key)) AS bn15,
        COALESCE(balances.opening_cents, 0) AS opening_cents,
        COALESCE(balances.debits_cents, 0) AS debits_cents,
        COALESCE(balances.credits_cents, 0) AS credits_cents,
        COALESCE(balances.opening_cents + balances.debits_cents - balances.credits_cents, 0) AS closing_cents,
        COALESCE(balances.under_review_cents, 0) AS under_review_cents,
        COALESCE(balances.line_count, 0) AS line_count,
        account_rows.legal_name,
        account_rows.operating_name,
        account_rows.program_type,
        account_rows.account_status,
        account_rows.closed_on,
        account_rows.language,
        account_rows.account_key IS NOT NULL AS is_published,
        to_park.reason AS parking_reason,
        COALESCE(
            account_rows.closed_on >= $period_start AND account_rows.closed_on <= $period_end, FALSE
        ) AS is_closed_in_period
    FROM balances
    FULL OUTER JOIN account_rows
        ON balances.account_key = account_rows.account_key
    FULL OUTER JOIN to_park
        ON COALESCE(balances.account_key, account_rows.account_key) = to_park.account_key
),

-- One debt whose interest cannot be calculated leaves the account without: half of it would be taken for the whole.
account_interest AS (
    SELECT
        account_key,
        MIN(missing_quarter) AS missing_quarter,
        CASE WHEN COUNT(missing_quarter) = 0 THEN CAST(SUM(interest_cents) AS BIGINT) END AS interest_cents
    FROM interest
    GROUP BY account_key
)

SELECT
    accounts_with_balances.bn15,
    accounts_with_balances.account_key,
    CAST($period AS VARCHAR) AS period,
    CAST(1 AS BIGINT) AS version,
    CAST($period_start AS DATE) AS period_start,
    CAST($period_end AS DATE) AS period_end,
    CAST($issued_on AS DATE) AS issued_on,
    CAST($due_on AS DATE) AS due_on,
    CASE
        WHEN NOT is_published THEN NULL
        WHEN language IN ('en', 'fr') THEN language
        -- Nobody recorded a choice: both official languages, in one document.
        ELSE 'both'
    END AS language,
    opening_cents,
    debits_cents,
    credits_cents,
    closing_cents,
    under_review_cents,
    GREATEST(closing_cents - under_review_cents, 0) AS total_payable_cents,
    line_count,
    legal_name,
    operating_name,
    program_type,
    account_status,
    closed_on,
    COALESCE(ageing.ageing_current_cents, 0) AS ageing_current_cents,
    COALESCE(ageing.ageing_30_cents, 0) AS ageing_30_cents,
    COALESCE(ageing.ageing_60_cents, 0) AS ageing_60_cents,
    COALESCE(ageing.ageing_90_cents, 0) AS ageing_90_cents,
    COALESCE(ageing.ageing_over_90_cents, 0) AS ageing_over_90_cents,
    CASE WHEN account_interest.account_key IS NULL THEN 0 ELSE account_interest.interest_cents END
        AS calculated_interest_cents,
    account_interest.missing_quarter AS missing_rate_quarter,
    COALESCE(parking_reason, CASE WHEN NOT is_published THEN 'account_not_published' END) AS parked_reason
FROM accounts_with_balances
LEFT JOIN ageing
    ON accounts_with_balances.account_key = ageing.account_key
LEFT JOIN account_interest
    ON accounts_with_balances.account_key = account_interest.account_key
WHERE
    line_count > 0
    OR opening_cents <> 0
    OR closing_cents <> 0
    OR is_closed_in_period
    OR parking_reason IS NOT NULL
-- An account that is parked because its row stands twice is parked once.
QUALIFY
    parking_reason IS NULL
    OR ROW_NUMBER() OVER (
        PARTITION BY accounts_with_balances.account_key
        ORDER BY accounts_with_balances.bn15, legal_name, operating_name
    ) = 1
ORDER BY accounts_with_balances.account_key
