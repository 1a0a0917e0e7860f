-- Purpose: The addresses of the delegates whom the month published, with the roles that they hold on its last day.
-- Grain: one row per account, role and address.
-- Reads: delegations, quarantine, staged_delegations
-- Writes: none
-- Parameters: $as_of (date)
-- Rerun: the same rows in the same order.
--
-- The address comes from the source and all else must be as the lake has it. The day on which a delegation ends is not
-- one of its days.
WITH refused AS (
    -- A refused row may differ from a published one by its address alone.
    SELECT row_hash
    FROM quarantine
    WHERE dataset = 'delegations'
),

published AS (
    SELECT DISTINCT
        bn15,
        role,
        name,
        provider_bn9,
        valid_from,
        valid_to
    FROM delegations
    WHERE
        valid_from <= $as_of
        AND (valid_to IS NULL OR valid_to > $as_of)
)

SELECT DISTINCT
    staged_delegations.bn15,
    staged_delegations.role,
    staged_delegations.email
FROM staged_delegations
INNER JOIN published
    ON
        staged_delegations.bn15 = published.bn15
        AND staged_delegations.role = published.role
        AND staged_delegations.valid_from = published.valid_from
        AND staged_delegations.valid_to IS NOT DISTINCT FROM published.valid_to
        AND staged_delegations.name IS NOT DISTINCT FROM published.name
        AND staged_delegations.provider_bn9 IS NOT DISTINCT FROM published.provider_bn9
ANTI JOIN refused
    ON staged_delegations.row_hash = refused.row_hash
WHERE staged_delegations.unreadable IS NULL
ORDER BY
    staged_delegations.bn15,
    staged_delegations.role,
    staged_delegations.email
