-- Purpose: Which accounts a posting can be booked on: found, or quarantined because their own row is.
-- Grain: one row per account that the source names.
-- Reads: raw_accounts, staged, invalid_rows
-- Writes: nothing, is the relation account_states
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
WITH named AS (
    SELECT DISTINCT upper(regexp_replace(raw_accounts.bn15, '[ -]', '', 'g')) AS bn15
    FROM raw_accounts
    WHERE raw_accounts.bn15 IS NOT NULL
),

judged AS (
    SELECT
        staged.bn15,
        bool_and(invalid_rows.row_no IS NOT NULL) AS is_quarantined
    FROM staged
    LEFT JOIN invalid_rows ON staged.row_no = invalid_rows.row_no
    GROUP BY staged.bn15
)

SELECT
    named.bn15,
    CASE WHEN coalesce(judged.is_quarantined, FALSE) THEN 'quarantined' ELSE 'found' END AS state
FROM named
LEFT JOIN judged ON named.bn15 = judged.bn15
ORDER BY named.bn15
