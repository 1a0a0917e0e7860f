-- Purpose: Count what a plan decides in each stratum, for the breaker.
-- Grain: one row per column of strata, value of it and action.
-- Reads: account_decisions
-- Writes: none
-- Parameters: $period (text)
-- Rerun: reads only.
--
-- An account whose closure was announced in an earlier month and is still to come is told nothing new: it is counted
-- as waiting, and not as a candidate.
WITH decided AS (
    SELECT
        COALESCE(program_type, 'unknown') AS program_type,
        COALESCE(province, 'unknown') AS province,
        CASE
            WHEN action = 'candidate' AND announced_in <> $period THEN 'waiting'
            ELSE action
        END AS action
    FROM account_decisions
),

strata AS (
    SELECT
        'program_type' AS stratum,
        program_type AS stratum_value,
        action
    FROM decided
    UNION ALL
    SELECT
        'province' AS stratum,
        province AS stratum_value,
        action
    FROM decided
)

SELECT
    stratum,
    stratum_value,
    action,
    COUNT(*) AS accounts
FROM strata
GROUP BY
    stratum,
    stratum_value,
    action
ORDER BY
    stratum,
    stratum_value,
    action
