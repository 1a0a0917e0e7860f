-- Purpose: Find what breaks the exact cover: each posting on one line of one statement, or its account parked.
-- Grain: one row per offending posting, line or account; an empty result means that the cover is exact.
-- Reads: accounts, parking, statement_heads, statement_lines, transactions
-- Writes: none
-- Parameters: none
-- Rerun: reads only.
--
-- `reason` is the word under which an account that stands here is parked. An account may be parked only because its own
-- row was not published or because it stands in `parking`, and whatever stands there must be parked.
WITH postings AS (
    SELECT
        account_key,
        bn15,
        transaction_id,
        revision,
        version,
        arrival,
        effect_cents
    FROM transactions
    WHERE is_counted OR effect_cents <> 0
),

lines AS (
    SELECT
        account_key,
        MIN(bn15) AS bn15,
        transaction_id,
        revision,
        version,
        arrival,
        COUNT(*) AS line_count,
        SUM(amount_cents) AS amount_cents
    FROM statement_lines
    GROUP BY
        account_key,
        transaction_id,
        revision,
        version,
        arrival
),

heads AS (
    SELECT
        account_key,
        MIN(bn15) AS bn15,
        COUNT(*) AS head_count,
        COUNT(*) FILTER (WHERE parked_reason IS NULL) AS statement_count
    FROM statement_heads
    GROUP BY account_key
),

published_accounts AS (
    SELECT DISTINCT account_key
    FROM accounts
),

to_park AS (
    SELECT DISTINCT account_key
    FROM parking
),

posting_problems AS (
    SELECT
        COALESCE(postings.account_key, lines.account_key) AS account_key,
        COALESCE(postings.bn15, lines.bn15) AS bn15,
        COALESCE(postings.transaction_id, lines.transaction_id) AS transaction_id,
        CASE
            WHEN postings.transaction_id IS NULL THEN 'a statement line stands for no posting of the period'
            WHEN heads.account_key IS NULL THEN 'the account of a posting has no statement and is not parked'
            WHEN heads.statement_count = 0 AND lines.line_count > 0 THEN 'a posting of a parked account is printed'
            WHEN heads.statement_count = 0 THEN NULL
            WHEN lines.line_count IS NULL THEN 'a posting stands on no statement line'
            WHEN lines.line_count > 1 THEN 'a posting stands on more than one statement line'
            WHEN lines.amount_cents <> postings.effect_cents THEN 'a line shows another amount than its posting'
        END AS problem
    FROM postings
    FULL OUTER JOIN lines
        ON
            postings.account_key = lines.account_key
            AND postings.transaction_id = lines.transaction_id
            AND postings.revision = lines.revision
            AND postings.version = lines.version
            AND postings.arrival = lines.arrival
    LEFT JOIN heads
        ON COALESCE(postings.account_key, lines.account_key) = heads.account_key
),

head_problems AS (
    SELECT
        heads.account_key,
        heads.bn15,
        CAST(NULL AS VARCHAR) AS transaction_id,
        CASE
            WHEN heads.head_count > 1 THEN 'an account has more than one statement'
            WHEN heads.statement_count = 1 AND published_accounts.account_key IS NULL
                THEN 'a statement stands for an account without a published row'
            WHEN heads.statement_count = 1 AND to_park.account_key IS NOT NULL
                THEN 'an account that is to be parked has a statement'
            WHEN
                heads.statement_count = 0
                AND published_accounts.account_key IS NOT NULL
                AND to_park.account_key IS NULL
                THEN 'an account with a published row is parked'
        END AS problem
    FROM heads
    LEFT JOIN published_accounts
        ON heads.account_key = published_accounts.account_key
    LEFT JOIN to_park
        ON heads.account_key = to_park.account_key
)

SELECT
    'posting_not_on_one_line' AS reason,
    problem,
    account_key,
    bn15,
    transaction_id
FROM posting_problems
WHERE problem IS NOT NULL
UNION ALL
SELECT
    'not_one_statement' AS reason,
    problem,
    account_key,
    bn15,
    transaction_id
FROM head_problems
WHERE problem IS NOT NULL
ORDER BY
    problem,
    bn15,
    transaction_id
