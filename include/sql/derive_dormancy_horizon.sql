-- Purpose: Count the open accounts that reach four years without activity in each month to come.
-- Grain: one row per coming month and program type, also where no account reaches it.
-- Reads: account_decisions, horizon_months, program_type_rules
-- Writes: dormancy_horizon
-- Parameters: none
-- Rerun: same inputs give the same rows in the same order.
--
-- A clock lies in the half-open range of exactly one month: from the cutoff of the month before it to its own. What
-- stops a closure (a hold, a balance) is not asked, for it may be gone by then.
WITH ticking AS (
    SELECT
        horizon_months.month,
        account_decisions.program_type,
        COUNT(*) AS accounts
    FROM account_decisions
    INNER JOIN horizon_months
        ON
            account_decisions.clock_on >= horizon_months.from_on
            AND account_decisions.clock_on < horizon_months.before_on
    GROUP BY
        horizon_months.month,
        account_decisions.program_type
),

types AS (
    SELECT program_type
    FROM program_type_rules
    UNION
    SELECT program_type
    FROM ticking
)

SELECT
    horizon_months.month,
    types.program_type,
    COALESCE(ticking.accounts, 0) AS accounts
FROM horizon_months
CROSS JOIN types
LEFT JOIN ticking
    ON
        horizon_months.month = ticking.month
        AND types.program_type IS NOT DISTINCT FROM ticking.program_type
ORDER BY
    horizon_months.month,
    types.program_type
