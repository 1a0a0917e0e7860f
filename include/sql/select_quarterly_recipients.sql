-- Purpose: List the people on the distribution list on the day of issue, for the quarterly newsletter.
-- Grain: one row per recipient.
-- Reads: distribution_list
-- Writes: nothing, is rendered as messages
-- Parameters: none
-- Rerun: the same rows in the same order.
SELECT
    'quarterly' AS kind,
    1 AS version,
    address,
    language,
    subscribed_on
FROM distribution_list
WHERE state = 'subscribed'
ORDER BY address
