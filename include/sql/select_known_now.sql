-- Purpose: Say of which accounts the statement of an issued month would come out otherwise, as it is known now.
-- Grain: one row per account whose names, language or due date differ, or that got postings of then since.
-- Reads: accounts_on_record, issued_heads, transactions
-- Writes: nothing, is for people
-- Parameters: $period, $period_end (date), $due_on (date)
-- Rerun: the same relations give the same rows in the same order.
--
-- `issued_heads` are the versions that stand; `transactions` holds the months after the period, in which what was
-- posted earlier came to be known. An account that nobody can read for sure in the register now is listed as such.
WITH issued AS (
    SELECT
        account_key,
        bn15,
        legal_name,
        operating_name,
        language,
        due_on
    FROM issued_heads
),

register AS (
    SELECT
        account_key,
        legal_name,
        operating_name,
        CASE WHEN language IN ('en', 'fr') THEN language ELSE 'both' END AS language
    FROM accounts_on_record
),

later_postings AS (
    SELECT
        account_key,
        MIN(bn15) AS bn15,
        COUNT(*) AS postings,
        CAST(SUM(effect_cents) AS BIGINT) AS effect_cents
    FROM transactions
    WHERE
        period > $period
        AND posted_on <= $period_end
        AND effect_cents <> 0
    GROUP BY account_key
),

compared AS (
    SELECT
        COALESCE(issued.account_key, later_postings.account_key) AS account_key,
        COALESCE(issued.bn15, later_postings.bn15) AS bn15,
        issued.account_key IS NOT NULL AS has_statement,
        issued.account_key IS NOT NULL AND register.account_key IS NULL AS is_off_record,
        register.account_key IS NOT NULL AND issued.account_key IS NOT NULL AS is_comparable,
        (issued.legal_name IS DISTINCT FROM register.legal_name) AS has_other_name,
        (issued.operating_name IS DISTINCT FROM register.operating_name) AS has_other_operating_name,
        (issued.language IS DISTINCT FROM register.language) AS has_other_language,
        issued.due_on <> $due_on AS has_other_due_date,
        COALESCE(later_postings.postings, 0) AS later_postings,
        COALESCE(later_postings.effect_cents, 0) AS later_effect_cents
    FROM issued
    FULL OUTER JOIN later_postings
        ON issued.account_key = later_postings.account_key
    LEFT JOIN register
        ON issued.account_key = register.account_key
)

SELECT
    bn15,
    has_statement,
    is_off_record,
    is_comparable AND has_other_name AS legal_name,
    is_comparable AND has_other_operating_name AS operating_name,
    is_comparable AND has_other_language AS language,
    COALESCE(has_other_due_date, FALSE) AS due_on,
    later_postings,
    later_effect_cents
FROM compared
WHERE
    is_off_record
    OR later_postings > 0
    OR COALESCE(has_other_due_date, FALSE)
    OR (is_comparable AND (has_other_name OR has_other_operating_name OR has_other_language))
ORDER BY account_key
